"""Two logs laid side by side."""
