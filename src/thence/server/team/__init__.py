"""The server at which the replicas of a team's logs meet: its store, its logins, its routes."""
