"""Logs for the index's tests: written line by line, and what an index of them must say."""

import sqlite3
from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest

from thence.core.event import Event
from thence.core.failures import is_failure
from thence.core.order import totally_ordered
from thence.core.vocabulary import PLAIN, Vocabulary
from thence.log.files.disk import OS_DISK
from thence.log.files.segment import CURRENT
from thence.log.index import zones
from thence.log.index.connection import Index
from thence.log.index.rows import TOTAL_ORDER
from thence.log.read import reader


def index_of(folder: Path, vocabulary: Vocabulary = PLAIN, cache: Path | None = None) -> Index:
    return Index(OS_DISK, folder, vocabulary, cache)


@contextmanager
def new_index(bits: int = zones.ZONE_BITS) -> Iterator[tuple[Path, Index]]:
    """Opens the index of a log to be, in a folder of its own; its zones are of so many bits."""
    with TemporaryDirectory() as name, pytest.MonkeyPatch.context() as patch:
        patch.setattr(zones, "ZONE_BITS", bits)
        with index_of(Path(name)) as index:
            yield Path(name), index


def generation(index: Index) -> int:
    """Returns the number of an index that is another after each rebuild."""
    sql = "SELECT value FROM meta WHERE key = 'generation'"
    number: int = index.answer(lambda connection: connection.execute(sql).fetchone())[0]
    return number


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

        extents = rows(
            f"SELECT segment, offset, length, event_id FROM events ORDER BY {TOTAL_ORDER}"
        )
        arrivals = [arrival for (arrival,) in rows("SELECT arrival FROM events ORDER BY arrival")]
        assert arrivals == list(range(1, len(arrivals) + 1))
        assert rows("SELECT value FROM meta WHERE key = 'events'") == [(len(arrivals),)]
        counted(connection)
        return {
            "lines": [event.line for event in index.fetch(connection, extents)],
            "arrivals": [row[0] for row in rows("SELECT event_id FROM events ORDER BY arrival")],
            "causes": set(
                rows(
                    "SELECT child.event_id, parent.event_id FROM causes"
                    " JOIN events child ON child.arrival = causes.child"
                    " JOIN events parent ON parent.arrival = causes.parent"
                )
            ),
            "cause rows": rows("SELECT count(*) FROM causes")[0][0],
            "waiting": set(
                rows(
                    "SELECT event_id, id FROM waiting JOIN events ON arrival = child"
                    " WHERE kind = 'cause'"
                )
            ),
            "rows": rows(
                "SELECT event_id, node, seq, lamport, stamp, type, stream, subject, actor,"
                " (SELECT name FROM lane_names WHERE number = lane), turn, time, failed, model,"
                " tokens_in, tokens_out, cost"
                " FROM events LEFT JOIN usage USING (arrival)"
                f" ORDER BY {TOTAL_ORDER}"
            ),
            "types and actors": {
                (type_, actor): count
                for type_, actor, count in rows(
                    "SELECT type, actor, sum(events) FROM counts WHERE events GROUP BY type, actor"
                )
            },
            "steps": set(
                rows(
                    "SELECT one.event_id, other.event_id FROM steps"
                    " JOIN events one ON one.arrival = begin"
                    " LEFT JOIN events other ON other.arrival = end"
                )
            ),
            "failed": {row[0] for row in rows("SELECT event_id FROM events WHERE failed")},
            "bad": rows("SELECT coalesce(sum(bad_lines), 0) FROM segments")[0][0],
        }

    return index.answer(ask)


def counted(connection: sqlite3.Connection) -> None:
    """Asserts that the zones hold what their events, each looked at, have."""
    columns = "arrival, node, lamport, seq, time, turn, type, failed"
    rows = connection.execute(f"SELECT {columns} FROM events").fetchall()
    found: dict[tuple[int, str], list[tuple[int, ...]]] = {}
    types: Counter[tuple[int, str]] = Counter()
    failures: Counter[tuple[int, str]] = Counter()
    for arrival, node, *values, type_, failed in rows:
        number = (arrival - 1) >> zones.ZONE_BITS
        found.setdefault((number, node), []).append(tuple(values))
        types[number, type_] += 1
        failures[number, type_] += failed
    counts = connection.execute("SELECT number, type, events, failures FROM zone_types").fetchall()
    assert {row[:2]: row[2] for row in counts} == types
    assert {row[:2]: row[3] for row in counts} == failures
    bounds = connection.execute("SELECT * FROM zones").fetchall()
    assert {row[:2]: row[2:] for row in bounds} == {
        key: tuple(
            value
            for at in range(4)
            for present in [[event[at] for event in events if event[at] is not None]]
            for value in (min(present, default=None), max(present, default=None), len(present))
        )
        for key, events in found.items()
    }


def due(folder: Path, vocabulary: Vocabulary = PLAIN) -> dict[str, Any]:
    """Returns what an index of a log has to say, by a plain reading of it."""
    events = read(folder, vocabulary)
    ids = {event.event_id for event in events}
    pairs = {(event.event_id, cause) for event in events for cause in event.caused_by}
    causes = {pair for pair in pairs if pair[1] in ids}
    lines = [line for line in reader.lines(OS_DISK, folder, vocabulary) if line.is_whole]
    ended: dict[str, str] = {}
    for event in totally_ordered(events):
        if event.ends is not None:
            ended.setdefault(event.ends, event.event_id)
    return {
        "lines": [event.line for event in totally_ordered(events)],
        "arrivals": [event.event_id for event in events],
        "causes": causes,
        "cause rows": len(causes),
        "waiting": pairs - causes,
        "types and actors": Counter((event.event_type, event.actor or "") for event in events),
        "steps": {(one.event_id, ended.get(one.event_id)) for one in events if one.begins},
        "failed": {event.event_id for event in events if is_failure(event)},
        "bad": sum(not isinstance(line.content, Event) for line in lines),
    }


def fits(index: Index, folder: Path, vocabulary: Vocabulary = PLAIN) -> None:
    """Asserts that an index says what a plain reading of the log says."""
    found, expected = told(index), due(folder, vocabulary)
    assert found["lines"] == expected["lines"]
    assert {key: found[key] for key in expected} == expected
