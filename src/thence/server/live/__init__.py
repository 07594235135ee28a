"""Live streams: each log that has listeners is followed."""
