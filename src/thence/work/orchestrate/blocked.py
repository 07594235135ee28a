"""What keeps single packages from going on, while the others do."""

import math
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import NamedTuple

from thence.errors import GitFailed, PlanningError, Refused

REST_MIN_S, REST_MAX_S = 0.25, 10.0
TIMES_MAX = 10
REFUSED_MAX = 4  # a guard seldom thinks better of it while the board stays as it is


class Blocker(NamedTuple):
    """What keeps a package from going on, how often it did, and till when nobody tries again."""

    why: str
    times: int
    until_s: float


class Blockers:
    """The packages that git or a guard has refused something of.

    `tell` is called with a package and a reason: once, until the reason is another one or the
    package has left its lane. `said` counts the events that were appended; what a refused step
    appended is no change of the board, by which it would be tried again for ever.
    """

    def __init__(self, tell: Callable[[str, str], None], count_appended: Callable[[], int]) -> None:
        self._tell = tell
        self._count_appended = count_appended
        self._ineffective = 0
        self._events_seen = -1
        self._blocked: dict[str, Blocker] = {}
        self._reported: dict[str, tuple[str, str | None]] = {}

    @contextmanager
    def keeping(self, wp_id: str) -> Iterator[None]:
        """Keeps to one package what is refused of it; it is tried again after a rest.

        After TIMES_MAX times, after REFUSED_MAX if a guard refuses it, it waits for the board to
        change.
        """
        before = self._count_appended()
        try:
            yield
        except (GitFailed, Refused, PlanningError) as error:
            count = self._blocked[wp_id].times + 1 if wp_id in self._blocked else 1
            what = error if isinstance(error, PlanningError) else error.cause or error.message
            why = f"{what}; {error.hint}"
            rest_s = min(REST_MIN_S * 2**count, REST_MAX_S)
            times_max = REFUSED_MAX if isinstance(error, Refused) else TIMES_MAX
            until_s = math.inf if count > times_max else time.monotonic() + rest_s
            self._ineffective += self._count_appended() - before
            self._blocked[wp_id] = Blocker(why, count, until_s)
            is_new = self._reported.get(wp_id, ("", None))[0] != why
            self._reported[wp_id] = (why, None)  # the step may have moved it before it was refused
            if is_new:
                self._tell(wp_id, why)

    def look_again(self, lanes: Mapping[str, str], events: int) -> None:
        """Has what waited for the board to change be tried again, if it has.

        `lanes` are those of the packages, `events` how many the board is made from.
        """
        if events - self._ineffective == self._events_seen:
            return
        self._events_seen = events - self._ineffective
        self._blocked = {w: b for w, b in self._blocked.items() if b.until_s < math.inf}
        self._reported = {
            wp_id: (why, lanes.get(wp_id))
            for wp_id, (why, lane) in self._reported.items()
            if lane in (None, lanes.get(wp_id))
        }

    def why(self, wp_id: str) -> str | None:
        """Returns what a package was last kept by, None if by nothing."""
        return self._blocked[wp_id].why if wp_id in self._blocked else None

    def resting(self, now_s: float) -> set[str]:
        """Returns the packages that are not to be tried now."""
        return {wp_id for wp_id, each in self._blocked.items() if now_s < each.until_s}

    def ends_s(self) -> list[float]:
        """Returns when those are tried again that do not wait for the board to change."""
        return [each.until_s for each in self._blocked.values() if each.until_s < math.inf]
