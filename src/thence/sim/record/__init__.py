"""The events of a run, and what they need."""
