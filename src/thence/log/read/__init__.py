"""A log read back, or followed as it grows."""
