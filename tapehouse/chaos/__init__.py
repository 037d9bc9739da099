"""`tapehouse chaos`: a throw-away exchange, a fleet on it, faults, and every invariant after them.

Pure: `order_flow`, `fault`, `plan`, `sightings`, `table`. The rest drives real processes.
"""
