"""Measurements of thence, each a ratio within one run."""
