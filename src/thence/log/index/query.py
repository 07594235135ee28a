"""Queries of an index: a page of the events that match a filter, and their number.

The index of a column holds the total order within each name: the column with the fewest events
drives, so that few are sorted for a page, and after a cursor it costs no more in a larger log. A
span of times or turns has no index: it lies between clocks that the zones know, which count it too.
An offset is walked to. The matches of `where` are found by reading the candidates that the columns
leave: `core.query.where` decides, and most lines are excluded by their bytes alone.
"""

import json
from collections.abc import Callable, Iterator, Mapping, Sequence, Set
from itertools import islice, tee
from sqlite3 import Connection, Cursor
from typing import Any, NamedTuple, TypeVar, Unpack

from thence.core.bodies import BODIES_SIGN, first_key, put_back
from thence.core.codec import parse
from thence.core.event import Event, EventHeader, decoded
from thence.core.query.filter import Filter, is_pattern
from thence.core.query.where import Comparison
from thence.core.vocabulary import PLAIN, Vocabulary
from thence.log.files.segment import Stale
from thence.log.index.connection import Index, answered
from thence.log.index.lookup import event_count, events_at, lines_at
from thence.log.index.page import NUMBER_MAX, Key, Page, PageBounds, PageOfLines, PageRequest
from thence.log.index.rows import NODE_NAME, TOTAL_ORDER, TOTAL_ORDER_DESCENDING
from thence.log.index.spending import calls_of, said
from thence.log.index.zones import Bounds, bounds_of

T = TypeVar("T")


class Within(NamedTuple):
    """The events among which a filter chooses: with words, of a span of arrivals, of calls.

    `words` is a question of `log.index.words`, which has to have followed. `calls` and `said` name
    a row of the tables of `log.index.spending`. Of each "" asks for nothing.
    """

    words: str = ""
    arrivals: tuple[int, int] | None = None
    calls: str = ""
    said: str = ""


ALL = Within()


def page(
    index: Index,
    filter: Filter,
    log_id: str = "",
    within: Within = ALL,
    **paging: Unpack[PageBounds],
) -> Page:
    """Returns a page of the events that match, from the present log.

    The page begins `offset` events behind the first match, or behind the page that returned
    the cursor; then it holds only events that had arrived at the first page. `log_id` is part
    of the cursors. Raises InvalidFilter, `invalid_cursor`, `read_failed`.
    """
    mark = f"{log_id}{within if within != ALL else ''}"
    events, end = _answer(index, filter, PageRequest.of(filter, mark, **paging), events_at, within)
    return Page(events, *end)


def page_of_lines(
    index: Index, filter: Filter, log_id: str = "", **paging: Unpack[PageBounds]
) -> PageOfLines:
    """Returns the page of `page` with the line of each event, as `Event.readable_line` has it."""
    stored, end = _answer(index, filter, PageRequest.of(filter, log_id, **paging), lines_at)
    lines = [
        Event(line, None, index.vocabulary).readable_line if BODIES_SIGN in line else line
        for line in stored
    ]
    return PageOfLines(tuple(lines), *end)


def count(index: Index, filter: Filter) -> int:
    """Counts the events of the present log that match. Raises `read_failed`."""
    return page(index, filter, offset=NUMBER_MAX).total  # behind all: no event of it is read


@answered
def _answer(
    index: Index,
    connection: Connection,
    filter: Filter,
    request: PageRequest,
    read: Callable[[Index, Connection, Sequence[int]], Sequence[T]],
    within: Within = ALL,
) -> tuple[tuple[T, ...], tuple[int, bool, str | None]]:
    """Returns what is read of a page's events, and what `PageRequest.end` returns of them."""
    snapshot, mark = event_count(connection), request.mark
    scan = scan_of(index, connection, filter, request.descending, within)
    if scan is None:
        return (), request.end(0, None, snapshot, 0)
    if mark is not None:
        scan = scan.after(mark.last, min(mark.snapshot, snapshot))
    if filter.where:
        matches = matching(index, connection, scan, filter)
        if mark is not None:  # they are read up to the end of the page
            total = mark.total
            arrivals = [*islice(matches, request.room(total))]
        else:
            before = sum(1 for _ in islice(matches, request.offset))
            arrivals = [*islice(matches, request.limit)]
            total = before + len(arrivals) + sum(1 for _ in matches)
    else:
        total = mark.total if mark else scan.count(connection)
        arrivals = []
        if request.offset < total:
            rows = scan.rows(connection, "arrival", request.room(total), request.offset)
            arrivals = [arrival for (arrival,) in rows]
    last: Key | None = None
    if arrivals:
        sql = "SELECT lamport, stamp, event_id, node FROM events WHERE arrival = :last"
        row = connection.execute(sql, {"last": arrivals[-1]}).fetchone()
        lamport, stamp, event_id, node = row
        own = (node.encode(), b"") if lamport else (b"", stamp.encode())
        last = (lamport, *own, event_id.encode())
    end = request.end(len(arrivals), last, snapshot, total)
    return tuple(read(index, connection, arrivals)), end


# the members that hold the content
_CONTENT = ("payload", "details")
_CANDIDATE = "arrival, segment, offset, length, event_id"


def judge(comparisons: Sequence[Comparison], vocabulary: Vocabulary) -> Callable[[bytes], bool]:
    """Returns a function that reports whether all comparisons hold for an event's line."""
    needles = [needle for comparison in comparisons for needle in comparison.needles()]
    paths = [comparison.path for comparison in comparisons]
    keys = {str(path[path[0] in _CONTENT and len(path) > 1]) for path in paths}

    def holds(line: bytes) -> bool:
        # a needle may stand as an escape, or in a large value
        is_plain = needles and b"\\" not in line and BODIES_SIGN not in line
        if is_plain and any(needle not in line for needle in needles):
            return False
        candidate = _Candidate(line, vocabulary, keys)
        return all(comparison.matches(candidate) for comparison in comparisons)

    return holds


class _Candidate(Event):
    """A candidate whose members are decoded once, and its header only if a comparison needs it."""

    __slots__ = ("_keys", "_members", "_payload")

    def __init__(self, line: bytes, vocabulary: Vocabulary, keys: Set[str]) -> None:
        # not by the class above: this runs for each line that is read
        self.line, self.vocabulary, self._header = line, vocabulary, None
        self._members: dict[str, Any] = decoded(line)
        self._keys = keys
        self._payload: dict[str, Any] | None = None

    @property
    def payload(self) -> dict[str, Any]:
        """The payload, the same dict at each access; whole where a comparison needs a large value.

        Of a value that can't be read its beginning counts.

        `keys` are the first names of the paths that are compared.
        """
        if self._payload is None:
            value = self._members.get(self.vocabulary.payload_key)
            self._payload = value if isinstance(value, dict) else {}
            if entries := self.body_entries:
                is_whole = not self._keys.isdisjoint(_CONTENT)
                needed = [e for e in entries if is_whole or first_key(e.pointer) in self._keys]
                put_back(self._payload, needed, self.vocabulary.bodies, decoded)
        return self._payload

    @property
    def members(self) -> dict[str, Any]:
        """All members of the line, the same dict at each access."""
        return self._members

    @property
    def header(self) -> EventHeader:
        """The typed members, also of another tool's line."""
        if self._header is None:
            event = parse(self.line, PLAIN)
            if not isinstance(event, Event):
                raise Stale("a line is no longer an event")
            self._header = event.header
        return self._header


def matching(index: Index, connection: Connection, scan: "Scan", filter: Filter) -> Iterator[int]:
    """Yields the arrivals of the candidates for which `where` holds, in order."""
    holds = judge(filter.where, index.vocabulary)
    rows, again = tee(scan.rows(connection, _CANDIDATE))
    lines = index.lines(connection, (extent for _, *extent in again))
    return (arrival for (arrival, *_), line in zip(rows, lines, strict=True) if holds(line))


NUMBER_MIN = -(2**63)
# the most rows that are sorted for one page: 10,000 take about 10 ms
SORTED_MAX = 10_000
# the index in which a column's names have their events in total order
INDEXES = {
    "type": "types",
    "stream": "streams",
    "subject": "subjects",
    "actor": "actors",
    "failed": "failures",
    "lane": "lanes",
}
_NOT_FAILED = "failed = 0"
_OF_WORDS = "SELECT rowid FROM words.found WHERE found MATCH :words"
# the columns by which the table of counts is asked
_COUNTED = frozenset(("type", "actor"))
# the columns of spans that zones count
_ZONED = frozenset(("turn", "time"))
_KEY = f"(lamport, stamp, {NODE_NAME}, event_id)"


class Scan(NamedTuple):
    """The events that match a filter, all but its `where`, in total order.

    `conditions` are SQL by column of the index, with `values`. The index of `driving_column` gives
    the candidates, that of the order for None. `bounds` are those of spans of times and turns. The
    scan begins after the key of a cursor, if one is in `values`, and then holds what had arrived at
    a `snapshot`.
    """

    conditions: Mapping[str, str]
    values: Mapping[str, object]
    driving_column: str | None
    descending: bool = False
    bounds: Bounds | None = None
    snapshot: int | None = None

    def after(self, key: Key, snapshot: int) -> "Scan":
        """Returns the scan of the events after one key that had arrived at a snapshot."""
        lamport, *texts = key
        node, stamp, event_id = (text.decode("utf-8", "replace") for text in texts)
        values = {"lamport": lamport, "stamp": stamp, "node": node, "event_id": event_id}
        return self._replace(values={**self.values, **values}, snapshot=snapshot)

    def source(self) -> str:
        """Returns the table and conditions that select each event once, in no order."""
        column = self.driving_column
        by = f"INDEXED BY {INDEXES[column]}" if column in INDEXES else "NOT INDEXED"
        conditions, others = self._conditions()
        if self.bounds is not None:
            first, last = self.bounds.arrival_first, self.bounds.arrival_last
            conditions.append(f"arrival BETWEEN {first} AND {last}")
        return f"events {by} WHERE {' AND '.join([*conditions, *others, 'TRUE'])}"

    def in_order(self, is_begun: bool = False) -> str:
        """Returns the table and conditions that select each event once, in total order.

        One that `is_begun` begins with the events of a clock and stamp in `values`.
        """
        clocks: dict[str, str] = {}  # without one SQLite compares nothing on its way to an offset
        if self.bounds is not None:
            clocks[">"] = f"lamport >= {self.bounds.lamport_first}"
            clocks["<"] = f"lamport <= {self.bounds.lamport_last}"
        sign = "<" if self.descending else ">"
        if is_begun or self.snapshot is not None:
            # one bound alone at each end: SQLite uses the first for its index
            clocks[sign] = f"(lamport, stamp) {sign}= (:lamport, :stamp)"
        driving, others = self._conditions()
        if self.snapshot is not None:
            others.insert(0, f"{_KEY} {sign} (:lamport, :stamp, :node, :event_id)")
            others.insert(1, f"+arrival <= {self.snapshot}")
        index = INDEXES.get(self.driving_column) if self.driving_column else "ordered"
        by = f"INDEXED BY {index}" if index else "NOT INDEXED"
        return f"events {by} WHERE {' AND '.join([*driving, *clocks.values(), *others, 'TRUE'])}"

    def _conditions(self) -> tuple[list[str], list[str]]:
        """Returns the condition of the driving column, and the others, which use no index."""
        column = self.driving_column
        others = [f"+({sql})" for name, sql in self.conditions.items() if name != column]
        return ([] if column is None else [self.conditions[column]]), others

    def rows(
        self, connection: Connection, columns: str, limit: int = NUMBER_MAX, offset: int = 0
    ) -> Cursor:
        """Returns columns of the events, in order."""
        order = TOTAL_ORDER_DESCENDING if self.descending else TOTAL_ORDER
        values, is_begun = dict(self.values), False
        if offset:
            # no names and ids are compared on the way to the offset: the index alone is walked
            source = self.in_order()
            sign, before = ("DESC", ">") if self.descending else ("ASC", "<")
            by_arrival = f"lamport {sign}, stamp {sign}, arrival {sign} LIMIT 1 OFFSET :offset"
            sql = f"SELECT lamport, stamp, arrival FROM {source} ORDER BY {by_arrival}"
            row = connection.execute(sql, {**values, "offset": offset}).fetchone()
            if row is not None:
                is_begun = True
                values |= zip(("lamport", "stamp", "arrival"), row, strict=True)
                alike = f"lamport = :lamport AND stamp = :stamp AND +arrival {before} :arrival"
                sql = f"SELECT count(*) FROM {source} AND {alike}"
                (offset,) = connection.execute(sql, values).fetchone()
        sql = f"SELECT {columns} FROM {self.in_order(is_begun)} ORDER BY {order}"
        sql += " LIMIT :limit OFFSET :offset"
        return connection.execute(sql, {**values, "limit": limit, "offset": offset})

    def count(self, connection: Connection) -> int:
        """Returns the number of all events that match."""
        if not self.conditions:
            return event_count(connection)
        if self.bounds is not None and _ZONED.issuperset(self.conditions):
            return self.bounds.counted(connection, " AND ".join(self.conditions.values()))
        sql = f"SELECT count(*) FROM {self.source()}"
        if {*self.conditions} == {"words"}:
            sql = f"SELECT count(*) FROM ({_OF_WORDS})"
        if self.is_counted:
            conditions = " AND ".join(self.conditions.values())
            sql = f"SELECT CAST(total(events) AS INTEGER) FROM counts WHERE {conditions}"
        return int(connection.execute(sql, self.values).fetchone()[0])

    @property
    def is_counted(self) -> bool:
        """True if the table of counts has all that matches; it knows no empty actor."""
        is_held = _COUNTED.issuperset(self.conditions)
        return is_held and "" not in self.values.values()


def scan_of(
    index: Index,
    connection: Connection,
    filter: Filter,
    descending: bool = False,
    within: Within = ALL,
) -> Scan | None:
    """Returns the scan of a filter; None if no event can match."""
    named = {
        "type": filter.types,
        "actor": filter.actors,
        "subject": filter.subjects,
        "stream": filter.streams,
    }
    conditions: dict[str, str] = {}
    values: dict[str, object] = {}
    for column, names in named.items():
        if names:
            conditions[column] = _named(column, names, values)
    if filter.failed is not None:
        conditions["failed"] = f"failed = {int(filter.failed)}"
    sets: dict[str, str] = {}
    if within.words:
        index.attach(connection, "words")
        sets["words"], values["words"] = _OF_WORDS, within.words
    if within.calls:
        sets["calls"], values["name"] = calls_of(within.calls)
    if within.said:
        sets["said"] = "SELECT value FROM json_each(:said)"
        values["said"] = json.dumps(said(index, connection).get(within.said, []))
    conditions |= {key: f"arrival IN ({sql})" for key, sql in sets.items()}
    ranges = {
        "turn": (filter.turn_first, filter.turn_last),
        "time": (filter.since, filter.until),
        "arrival": within.arrivals or (None, None),
    }
    spans = {
        column: (
            NUMBER_MIN if first is None else max(first, NUMBER_MIN),
            NUMBER_MAX if last is None else min(last, NUMBER_MAX),
        )
        for column, (first, last) in ranges.items()
        if first is not None or last is not None
    }
    bounds = bounds_of(connection, spans) if spans else None
    if spans and bounds is None:
        return None
    single = {
        column
        for column, names in named.items()
        if len(names) == 1 and "GLOB" not in conditions[column]
    }
    in_order = frozenset((*single, "failed"))
    driving_column = _driving_column(connection, conditions, values, in_order, sets)
    conditions |= {
        column: f"{column} BETWEEN {first} AND {last}" for column, (first, last) in spans.items()
    }
    return Scan(conditions, values, driving_column, descending, bounds)


def _named(column: str, names: Sequence[str], values: dict[str, object]) -> str:
    """Returns the condition that a column has one of some names, as SQL, and adds its values.

    A type or an actor may be a glob, which stands for all names of its column that match.
    """
    patterns = [name for name in names if column in ("type", "actor") and is_pattern(name)]
    exact = [name for name in names if name not in patterns]
    keys = {f"{column}{at}": name for at, name in enumerate(exact)}
    globs = {f"{column}_{at}": name.replace("[", "[[]") for at, name in enumerate(patterns)}
    values |= keys | globs
    if len(names) == len(keys) == 1:
        return f"{column} = :{column}0"
    if not globs:
        return f"{column} IN ({', '.join(f':{key}' for key in keys)})"
    own = [f"{column} = :{key}" for key in keys]
    own += [f"{column} <> '' AND {column} GLOB :{key}" for key in globs]
    return f"{column} IN (SELECT {column} FROM counts WHERE {' OR '.join(own)})"


def _driving_column(
    connection: Connection,
    conditions: Mapping[str, str],
    values: Mapping[str, object],
    single: frozenset[str],
    sets: Mapping[str, str],
) -> str | None:
    """Chooses the column with the fewest events, if these are few or come in order.

    Those of a `single` name do. `sets` are the queries that select arrivals.
    """
    if len(conditions) == 1 and single.issuperset(conditions):
        return next((column for column in conditions if conditions[column] != _NOT_FAILED), None)
    sizes: dict[str, int] = {}
    for column, condition in conditions.items():
        if condition == _NOT_FAILED:  # most events did not fail: these have no index
            continue
        some = f"SELECT 1 FROM events INDEXED BY {INDEXES.get(column)} WHERE {condition}"
        if column in sets:
            some = f"SELECT 1 FROM ({sets[column]})"
        sql = f"SELECT count(*) FROM ({some} LIMIT {SORTED_MAX + 1})"
        if column in _COUNTED:
            sql = f"SELECT total(events) FROM counts WHERE {condition}"
        sizes[column] = connection.execute(sql, values).fetchone()[0]
    for column, size in sorted(sizes.items(), key=lambda item: item[1]):
        if size <= SORTED_MAX or column in single:
            return column
    return None
