"""A log looked at from outside, without being opened."""
