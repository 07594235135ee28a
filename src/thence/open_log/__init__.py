"""One folder's log, opened."""
