"""The index of a log in SQLite, which can always be rebuilt from the log."""
