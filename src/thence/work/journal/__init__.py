"""The journal of a project, and how clones share it."""
