"""The builder of an index: it adds the lines of the segments that the index lacks.

An index is made from nothing in the same way, only that most column indexes come afterwards.
Each block of lines is one transaction, so that a kill at any instant leaves an index that fits.
The caller holds the index lock and has checked that the index fits.
"""

import sqlite3
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import closing
from itertools import chain, repeat
from operator import lt
from pathlib import Path
from typing import Any

from thence.core.vocabulary import Vocabulary
from thence.index.lines import LineReader
from thence.index.rows import (
    COLUMNS,
    EVENT_ID,
    INTEGER_MAX,
    NODE,
    SEQ,
    BlockRows,
    IndexedMembers,
    Names,
    Row,
    Times,
    columns_of,
    rows_of,
    statements,
)
from thence.index.segments import Intake, PresentSegment, SegmentSnapshot, present
from thence.index.zones import Tallies
from thence.log.files.disk import Disk, FileId

# the events whose arrivals are kept in memory, once or twice as many
RECENT_EVENTS = 8_192
# the ids in one query: only two sizes, so that each statement is prepared once
_IDS_FEW = 100
_IDS = 200
# the most values in one statement; SQLite allows 32,766
_VALUES_MAX = 1_024

Run = tuple[int, int, int]  # node, first, last


def build(
    disk: Disk,
    folder: Path,
    vocabulary: Vocabulary,
    connection: sqlite3.Connection,
    on_read: Callable[[int], None],
) -> int:
    """Makes the index of a log in an empty database; returns how many events it holds.

    `on_read` is called repeatedly with the number of bytes read so far. Raises Stale when a
    segment was renamed meanwhile: then begin again.
    """
    for statement in statements("schema.sql"):
        connection.execute(statement)
    connection.execute("INSERT INTO names VALUES (0, '')")
    connection.execute("INSERT INTO meta VALUES ('commits', 0), ('events', 0), ('steps', 1)")
    builder = Builder(disk, folder, vocabulary, connection)
    builder.catch_up(present(disk, folder), {}, on_read)
    connection.execute("BEGIN")
    for statement in statements("indexes.sql"):
        connection.execute(statement)
    connection.execute("COMMIT")
    return builder.events


class Builder:
    """The builder over one connection. After a failure its names are invalid: make a new one.

    `events` is the number of events in the index.
    """

    def __init__(
        self, disk: Disk, folder: Path, vocabulary: Vocabulary, connection: sqlite3.Connection
    ) -> None:
        self._disk = disk
        self._folder = folder
        self._vocabulary = vocabulary
        self._db = connection
        self._names = Names(connection)
        self._times = Times()
        self._tallies = Tallies()
        self._recent: dict[str, int] = {}
        self._earlier: dict[str, int] = {}
        self._greatest_id = ""
        self._has_waiting = False
        self.events = 0

    def catch_up(
        self,
        segments: Sequence[PresentSegment],
        snapshots: dict[FileId, SegmentSnapshot],
        on_read: Callable[[int], None],
    ) -> int:
        """Adds the events of segments that the index lacks; `snapshots` are those read so far.

        `on_read` is called repeatedly with the number of bytes read so far. Returns the number
        of transactions. Raises Stale when a segment was renamed meanwhile: then list the
        segments again.
        """
        self._begin()
        commits = read_bytes = 0
        for segment in segments:
            snapshot = snapshots.get(segment.state.file)
            if snapshot is not None and (snapshot.name, snapshot.state) == segment:
                continue
            with closing(Intake(self._disk, self._folder, segment, snapshot, self._db)) as intake:
                begin = read_bytes - intake.read_bytes
                for _ in self._take(intake):
                    commits += 1
                    read_bytes = begin + intake.read_bytes
                    on_read(read_bytes)
        return commits

    def _begin(self) -> None:
        """Reads what another process may have changed since the last time."""
        greatest = self._db.execute("SELECT max(event_id) FROM events").fetchone()[0]
        waiting = self._db.execute("SELECT 1 FROM waiting LIMIT 1").fetchone()
        count = self._db.execute("SELECT value FROM meta WHERE key = 'events'").fetchone()
        self._greatest_id = greatest or ""
        self._has_waiting = waiting is not None
        self.events = count[0]

    def _take(self, intake: Intake) -> Iterator[None]:
        """Takes in the rest of a segment, and yields after each transaction."""
        commits = 0
        try:
            for block in intake.blocks():
                self._begin_transaction()
                for block_rows in rows_of(block, self._vocabulary):
                    self._add(block_rows, intake.id)
                    intake.save_damage(self._db, block_rows.bad)
                self._commit(intake)
                commits += 1
                yield
            if not commits or not intake.is_at_end:
                self._begin_transaction()
                self._commit(intake)
                yield
        except BaseException:
            if self._db.in_transaction:
                self._db.execute("ROLLBACK")
            raise

    def _begin_transaction(self) -> None:
        if not self._db.in_transaction:
            self._db.execute("BEGIN IMMEDIATE")

    def _commit(self, intake: Intake) -> None:
        """Ends a transaction that wrote, which counts in `meta`."""
        intake.save(self._db)
        self._tallies.write(self._db)
        values = {"events": self.events}
        self._db.execute("UPDATE meta SET value = :events WHERE key = 'events'", values)
        self._db.execute("UPDATE meta SET value = value + 1 WHERE key = 'commits'")
        self._db.execute("COMMIT")

    def _add(self, block_rows: BlockRows, segment: int) -> None:
        """Adds the events of some lines to the tables; each id once."""
        entries = block_rows.entries
        if not entries:
            return
        columns = columns_of(block_rows, segment, self._names, self._times)
        add_numbers(self._db, columns[NODE], columns[SEQ])
        repeated = self._repeated(columns[EVENT_ID])
        if not repeated:
            self._insert(columns, entries)
            return
        fresh = [at for at in range(len(entries)) if at not in repeated]
        if fresh:
            parts = [[column[at] for at in fresh] for column in columns]
            self._insert(parts, [entries[at] for at in fresh])
        rows: list[Row] = list(zip(*columns, strict=True))
        for at in repeated:
            self._serve_better_line(entries[at], rows[at])

    def _repeated(self, ids: Sequence[str]) -> list[int]:
        """Returns which ids stand for an earlier event, of the index or of these, in order."""
        is_behind = min(ids) > self._greatest_id
        if is_behind and len(set(ids)) == len(ids):
            return []
        seen = set() if is_behind else set(self._arrivals_of(ids))
        repeated = []
        for at, event_id in enumerate(ids):
            if event_id in seen:
                repeated.append(at)
            seen.add(event_id)
        return repeated

    def _insert(self, columns: Sequence[Sequence[Any]], entries: Sequence[IndexedMembers]) -> None:
        """Adds events whose ids are new."""
        ids = columns[EVENT_ID]
        first = self.events + 1
        arrivals = range(first, first + len(ids))
        self.events += len(ids)
        self._greatest_id = max(self._greatest_id, max(ids))
        self._insert_rows("INSERT INTO events VALUES", [arrivals, *columns])
        self._tallies.add(first, columns)
        if len(self._recent) >= RECENT_EVENTS:
            self._earlier, self._recent = self._recent, {}
        self._recent.update(zip(ids, arrivals, strict=True))
        self._link(arrivals, [entry.caused_by for entry in entries])
        if self._has_waiting:
            self._end_waiting(ids)
        steps = [entry for entry in entries if entry.begins or entry.ends is not None]
        if steps:
            self._note_steps(steps)

    def _note_steps(self, entries: Sequence[IndexedMembers]) -> None:
        """Records which steps are open: begins by these or earlier events, and ended by none."""
        ended = {entry.ends for entry in entries if entry.ends is not None}
        begins = [entry.event_id for entry in entries if entry.begins]
        arrivals = self._arrivals_of({*ended, *begins})
        early = {
            row[0]
            for row in self._by_ids("SELECT event_id, 0 FROM ended_steps WHERE event_id", begins)
        }
        fresh = [(arrivals[event_id],) for event_id in begins if event_id not in early]
        self._db.executemany("INSERT INTO open_steps VALUES (?)", fresh)
        over = [(arrivals[event_id],) for event_id in ended if event_id in arrivals]
        self._db.executemany("DELETE FROM open_steps WHERE arrival = ?", over)
        later = [(event_id,) for event_id in sorted(ended) if event_id not in arrivals]
        self._db.executemany("INSERT OR IGNORE INTO ended_steps VALUES (?)", later)

    def _link(self, arrivals: Sequence[int], named: Sequence[tuple[str, ...]]) -> None:
        """Records links to causes; a cause that is not indexed yet goes into `waiting`."""
        children = list(chain.from_iterable(map(repeat, arrivals, map(len, named))))
        causes = list(chain.from_iterable(named))
        try:
            parents = list(map(self._recent.__getitem__, causes))
        except KeyError:
            children, parents = self._earlier_links(children, causes)
        self._insert_rows("INSERT OR IGNORE INTO causes VALUES", [children, parents])

    def _earlier_links(
        self, children: Sequence[int], causes: Sequence[str]
    ) -> tuple[list[int], list[int]]:
        """Returns the links whose causes are indexed; records the others in `waiting`."""
        near = {**self._earlier, **self._recent}
        arrivals = self._arrivals_of({cause for cause in causes if cause not in near})
        links: list[tuple[int, int]] = []
        waiting: list[tuple[str, int]] = []
        for child, cause in zip(children, causes, strict=True):
            parent = near.get(cause) or arrivals.get(cause)
            if parent is None:
                waiting.append((cause, child))
            else:
                links.append((child, parent))
        if waiting:
            self._has_waiting = True
            self._db.executemany("INSERT OR IGNORE INTO waiting VALUES (?, ?)", waiting)
        return [child for child, _ in links], [parent for _, parent in links]

    def _end_waiting(self, ids: Sequence[str]) -> None:
        """Records links to events that have arrived from effects that named them before."""
        effects = list(self._by_ids("SELECT parent_id, child FROM waiting WHERE parent_id", ids))
        if not effects:
            return
        rows = [(child, self._recent[event_id]) for event_id, child in effects]
        self._db.executemany("INSERT OR IGNORE INTO causes VALUES (?, ?)", rows)
        ended = {(event_id,) for event_id, _ in effects}
        self._db.executemany("DELETE FROM waiting WHERE parent_id = ?", sorted(ended))

    def _arrivals_of(self, ids: Iterable[str]) -> dict[str, int]:
        """Returns the arrivals of events by their ids; an unknown id is left out."""
        return dict(self._by_ids("SELECT event_id, arrival FROM events WHERE event_id", ids))

    def _by_ids(self, select: str, ids: Iterable[str]) -> Iterator[tuple[str, int]]:
        """Yields the rows of a query for ids, a bounded number of them at once."""
        texts = list(ids)
        for at in range(0, len(texts), _IDS):
            part = texts[at : at + _IDS]
            room = _IDS_FEW if len(part) <= _IDS_FEW else _IDS
            gaps: list[str | None] = [None] * (room - len(part))
            yield from self._db.execute(f"{select} IN ({', '.join('?' * room)})", [*part, *gaps])

    def _insert_rows(self, command: str, columns: Sequence[Sequence[Any]]) -> None:
        """Inserts rows, given as columns, many with each statement."""
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

    def _serve_better_line(self, entry: IndexedMembers, row: Row) -> None:
        """Serves another line of an id if it takes precedence; the event keeps its arrival."""
        event_id = {"id": entry.event_id}
        sql = f"SELECT arrival, {', '.join(COLUMNS)} FROM events WHERE event_id = :id"
        arrival, *columns = self._db.execute(sql, event_id).fetchone()
        with closing(LineReader(self._disk, self._folder, self._db)) as lines:
            ours, theirs = lines.events((row[-3:], tuple(columns[-3:])), self._vocabulary)
            is_better = lines.ranking(ours) < lines.ranking(theirs)
        if ours.line == theirs.line:
            return
        beside = columns if is_better else row
        self._db.execute("INSERT INTO other_lines VALUES (?, ?, ?, ?)", [beside[0], *beside[-3:]])
        if not is_better:
            return
        child = {"child": arrival}
        self._db.execute("DELETE FROM causes WHERE child = :child", child)
        self._db.execute("DELETE FROM waiting WHERE child = :child", child)
        self._tallies.add(arrival, [[value] for value in columns], -1)
        assigned = ", ".join(f"{name} = ?" for name in COLUMNS)
        self._db.execute(f"UPDATE events SET {assigned} WHERE arrival = ?", [*row, arrival])
        self._tallies.add(arrival, [[value] for value in row])
        self._link([arrival], [entry.caused_by])
        if any(event.begins or event.ends is not None for event in (ours, theirs)):
            self._db.execute("UPDATE meta SET value = 0 WHERE key = 'steps'")


def add_numbers(
    connection: sqlite3.Connection, nodes: Sequence[float], seqs: Sequence[int]
) -> None:
    """Adds the numbers of lines, given with the names of their nodes, to the runs; 0 is none.

    A node's own lines come in the order of its numbers: a log has few runs however long it is,
    so that they cost no index of two columns (decision 0026).
    """
    for run in _runs(nodes, seqs):
        _add_run(connection, *run)


def taken_numbers(
    connection: sqlite3.Connection, numbers: Iterable[tuple[str, int]]
) -> set[tuple[str, int]]:
    """Returns those of some (node_id, seq) that a line has."""
    taken = set()
    sql = (
        "SELECT last FROM number_runs WHERE node = (SELECT id FROM names WHERE text = :node)"
        " AND first <= :seq ORDER BY first DESC LIMIT 1"
    )
    for node_id, seq in numbers:
        bound = min(seq, INTEGER_MAX)
        row = connection.execute(sql, {"node": node_id, "seq": bound}).fetchone()
        if row is not None and row[0] >= bound:
            taken.add((node_id, seq))
    return taken


def _runs(nodes: Sequence[float], seqs: Sequence[int]) -> Iterator[Run]:
    """Yields the numbers of lines as runs; those of one node in order are one at once."""
    first, last = seqs[0], seqs[-1]
    is_run = first and last - first == len(seqs) - 1 and all(map(lt, seqs, seqs[1:]))
    if is_run and len(set(nodes)) == 1:
        yield int(nodes[0]), first, last
        return
    node = first = last = 0
    for number, seq in sorted(set(zip(map(int, nodes), seqs, strict=True))):
        if (number, seq) == (node, last + 1) and first:
            last = seq
            continue
        if first:
            yield node, first, last
        node, first, last = number, seq, seq
    if first:
        yield node, first, last


def _add_run(connection: sqlite3.Connection, node: int, first: int, last: int) -> None:
    """Adds a run, joined with those that it touches."""
    before = connection.execute(
        "SELECT first, last FROM number_runs WHERE node = :node AND first <= :first"
        " ORDER BY first DESC LIMIT 1",
        {"node": node, "first": first},
    ).fetchone()
    if before is not None and before[1] >= last:
        return
    if before is not None and before[1] >= first - 1:
        first = before[0]
    run = {"node": node, "first": first, "last": last, "reach": min(last + 1, INTEGER_MAX)}
    touched = "node = :node AND first BETWEEN :first AND :reach"
    (end,) = connection.execute(
        f"SELECT max(last) FROM number_runs WHERE {touched}", run
    ).fetchone()
    if end is not None:
        connection.execute(f"DELETE FROM number_runs WHERE {touched}", run)
        run["last"] = max(last, end)
    connection.execute("INSERT INTO number_runs VALUES (:node, :first, :last)", run)
