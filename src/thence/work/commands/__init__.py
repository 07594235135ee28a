"""The commands of the work host: each does its real work, and tells the project's log of it."""
