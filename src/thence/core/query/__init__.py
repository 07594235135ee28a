"""Questions to events that are held in memory."""
