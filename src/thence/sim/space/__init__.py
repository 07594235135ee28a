"""Worlds, and what is seen in them."""
