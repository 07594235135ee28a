"""Pages of events that match a filter, planned and read by an index."""
