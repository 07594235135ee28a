"""Events as sentences and as rows, for people."""
