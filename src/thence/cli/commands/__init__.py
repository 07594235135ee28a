"""The commands of `thence`, one file each."""
