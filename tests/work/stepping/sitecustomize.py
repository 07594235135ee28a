"""Lets the clock on the wall go wrong: by the seconds that stand in a file, read at each look."""

import os
import time

_PATH = os.environ.get("STEPPED_BY")
_time, _time_ns = time.time, time.time_ns


def _offset() -> int:
    try:
        with open(_PATH) as file:
            return int(file.read() or 0)
    except (OSError, ValueError):
        return 0


if _PATH:
    time.time = lambda: _time() + _offset()
    time.time_ns = lambda: _time_ns() + _offset() * 1_000_000_000
