"""What was written on a subject, and who goes back to whom, is what `core.order` says."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.core.merge.histories import foreign_graphs, histories, on

from thence.core.merge import swept
from thence.core.order import behind_causes, causes_of, totally_ordered


def written(events, beside=None):
    """Sweep over all subjects; return what was written on each."""
    ordered = totally_ordered(events)
    subjects = [event.subject for event in ordered]
    return dict(swept(ordered, subjects, {*subjects} - {None}, (), beside or {}))


@pytest.mark.parametrize("drawn", [histories(), foreign_graphs()], ids=["own", "of others"])
@given(st.data())
def test_sweep_finds_what_each_event_goes_back_to(drawn, data):
    held = [event for event in data.draw(drawn) if data.draw(st.integers(0, 9))]
    known = {event.event_id: event for event in held}
    for of_one in written(held).values():
        pasts = [causes_of(event, known) for event in of_one.events]
        for number, past in enumerate(pasts):
            for other, event in enumerate(of_one.events):
                is_cause = event.event_id in past
                assert bool(of_one.seen[number] >> other & 1) == is_cause
                is_behind = of_one.events[number].event_id in pasts[other]
                expected = number != other and not is_cause and not is_behind
                assert of_one.is_beside(number, other) == expected


@given(foreign_graphs(has_circles=True))
def test_of_a_circle_the_cause_that_closes_it_is_left_out(events):
    ordered = totally_ordered(events)
    placed, causes = behind_causes([(event, event.caused_by) for event in ordered])
    assert totally_ordered(placed) == ordered
    ids = [event.event_id for event in placed]
    known = {event.event_id: event for event in events}
    for place, (event, kept) in enumerate(zip(placed, causes, strict=True)):
        assert all(cause < place and ids[cause] in event.caused_by for cause in kept)
        for cause in set(event.caused_by) - {ids[cause] for cause in kept} - {event.event_id}:
            assert event.event_id in causes_of(known[cause], known)


def test_who_has_seen_a_twin_has_seen_what_it_is_a_twin_of():
    first, second = on("s", clock=1), on("t", clock=2, node="b")
    last = on("s", clock=3, causes=[second])
    events = [first, second, last]
    assert written(events)["s"].seen == [0, 0]
    assert written(events, {second.event_id: (first.event_id,)})["s"].seen == [0, 1]


def test_subjects_beyond_one_sweep_are_taken_in_several(monkeypatch):
    events = [on(subject, clock=n) for n, subject in enumerate("aabbbcc", 1)]
    whole = written(events)
    monkeypatch.setattr("thence.core.merge.SWEPT_MAX", 4)
    assert written(events) == whole
    assert [len(each.events) for each in whole.values()] == [2, 3, 2]
