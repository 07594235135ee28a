"""The inspection of a log from outside, without opening it."""
