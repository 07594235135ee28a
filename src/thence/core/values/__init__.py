"""The parts of an event, and its encoding as a line."""
