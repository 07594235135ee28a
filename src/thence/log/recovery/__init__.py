"""The report on writer sessions that ended without closing their log."""
