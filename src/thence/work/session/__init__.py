"""One command at work in one project."""
