"""Causes and effects walked by an index."""
