"""The commands of the work host: each does its work, and records it in the project's log."""
