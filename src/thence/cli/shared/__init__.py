"""What several commands show or ask for."""
