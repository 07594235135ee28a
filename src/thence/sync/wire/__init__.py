"""The messages between a log's replicas and a server, as values."""
