"""What a log is on disk: its segments and their lock, and who it is."""
