"""Queries of events that are held in memory."""
