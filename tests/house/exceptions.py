"""What the house lets pass for now, each with its reason; this list may only shrink.

A measure stands here as it was found. It may not grow, and when it falls the entry must follow:
a test fails for an entry that lets pass more than is there.
"""

# "path" or "path:Class.function": (lines, reason)
TOO_LONG: dict[str, tuple[int, str]] = {}

# part: lines and files of src; their bounds are 30,000 in 140, 13,500 in 77, 11,500 in 88
WEIGHTS: dict[str, tuple[int, int]] = {
    "inner": (45931, 194),
    "work": (18858, 78),
    "team": (16756, 90),
}

# room: local names, loop targets and parameters that say nothing of a value
NAMED_BY_NOTHING: dict[str, int] = {}
