"""Walks over causes and effects in an index."""
