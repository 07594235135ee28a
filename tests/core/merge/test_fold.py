"""One set of events counts in one way, however they come in."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.core.merge.histories import foreign, histories, on

from thence.core.merge import counting, merge_counter, merge_gset
from thence.core.order import totally_ordered


def in_order(events):
    """Return the events that count, in total order."""
    return counting(totally_ordered(events))[0]


@pytest.mark.promise("L11")
@given(histories(), st.randoms(use_true_random=False), st.integers(0, 14))
def test_order_partition_and_doubling_do_not_change_the_state(events, chance, cut):
    expected = in_order(events)
    assert expected == totally_ordered(events)
    parts = [events[:cut], events[max(0, cut - 3) :], events[::2]]
    for part in parts:
        chance.shuffle(part)
    chance.shuffle(parts)
    assert in_order(event for part in parts for event in part) == expected


@pytest.mark.promise("L11")
def test_of_events_from_one_place_the_first_in_total_order_counts():
    place = {"source": "kitty", "source_id": "7"}
    ours = on("s", {"n": 2}, clock=2, source="kitty", source_id="7")
    theirs = on("s", {"n": 1}, clock=1, node="b", source="kitty", source_id="7")
    other = on("s", {"n": 3}, clock=3, source="kitty", source_id="8")
    elsewhere = on("s", {"n": 4}, clock=4, source="other", source_id="7")
    half = [on("s", clock=5, source="kitty"), on("s", clock=6, source="kitty")]
    old = foreign("0" * 26, **place)
    everything = [ours, other, theirs, elsewhere, *half]
    assert in_order(everything) == [theirs, other, elsewhere, *half]
    assert in_order([*everything, old]) == [old, other, elsewhere, *half]
    kept, twins = counting(totally_ordered([ours, theirs]))
    assert (kept, twins) == ([theirs], {ours.event_id: theirs.event_id})


VALUES = [["x", "y"], ["y"], "z", [], None, [1, None, ["nested"], {"map": 1}], 7, {"map": 1}]


@pytest.mark.promise("L5")
@given(histories(), st.randoms(use_true_random=False))
def test_tags_and_counts_are_the_same_in_any_order_each_event_once(events, chance):
    tags = {tag for event in events for tag in event.payload.get("tags", ())}
    count = sum(event.payload.get("delta", 0) for event in events)
    doubled = [*events, *events[:5]]
    chance.shuffle(doubled)
    assert merge_gset(doubled) == tags
    assert merge_counter(doubled) == count


@pytest.mark.promise("P3")
def test_set_is_the_union_of_lists_and_single_values():
    events = [on("s", {"tags": value}) for value in VALUES]
    assert merge_gset(events) == {"x", "y", "z", 1, 7}
    assert merge_gset([on("s", {"labels": ["a"]}), *events], key="labels") == {"a"}
    assert merge_gset([]) == set()


@pytest.mark.promise("P3")
def test_counter_adds_whole_numbers_alone():
    events = [on("s", {"delta": value}) for value in (3, -1, True, 1.5, "9", None)]
    assert merge_counter([*events, on("s", {"by": 4})]) == 2
    assert merge_counter([on("s", {"by": 4}), *events], key="by") == 4
    assert merge_counter([]) == 0


def test_import_of_one_place_counts_once():
    events = [on("s", {"delta": 5}, clock=clock, source="kitty", source_id="7") for clock in (1, 2)]
    assert merge_counter(events) == 5
