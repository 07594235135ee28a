"""What `where` asks for, found by reading the events that the columns leave.

All of them are read for a first page, a batch at a time, and the answer is remembered: of a
log that has grown only those that arrived since are read, wherever they stand.
"""

import json
import sqlite3
from array import array
from bisect import bisect_left
from collections.abc import Iterable, Iterator
from itertools import accumulate, islice

from thence.core.query.filter import Filter
from thence.index.build.lines import Extent
from thence.index.build.places import STRIDE
from thence.index.build.selection import NUMBER_MAX, Selection
from thence.index.file.database import Index
from thence.index.file.match_cache import Found, found, state
from thence.index.plan.line_matching import judge
from thence.index.plan.page import Wanted
from thence.index.plan.range_scan import PlaceRange

BATCH_EVENTS = 1_000
BATCH_BYTES = 4 * 1024 * 1024

# place, and where the line lies; the id of another tool's line, which has no checksum
Candidate = tuple[int, int, int, int, str | None]
_CANDIDATE = "place, segment, offset, length, CASE seq WHEN 0 THEN event_id END"
_ARRIVED = """
    SELECT place FROM json_each(:places) CROSS JOIN events ON place = value
    WHERE arrival <= :snapshot ORDER BY key
"""


def matched(
    index: Index, connection: sqlite3.Connection, whole: PlaceRange, filter: Filter
) -> Found:
    """Returns all that match; the stretch is all of a selection."""
    now = state(connection)
    known = index.remembered.get(now, filter)
    if known is not None:
        return _grown(index, connection, known, whole.selection, filter)
    known = found(_matching(index, connection, whole, filter, False), now.events)
    index.remembered.put(now, filter, known)
    return known


def some_matched(
    index: Index, connection: sqlite3.Connection, whole: PlaceRange, filter: Filter, wanted: Wanted
) -> tuple[int, list[int]]:
    """Returns how many match, and the places of those on a page.

    The stretch is all of a selection, or what of it stands behind the page before.
    """
    known: Found | None
    if wanted.mark is None:
        known = matched(index, connection, whole, filter)
        total, begin = known.total, wanted.offset
    else:
        known = index.remembered.get(state(connection), filter)
        if known is not None:
            known = _grown(index, connection, known, whole.selection, filter)
        total, begin = wanted.mark.total, 0
    if known is None or known.places is None:
        places: Iterable[int] = _matching(index, connection, whole, filter, wanted.descending)
    else:
        first, end = (bisect_left(known.places, place) for place in (whole.first, whole.last + 1))
        those = known.places[first:end]
        if wanted.descending:
            those.reverse()
        places = those if whole.snapshot is None else _arrived(connection, those, whole.snapshot)
    return total, list(islice(places, begin, begin + wanted.room(total)))


def _grown(
    index: Index, connection: sqlite3.Connection, known: Found, selection: Selection, filter: Filter
) -> Found:
    """Returns what is found now, from what was found before more arrived."""
    now = state(connection)
    if known.events == now.events:
        return known
    candidates = connection.execute(_newcomers(selection, known.events, now.events))
    known = known.grown(_holding(index, connection, candidates, filter), now.events)
    index.remembered.put(now, filter, known)
    return known


def _arrived(connection: sqlite3.Connection, places: "array[int]", snapshot: int) -> Iterator[int]:
    """Yields those places whose events had arrived by a moment."""
    for first in range(0, len(places), BATCH_EVENTS):
        some = json.dumps(places[first : first + BATCH_EVENTS].tolist())
        rows = connection.execute(_ARRIVED, {"places": some, "snapshot": snapshot}).fetchall()
        yield from (place for (place,) in rows)


def _newcomers(selection: Selection, after: int, until: int) -> str:
    """Returns the question for candidates that arrived behind others.

    They are read as `arrivals` reads them: those that stand where they would if all had
    arrived in total order, and the others by an index of their own.
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
    whole: PlaceRange,
    filter: Filter,
    descending: bool,
) -> Iterator[int]:
    """Yields the places of those candidates, in order, for which all that `where` asks holds."""
    values = {"limit": NUMBER_MAX, "offset": 0}
    candidates = connection.execute(whole.sql(descending, _CANDIDATE), values)
    return _holding(index, connection, candidates, filter)


def _holding(
    index: Index, connection: sqlite3.Connection, candidates: sqlite3.Cursor, filter: Filter
) -> Iterator[int]:
    """Yields the places of those candidates, as they come, for which `where` holds."""
    holds = judge(filter.where, index.vocabulary)
    while some := candidates.fetchmany(BATCH_EVENTS):
        for batch in _batches(some):
            lines = index.lines(connection, map(_extent, batch))
            yield from (row[0] for row, line in zip(batch, lines, strict=True) if holds(line))


def _batches(rows: list[Candidate]) -> Iterator[list[Candidate]]:
    """Yields candidates, so many at a time as memory should hold their lines."""
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
