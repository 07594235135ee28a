"""Sync of logs with a team's server: what one machine has written reaches all others."""
