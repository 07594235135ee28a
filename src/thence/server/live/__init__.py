"""Logs followed for the clients that listen."""
