"""How any service lives: the log, the loop, settings, telemetry. Knows no order."""
