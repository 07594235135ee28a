"""A run: its agents, its engine, its turns."""
