"""The office: work packages, done by people and coding agents in git worktrees."""
