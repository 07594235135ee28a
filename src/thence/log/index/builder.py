"""The builder of an index: it adds the lines of the segments that the index lacks.

An index is made from nothing in the same way, only that most column indexes come afterwards.
Each block of lines is one transaction, so that a kill at any instant leaves an index that fits.
The caller holds the index lock and has checked that the index fits.
"""

import sqlite3
from collections import Counter
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from itertools import chain, compress, repeat
from operator import lt
from pathlib import Path
from typing import Any

from thence.core.new_event import joined_ranges
from thence.core.redaction import claim_order
from thence.core.vocabulary import Vocabulary
from thence.log.files.disk import Disk, FileId
from thence.log.files.segment import PresentSegment, present_segments
from thence.log.index.rows import (
    ACTOR,
    COLUMNS,
    EVENT_ID,
    LANE,
    NO_FACTS,
    NODE,
    SEQ,
    TOTAL_ORDER,
    TYPE,
    BlockRows,
    Entry,
    columns_of,
    entry_of,
    rows_of,
    statements,
    usage_of,
)
from thence.log.index.segments import (
    Intake,
    LineReader,
    SegmentSnapshot,
)
from thence.log.index.zones import zone_arrivals, zone_of

# the events whose arrivals are kept in memory, once or twice as many
RECENT_EVENTS = 8_192
# the lanes whose numbers are kept in memory
_LANES_KEPT_MAX = 100_000
# the ids in one query: only two sizes, so that each statement is prepared once
_IDS_FEW = 100
_IDS = 200
# the most values in one statement; SQLite allows 32,766
_VALUES_MAX = 1_024
_ADD_COUNT = """
    INSERT INTO counts VALUES (?, ?, ?, ?)
    ON CONFLICT DO UPDATE SET events = events + excluded.events
"""
_ADD_ZONE_TYPE = """
    INSERT INTO zone_types VALUES (?, ?, ?, ?)
    ON CONFLICT DO UPDATE
    SET events = events + excluded.events, failures = failures + excluded.failures
"""
_BOUNDED = ("lamport", "seq", "time", "turn")
_WIDENED = ", ".join(
    f"{name} = {least}(ifnull({name}, excluded.{name}), ifnull(excluded.{name}, {name}))"
    for column in _BOUNDED
    for name, least in ((f"{column}_first", "min"), (f"{column}_last", "max"))
)
_ADDED = ", ".join(
    f"{column}_events = {column}_events + excluded.{column}_events" for column in _BOUNDED
)
_WIDEN_ZONE = f"""
    INSERT INTO zones VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
    ON CONFLICT DO UPDATE SET {_WIDENED}, {_ADDED}
"""
# what a zone knows of its events
_OF_ZONE = ("node", "type", "failed", *_BOUNDED)
# an event that another line of it began keeps its end
_BEGIN = """
    INSERT INTO steps (begin, time) SELECT arrival, time FROM events WHERE arrival = ?
    ON CONFLICT DO UPDATE SET time = excluded.time
"""
_ENDED = "SELECT begin_id FROM ends WHERE begin_id"
_SPANS = "SELECT span_id, arrival FROM spans WHERE span_id"
# of the ends of a step the first in total order
_SETTLE = f"""
    UPDATE steps SET end = (
        SELECT child FROM ends JOIN events ON arrival = child
        WHERE begin_id = :id ORDER BY {TOTAL_ORDER} LIMIT 1
    ) WHERE begin = (SELECT arrival FROM events WHERE event_id = :id)
"""
# what the line of an event has named, when another takes its place
_FORGET = (
    "DELETE FROM causes WHERE child = :child",
    "DELETE FROM waiting WHERE child = :child",
    "DELETE FROM usage WHERE arrival = :child",
    "DELETE FROM spans WHERE arrival = :child",
    "DELETE FROM steps WHERE begin = :child AND NOT :begins",
    "DELETE FROM ends WHERE child = :child",
)

# the runs of a node that one touches, and the last before it
_RUNS_NEAR = """
    SELECT first, last FROM number_runs WHERE node = :node AND first <= :last + 1
    AND first >= (
        SELECT ifnull(max(first), :first) FROM number_runs WHERE node = :node AND first <= :first
    )
"""


class Builder:
    """The builder over one connection."""

    def __init__(
        self, disk: Disk, folder: Path, vocabulary: Vocabulary, connection: sqlite3.Connection
    ) -> None:
        self._disk = disk
        self._folder = folder
        self._vocabulary = vocabulary
        self.connection = self._db = connection
        self._recent: dict[str, int] = {}
        self._earlier: dict[str, int] = {}
        self._lanes: dict[str, int] = {}
        self._greatest_id = ""
        self._has_waiting = False

    def build(
        self, name: Mapping[str, str | int], on_read: Callable[[int], None] | None = None
    ) -> None:
        """Makes the index in an empty database; `name` are the rows of `meta` by which it fits.

        `on_read` is called repeatedly with the number of bytes read so far. Raises Stale when a
        segment was renamed meanwhile: then begin again.
        """
        for statement in statements("schema.sql"):
            self._db.execute(statement)
        self._db.execute("INSERT INTO meta VALUES ('events', 0)")
        read_bytes = 0
        for read_bytes in self.catch_up(present_segments(self._disk, self._folder), {}):
            if on_read is not None:
                on_read(read_bytes)
        self._db.execute("BEGIN")
        for statement in statements("indexes.sql"):
            self._db.execute(statement)
            if on_read is not None:
                on_read(read_bytes)
        self._db.executemany("INSERT INTO meta VALUES (?, ?)", name.items())
        self._db.execute("COMMIT")

    def catch_up(
        self, segments: Sequence[PresentSegment], snapshots: Mapping[FileId, SegmentSnapshot]
    ) -> Generator[int]:
        """Adds the events of segments that the index lacks; `snapshots` are those read so far.

        Yields the number of bytes read so far, after each transaction that adds lines. Raises Stale
        when a segment was renamed meanwhile: then list the segments again.
        """
        # another process may have changed it since the last time
        greatest = self._db.execute("SELECT max(event_id) FROM events").fetchone()[0]
        waiting = self._db.execute("SELECT 1 FROM waiting LIMIT 1").fetchone()
        count = self._db.execute("SELECT value FROM meta WHERE key = 'events'").fetchone()
        self._greatest_id = greatest or ""
        self._has_waiting = waiting is not None
        self._events = int(count[0])
        read_bytes = 0
        for segment in segments:
            snapshot = snapshots.get(segment.state.file)
            if snapshot is not None and (snapshot.name, snapshot.state) == segment:
                continue
            with closing(Intake(self._disk, self._folder, segment, snapshot, self._db)) as intake:
                begin, has_lines = read_bytes - intake.read_bytes, False
                for block in intake.blocks():
                    with self._transaction(intake):
                        for block_rows in rows_of(block, self._vocabulary):
                            self._add(block_rows, intake.id)
                            intake.save_damage(self._db, block_rows.bad)
                    has_lines, read_bytes = True, begin + intake.read_bytes
                    yield read_bytes
                if not has_lines or not intake.is_at_end:
                    with self._transaction(intake):
                        pass

    @contextmanager
    def _transaction(self, intake: Intake) -> Iterator[None]:
        """Keeps all that the block adds, with how far the segment was read, or nothing."""
        self._db.execute("BEGIN IMMEDIATE")
        try:
            yield
            intake.save(self._db)
            values = {"events": self._events}
            self._db.execute("UPDATE meta SET value = :events WHERE key = 'events'", values)
            self._db.execute("COMMIT")
        except BaseException:
            self._recent, self._earlier, self._lanes = {}, {}, {}
            if self._db.in_transaction:
                self._db.execute("ROLLBACK")
            raise

    def _add(self, block_rows: BlockRows, segment: int) -> None:
        """Adds the events of some lines to the tables; each id once."""
        entries = block_rows.entries
        if not entries:
            return
        columns = [*columns_of(block_rows, self._vocabulary, segment)]
        if len(self._lanes) > _LANES_KEPT_MAX:
            self._lanes = {}
        unnumbered = [(name,) for name in dict.fromkeys(columns[LANE]) if name not in self._lanes]
        if unnumbered:
            self._db.executemany("INSERT OR IGNORE INTO lane_names (name) VALUES (?)", unnumbered)
            select = "SELECT name, number FROM lane_names WHERE name"
            self._lanes.update(self._by_ids(select, (name for (name,) in unnumbered)))
        columns[LANE] = [self._lanes[name] for name in columns[LANE]]
        add_numbers(self._db, columns[NODE], columns[SEQ])
        ids = columns[EVENT_ID]
        is_after = min(ids) > self._greatest_id
        if is_after and len(set(ids)) == len(ids):
            self._insert(columns, entries)
            return
        seen = set() if is_after else set(self._arrivals_of(ids))
        fresh, repeated = list[int](), list[int]()
        for at, event_id in enumerate(ids):
            (repeated if event_id in seen else fresh).append(at)
            seen.add(event_id)
        if fresh:
            parts = [[column[at] for at in fresh] for column in columns]
            self._insert(parts, [entries[at] for at in fresh])
        for at in repeated:
            self._serve_better_line(entries[at], [column[at] for column in columns])

    def _insert(self, columns: Sequence[Sequence[Any]], entries: Sequence[Entry]) -> None:
        """Adds events whose ids are new."""
        ids = columns[EVENT_ID]
        arrivals = range(self._events + 1, self._events + 1 + len(ids))
        self._events += len(ids)
        self._greatest_id = max(self._greatest_id, max(ids))
        self._insert_rows("INSERT INTO events VALUES", [arrivals, *columns])
        self._count(columns)
        self._add_to_zones(arrivals[0], [columns[COLUMNS.index(name)] for name in _OF_ZONE])
        if len(self._recent) >= RECENT_EVENTS:
            self._earlier, self._recent = self._recent, {}
        self._recent.update(zip(ids, arrivals, strict=True))
        if self._has_waiting:
            self._end_waiting("cause", dict(zip(ids, arrivals, strict=True)))
        self._link(arrivals, entries)

    def _count(self, columns: Sequence[Sequence[Any]], sign: int = 1) -> None:
        """Adds events to the counts by type, actor and node, or takes them away."""
        types, actors, nodes, seqs = (columns[at] for at in (TYPE, ACTOR, NODE, SEQ))
        names = [
            (type_, actor if isinstance(actor, str) else "", node if seq else "")
            for type_, actor, node, seq in zip(types, actors, nodes, seqs, strict=True)
        ]
        rows = [(*name, sign * count) for name, count in Counter(names).items()]
        self._db.executemany(_ADD_COUNT, rows)

    def _add_to_zones(self, first: int, columns: Sequence[Sequence[Any]]) -> None:
        """Adds events, from an arrival on, to the counts and bounds of their zones."""
        at = 0
        while at < len(columns[0]):
            number = zone_of(first + at)
            end = zone_arrivals(number)[1] + 1 - first
            nodes, types, failed, *bounded = (column[at:end] for column in columns)
            failures = Counter(compress(types, failed))
            counts = [(number, *one, failures[one[0]]) for one in Counter(types).items()]
            self._db.executemany(_ADD_ZONE_TYPE, counts)
            for node in set(nodes):
                own = list(map(node.__eq__, nodes))
                bounds = list[Any]()
                for column in bounded:
                    values = compress(column, own)
                    present = [value for value in values if value is not None and value == value]
                    ends = (min(present), max(present)) if present else (None, None)
                    bounds += (*ends, len(present))
                self._db.execute(_WIDEN_ZONE, (number, node, *bounds))
            at = end

    def _link(self, arrivals: Sequence[int], entries: Sequence[Entry]) -> None:
        """Records the causes that events name, the steps that they begin or end, and spans."""
        named = [entry.caused_by for entry in entries]
        children = list(chain.from_iterable(map(repeat, arrivals, map(len, named))))
        causes = list(chain.from_iterable(named))
        self._connect("cause", children, causes, self._recent, self._arrivals_of)
        pairs = [
            (arrival, entry)
            for arrival, entry in zip(arrivals, entries, strict=True)
            if entry.payload is not NO_FACTS or entry.begins or entry.ends is not None
        ]
        usage = [(at, *row) for at, one in pairs if (row := usage_of(one.payload, one.begins))]
        self._db.executemany("INSERT OR REPLACE INTO usage VALUES (?, ?, ?, ?, ?, ?)", usage)
        begins = [(arrival, entry) for arrival, entry in pairs if entry.begins]
        ends = [(one.ends, arrival) for arrival, one in pairs if one.ends is not None]
        spans, parents = dict[str, int](), dict[int, str]()
        if begins:
            self._db.executemany(_BEGIN, [(arrival,) for arrival, _ in begins])
            ids = [entry.event_id for _, entry in begins]
            # the ends may have come before
            self._settle(name for (name,) in self._by_ids(_ENDED, ids))
        for arrival, entry in begins:
            span_id, parent_id = entry.payload.span_id, entry.payload.parent_span_id
            if isinstance(span_id, str):
                spans[span_id] = arrival
            if isinstance(parent_id, str):
                parents[arrival] = parent_id
        if spans:
            self._db.executemany("INSERT OR IGNORE INTO spans VALUES (?, ?)", spans.items())
            self._end_waiting("span", spans)
        if parents:
            names = [*parents.values()]
            self._connect(
                "span", [*parents], names, spans, lambda ids: dict(self._by_ids(_SPANS, ids))
            )
        if ends:
            self._db.executemany("INSERT OR IGNORE INTO ends VALUES (?, ?)", ends)
            self._settle(name for name, _ in ends)

    def _settle(self, begin_ids: Iterable[str]) -> None:
        """Finds the ends of steps anew, by the ids of their begins."""
        self._db.executemany(_SETTLE, [{"id": begin_id} for begin_id in set(begin_ids)])

    def _connect(
        self,
        kind: str,
        children: Sequence[int],
        names: Sequence[str],
        near: Mapping[str, int],
        find: Callable[[Iterable[str]], Mapping[str, int]],
    ) -> None:
        """Links events to what they name; a name that is not indexed yet goes into `waiting`.

        Where a name is not `near`, the arrivals of all names are looked up.
        """
        try:
            parents = list(map(near.__getitem__, names))
        except KeyError:
            arrivals = find(set(names))
            waiting = [
                (name, kind, child)
                for child, name in zip(children, names, strict=True)
                if name not in arrivals
            ]
            self._db.executemany("INSERT OR IGNORE INTO waiting VALUES (?, ?, ?)", waiting)
            self._has_waiting = self._has_waiting or bool(waiting)
            here = [name in arrivals for name in names]
            children = list(compress(children, here))
            parents = list(map(arrivals.__getitem__, compress(names, here)))
        self._insert_rows("INSERT OR IGNORE INTO causes VALUES", [children, parents])

    def _end_waiting(self, kind: str, arrivals: Mapping[str, int]) -> None:
        """Links events that named others, by id or span, before these arrived."""
        select = f"SELECT id, kind, child FROM waiting WHERE kind = '{kind}' AND id"
        waiting = list(self._by_ids(select, arrivals))
        links = [(child, arrivals[name]) for name, _, child in waiting]
        self._db.executemany("INSERT OR IGNORE INTO causes VALUES (?, ?)", links)
        self._db.executemany("DELETE FROM waiting WHERE (id, kind, child) = (?, ?, ?)", waiting)

    def _arrivals_of(self, ids: Iterable[str]) -> dict[str, int]:
        """Returns the arrivals of events by their ids; an unknown id is left out."""
        near = {name: self._recent.get(name) or self._earlier.get(name) for name in ids}
        arrivals = {name: arrival for name, arrival in near.items() if arrival}
        if len(arrivals) < len(near):
            far = [name for name, arrival in near.items() if not arrival]
            select = "SELECT event_id, arrival FROM events WHERE event_id"
            arrivals.update(self._by_ids(select, far))
        return arrivals

    def _by_ids(self, select: str, ids: Iterable[str]) -> Iterator[tuple[Any, ...]]:
        """Yields the rows of a query for ids, a bounded number of them at once."""
        texts = list(ids)
        for at in range(0, len(texts), _IDS):
            part = texts[at : at + _IDS]
            room = _IDS_FEW if len(part) <= _IDS_FEW else _IDS
            gaps: list[str | None] = [None] * (room - len(part))
            yield from self._db.execute(f"{select} IN ({', '.join('?' * room)})", [*part, *gaps])

    def _insert_rows(self, command: str, columns: Sequence[Sequence[Any]]) -> None:
        """Inserts rows, given as columns, many with each statement: twice as fast as one by one."""
        width = len(columns)
        values: list[Any] = [None] * (width * len(columns[0]))
        for at, column in enumerate(columns):
            values[at::width] = column
        row = f"({', '.join('?' * width)})"
        together = _VALUES_MAX // width
        many = f"{command} {', '.join([row] * together)}"
        for first in range(0, len(values), width * together):
            part = values[first : first + width * together]
            if len(part) < width * together:
                many = f"{command} {', '.join([row] * (len(part) // width))}"
            self._db.execute(many, part)

    def _serve_better_line(self, entry: Entry, row: Sequence[Any]) -> None:
        """Serves another line of an id if that is the one that counts; the arrival stays."""
        event_id = {"id": entry.event_id}
        sql = f"SELECT arrival, {', '.join(COLUMNS)} FROM events WHERE event_id = :id"
        arrival, *columns = self._db.execute(sql, event_id).fetchone()
        with closing(LineReader(self._disk, self._folder, self._db)) as lines:
            extents = tuple(row[-3:]), tuple(columns[-3:])
            ours, theirs = lines.events(extents, self._vocabulary)
        if ours.line == theirs.line or claim_order(theirs) < claim_order(ours):
            return
        assigned = ", ".join(f"{name} = ?" for name in COLUMNS)
        update = f"UPDATE events SET {assigned} WHERE arrival = ?", [*row, arrival]
        self._count([[value] for value in columns], -1)
        self._db.execute(*update)
        self._count([[value] for value in row])
        self._db.execute("UPDATE meta SET value = value + 1 WHERE key = 'generation'")
        number = zone_of(arrival)
        for table in ("zones", "zone_types"):
            self._db.execute(f"DELETE FROM {table} WHERE number = {number}")
        of_zone = f"SELECT {', '.join(_OF_ZONE)} FROM events WHERE arrival BETWEEN ? AND ?"
        first, last = zone_arrivals(number)
        rows = self._db.execute(of_zone, (first, last))
        self._add_to_zones(first, [*zip(*rows, strict=True)])
        before = entry_of(theirs)
        span_id = before.payload.span_id
        values = {
            "child": arrival,
            "begins": entry.begins,
            "ends": before.ends,
            "span_id": span_id if isinstance(span_id, str) else None,
        }
        for statement in _FORGET:
            self._db.execute(statement, values)
        self._settle(one.ends for one in (entry, before) if one.ends)
        self._link([arrival], [entry])


def add_numbers(connection: sqlite3.Connection, nodes: Sequence[str], seqs: Sequence[int]) -> None:
    """Adds the numbers of lines, given with the names of their nodes, to the runs; 0 is none.

    A node's own lines come in the order of its numbers: a log has few runs however long it is,
    so that they cost no index of two columns (decision 0026).
    """
    first, last = seqs[0], seqs[-1]
    is_run = first and last - first == len(seqs) - 1 and all(map(lt, seqs, seqs[1:]))
    numbers: dict[str, list[tuple[int, int]]] = {}
    if is_run and len(set(nodes)) == 1:
        numbers[nodes[0]] = [(first, last)]
    else:
        for node, seq in zip(nodes, seqs, strict=True):
            if seq:
                numbers.setdefault(node, []).append((seq, seq))
    for node, own in numbers.items():
        for run in joined_ranges(own):
            values = {"node": node, "first": run[0], "last": run[1]}
            near = connection.execute(_RUNS_NEAR, values).fetchall()
            sql = "DELETE FROM number_runs WHERE node = ? AND first = ?"
            connection.executemany(sql, [(node, first) for first, _ in near])
            rows = [(node, first, last) for first, last in joined_ranges([*near, run])]
            connection.executemany("INSERT INTO number_runs VALUES (?, ?, ?)", rows)
