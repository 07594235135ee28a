"""The bulk build of an index: rows are loaded in arrival order, then all else is computed.

Memory stays bounded: causes are found among the latest events, the others by a join. Where
events came out of order, or an id has several lines, the tables are rewritten once.
"""

import sqlite3
from collections.abc import Callable, Sequence
from contextlib import closing
from itertools import chain, groupby, repeat
from operator import itemgetter, lt
from pathlib import Path
from typing import Any

from thence.core.values.indexed_members import IndexedMembers
from thence.core.values.vocabulary import Vocabulary
from thence.index.tables.count_tables import CountTables, count_whole
from thence.index.tables.intake import Intake
from thence.index.tables.lines import LineReader
from thence.index.tables.number_runs import add_numbers
from thence.index.tables.places import ORDER, STRIDE, rewrite, statements
from thence.index.tables.rows import (
    LAMPORT,
    NODE,
    SEQ,
    BlockRows,
    Key,
    Names,
    Times,
    columns_of,
    keys_of,
    rows_of,
)
from thence.index.tables.segment_snapshot import present
from thence.log.storage.disk import Disk

RECENT_EVENTS = 8_192

# the most values in one statement; SQLite allows 32,766
_VALUES_MAX = 1_024


def load(
    disk: Disk,
    folder: Path,
    vocabulary: Vocabulary,
    connection: sqlite3.Connection,
    beat: Callable[[int], None],
) -> None:
    """Fills an empty database with the events of a log's segments.

    `beat` is called repeatedly with the number of bytes read so far. Raises Stale when a
    segment was renamed meanwhile: then begin again.
    """
    for statement in statements("schema.sql"):
        connection.execute(statement)
    connection.execute("INSERT INTO names VALUES (0, '')")
    loading = _Loading(connection)
    before_bytes = 0
    for segment in present(disk, folder):
        with closing(Intake(disk, folder, segment, None, connection)) as intake:
            for block in intake.blocks():
                for found in rows_of(block, vocabulary):
                    loading.add(found, intake.id)
                    intake.save_damage(connection, found.bad)
                beat(before_bytes + intake.read_bytes)
            intake.save(connection)
            before_bytes += intake.read_bytes
    with closing(LineReader(disk, folder, connection)) as lines:
        loading.finish(lines, vocabulary)


class _Loading:
    """The tables while they are filled, and the places of the latest events."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._db = connection
        self._names = Names(connection)
        self._times = Times()
        self._counts = CountTables(connection)
        self._count = 0
        self._recent: dict[str, int] = {}
        self._earlier: dict[str, int] = {}
        self._last: Key = (-1, "", "", "")
        self._is_sorted = True
        connection.execute("CREATE TEMP TABLE unfound (parent_id TEXT, child INTEGER)")

    def add(self, found: BlockRows, segment: int) -> None:
        """Appends the rows of a block."""
        entries = found.entries
        if not entries:
            return
        columns = columns_of(found, segment, self._names, self._times)
        self._check_order(entries, columns[LAMPORT])
        first = self._count + 1
        self._count += len(entries)
        arrivals = range(first, self._count + 1)
        places = range(first * STRIDE, self._count * STRIDE + 1, STRIDE)
        self._counts.add(places, columns)
        add_numbers(self._db, columns[NODE], columns[SEQ])
        self._insert("INSERT INTO events VALUES", [places, arrivals, *columns])
        self._link(columns[0], [entry.caused_by for entry in entries], places)

    def _check_order(self, entries: Sequence[IndexedMembers], lamports: Sequence[int]) -> None:
        if not self._is_sorted:
            return
        clocks = [self._last[0], *lamports]
        if all(map(lt, clocks, lamports)):
            self._last = keys_of(entries[-1:])[0]
            return
        keys = [self._last, *keys_of(entries)]
        self._is_sorted = all(map(lt, keys, keys[1:]))
        self._last = keys[-1]

    def _link(
        self, ids: Sequence[str], named: Sequence[tuple[str, ...]], places: Sequence[int]
    ) -> None:
        """Records links to causes; causes that are not among the latest events wait for a join."""
        if len(self._recent) >= RECENT_EVENTS:
            self._earlier, self._recent = self._recent, {}
        self._recent.update(zip(ids, places, strict=True))
        children = list(chain.from_iterable(map(repeat, places, map(len, named))))
        causes = list(chain.from_iterable(named))
        try:
            parents = list(map(self._recent.__getitem__, causes))
        except KeyError:
            children, parents = self._known_links(children, causes)
        self._insert("INSERT OR IGNORE INTO causes VALUES", [children, parents])

    def _known_links(
        self, children: Sequence[int], causes: Sequence[str]
    ) -> tuple[list[int], list[int]]:
        """Returns the links whose causes are known, and stores the others in `unfound`."""
        links: list[tuple[int, int]] = []
        unfound: list[tuple[str, int]] = []
        for child, cause in zip(children, causes, strict=True):
            parent = self._recent.get(cause) or self._earlier.get(cause)
            if parent is None:
                unfound.append((cause, child))
            else:
                links.append((child, parent))
        self._db.executemany("INSERT INTO unfound VALUES (?, ?)", unfound)
        return [child for child, _ in links], [parent for _, parent in links]

    def _insert(self, command: str, columns: Sequence[Sequence[Any]]) -> None:
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

    def finish(self, lines: LineReader, vocabulary: Vocabulary) -> None:
        """Establishes order, unique ids, causes and column indexes after the load."""
        self._counts.write()
        self._db.execute("INSERT OR IGNORE INTO waiting SELECT parent_id, child FROM unfound")
        self._db.execute("DROP TABLE temp.unfound")
        if not self._is_unique() or not self._is_sorted:
            self._db.execute("CREATE INDEX IF NOT EXISTS event_ids ON events (event_id)")
            self._rewrite_in_order(lines, vocabulary)
        for statement in statements("indexes.sql"):
            if "INDEX effects" not in statement:
                self._db.execute(statement.replace(" INDEX ", " INDEX IF NOT EXISTS "))
        self._db.execute(
            "INSERT OR IGNORE INTO causes SELECT child, place FROM waiting"
            " JOIN events ON event_id = parent_id"
        )
        self._db.execute(
            "DELETE FROM waiting WHERE parent_id IN (SELECT event_id FROM events JOIN waiting"
            " ON event_id = parent_id)"
        )
        for statement in statements("indexes.sql"):
            if "INDEX effects" in statement:
                self._db.execute(statement)
        count_whole(self._db)

    def _is_unique(self) -> bool:
        """Makes the unique index of ids; False if an id has several lines."""
        try:
            self._db.execute("CREATE UNIQUE INDEX event_ids ON events (event_id)")
        except sqlite3.IntegrityError:
            return False
        return True

    def _rewrite_in_order(self, lines: LineReader, vocabulary: Vocabulary) -> None:
        """Rewrites the tables in total order, each id with the line that is served."""
        self._db.execute("CREATE TEMP TABLE losers (place INTEGER PRIMARY KEY, winner INTEGER)")
        self._choose_served(lines, vocabulary)
        self._db.execute(
            "CREATE TEMP TABLE moved (place INTEGER PRIMARY KEY, due INTEGER, is_served INTEGER)"
        )
        self._db.execute(
            f"INSERT INTO moved SELECT place, row_number() OVER (ORDER BY {ORDER}) * :stride, 1"
            " FROM events WHERE place NOT IN (SELECT place FROM losers)",
            {"stride": STRIDE},
        )
        self._db.execute(
            "INSERT INTO moved SELECT losers.place, due, 0 FROM losers"
            " JOIN moved ON moved.place = winner"
        )
        self._db.execute("DROP INDEX event_ids")
        rewrite(self._db)
        self._db.execute("DROP TABLE temp.losers")

    def _choose_served(self, lines: LineReader, vocabulary: Vocabulary) -> None:
        """Chooses the line to serve for each repeated id; it gets the arrival of the first."""
        self._db.execute("CREATE TEMP TABLE winners (place INTEGER PRIMARY KEY, arrival INTEGER)")
        repeated = self._db.execute(
            "SELECT event_id, place, arrival, segment, offset, length FROM events"
            " WHERE event_id IN"
            " (SELECT event_id FROM events GROUP BY event_id HAVING count(*) > 1)"
            " ORDER BY event_id, arrival"
        )
        for _, rows in groupby(repeated, key=itemgetter(0)):
            several = list(rows)
            found = lines.events((row[3:] for row in several), vocabulary)
            ranks = list(map(lines.ranking, found))
            best = min(ranks)
            self._db.executemany(
                "INSERT INTO other_lines VALUES (?, ?, ?, ?)",
                [
                    (row[0], *row[3:])
                    for row, rank in zip(several, ranks, strict=True)
                    if rank != best
                ],
            )
            winner = several.pop(ranks.index(best))
            self._db.executemany(
                "INSERT INTO losers VALUES (?, ?)", [(row[1], winner[1]) for row in several]
            )
            first = min(winner[2], several[0][2])
            self._db.execute("INSERT INTO winners VALUES (?, ?)", (winner[1], first))
        self._db.execute(
            "UPDATE events SET arrival = winners.arrival FROM winners"
            " WHERE winners.place = events.place"
        )
        self._db.execute("DROP TABLE temp.winners")
