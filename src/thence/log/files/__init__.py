"""The files of a log: its segments, their lock, the identity of the log."""
