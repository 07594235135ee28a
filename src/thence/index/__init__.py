"""The catalogue: an index of a log, in SQLite, that can always be made again from the log."""
