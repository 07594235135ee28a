"""The tables of an index, made from the lines of a log and brought up to date."""
