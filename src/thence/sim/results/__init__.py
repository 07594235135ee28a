"""Runs read back."""
