"""What a scenario says, read and checked."""
