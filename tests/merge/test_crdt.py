"""Sets and counters merge to one value, in any order and however often an event comes."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.merge.histories import histories, on

from thence.merge import merge_counter, merge_gset

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
    assert merge_gset(events) == {"x", "y", "z", 1, 7, ("nested",)}
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
