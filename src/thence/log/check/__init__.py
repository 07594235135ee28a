"""A log checked line by line, redacted, and pruned."""
