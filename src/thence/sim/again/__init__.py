"""Runs played again, or many times."""
