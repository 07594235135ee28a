"""Links read ahead are those that asking for each arrival gives."""

import random
import sqlite3
from collections.abc import Iterator
from contextlib import closing

import pytest

from thence.index.causality import ENDS, Direction, Prefetch, cone, neighbours
from thence.index.rows import statements

LENGTH = 5_000


@pytest.fixture
def links() -> Iterator[sqlite3.Connection]:
    """Gives an index without events or causes."""
    with closing(sqlite3.connect(":memory:")) as connection:
        for script in ("schema.sql", "indexes.sql"):
            for statement in statements(script):
                connection.execute(statement)
        yield connection


def name(connection: sqlite3.Connection, pairs: list[tuple[int, int]]) -> None:
    """Notes causes by the numbers of child and parent."""
    rows = [(child, parent) for child, parent in pairs]
    connection.executemany("INSERT OR IGNORE INTO causes VALUES (?, ?)", rows)


def asked(connection: sqlite3.Connection) -> list[str]:
    """Returns the list to which each statement is added from now on."""
    told: list[str] = []
    connection.set_trace_callback(told.append)
    return told


@pytest.mark.parametrize("direction", list(ENDS))
def test_links_of_arrivals_near_and_far_are_those_asked_for_one_by_one(links, direction: Direction):
    seed = random.randrange(2**32)
    print(f"seed {seed}")
    chance = random.Random(seed)
    pairs = [(at, max(1, at - chance.randint(1, 3))) for at in range(2, 2_000)]
    pairs += [(chance.randint(1, 2_000), chance.randint(1, 2_000)) for _ in range(500)]
    pairs += [(at, 1_000) for at in range(1_100, 1_400)]  # an event of many effects
    pairs += [(1_500, at) for at in range(1_000, 1_300)]  # and one of many causes
    name(links, pairs)
    prefetch = Prefetch(links, direction)
    at = 1 if direction == "downstream" else 2_000
    for _ in range(3_000):
        arrivals = sorted({max(at + chance.randint(-2, 2), 1) for _ in range(3)})
        assert set(prefetch.neighbours(arrivals)) == neighbours(links, arrivals, direction)
        at += 1 if direction == "downstream" else -1
        if not 0 < at < 2_000 or chance.random() < 0.05:
            at = chance.randint(1, 2_000)


@pytest.mark.parametrize(("direction", "start"), [("upstream", LENGTH), ("downstream", 1)])
def test_long_line_of_causes_takes_few_questions(links, direction: Direction, start: int):
    name(links, [(at, at - 1) for at in range(2, LENGTH + 1)])
    told = asked(links)
    found, is_cut = cone(links, start, direction, None, LENGTH)
    assert (len(found), max(found.values()), is_cut) == (LENGTH - 1, LENGTH - 1, False)
    assert len(told) < 20


def test_line_that_leaps_is_read_little_ahead(links):
    leap = 1_000  # over events that nobody asks for
    stays = [(at, at - 1) for at in range(2, 20 * leap) if at % leap]
    name(links, stays + [(at * leap, at * leap - leap) for at in range(2, 20)])
    told = asked(links)
    found, _ = cone(links, 19 * leap, "upstream", 18, LENGTH)
    assert [*found] == [at * leap for at in range(18, 0, -1)]
    widths = [
        int(last) - int(first) + 1
        for first, last in (text.split(" BETWEEN ")[1].split()[:3:2] for text in told)
    ]
    assert len(widths) == 18
    assert max(widths) <= 4
