"""The logs that a server answers for."""
