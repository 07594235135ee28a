"""Populations of many rule agents, each one component."""
