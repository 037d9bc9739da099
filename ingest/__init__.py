"""The trading API: reads HTTP and `order-replies`, writes `order-requests` and `account-events`.

Owns authentication, syntax and filter checks, and the public wire format of orders and accounts.
"""
