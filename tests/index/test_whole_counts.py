"""Counts of a whole log: how many events have a turn, wherever they stand."""

import random
from collections.abc import Iterator
from functools import partial

import pytest
from tests.events import OTHER_NODE, drafted, new_id, stamped
from tests.index.asked import matching, read
from tests.index.logs import add, fits, index_of
from tests.index.test_count_tables import RANGE_EVENTS, steps

from thence.core.query.filter import Filter
from thence.index.plan.query import count, page
from thence.index.tables.count_tables import TURNS_TOGETHER

EVENTS = RANGE_EVENTS


def lines(turns: list[int | None], first: int = 0) -> Iterator[bytes]:
    """Yields lines of events with these turns, far enough apart for others to come between."""
    for at, turn in enumerate(turns, first):
        members = {} if turn is None else {"turn_number": turn}
        yield stamped(drafted(new_id(), "a", members), at + 1, 2 * at + 2)


def late(turn: int, at: int, event_id: str | None = None) -> bytes:
    item = drafted(event_id or new_id(), "late", {"turn_number": turn})
    return stamped(item, at + 1, 2 * at + 3, OTHER_NODE)


@pytest.mark.promise("Q2")
def test_totals_of_spans_of_turns_are_those_of_a_reading_however_wide_they_are(tmp_path):
    seed = random.randrange(2**32)
    print(f"seed {seed}")
    chance = random.Random(seed)
    ends = [0, 1, TURNS_TOGETHER - 1, TURNS_TOGETHER, 5 * TURNS_TOGETHER, 2**63 - 1]
    ends += [-end for end in ends]
    drawn = [chance.randrange(-3 * TURNS_TOGETHER, 9 * TURNS_TOGETHER) for _ in range(1_000)]
    folder = tmp_path / "log"
    add(folder, lines([*ends, *drawn, None, None]))
    with index_of(folder) as index:
        fits(index, folder)
        arrived = read(folder)
        bounds = [None, -(10**30), 10**30, *ends, *(chance.choice(drawn) for _ in range(5))]
        for first in bounds:
            for last in bounds:
                filter = Filter(turn_first=first, turn_last=last)
                assert count(index, filter) == len(matching(arrived, filter)), filter


@pytest.mark.promise("Q2")
def test_turns_of_late_moved_and_replaced_events_are_counted_as_in_an_index_made_anew(tmp_path):
    folder = tmp_path / "log"
    replaced = new_id()
    foreign = b'{"event_id":"%s","event_type":"a","turn_number":7,"timestamp":"2026-11-20"}\n'
    add(folder, [*lines([at // 3 for at in range(300)]), foreign % replaced.encode()])
    with index_of(folder) as index:
        fits(index, folder)
        add(folder, [late(TURNS_TOGETHER, at) for at in (5, 9)])  # comes late
        fits(index, folder)
        add(folder, [late(33, 200, replaced)])  # is served instead of the other tool's line
        fits(index, folder)
        add(folder, [late(2, 100) for _ in range(2_000)])  # there is no room: all are moved
        fits(index, folder)
        index.rebuild()
        fits(index, folder)


@pytest.mark.promise("Q7")
def test_total_of_scattered_turns_takes_no_more_steps_of_a_log_four_times_as_long(tmp_path):
    folder = tmp_path / "log"
    few, many = Filter(turn_first=1, turn_last=30), Filter(turn_first=5)
    taken = []
    with index_of(folder) as index:
        for first, end in ((0, EVENTS), (EVENTS, 4 * EVENTS)):
            add(folder, lines([at * 7_919 % 40 for at in range(first, end)], first))
            index.refresh()
            ways = (partial(count, index, few), partial(page, index, many, limit=100))
            taken.append([steps(index, way) for way in ways])
    for short, long in zip(*taken, strict=True):
        assert long - short < EVENTS // 8, taken


@pytest.mark.promise("Q7")
def test_total_of_a_turn_an_event_takes_steps_for_stretches_of_turns_not_for_each(tmp_path):
    folder = tmp_path / "log"
    turns = list(range(12 * TURNS_TOGETHER))
    seed = random.randrange(2**32)
    print(f"seed {seed}")
    random.Random(seed).shuffle(turns)
    add(folder, lines([*turns]))
    with index_of(folder) as index:
        wide = Filter(turn_first=TURNS_TOGETHER, turn_last=len(turns) - 1)
        assert count(index, wide) == len(turns) - TURNS_TOGETHER
        assert steps(index, partial(count, index, wide)) < 2 * TURNS_TOGETHER
