"""Logs for the index's tests: written line by line, and what an index of them must say."""

import os
import sqlite3
import traceback
from collections import Counter
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from thence.core.event import Event
from thence.core.order import totally_ordered
from thence.core.values.vocabulary import PLAIN, Vocabulary
from thence.index.file.database import Index
from thence.index.tables.count_tables import RANGE_BITS, TURNS_TOGETHER
from thence.index.tables.places import STRIDE
from thence.index.tables.rows import INTEGER_MAX
from thence.log.read import reader
from thence.log.storage.disk import OS_DISK
from thence.log.storage.segment import CURRENT


def index_of(folder: Path, vocabulary: Vocabulary = PLAIN, cache: Path | None = None) -> Index:
    return Index(OS_DISK, folder, vocabulary, cache)


def add(folder: Path, lines: Iterable[bytes]) -> None:
    """Appends bytes as they are to the current segment."""
    folder.mkdir(exist_ok=True)
    with (folder / CURRENT).open("ab") as segment:
        segment.write(b"".join(lines))


def rotate(folder: Path, number: int) -> None:
    """Makes the current segment an older one."""
    if (folder / CURRENT).exists():
        (folder / CURRENT).rename(folder / f"events_2026-11-20_07-13-00-{number:06}.jsonl")


def read(folder: Path, vocabulary: Vocabulary = PLAIN) -> list[Event]:
    return list(reader.events(OS_DISK, folder, vocabulary))


def told(index: Index) -> dict[str, Any]:
    """Returns all that an index says of its log, in words that do not depend on its numbers."""

    def ask(connection: Any) -> dict[str, Any]:
        def rows(sql: str) -> list[Any]:
            return connection.execute(sql).fetchall()

        extents = rows("SELECT segment, offset, length, event_id FROM events ORDER BY place")
        places = [place for (place,) in rows("SELECT place FROM events ORDER BY place")]
        assert places == sorted(set(places))
        assert all(place > 0 for place in places)
        assert [at for (at,) in rows("SELECT arrival FROM events ORDER BY arrival")] == list(
            range(1, len(places) + 1)
        )
        assert rows("SELECT value FROM meta WHERE key = 'events'") == [(len(places),)]
        counted(connection)
        is_dense = places == [STRIDE * (n + 1) for n in range(len(places))]
        assert not places or (places[-1] == STRIDE * len(places)) == is_dense
        return {
            "lines": [event.line for event in index.fetch(connection, extents)],
            "arrivals": [row[0] for row in rows("SELECT event_id FROM events ORDER BY arrival")],
            "causes": set(
                rows(
                    "SELECT child.event_id, parent.event_id FROM causes"
                    " JOIN events child ON child.place = causes.child"
                    " JOIN events parent ON parent.place = causes.parent"
                )
            ),
            "cause rows": rows("SELECT count(*) FROM causes")[0][0],
            "waiting": set(
                rows("SELECT event_id, parent_id FROM waiting JOIN events ON events.place = child")
            ),
            "rows": rows(
                "SELECT event_id, (SELECT text FROM names WHERE id = node), seq, lamport, stamp,"
                " (SELECT text FROM names WHERE id = type),"
                " (SELECT text FROM names WHERE id = stream),"
                " (SELECT text FROM names WHERE id = subject),"
                " (SELECT text FROM names WHERE id = actor), turn, time FROM events ORDER BY place"
            ),
            "types and actors": {
                (type_, actor): count
                for type_, actor, count in rows(
                    "SELECT one.text, other.text, events FROM counts_by_type_and_actor"
                    " JOIN names one ON one.id = type JOIN names other ON other.id = actor"
                    " WHERE events"
                )
            },
            "subjects": dict(
                rows(
                    "SELECT text, events FROM counts_by_subject JOIN names ON id = subject"
                    " WHERE events"
                )
            ),
            "turns": {row[:2]: row[2] for row in rows("SELECT * FROM counts_by_turn WHERE events")},
            "bad": rows("SELECT coalesce(sum(bad_lines), 0) FROM segments")[0][0],
        }

    return index.answer(ask)


def counted(connection: sqlite3.Connection) -> None:
    """Asserts that the counts by range are those of the events, each looked at."""
    rows = connection.execute(
        "SELECT place, turn, time, type, stream, actor FROM events"
    ).fetchall()
    events: Counter[int] = Counter(row[0] >> RANGE_BITS for row in rows)
    names: Counter[tuple[int, int, int]] = Counter()
    for place, _, _, *named in rows:
        keys = [(place >> RANGE_BITS, kind, name) for kind, name in enumerate(named)]
        names.update(key for key in keys if key[2] is not None)
    for at, column in ((1, "turn"), (2, "time")):
        found = connection.execute(
            f"SELECT number, events, {column}s, {column}_first, {column}_last FROM counts_by_range"
        ).fetchall()
        assert {row[0]: row[1] for row in found if row[1]} == events
        for number, _, count, first, last in found:
            there = [r[at] for r in rows if r[0] >> RANGE_BITS == number and r[at] is not None]
            assert count == len(there)
            assert all(first <= value <= last for value in there)
    found = connection.execute("SELECT * FROM counts_by_name WHERE events").fetchall()
    assert {row[:3]: row[3] for row in found} == names
    pairs = Counter(
        (row[0] >> RANGE_BITS, kind, row[one], row[other])
        for row in rows
        for kind, (one, other) in enumerate([(3, 5), (3, 4), (4, 5)])
        if row[one] is not None and row[other] is not None
    )
    found = connection.execute("SELECT * FROM counts_by_pair WHERE events").fetchall()
    assert {row[:4]: row[4] for row in found} == pairs


def due(folder: Path, vocabulary: Vocabulary = PLAIN) -> dict[str, Any]:
    """Returns what an index of a log has to say, by a plain reading of it."""
    events = read(folder, vocabulary)
    ids = {event.event_id for event in events}
    turns = [bounded(event.turn_number) for event in events if event.turn_number is not None]
    pairs = {(event.event_id, cause) for event in events for cause in event.caused_by}
    causes = {pair for pair in pairs if pair[1] in ids}
    lines = [line for line in reader.lines(OS_DISK, folder, vocabulary) if line.is_whole]
    return {
        "lines": [event.line for event in totally_ordered(events)],
        "arrivals": [event.event_id for event in events],
        "causes": causes,
        "cause rows": len(causes),
        "waiting": pairs - causes,
        "types and actors": Counter((event.event_type, event.actor or "") for event in events),
        "subjects": Counter(event.subject for event in events if event.subject is not None),
        "turns": Counter(
            (together, turn // together * together)
            for turn in turns
            for together in (1, TURNS_TOGETHER)
        ),
        "bad": sum(not isinstance(line.content, Event) for line in lines),
    }


def bounded(number: int) -> int:
    """Returns a number as an index holds it."""
    return max(-INTEGER_MAX, min(number, INTEGER_MAX))


def in_child(work: Callable[[], object]) -> None:
    """Does something in a forked child, which must come to its end."""
    child = os.fork()
    if not child:
        code = 1
        try:
            work()
            code = 0
        except BaseException:
            traceback.print_exc()
        finally:
            os._exit(code)
    assert os.waitpid(child, 0)[1] == 0


def fits(index: Index, folder: Path, vocabulary: Vocabulary = PLAIN) -> None:
    """Asserts that an index says what a plain reading of the log says."""
    found, expected = told(index), due(folder, vocabulary)
    assert found["lines"] == expected["lines"]
    assert {key: found[key] for key in expected} == expected
