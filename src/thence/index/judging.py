"""Events judged by what `where` asks, as fast as that can be told from a line.

`core.comparison` says what holds. Most lines are refused by their bytes alone, and what has
to be decoded is looked at once and never frozen.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from thence.core.comparison import Comparison
from thence.core.event import Event, decoded

# a host may put these together from several members
_WORDS = ("stream", "subject", "actor")


def judge(comparisons: Sequence[Comparison]) -> Callable[[Event], bool]:
    """Returns the function that tells whether all comparisons hold for an event."""
    needles = [needle for needle in map(_needle, comparisons) if needle]

    def holds(event: Event) -> bool:
        line = event.line
        if needles and b"\\" not in line and any(needle not in line for needle in needles):
            return False
        seen = _Seen(event)
        return all(comparison.matches(seen) for comparison in comparisons)

    return holds


def _needle(comparison: Comparison) -> bytes:
    """Returns what stands in every line without escapes for which a comparison holds."""
    value = comparison.value
    is_found = comparison.op in ("=", "~") and comparison.path[0] not in _WORDS
    return value.encode() if is_found and isinstance(value, str) else b""


class _Seen:
    """An event as a comparison sees it, its members as they come out of the decoder."""

    __slots__ = ("_event", "members")

    def __init__(self, event: Event) -> None:
        self._event = event
        self.members: Mapping[str, Any] = decoded(event.line)

    @property
    def payload(self) -> Mapping[str, Any]:
        value = self.members.get(self._event.vocabulary.payload_key)
        return value if isinstance(value, dict) else {}

    @property
    def event_type(self) -> str:
        return self._event.event_type

    @property
    def timestamp(self) -> str:
        return self._event.timestamp

    @property
    def turn_number(self) -> int | None:
        return self._event.turn_number

    @property
    def stream(self) -> str | None:
        return self._event.stream

    @property
    def subject(self) -> str | None:
        return self._event.subject

    @property
    def actor(self) -> str | None:
        return self._event.actor
