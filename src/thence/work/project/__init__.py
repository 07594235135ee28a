"""Which project a folder belongs to, and what its team has configured."""
