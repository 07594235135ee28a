"""Git: objects, refs, commits, merges and worktrees."""
