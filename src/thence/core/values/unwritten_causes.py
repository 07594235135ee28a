"""Causes of events that were left out, lent to the events that name them.

An event that was filtered, dropped or refused must not be named in a line. An effect of such
an event names the event's causes instead, and so on back to written events. The direct causes
of written events are remembered too, so that a set of causes can be reduced to those that no
other member already implies.
"""

from collections.abc import Iterable

from thence.core.values.codec import CAUSES_MAX

REMEMBERED_MAX = 65_536
_STEPS_MAX = 4_096


class Lending:
    """The causes of the last 65,536 unwritten events; not safe across threads."""

    def __init__(self, remembered_max: int = REMEMBERED_MAX) -> None:
        self._remembered_max = remembered_max
        self._lent: dict[str, tuple[str, ...]] = {}
        self._named: dict[str, tuple[str, ...]] = {}

    @property
    def is_empty(self) -> bool:
        """True if no event has lent anything, so that causes stay as they are."""
        return not self._lent

    def lend(self, event_id: str, causes: Iterable[str]) -> None:
        """Records an unwritten event with the causes that it would have named."""
        _put(self._lent, event_id, self.resolve(causes), self._remembered_max)

    def note_written(self, event_id: str, causes: tuple[str, ...]) -> None:
        """Records the direct causes of a written event, for reducing sets of causes."""
        _put(self._named, event_id, causes, self._remembered_max)

    def resolve(self, causes: Iterable[str]) -> tuple[str, ...]:
        """Returns the written events to name, each once, in the order first met.

        More than 32 are reduced to those that are causes of no other one of them.
        """
        found: dict[str, None] = {}
        for cause in causes:
            for written in self._lent.get(cause, (cause,)):
                found[written] = None
        if len(found) <= CAUSES_MAX:
            return tuple(found)
        return tuple(self._without_implied(found))

    def _without_implied(self, found: dict[str, None]) -> dict[str, None]:
        """Drops members that are causes of other members; searches at most 4,096 events."""
        kept = dict(found)
        seen: set[str] = set()
        stack = sorted(found)
        oldest = stack[0]
        while stack and len(seen) < _STEPS_MAX:
            for cause in self._named.get(stack.pop(), ()):
                kept.pop(cause, None)
                if cause not in seen and cause >= oldest:
                    seen.add(cause)
                    stack.append(cause)
        return kept


def _put(memory: dict[str, tuple[str, ...]], key: str, value: tuple[str, ...], limit: int) -> None:
    memory[key] = value
    if len(memory) > limit:
        del memory[next(iter(memory))]
