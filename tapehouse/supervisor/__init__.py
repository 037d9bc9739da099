"""Starts processes, keeps them running, and leaves none behind.

Our own, since no library did it. Measured: supervisord restarts a killed process after 1.0 to 2.0 s (its
loop ticks once a second), adds one second a try without a cap, gives up for good after `startretries`,
and leaves its children running when it is killed itself. circus adds tornado and zeromq and has a fixed
pause; honcho restarts nothing.
"""
