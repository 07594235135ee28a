"""The commands of the group `server`: a team's server, its users, its teams."""
