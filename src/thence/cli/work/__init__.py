"""The commands of `thence work`, one file each."""
