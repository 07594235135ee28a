"""The server at which the logs of a team meet: its store, its logins, its routes."""
