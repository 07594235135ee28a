"""Blockers of single packages, which do not stop the others."""

import math
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import NamedTuple

from thence.errors import GitFailed, PlanningError, Refused

REST_MIN_S, REST_MAX_S = 0.25, 10.0
TIMES_MAX = 10
REFUSED_MAX = 4  # a guard seldom changes its answer while the board is unchanged


class Blocker(NamedTuple):
    """The reason that blocks a package, the number of refusals, and the time of the next try."""

    why: str
    times: int
    until_s: float


class Blockers:
    """The packages for which git or a guard has refused a step.

    `report` is called with a package and a reason: once, until the reason changes or the package
    has left its lane. `count_appended` counts the appended events. Events of a refused step are no
    change of the board: otherwise the step would be tried again for ever.
    """

    def __init__(
        self, report: Callable[[str, str], None], count_appended: Callable[[], int]
    ) -> None:
        self._report = report
        self._count_appended = count_appended
        self._ineffective = 0
        self._events_seen = -1
        self._blocked: dict[str, Blocker] = {}
        self._reported: dict[str, tuple[str, str | None]] = {}

    @contextmanager
    def keeping(self, wp_id: str) -> Iterator[None]:
        """Confines a refusal to one package, which is tried again after a pause.

        After TIMES_MAX refusals, after REFUSED_MAX by a guard, the package waits for the board to
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
                self._report(wp_id, why)

    def look_again(self, lanes: Mapping[str, str], events: int) -> None:
        """Unblocks the packages that wait for the board to change, if it has changed.

        `lanes` are those of the packages, `events` is the number of the board's events.
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
        """Returns the last reason that blocked a package, None if there is none."""
        return self._blocked[wp_id].why if wp_id in self._blocked else None

    def backing_off(self, now_s: float) -> set[str]:
        """Returns the packages that are not to be tried now."""
        return {wp_id for wp_id, each in self._blocked.items() if now_s < each.until_s}

    def ends_s(self) -> list[float]:
        """Returns the times of the next tries, without packages that wait for the board."""
        return [each.until_s for each in self._blocked.values() if each.until_s < math.inf]
