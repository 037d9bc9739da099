"""User data streams. `python -m ingest.user_data` reads the log once for all workers and hands each the
events of the accounts that its clients listen to."""
