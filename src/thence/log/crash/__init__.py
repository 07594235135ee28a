"""What a process that ended without closing its log left, found and reported."""
