"""A log checked line by line, and repaired."""
