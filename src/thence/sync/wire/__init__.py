"""The messages between a client and a server, as values."""
