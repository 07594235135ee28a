"""Places: numbers of events in the total order, with room between them for late events.

Where the room is used up all places are assigned anew.
"""

import sqlite3
from collections.abc import Iterator, Sequence
from importlib.resources import files

from thence.index.tables.count_tables import recount
from thence.index.tables.rows import Key

STRIDE = 1024
# the room left between lines without a clock and all others when places are assigned anew
_ROOM = 2**32 + 1

# the total order of rows of events, with the texts of `names`
ORDER = (
    "lamport, CASE lamport WHEN 0 THEN '' ELSE (SELECT text FROM names WHERE id = node) END,"
    " CASE lamport WHEN 0 THEN stamp ELSE event_id END, event_id"
)
_KEY = (
    "SELECT place, lamport,"
    " CASE lamport WHEN 0 THEN '' ELSE (SELECT text FROM names WHERE id = node) END,"
    " CASE lamport WHEN 0 THEN stamp ELSE event_id END,"
    " CASE lamport WHEN 0 THEN event_id ELSE '' END FROM events"
)


def last(connection: sqlite3.Connection) -> tuple[int, Key | None]:
    """Returns the last place with the key of its event; 0 and None if there is none."""
    row = connection.execute(f"{_KEY} ORDER BY place DESC LIMIT 1").fetchone()
    return (row[0], row[1:]) if row else (0, None)


def assign_places(connection: sqlite3.Connection, keys: Sequence[Key]) -> list[int] | None:
    """Returns places for new events, in the order of their sorted keys.

    None where there is no room between two neighbours: then call `renumber` and try again.
    """
    end, end_key = last(connection)
    places: list[int] = []
    at = 0
    while at < len(keys):
        if end_key is None or keys[at] > end_key:
            return places + [end + STRIDE * n for n in range(1, len(keys) - at + 1)]
        low, high, high_key = _neighbours(connection, keys[at], end, end_key)
        count = 1
        while at + count < len(keys) and keys[at + count] < high_key:
            count += 1
        step = min(STRIDE, (high - low) // (count + 1))
        if not step:
            return None
        places += [low + step * n for n in range(1, count + 1)]
        at += count
    return places


def _neighbours(
    connection: sqlite3.Connection, key: Key, high: int, high_key: Key
) -> tuple[int, int, Key]:
    """Returns the places before and behind a key, 0 before all, with the key of the one behind.

    The search halves the remaining places, used or not.
    """
    low, top = 0, high
    while top - low > 1:
        middle = (low + top) // 2
        between = {"first": middle, "end": top}
        probe = f"{_KEY} WHERE place >= :first AND place < :end ORDER BY place LIMIT 1"
        row = connection.execute(probe, between).fetchone()
        if row is None:
            top = middle
        elif row[1:] < key:
            low = row[0]
        else:
            high, high_key, top = row[0], row[1:], middle
    return low, high, high_key


def renumber(connection: sqlite3.Connection, newcomers: int) -> None:
    """Gives all events new places in their present order, with room between all of them.

    `newcomers` events fit between any two. The last place is STRIDE times the number of events
    if, and only if, all places are multiples of that stride: other places are odd. Where the
    log holds other tools' lines too, they get much room, since more of them will come.
    """
    stride = STRIDE if newcomers < STRIDE else 2 * newcomers + 2
    connection.execute("DROP TABLE IF EXISTS temp.moved")
    connection.execute(
        "CREATE TEMP TABLE moved (place INTEGER PRIMARY KEY, due INTEGER, is_served INTEGER)"
    )
    connection.execute(
        "INSERT INTO moved SELECT place, row_number() OVER (ORDER BY place) * :stride"
        " + CASE WHEN lamport > 0 AND EXISTS (SELECT 1 FROM events WHERE lamport = 0) THEN :room"
        " ELSE :odd END, 1 FROM events",
        {"stride": stride, "room": _ROOM, "odd": stride != STRIDE},
    )
    for (name,) in connection.execute(
        "SELECT name FROM sqlite_master WHERE type = 'index' AND sql IS NOT NULL"
    ).fetchall():
        connection.execute(f"DROP INDEX {name}")
    rewrite(connection)
    for statement in statements("indexes.sql"):
        connection.execute(statement)


def move(connection: sqlite3.Connection, old: int, new: int) -> None:
    """Gives one event another place."""
    both = {"old": old, "new": new}
    connection.execute("UPDATE events SET place = :new WHERE place = :old", both)
    connection.execute("UPDATE causes SET parent = :new WHERE parent = :old", both)
    connection.execute("UPDATE causes SET child = :new WHERE child = :old", both)
    connection.execute("UPDATE waiting SET child = :new WHERE child = :old", both)


def rewrite(connection: sqlite3.Connection) -> None:
    """Rewrites all tables by `moved`, the count tables too: each `place` becomes `due`.

    An event that is not served is removed, and its effects name the served one instead. The
    column indexes must not exist.
    """
    tables = ("events", "causes", "waiting")
    for table in tables:
        connection.execute(f"ALTER TABLE {table} RENAME TO old_{table}")
    for statement in statements("schema.sql"):
        if any(statement.lstrip().startswith(f"CREATE TABLE {table} ") for table in tables):
            connection.execute(statement)
    connection.execute(
        "INSERT INTO events SELECT due, row_number() OVER (ORDER BY arrival), event_id, node, seq,"
        " lamport, stamp, type, stream, subject, actor, turn, time, segment, offset, length"
        " FROM old_events JOIN moved USING (place) WHERE is_served ORDER BY due"
    )
    connection.execute(
        "INSERT OR IGNORE INTO causes SELECT one.due, other.due FROM old_causes"
        " JOIN moved one ON one.place = child AND one.is_served"
        " JOIN moved other ON other.place = parent ORDER BY 1, 2"
    )
    connection.execute(
        "INSERT OR IGNORE INTO waiting SELECT parent_id, due FROM old_waiting"
        " JOIN moved ON moved.place = child AND is_served"
    )
    for table in tables:
        connection.execute(f"DROP TABLE old_{table}")
    connection.execute("DROP TABLE temp.moved")
    recount(connection)


def statements(script: str, room: str = "thence.index.tables") -> Iterator[str]:
    """Yields the statements of a script that lies in a room, this one by default."""
    text = files(room).joinpath(script).read_text("utf-8")
    bare = "\n".join(line.partition("--")[0].rstrip() for line in text.splitlines())
    for statement in bare.split(";"):
        if statement.strip():
            yield statement.strip()
