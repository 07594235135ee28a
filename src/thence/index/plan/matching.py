"""The matches of `where`, found by reading the candidates that the columns leave.

`core.query.where` decides what matches. Most lines are excluded by their bytes alone; of the
others the members are decoded, seldom the header. A page behind a cursor reads on from there.
"""

import sqlite3
from bisect import bisect_left
from collections.abc import Callable, Iterator, Sequence
from itertools import accumulate, islice
from typing import Any

from thence.core.event import Event, Header, decoded
from thence.core.query.filter import Filter
from thence.core.query.where import Condition
from thence.core.values.codec import parse
from thence.core.values.vocabulary import PLAIN, Vocabulary
from thence.index.file.database import Index
from thence.index.plan.page import Wanted
from thence.index.plan.scan import Scan
from thence.index.tables.lines import Extent
from thence.index.tables.segments import Stale

BATCH_EVENTS = 1_000
BATCH_BYTES = 4 * 1024 * 1024

# arrival and extent of a line; the event_id of another tool's line, which has no checksum
Candidate = tuple[Any, ...]
_CANDIDATE = "arrival, segment, offset, length, CASE seq WHEN 0 THEN event_id END"


def judge(conditions: Sequence[Condition], vocabulary: Vocabulary) -> Callable[[bytes], bool]:
    """Returns a function that reports whether all conditions hold for an event's line."""
    needles = [needle for condition in conditions for needle in condition.needles()]

    def holds(line: bytes) -> bool:
        if needles and b"\\" not in line and any(needle not in line for needle in needles):
            return False
        candidate = _Candidate(line, vocabulary)
        return all(condition.matches(candidate) for condition in conditions)

    return holds


class _Candidate(Event):
    """A candidate whose members are decoded once, and its header only if a comparison needs it."""

    __slots__ = ("_members",)

    def __init__(self, line: bytes, vocabulary: Vocabulary) -> None:
        # not by the class above: this runs for each line that is read
        self.line, self.vocabulary, self._header = line, vocabulary, None
        self._members: dict[str, Any] = decoded(line)

    @property
    def members(self) -> dict[str, Any]:
        """All members of the line, the same dict at each access."""
        return self._members

    @property
    def header(self) -> Header:
        """The typed members, also of another tool's line."""
        if self._header is None:
            event = parse(self.line, PLAIN)
            if not isinstance(event, Event):
                raise Stale("a line is no event any more")
            self._header = event.header
        return self._header


def count_matching(index: Index, connection: sqlite3.Connection, scan: Scan, filter: Filter) -> int:
    """Counts all matches of a selection."""
    return sum(1 for _ in _matching(index, connection, scan, filter))


def matching_page(
    index: Index, connection: sqlite3.Connection, scan: Scan, filter: Filter, wanted: Wanted
) -> tuple[list[int], int]:
    """Returns the arrivals of the matches on a page, and the number of all matches.

    All candidates are read for a first page, for a later one those up to its end.
    """
    matches = _matching(index, connection, scan, filter)
    if wanted.mark is not None:
        total = wanted.mark.total
        return list(islice(matches, wanted.room(total))), total
    total = sum(1 for _ in islice(matches, wanted.offset))
    arrivals = list(islice(matches, wanted.limit))
    return arrivals, total + len(arrivals) + sum(1 for _ in matches)


def _matching(
    index: Index, connection: sqlite3.Connection, scan: Scan, filter: Filter
) -> Iterator[int]:
    """Yields the arrivals of the candidates for which `where` holds, in order."""
    candidates = scan.rows(connection, _CANDIDATE)
    holds = judge(filter.where, index.vocabulary)
    while rows := candidates.fetchmany(BATCH_EVENTS):
        for batch in _batches(rows):
            lines = index.lines(connection, map(_extent, batch))
            yield from (row[0] for row, line in zip(batch, lines, strict=True) if holds(line))


def _batches(rows: list[Candidate]) -> Iterator[list[Candidate]]:
    """Yields candidates in batches whose lines fit into `BATCH_BYTES`."""
    ends = list(accumulate(row[3] for row in rows))
    first = 0
    while first < len(rows):
        before = ends[first - 1] if first else 0
        end = max(bisect_left(ends, before + BATCH_BYTES), first + 1)
        yield rows[first:end]
        first = end


def _extent(row: Candidate) -> Extent:
    _, segment, offset, length, event_id = row[:5]
    return (segment, offset, length) if event_id is None else (segment, offset, length, event_id)
