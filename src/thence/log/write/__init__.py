"""New events on their way into a segment."""
