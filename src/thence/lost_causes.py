"""Steps that began in a pool without a cause, while other steps were open.

A pool's thread knows nothing of the step that handed it work. Who submitted it can't be seen from
there; so a step counts that begins in a pool outside of all causes while another one is open in
its process. Nothing is guessed: the step gets no cause, and a notice names the function.
"""

import sys
from collections import Counter
from collections.abc import Iterable, Mapping
from pathlib import Path
from threading import Lock
from types import FrameType

from thence.core.event import Event

NOTICE = "cause_lost"
PLACES_MAX = 100
_POOLS = frozenset(
    ("concurrent.futures.thread", "concurrent.futures.process", "multiprocessing.pool")
)


class LostCauses:
    """The count of such steps in an open log, by function.

    Of each function the 1st, 10th, 100th … is told at once, with the count since the last time,
    and the rest when the log is closed. Beyond 100 functions the others count as one.
    """

    def __init__(self) -> None:
        self._lock = Lock()
        self._counts: Counter[str] = Counter()
        self._untold: Counter[str] = Counter()

    def add(self, place: str) -> dict[str, object] | None:
        """Counts a step; returns the facts of a notice that is due."""
        with self._lock:
            if place not in self._counts and len(self._counts) >= PLACES_MAX:
                place = "others"
            self._counts[place] += 1
            self._untold[place] += 1
            is_due = str(self._counts[place]).strip("0") == "1"
            return {"place": place, "count": self._untold.pop(place)} if is_due else None

    def rest(self) -> list[dict[str, object]]:
        """Returns the facts of the notices for what was not told yet."""
        with self._lock:
            untold, self._untold = self._untold, Counter()
        return [{"place": place, "count": count} for place, count in untold.items()]


def steps_by_place(notices: Iterable[Event]) -> dict[str, int]:
    """Returns how many steps such notices tell, by function, the most first."""
    counts: Counter[str] = Counter()
    for notice in notices:
        place, count = notice.payload.get("place"), notice.payload.get("count")
        counts[str(place)] += count if isinstance(count, int) else 1
    return dict(counts.most_common())


def remedy(counts: Mapping[str, int]) -> str:
    """Returns what to do about such steps."""
    return f"submit it as thence.propagate({next(iter(counts)).rpartition('.')[2].split()[-1]})"


def pool_place() -> str | None:
    """Returns the function that a pool runs where this is called, as FILE:LINE NAME.

    None outside of the pools of the standard library.
    """
    frame: FrameType | None = sys._getframe(1)
    inner = None
    while frame is not None and frame.f_globals.get("__name__") not in _POOLS:
        frame, inner = frame.f_back, frame
    if frame is None or inner is None:
        return None
    code = inner.f_code
    path = Path(code.co_filename)
    name = path.relative_to(Path.cwd()) if path.is_relative_to(Path.cwd()) else path.name
    return f"{name}:{code.co_firstlineno} {code.co_qualname}"
