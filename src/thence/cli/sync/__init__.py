"""The commands of `thence sync`."""
