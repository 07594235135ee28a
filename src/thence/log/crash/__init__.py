"""The report on openings that ended without closing their log."""
