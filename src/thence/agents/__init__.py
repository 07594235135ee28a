"""Coding agents: what their hooks record, and who owns a commit or a line."""
