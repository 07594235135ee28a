"""The damage that a log's own notices record: regions of bad bytes, missing numbers.

Only a verified event that this log itself wrote counts: a line of another tool, or of
another node, is ignored.
"""

from collections.abc import Container, Iterable, Mapping
from typing import Any, NamedTuple

from thence.core.event import Event
from thence.core.values.vocabulary import Vocabulary
from thence.log.storage.disowned import Disowned
from thence.log.storage.segment import CURRENT

OPENING_SOURCE = "thence.open"
REGION_KINDS = frozenset(("torn", "segment_suspect"))
_NUMBER_KINDS = frozenset(("torn", "recovered", "shrunk"))


class Notice(NamedTuple):
    """A notice that a log has to write: kind, facts, the opening that the notice is about."""

    kind: str
    facts: dict[str, Any]
    opening: str = ""


class DamageRecord:
    """The recorded damage, gathered from notices while a log is read in arrival order.

    `own` are the nodes under which this log is or was written; where none is known, every
    verified notice counts. None of the `disowned` lines does.
    """

    def __init__(
        self, vocabulary: Vocabulary, own: Container[str], disowned: Disowned | None = None
    ) -> None:
        self._vocabulary = vocabulary
        self._own = own
        self._disowned = disowned
        self._regions: dict[str, list[tuple[int, int]]] = {}
        self.numbers: dict[str, list[tuple[int, int]]] = {}

    def may_be_notice(self, event_types: Iterable[str]) -> bool:
        """Reports whether one of these event types may be that of a notice."""
        notice_type = self._vocabulary.notice_type
        if notice_type is not None:
            return notice_type in event_types
        return any(event_type.startswith("log.") for event_type in event_types)

    def add(self, event: Event, file: str, offset: int, older: str | None) -> None:
        """Adds an event at an offset if it is a notice; `older` is the segment before `file`."""
        kind = self._vocabulary.notice_kind(event)
        if kind is None or event.is_foreign or not (event.node_id in self._own or not self._own):
            return
        if self._disowned and self._disowned.holds(event):
            return
        facts = event.payload
        if kind in REGION_KINDS:
            self._add_region(facts, file, offset, older)
        elif facts.get("rewritten") is True:
            self._regions.pop(file if facts.get("file") == CURRENT else str(facts.get("file")), 0)
        if kind in _NUMBER_KINDS:
            first, last = _number(facts, "first_seq"), _number(facts, "last_seq")
            if first and last:
                node_id = str(facts.get("node_id")) if kind == "shrunk" else event.node_id
                self.numbers.setdefault(node_id, []).append((first, last))

    def _add_region(
        self, facts: Mapping[str, Any], file: str, offset: int, older: str | None
    ) -> None:
        """Adds a region under the present name of its segment."""
        start, size = _number(facts, "offset"), _number(facts, "bytes")
        named = facts.get("file")
        if start is None or size is None or not isinstance(named, str):
            return
        if named == CURRENT:
            # the then current segment may have been rotated since: it is the segment that holds
            # the notice or, if the region ends behind the notice's offset, the one before
            named = file if start + size <= offset else older or file
        self._regions.setdefault(named, []).append((start, start + size))

    def holds(self, file: str, offset: int, length: int) -> bool:
        """Reports whether bytes of a segment lie in a recorded region."""
        # a region may be recorded with its newline or without
        return any(
            start - 1 <= offset and offset + length <= end + 1
            for start, end in self._regions.get(file, ())
        )


def _number(facts: Mapping[str, Any], key: str) -> int | None:
    value = facts.get(key)
    return value if type(value) is int and value >= 0 else None
