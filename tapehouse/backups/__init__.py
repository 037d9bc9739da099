"""`tapehouse backup` and `tapehouse restore`: the database with its positions, and forward from the log."""
