"""The commands of `thence work`, by subject."""
