"""The builder: it brings an index that fits its log up to date with the segments.

Each block of lines is one transaction, so that a kill at any instant leaves an index that
fits. The caller holds the index lock and has checked that the index fits.
"""

import sqlite3
from collections.abc import Callable, Iterable, Sequence
from contextlib import closing
from pathlib import Path

from thence.core.values.indexed_members import IndexedMembers
from thence.core.values.vocabulary import Vocabulary
from thence.index.tables.count_tables import CountTables, count_in_whole
from thence.index.tables.intake import Intake
from thence.index.tables.lines import LineReader
from thence.index.tables.number_runs import add_numbers
from thence.index.tables.places import STRIDE as STRIDE
from thence.index.tables.places import assign_places, last, move, renumber
from thence.index.tables.rows import (
    NODE,
    SEQ,
    BlockRows,
    Key,
    Names,
    Row,
    Times,
    columns_of,
    keys_of,
    rows_of,
)
from thence.index.tables.segment_snapshot import PresentSegment, SegmentSnapshot
from thence.log.storage.disk import Disk, FileId

# the numbers of ids in one query: only two sizes, so that each is prepared once
_ASKED_IDS_FEW = 100
_ASKED_IDS = 200
_COLUMNS = (
    "event_id", "node", "seq", "lamport", "stamp", "type", "stream", "subject", "actor", "turn",
    "time", "segment", "offset", "length",
)  # fmt: skip
_INSERT = f"INSERT INTO events VALUES ({', '.join('?' * 16)})"


class Builder:
    """The builder over one connection. After a failure its names are invalid: make a new one.

    `events` is the number of events it has added.
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
        self.events = 0

    def catch_up(
        self,
        there: Sequence[PresentSegment],
        known: dict[FileId, SegmentSnapshot],
        beat: Callable[[], None],
    ) -> int:
        """Adds the events of segments that the index lacks; `known` are those read so far.

        Returns the number of transactions. Raises Stale when a segment was renamed meanwhile:
        then list the segments again.
        """
        commits = 0
        for segment in there:
            before = known.get(segment.state.file)
            if before is not None and (before.name, before.state) == segment:
                continue
            commits += self._take(segment, before, beat)
        return commits

    def _take(
        self, segment: PresentSegment, before: SegmentSnapshot | None, beat: Callable[[], None]
    ) -> int:
        commits = 0
        self._db.execute("BEGIN IMMEDIATE")
        try:
            with closing(Intake(self._disk, self._folder, segment, before, self._db)) as intake:
                for block in intake.blocks():
                    if not self._db.in_transaction:
                        self._db.execute("BEGIN IMMEDIATE")
                    for found in rows_of(block, self._vocabulary):
                        self._add(found, intake.id)
                        intake.save_damage(self._db, found.bad)
                    intake.save(self._db)
                    commit(self._db)
                    commits += 1
                    beat()
                if not commits or not intake.is_at_end:
                    if not self._db.in_transaction:
                        self._db.execute("BEGIN IMMEDIATE")
                    intake.save(self._db)
                    commit(self._db)
                    commits += 1
            return commits
        except BaseException:
            if self._db.in_transaction:
                self._db.execute("ROLLBACK")
            raise

    def _add(self, found: BlockRows, segment: int) -> None:
        """Adds the events of a block to the tables; each id once."""
        entries = found.entries
        if not entries:
            return
        ids = [entry.event_id for entry in entries]
        causes = {cause for entry in entries for cause in entry.caused_by}
        places = self._places_of(causes.union(ids))
        columns = columns_of(found, segment, self._names, self._times)
        add_numbers(self._db, columns[NODE], columns[SEQ])
        rows: list[Row] = list(zip(*columns, strict=True))
        seen = {event_id for event_id in ids if event_id in places}
        fresh: list[int] = []
        repeated: list[int] = []
        for at, event_id in enumerate(ids):
            (repeated if event_id in seen else fresh).append(at)
            seen.add(event_id)
        if fresh:
            self._insert([entries[at] for at in fresh], [rows[at] for at in fresh], places)
        for at in repeated:
            self._serve_better_line(entries[at], rows[at])

    def _insert(
        self, entries: Sequence[IndexedMembers], rows: Sequence[Row], places: dict[str, int]
    ) -> None:
        keys = keys_of(entries)
        order = sorted(range(len(keys)), key=keys.__getitem__)
        due = self._due([keys[at] for at in order], places)
        count = "SELECT value FROM meta WHERE key = 'events'"
        arrival: int = self._db.execute(count).fetchone()[0]
        self._db.execute(
            "UPDATE meta SET value = value + :count WHERE key = 'events'", {"count": len(rows)}
        )
        own: dict[int, int] = dict(zip(order, due, strict=True))
        for at, entry in enumerate(entries):
            places[entry.event_id] = own[at]
        self._db.executemany(
            _INSERT, [(own[at], arrival + at + 1, *row) for at, row in enumerate(rows)]
        )
        self.events += len(rows)
        self._count([own[at] for at in range(len(rows))], rows, 1)
        self._link(entries, places)
        self._end_waiting(entries, places)

    def _due(self, keys: Sequence[Key], places: dict[str, int]) -> list[int]:
        """Returns places for events in total order; `places` follows if all are renumbered."""
        due = assign_places(self._db, keys)
        if due is None:
            renumber(self._db, len(keys))
            self._count_move()
            places |= self._places_of(places)
            due = assign_places(self._db, keys)
            assert due is not None
        return due

    def _count_move(self) -> None:
        """Counts a move: earlier events have got other places or other lines."""
        self._db.execute("UPDATE meta SET value = value + 1 WHERE key = 'moves'")

    def _places_of(self, ids: Iterable[str]) -> dict[str, int]:
        """Returns the places of events by their ids; an unknown id is left out."""
        wanted = list(ids)
        found: dict[str, int] = {}
        for at in range(0, len(wanted), _ASKED_IDS):
            part = wanted[at : at + _ASKED_IDS]
            room = _ASKED_IDS_FEW if len(part) <= _ASKED_IDS_FEW else _ASKED_IDS
            gaps: list[str | None] = [None] * (room - len(part))
            marks = ", ".join("?" * room)
            found.update(
                self._db.execute(
                    f"SELECT event_id, place FROM events WHERE event_id IN ({marks})",
                    [*part, *gaps],
                )
            )
        return found

    def _link(self, entries: Iterable[IndexedMembers], places: dict[str, int]) -> None:
        """Records links to causes; a cause that is not indexed yet goes into `waiting`."""
        found: list[tuple[int, int]] = []
        waiting: list[tuple[str, int]] = []
        for entry in entries:
            place = places[entry.event_id]
            for cause in entry.caused_by:
                if cause in places:
                    found.append((place, places[cause]))
                else:
                    waiting.append((cause, place))
        self._db.executemany("INSERT OR IGNORE INTO causes VALUES (?, ?)", found)
        if waiting:
            self._db.executemany("INSERT OR IGNORE INTO waiting VALUES (?, ?)", waiting)

    def _end_waiting(self, entries: Iterable[IndexedMembers], places: dict[str, int]) -> None:
        """Records links to events that have arrived from effects that named them before."""
        if self._db.execute("SELECT 1 FROM waiting LIMIT 1").fetchone() is None:
            return
        for entry in entries:
            arrived = {"id": entry.event_id, "place": places[entry.event_id]}
            self._db.execute(
                "INSERT OR IGNORE INTO causes SELECT child, :place FROM waiting"
                " WHERE parent_id = :id",
                arrived,
            )
            self._db.execute("DELETE FROM waiting WHERE parent_id = :id", {"id": entry.event_id})

    def _count(self, places: Sequence[int], rows: Sequence[Row], sign: int) -> None:
        counts = CountTables(self._db)
        counts.add(places, list(zip(*rows, strict=True)), sign)
        counts.write()
        count_in_whole(self._db, rows, sign)

    def _serve_better_line(self, entry: IndexedMembers, row: Row) -> None:
        """Serves another line of an id if it takes precedence over the served one."""
        asked = {"id": entry.event_id}
        served: Row = self._db.execute(
            f"SELECT {', '.join(_COLUMNS)} FROM events WHERE event_id = :id", asked
        ).fetchone()
        with closing(LineReader(self._disk, self._folder, self._db)) as lines:
            one, other = lines.events((row[-3:], served[-3:]), self._vocabulary)
            is_better = lines.ranking(one) < lines.ranking(other)
        if one.line == other.line:
            return
        beside = served if is_better else row
        self._db.execute("INSERT INTO other_lines VALUES (?, ?, ?, ?)", [beside[0], *beside[-3:]])
        if not is_better:
            return
        places: dict[str, int] = {}
        (due,) = self._due(keys_of([entry]), places)
        (place,) = self._db.execute(
            "SELECT place FROM events WHERE event_id = :id", asked
        ).fetchone()
        self._db.execute("DELETE FROM causes WHERE child = :place", {"place": place})
        self._db.execute("DELETE FROM waiting WHERE child = :place", {"place": place})
        self._count([place], [served], -1)
        self._count_move()
        move(self._db, place, due)
        columns = ", ".join(f"{name} = ?" for name in _COLUMNS)
        self._db.execute(f"UPDATE events SET {columns} WHERE place = ?", [*row, due])
        self._count([due], [row], 1)
        self._link([entry], self._places_of([entry.event_id, *entry.caused_by]))
        end, _ = last(self._db)
        if end % STRIDE == 0:  # with a hole the places must not look evenly spaced
            move(self._db, end, end + 1)


def commit(connection: sqlite3.Connection) -> None:
    """Ends a transaction that wrote, which counts in `meta`."""
    connection.execute("UPDATE meta SET value = value + 1 WHERE key = 'commits'")
    connection.execute("COMMIT")
