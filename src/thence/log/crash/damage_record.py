"""What a log's own notices tell of its damage: regions of bad bytes, missing numbers.

Only a verified event that this log itself wrote is believed: a line of another tool, or of
another node, excuses nothing.
"""

from collections.abc import Container, Iterable, Mapping
from typing import Any, NamedTuple

from thence.core.event import Event
from thence.core.values.vocabulary import Vocabulary
from thence.log.storage.segment import CURRENT

OPENING_SOURCE = "thence.open"
REGION_KINDS = frozenset(("torn", "segment_suspect"))
_NUMBER_KINDS = frozenset(("torn", "recovered", "shrunk"))


class Notice(NamedTuple):
    """What a log has to report of itself: kind, facts, the opening that it reports on."""

    kind: str
    facts: dict[str, Any]
    opening: str = ""


class DamageRecord:
    """Gathers what the notices tell while a log is read in arrival order.

    `own` are the nodes under which this log is or was written; where none is known, every
    verified notice is believed.
    """

    def __init__(self, vocabulary: Vocabulary, own: Container[str]) -> None:
        self._vocabulary = vocabulary
        self._own = own
        self._regions: dict[str, list[tuple[int, int]]] = {}
        self.numbers: dict[str, list[tuple[int, int]]] = {}

    def may_tell(self, event_types: Iterable[str]) -> bool:
        """Whether one of these types of events may be that of a notice."""
        notice_type = self._vocabulary.notice_type
        if notice_type is not None:
            return notice_type in event_types
        return any(event_type.startswith("log.") for event_type in event_types)

    def hear(self, event: Event, file: str, offset: int, older: str | None) -> None:
        """Takes in an event at a place if it is a notice; `older` is the segment before."""
        kind = self._vocabulary.notice_kind(event)
        if kind is None or event.is_foreign or not (event.node_id in self._own or not self._own):
            return
        facts = event.payload
        if kind in REGION_KINDS:
            self._region(facts, file, offset, older)
        elif facts.get("rewritten") is True:
            self._regions.pop(file if facts.get("file") == CURRENT else str(facts.get("file")), 0)
        if kind in _NUMBER_KINDS:
            first, last = _number(facts, "first_seq"), _number(facts, "last_seq")
            if first and last:
                node_id = str(facts.get("node_id")) if kind == "shrunk" else event.node_id
                self.numbers.setdefault(node_id, []).append((first, last))

    def _region(self, facts: Mapping[str, Any], file: str, offset: int, older: str | None) -> None:
        """Notes a region under the name that its segment has today."""
        start, size = _number(facts, "offset"), _number(facts, "bytes")
        named = facts.get("file")
        if start is None or size is None or not isinstance(named, str):
            return
        if named == CURRENT:
            # the segment that was the current one may have been rotated since: it is the
            # one the notice stands in, or, where it can't reach that far, the one before
            named = file if start + size <= offset else older or file
        self._regions.setdefault(named, []).append((start, start + size))

    def holds(self, file: str, offset: int, length: int) -> bool:
        """Tells whether bytes of a segment lie in a region that a notice told."""
        # a region may be told with its newline or without
        return any(
            start - 1 <= offset and offset + length <= end + 1
            for start, end in self._regions.get(file, ())
        )


def _number(facts: Mapping[str, Any], key: str) -> int | None:
    value = facts.get(key)
    return value if type(value) is int and value >= 0 else None
