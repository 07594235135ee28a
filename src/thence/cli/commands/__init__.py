"""The commands of `thence`, a folder for each room."""
