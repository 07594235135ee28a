"""The places between two events: in order, apart, and as many as there is room for."""

from pathlib import Path

import pytest
from tests.events import NODE, line_of
from tests.index.logs import add, index_of

from thence.index.tables.places import STRIDE, assign_places


@pytest.mark.parametrize("count", [1, 2, 511, 512, STRIDE - 1])
def test_late_events_get_places_of_their_own_between_their_neighbours(tmp_path, count: int) -> None:
    folder: Path = tmp_path / "log"
    add(folder, [line_of(lamport_clock=1), line_of(seq=2, lamport_clock=9_000)])
    late = [(clock, NODE, "late", "") for clock in range(2, 2 + count)]
    with index_of(folder) as index:
        index.refresh()
        with index.reading() as connection:
            places = assign_places(connection, late)
    assert places is not None
    assert places == sorted(set(places))
    assert places[0] > STRIDE
    assert places[-1] < 2 * STRIDE


def test_no_more_late_events_are_taken_in_than_there_is_room_for(tmp_path) -> None:
    folder: Path = tmp_path / "log"
    add(folder, [line_of(lamport_clock=1), line_of(seq=2, lamport_clock=9_000)])
    late = [(clock, NODE, "late", "") for clock in range(2, 2 + STRIDE)]
    with index_of(folder) as index:
        index.refresh()
        with index.reading() as connection:
            assert assign_places(connection, late) is None
