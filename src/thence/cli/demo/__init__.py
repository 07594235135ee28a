"""The command `demo`, with its tours."""
