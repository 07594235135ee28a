"""A feature worked off by agent programs."""
