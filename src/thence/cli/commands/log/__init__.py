"""Commands on one log."""
