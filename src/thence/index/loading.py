"""An index made from nothing: rows loaded in arrival order, all else behind that, in bulk.

Memory stays bounded: causes are found among the events read last, the others by a join.
Where events came out of order, or an id has several lines, the tables are written once more.
"""

import sqlite3
from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import closing
from itertools import groupby
from operator import itemgetter, lt
from pathlib import Path

from thence.core.entry import Entry
from thence.core.vocabulary import Vocabulary
from thence.index.intake import Intake
from thence.index.known import present
from thence.index.lines import Lines
from thence.index.places import ORDER, STRIDE, rewrite, statements
from thence.index.rows import Key, Names, Taken, Times, keys_of, rows_of
from thence.log.disk import Disk
from thence.log.reader import rank

RECENT_EVENTS = 32_768

Pairs = list[tuple[int, int]]


def load(
    disk: Disk,
    folder: Path,
    vocabulary: Vocabulary,
    connection: sqlite3.Connection,
    beat: Callable[[], None],
) -> None:
    """Fills an empty database with what the segments of a log hold; `beat` tells that it goes on.

    Raises Stale when a segment was renamed meanwhile: then begin again.
    """
    for statement in statements("schema.sql"):
        connection.execute(statement)
    connection.execute("INSERT INTO names VALUES (0, '')")
    loading = _Loading(connection)
    for segment in present(disk, folder):
        with closing(Intake(disk, folder, segment, None, connection)) as intake:
            for found in intake.taken(vocabulary):
                loading.add(found, intake.id)
                intake.note_damage(connection, found.bad)
                beat()
            intake.note(connection, ())
    with closing(Lines(disk, folder, connection)) as lines:
        loading.settle(lines, vocabulary)


class _Loading:
    """The tables while they are filled, and what is known of the events read last."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._db = connection
        self._names = Names(connection)
        self._times = Times()
        self._tallies: Counter[tuple[int | None, int | None]] = Counter()
        self._count = 0
        self._recent: dict[str, int] = {}
        self._before: dict[str, int] = {}
        self._last: Key = (-1, "", "", "")
        self._is_sorted = True
        connection.execute("CREATE TEMP TABLE unfound (parent_id TEXT, child INTEGER)")

    def add(self, found: Taken, segment: int) -> None:
        """Adds the rows of a block, behind those that are there."""
        those = found.entries
        if not those:
            return
        self._look_at_order(those)
        first = self._count + 1
        self._count += len(those)
        arrivals = range(first, self._count + 1)
        places = range(first * STRIDE, self._count * STRIDE + 1, STRIDE)
        types = [self._names[entry.event_type] for entry in those]
        actors = [self._names[entry.actor] for entry in those]
        self._tallies.update(zip(types, actors, strict=True))
        rows = rows_of(found, segment, self._names, self._times)
        self._db.executemany(
            f"INSERT INTO events VALUES ({', '.join('?' * 16)})",
            [(place, at, *row) for place, at, row in zip(places, arrivals, rows, strict=False)],
        )
        self._link(those, places)

    def _look_at_order(self, those: Sequence[Entry]) -> None:
        if not self._is_sorted:
            return
        clocks = [self._last[0], *[entry.lamport_clock for entry in those]]
        if all(map(lt, clocks, clocks[1:])):
            self._last = keys_of(those[-1:])[0]
            return
        keys = [self._last, *keys_of(those)]
        self._is_sorted = all(map(lt, keys, keys[1:]))
        self._last = keys[-1]

    def _link(self, those: Sequence[Entry], places: Sequence[int]) -> None:
        """Notes who names whom; whom the events read last don't hold is looked for later."""
        recent, before = self._recent, self._before
        found: Pairs = []
        unfound: list[tuple[str, int]] = []
        for entry, place in zip(those, places, strict=True):
            recent[entry.event_id] = place
            for cause in entry.caused_by:
                parent = recent.get(cause) or before.get(cause)
                if parent:
                    found.append((place, parent))
                else:
                    unfound.append((cause, place))
        self._db.executemany("INSERT OR IGNORE INTO causes VALUES (?, ?)", found)
        if unfound:
            self._db.executemany("INSERT INTO unfound VALUES (?, ?)", unfound)
        if len(recent) >= RECENT_EVENTS:
            self._recent, self._before = {}, recent

    def settle(self, lines: Lines, vocabulary: Vocabulary) -> None:
        """Makes order, unique ids, causes and indexes of what was loaded."""
        self._db.execute("INSERT OR IGNORE INTO waiting SELECT parent_id, child FROM unfound")
        self._db.execute("DROP TABLE temp.unfound")
        if not self._is_unique() or not self._is_sorted:
            self._db.execute("CREATE INDEX IF NOT EXISTS event_ids ON events (event_id)")
            self._sort_out(lines, vocabulary)
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
        self._db.executemany(
            "INSERT INTO tallies VALUES (?, ?, ?)"
            " ON CONFLICT DO UPDATE SET events = events + excluded.events",
            [(type, actor or 0, count) for (type, actor), count in self._tallies.items() if count],
        )

    def _is_unique(self) -> bool:
        """Makes the index of ids, unless one has several lines."""
        try:
            self._db.execute("CREATE UNIQUE INDEX event_ids ON events (event_id)")
        except sqlite3.IntegrityError:
            return False
        return True

    def _sort_out(self, lines: Lines, vocabulary: Vocabulary) -> None:
        """Writes the tables anew in total order, each id with the line that is served."""
        self._db.execute("CREATE TEMP TABLE losers (place INTEGER PRIMARY KEY, winner INTEGER)")
        self._judge(lines, vocabulary)
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

    def _judge(self, lines: Lines, vocabulary: Vocabulary) -> None:
        """Finds which of the lines of one id is served; it takes the arrival of the first."""
        self._db.execute("CREATE TEMP TABLE winners (place INTEGER PRIMARY KEY, arrival INTEGER)")
        repeated = self._db.execute(
            "SELECT event_id, place, arrival, type, actor, segment, offset, length FROM events"
            " WHERE event_id IN"
            " (SELECT event_id FROM events GROUP BY event_id HAVING count(*) > 1)"
            " ORDER BY event_id, arrival"
        )
        for _, rows in groupby(repeated, key=itemgetter(0)):
            several = list(rows)
            ranks = [
                rank(event) for event in lines.events((row[5:] for row in several), vocabulary)
            ]
            winner = several.pop(ranks.index(min(ranks)))
            self._tallies.subtract((row[3], row[4]) for row in several)
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
