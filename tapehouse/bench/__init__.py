"""`tapehouse bench`: how fast the running exchange is, measured from outside.

Open loop: orders leave at a constant rate whether or not earlier ones were answered, and latency counts
from the moment an order was due, so that a slow answer is not hidden by the orders that waited for it.
"""
