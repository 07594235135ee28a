"""Planning files: tasks.md, the files of packages, what other tools left there."""
