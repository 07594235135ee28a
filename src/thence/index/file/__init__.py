"""The database file of an index: opened, kept up to date, read from."""
