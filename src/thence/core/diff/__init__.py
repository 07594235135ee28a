"""The comparison of two logs."""
