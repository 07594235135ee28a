"""What the house lets pass for now, each with its reason; this list may only shrink.

A measure stands here as it was found. It may not grow, and when it falls the entry must follow:
a test fails for an entry that lets pass more than is there.
"""

# "path" or "path:Class.function": (lines, reason)
TOO_LONG: dict[str, tuple[int, str]] = {}

# room: lines and files of src; a room grows by a line of this table alone
WEIGHTS: dict[str, tuple[int, int]] = {
    "agents": (2765, 10),
    "cli": (11130, 51),
    "core": (6174, 27),
    "doctor": (553, 4),
    "index": (4470, 14),
    "log": (8098, 36),
    "merge": (804, 5),
    "open_log": (1374, 4),
    "otlp": (893, 4),
    "server": (10317, 58),
    "sim": (12337, 53),
    "sync": (3370, 12),
    "thence": (1197, 8),
    "tracing": (1586, 6),
    "wire": (389, 3),
    "work": (15480, 66),
}

# room: local names, loop targets and parameters that say nothing of a value
NAMED_BY_NOTHING: dict[str, int] = {}
