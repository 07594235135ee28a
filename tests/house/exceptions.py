"""What the house lets pass for now, each with its reason; this list may only shrink.

A measure stands here as it was found. It may not grow, and when it falls the entry must follow:
a test fails for an entry that lets pass more than is there.
"""

# "path" or "path:Class.function": (lines, reason)
TOO_LONG: dict[str, tuple[int, str]] = {}

# "path:Class.function" of src: (parameters, the promise that names them)
MANY_PARAMETERS: dict[str, tuple[int, str]] = {
    "src/thence/core/query/filter.py:Filter.of": (9, "P1: the keys of query and each filter"),
    "src/thence/log/open.py:Log.append": (9, "P1: what a program says of an event"),
    "src/thence/log/open.py:open_log": (10, "P1 and P6: the keywords of thence.open"),
    "src/thence/sim/run/run.py:SimulationOrchestrator.__init__": (23, "O1: the keywords of a run"),
}

# room: private functions with one caller, and calls with a starred value; a count may only fall
OF_ONE_CALLER: dict[str, int] = {
    "cli": 60,
    "core": 15,
    "files": 0,
    "git": 8,
    "log": 68,
    "otel": 3,
    "server": 76,
    "sim": 77,
    "sync": 19,
    "trace": 46,
    "work": 47,
}
STARRED: dict[str, int] = {
    "cli": 4,
    "log": 8,
    "server": 5,
    "sim": 8,
    "trace": 6,
    "work": 3,
}

# room: (lines, files) of src today, and where it is to end
WEIGHTS: dict[str, tuple[tuple[int, int], tuple[int, int]]] = {
    "cli": ((10398, 50), (10400, 50)),
    "core": ((6299, 30), (6300, 32)),
    "git": ((3082, 14), (3100, 14)),
    "log": ((12977, 52), (13000, 52)),
    "server": ((9731, 50), (9900, 50)),
    "sim": ((13759, 58), (13900, 58)),
    "sync": ((3087, 13), (3100, 14)),
    "thence": ((996, 7), (1000, 8)),
    "trace": ((7343, 29), (7800, 35)),
    "work": ((9495, 45), (9500, 46)),
}
