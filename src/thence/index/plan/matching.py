"""The matches of `where`, found by reading the candidates that the columns leave.

All candidates are read for a first page, a batch at a time, and the answer is cached: if the
log has grown, only the events that arrived since then are read.

`core.query.where` decides what matches. Most lines are excluded by their bytes alone; of the
others the members are decoded, seldom the header.
"""

import json
import sqlite3
from array import array
from bisect import bisect_left
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import accumulate, islice
from typing import Any

from thence.core.event import Event, Header, decoded
from thence.core.query.filter import Filter
from thence.core.query.where import Condition
from thence.core.values.codec import parse
from thence.core.values.vocabulary import PLAIN, Vocabulary
from thence.index.file.database import Index
from thence.index.file.match_cache import Matches, found, state
from thence.index.plan.page import Wanted
from thence.index.plan.range_scan import PlaceRange
from thence.index.tables.lines import Extent
from thence.index.tables.places import STRIDE
from thence.index.tables.segment_snapshot import Stale
from thence.index.tables.selection import NUMBER_MAX, Selection

BATCH_EVENTS = 1_000
BATCH_BYTES = 4 * 1024 * 1024

# place and extent of a line; the event_id of another tool's line, which has no checksum
Candidate = tuple[int, int, int, int, str | None]
_CANDIDATE = "place, segment, offset, length, CASE seq WHEN 0 THEN event_id END"
_ARRIVED = """
    SELECT place FROM json_each(:places) CROSS JOIN events ON place = value
    WHERE arrival <= :snapshot ORDER BY key
"""


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


def matched(
    index: Index, connection: sqlite3.Connection, scan: PlaceRange, filter: Filter
) -> Matches:
    """Returns all matches; the range must be all of a selection."""
    now = state(connection)
    known = index.match_cache.get(now, filter)
    if known is not None:
        return _extended(index, connection, known, scan.selection, filter)
    known = found(_matching(index, connection, scan, filter, False), now.events)
    index.match_cache.put(now, filter, known)
    return known


def matched_page(
    index: Index, connection: sqlite3.Connection, scan: PlaceRange, filter: Filter, wanted: Wanted
) -> tuple[int, list[int]]:
    """Returns the number of matches, and the places of those on a page.

    The range is all of a selection, or its part behind the page before.
    """
    known: Matches | None
    if wanted.mark is None:
        known = matched(index, connection, scan, filter)
        total, begin = known.total, wanted.offset
    else:
        known = index.match_cache.get(state(connection), filter)
        if known is not None:
            known = _extended(index, connection, known, scan.selection, filter)
        total, begin = wanted.mark.total, 0
    if known is None or known.places is None:
        places: Iterable[int] = _matching(index, connection, scan, filter, wanted.descending)
    else:
        first, end = (bisect_left(known.places, place) for place in (scan.first, scan.last + 1))
        part = known.places[first:end]
        if wanted.descending:
            part.reverse()
        places = part if scan.snapshot is None else _arrived(connection, part, scan.snapshot)
    return total, list(islice(places, begin, begin + wanted.room(total)))


def _extended(
    index: Index,
    connection: sqlite3.Connection,
    known: Matches,
    selection: Selection,
    filter: Filter,
) -> Matches:
    """Returns the matches extended by the events that arrived since they were found."""
    now = state(connection)
    if known.events == now.events:
        return known
    candidates = connection.execute(_newcomers_sql(selection, known.events, now.events))
    known = known.extended(_holding(index, connection, candidates, filter), now.events)
    index.match_cache.put(now, filter, known)
    return known


def _arrived(connection: sqlite3.Connection, places: "array[int]", snapshot: int) -> Iterator[int]:
    """Yields those places whose events had arrived up to a snapshot."""
    for first in range(0, len(places), BATCH_EVENTS):
        some = json.dumps(places[first : first + BATCH_EVENTS].tolist())
        rows = connection.execute(_ARRIVED, {"places": some, "snapshot": snapshot}).fetchall()
        yield from (place for (place,) in rows)


def _newcomers_sql(selection: Selection, after: int, until: int) -> str:
    """Returns the SQL for candidates that arrived behind `after`, up to `until`.

    They are read as in `arrivals`: events at the place of arrival in total order by place, the
    others by an index of their own.
    """
    regular = [
        f"events NOT INDEXED WHERE place > {after * STRIDE} AND place <= {until * STRIDE}",
        f"place = arrival * {STRIDE}",
        *selection.conditions(),
    ]
    strays = [
        f"events INDEXED BY strays WHERE arrival > {after}",
        f"place <> arrival * {STRIDE}",
        *selection.conditions(),
    ]
    parts = [f"SELECT {_CANDIDATE} FROM {' AND '.join(part)}" for part in (regular, strays)]
    return " UNION ALL ".join(parts)


def _matching(
    index: Index,
    connection: sqlite3.Connection,
    scan: PlaceRange,
    filter: Filter,
    descending: bool,
) -> Iterator[int]:
    """Yields the places of the candidates for which `where` holds, in order."""
    values = {"limit": NUMBER_MAX, "offset": 0}
    candidates = connection.execute(scan.sql(descending, _CANDIDATE), values)
    return _holding(index, connection, candidates, filter)


def _holding(
    index: Index, connection: sqlite3.Connection, candidates: sqlite3.Cursor, filter: Filter
) -> Iterator[int]:
    """Yields the places of the candidates for which `where` holds, in the given order."""
    holds = judge(filter.where, index.vocabulary)
    while some := candidates.fetchmany(BATCH_EVENTS):
        for batch in _batches(some):
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
    _, segment, offset, length, event_id = row
    return (segment, offset, length) if event_id is None else (segment, offset, length, event_id)
