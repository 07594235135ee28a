"""Coding agents: what their hooks hand over, as events with causes.

`fired` is the program that an agent or git calls, and imports nothing of this package. Everything
else runs when a command opens the log next.
"""
