"""Runs that are read back from their folders."""
