"""The demo: named accounts, a small trading fleet, and a recorded tape sent through the public API."""
