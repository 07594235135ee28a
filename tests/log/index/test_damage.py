"""Whatever stands in the rows of an index, a question is answered: it is a cache of the log."""

import os
import random
import sqlite3
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import pytest
from tests.events import drafted, new_id, stamped
from tests.log.index.logs import add, index_of

from thence.core.query.filter import Filter
from thence.core.vocabulary import PLAIN
from thence.errors import EventNotFound
from thence.log.index import arrivals, causality, lookup, overview
from thence.log.index.connection import Index
from thence.log.index.query import count, page

EVENTS = 300
FLIPS = 40
SEEDS = (700_015, 700_036, 700_037)
HARMS = {
    "an offset is a text": "UPDATE events SET offset = 'x'",
    "an offset is negative": "UPDATE events SET offset = -9",
    "a length is beyond all memory": "UPDATE events SET length = 1 << 62",
    "a segment is unknown": "UPDATE events SET segment = 9",
    "an id is no UTF-8": "UPDATE events SET event_id = CAST(x'ff' || event_id AS TEXT)",
    "names are no UTF-8": "UPDATE OR IGNORE counts SET type = CAST(x'ff' AS TEXT)",
    "a clock is a text": "UPDATE events SET lamport = 'x'",
    "the count of events is a text": "UPDATE meta SET value = 'x' WHERE key = 'events'",
    "the count of events is gone": "DELETE FROM meta WHERE key = 'events'",
    "a segment's name is a blob": "UPDATE segments SET name = x'00'",
    "a segment's end is a text": "UPDATE segments SET read_bytes = 'x'",
    "a segment's end is another": "UPDATE segments SET last_bytes = x'00', changed_ns = 0",
    "a cause is a text": "UPDATE OR IGNORE causes SET parent = 'x'",
}
# these are errors to whoever reads the rows; the others may hide events
RAISING = [*HARMS][:5]
Question = Callable[[Index, str], object]
QUESTIONS: dict[str, Question] = {
    "count": lambda index, _: count(index, Filter()),
    "types": lambda index, _: count(index, Filter(types=("a",))),
    "page": lambda index, _: page(index, Filter(), limit=50).events,
    "lookup": lambda index, event_id: lookup.get(index, event_id),
    "prefix": lambda index, event_id: lookup.find(index, event_id[:20]),
    "cone": lambda index, event_id: causality.why(index, event_id, PLAIN),
    "position": lambda index, _: arrivals.position(index, frozenset),
    "arrivals": lambda index, _: next(arrivals.behind(index, None, lambda: None)),
    "steps": lambda index, _: overview.latest_steps(index, Filter(), 5),
    "end": lambda index, _: overview.log_end(index),
}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A log whose index has rows in every table that a question reads."""
    ids = [new_id() for _ in range(EVENTS)]
    types, actors = ("a", "b.failed", "c"), ("ada", "ben", "Zoë")
    add(
        tmp_path / "log",
        (
            stamped(
                drafted(
                    event_id,
                    types[at % 3],
                    {"actor": actors[at % 2], "subject": f"order/{at % 5}"},
                    ids[max(0, at - 2) : at],
                ),
                at + 1,
                at + 1,
            )
            for at, event_id in enumerate(ids)
        ),
    )
    return tmp_path / "log"


def named(folder: Path) -> str:
    """Returns the id of the log's last event."""
    with index_of(folder) as index:
        return page(index, Filter(), limit=1, descending=True).events[0].event_id


@pytest.mark.parametrize("harm", HARMS)
def test_an_error_while_a_row_is_read_rebuilds_the_index_once(folder: Path, harm: str) -> None:
    event_id = named(folder)
    path = folder / ".thence" / "index.db"
    for question in QUESTIONS.values():
        with index_of(folder) as index:
            index.rebuild()
            expected = question(index, event_id)
        database = sqlite3.connect(path, isolation_level=None)
        database.execute(HARMS[harm])
        database.close()
        with index_of(folder) as index:
            with suppress(EventNotFound):  # a text is an id like others
                answer = question(index, event_id)
                assert harm not in RAISING or answer == expected
            index.rebuild()
            assert question(index, event_id) == expected


@pytest.mark.parametrize("seed", SEEDS)
def test_a_flipped_bit_raises_nothing(folder: Path, seed: int) -> None:
    """It may hide events: nothing in the file tells of it where the time stays."""
    chance = random.Random(seed)
    event_id = named(folder)
    path = folder / ".thence" / "index.db"
    with index_of(folder) as index:
        index.refresh()
    sound, was = path.read_bytes(), path.stat()
    for _ in range(FLIPS):
        at, bit = chance.randrange(len(sound)), 1 << chance.randrange(8)
        path.write_bytes(sound[:at] + bytes([sound[at] ^ bit]) + sound[at + 1 :])
        os.utime(path, ns=(was.st_atime_ns, was.st_mtime_ns))
        with index_of(folder) as index:
            for question in QUESTIONS.values():
                try:
                    question(index, event_id)
                except EventNotFound:  # its id is the one that was flipped
                    continue
                except Exception as error:
                    raise AssertionError(f"seed {seed}, byte {at}, bit {bit}") from error
