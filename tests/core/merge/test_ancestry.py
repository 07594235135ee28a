"""What events go back to is what `core.order` says, in one sweep for many."""

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.core.merge.histories import foreign, foreign_graphs, histories, on
from tests.core.merge.plainly import lacks_causes

from thence.core.merge.ancestry import history, seen
from thence.core.merge.conflicts import swept
from thence.core.order import causes_of, totally_ordered


def laid_out(events):
    """Lay a history out; return it with the events in its order."""
    ordered = totally_ordered(events)
    found = history([event.header for event in ordered], {})
    return found, [ordered[rank] for rank in found.ranks]


def check(events, chosen):
    """Hold what is found for some places to the plain truth."""
    found, placed = laid_out(events)
    known = {event.event_id: event for event in events}
    for place, mask in zip(chosen, seen(found, chosen), strict=True):
        causes = causes_of(placed[place], known)
        for number, other in enumerate(chosen):
            if other != place:
                assert bool(mask >> number & 1) == (placed[other].event_id in causes)
    for place, event in enumerate(placed):
        assert found.lacks_causes[place] == lacks_causes(event, events)


@pytest.mark.parametrize("drawn", [histories(), foreign_graphs()], ids=["own", "of others"])
@given(st.data())
def test_sweep_finds_what_each_chosen_event_goes_back_to(drawn, data):
    held = [event for event in data.draw(drawn) if data.draw(st.integers(0, 9))]
    places = st.lists(st.integers(0, len(held) - 1), unique=True) if held else st.just([])
    check(held, data.draw(places))


@given(foreign_graphs(has_circles=True))
def test_of_a_circle_the_cause_that_closes_it_is_left_out(events):
    found, placed = laid_out(events)
    assert sorted(found.ranks) == list(range(len(events)))
    ids = [event.event_id for event in placed]
    for place, (event, causes) in enumerate(zip(placed, found.causes, strict=True)):
        assert all(cause < place and ids[cause] in event.caused_by for cause in causes)
        left_out = set(event.caused_by) - {ids[cause] for cause in causes}
        known = {one.event_id: one for one in events}
        for cause in left_out - {event.event_id}:
            assert event.event_id in causes_of(known[cause], known)


def test_long_chain_in_the_wrong_order_is_laid_out_without_recursion():
    ids = [f"{number:026d}" for number in range(3_000)]
    events = [foreign(one, [other]) for one, other in pairwise(ids)]
    found, placed = laid_out(events)
    assert [event.event_id for event in placed] == ids[-2::-1]
    assert seen(found, [0, len(events) - 1]) == [0, 1]


def test_who_has_seen_a_twin_has_seen_what_it_is_a_twin_of():
    first, second = on("s", clock=1), on("s", clock=2, node="b")
    last = on("s", clock=3, causes=[second])
    headers = [event.header for event in (first, second, last)]
    assert seen(history(headers, {}), [0, 2]) == [0, 0]
    assert seen(history(headers, {second.event_id: (first.event_id,)}), [0, 2]) == [0, 1]


def test_subjects_beyond_one_sweep_are_taken_in_several(monkeypatch):
    events = [on(subject, clock=n) for n, subject in enumerate("aabbbcc", 1)]
    subjects = [event.subject for event in events]
    whole = dict(swept(events, subjects, {"a", "b", "c"}, (), {}))
    monkeypatch.setattr("thence.core.merge.conflicts.CHOSEN_MAX", 4)
    parts = dict(swept(events, subjects, {"a", "b", "c"}, (), {}))
    assert parts == whole
    assert [len(each.events) for each in parts.values()] == [2, 3, 2]
