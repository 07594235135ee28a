"""Walks through very many links, in ranges so narrow that they cross many of them."""

import random
import sqlite3
from collections.abc import Iterator
from contextlib import closing

import pytest

from thence.index.graph.shared_causes import ancestors_by_range, effects_by_range
from thence.index.tables.places import STRIDE, statements

EVENTS = 400
BITS = 13  # eight events that stand a stride apart


@pytest.fixture
def links() -> Iterator[sqlite3.Connection]:
    """Gives an index without events or causes."""
    with closing(sqlite3.connect(":memory:")) as connection:
        for script in ("schema.sql", "indexes.sql"):
            for statement in statements(script):
                connection.execute(statement)
        yield connection


def drawn(connection: sqlite3.Connection, chance: random.Random, reach: int) -> dict[int, set[int]]:
    """Draws causes for events, of those shortly before them, and returns them by place."""
    causes: dict[int, set[int]] = {}
    for number in range(1, EVENTS + 1):
        before = range(max(1, number - reach), number)
        named = chance.sample(before, min(len(before), chance.choice([0, 1, 1, 2, 5])))
        causes[number * STRIDE] = {cause * STRIDE for cause in named}
    rows = [(child, parent) for child, named in causes.items() for parent in named]
    connection.executemany("INSERT INTO causes VALUES (?, ?)", rows)
    return causes


def past(place: int, causes: dict[int, set[int]]) -> set[int]:
    """Returns what a place goes back to, itself included."""
    found, stack = {place}, [place]
    while stack:
        fresh = causes[stack.pop()] - found
        found |= fresh
        stack += fresh
    return found


@pytest.mark.parametrize("reach", [1, 3, 40, EVENTS])
def test_places_have_the_colours_of_all_that_goes_back_to_them(links, reach):
    seed = random.randrange(2**32)
    print(f"seed {seed}")
    chance = random.Random(seed)
    causes = drawn(links, chance, reach)
    for count in (1, 2, 3):
        places = chance.sample(list(causes), count)
        roots = [past(place, causes) for place in places]
        shared = set[int].intersection(*roots)
        surpassed = set().union(*(past(place, causes) - {place} for place in shared))
        due = {
            place: sum(1 << number for number, root in enumerate(roots) if place in root)
            | (1 << count if place in surpassed else 0)
            for place in set().union(*roots)
        }
        found: dict[int, int] = {}
        numbers: list[int] = []
        for colours, is_any_open in ancestors_by_range(links, places, BITS):
            (number,) = {place >> BITS for place in colours}
            numbers.append(number)
            found |= colours
            later = {place for place in due if place >> BITS < number}
            if not is_any_open:  # then all that is left was caused by what is shared
                assert later <= surpassed
        assert found == due
        assert numbers == sorted(set(numbers), reverse=True)


@pytest.mark.parametrize("reach", [1, 3, 40, EVENTS])
def test_effects_are_known_as_far_as_the_walk_has_come(links, reach):
    seed = random.randrange(2**32)
    print(f"seed {seed}")
    chance = random.Random(seed)
    causes = drawn(links, chance, reach)
    last = EVENTS * STRIDE
    for place in (STRIDE, chance.choice(list(causes)), last):
        due = {other for other in causes if place in past(other, causes)}
        at = place
        for begin, end, effects in effects_by_range(links, place, last, BITS):
            assert begin == at + 1
            assert effects == {other for other in due if other <= end}
            at = end
        assert at == last


def test_many_links_are_read_at_once_where_a_walk_needs_most_of_them(links):
    rows = [(at * STRIDE, (at - 1) * STRIDE) for at in range(2, EVENTS + 1)]
    links.executemany("INSERT INTO causes VALUES (?, ?)", rows)
    asked: list[str] = []
    links.set_trace_callback(asked.append)
    found = [
        place for colours, _ in ancestors_by_range(links, [EVENTS * STRIDE]) for place in colours
    ]
    assert len(found) == EVENTS
    assert len(asked) < 20
