"""What an event is made of, and how it stands as a line."""
