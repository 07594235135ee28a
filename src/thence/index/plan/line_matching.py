"""Lines judged by what `where` asks, as fast as that can be told.

`core.comparison` says what holds. Most lines are refused by their bytes alone; of the others
nothing is made but what comes out of the decoder.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from thence.core.event import Event, decoded
from thence.core.query.comparison import Comparison
from thence.core.values.codec import parse
from thence.core.values.vocabulary import Vocabulary
from thence.index.build.segment_snapshot import Stale

# a host may put these together from several members
_WORDS = ("stream", "subject", "actor")


def judge(comparisons: Sequence[Comparison], vocabulary: Vocabulary) -> Callable[[bytes], bool]:
    """Returns the function that tells whether all comparisons hold for the line of an event."""
    needles = [needle for comparison in comparisons for needle in _needles(comparison)]

    def holds(line: bytes) -> bool:
        if needles and b"\\" not in line and any(needle not in line for needle in needles):
            return False
        seen = _Seen(line, vocabulary)
        return all(comparison.matches(seen) for comparison in comparisons)

    return holds


def _needles(comparison: Comparison) -> Iterator[bytes]:
    """Yields what stands in every line without escapes for which a comparison holds."""
    word, *rest = comparison.path
    if word in _WORDS:
        return
    names = [name for name in (rest if word == "payload" else (word, *rest)) if str(name) == name]
    if names:
        yield f'"{names[-1]}"'.encode()
    if comparison.op in ("=", "~") and isinstance(comparison.value, str):
        yield comparison.value.encode()


class _Seen:
    """A line as a comparison sees it, its members as they come out of the decoder."""

    __slots__ = ("_line", "_vocabulary", "members")

    def __init__(self, line: bytes, vocabulary: Vocabulary) -> None:
        self._line = line
        self._vocabulary = vocabulary
        self.members: Mapping[str, Any] = decoded(line)

    @property
    def payload(self) -> Mapping[str, Any]:
        value = self.members.get(self._vocabulary.payload_key)
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

    @property
    def _event(self) -> Event:
        event = parse(self._line, self._vocabulary)
        if not isinstance(event, Event):
            raise Stale("a line is no event any more")
        return event
