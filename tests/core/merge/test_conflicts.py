"""Conflicts are found from causes alone, and settled the same wherever the same is held."""

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from tests.core.merge.histories import (
    canonical,
    foreign,
    foreign_graphs,
    histories,
    mixed_histories,
    move,
    on,
)
from tests.core.merge.plainly import disputed, has_circle, has_seen_all, in_turn
from tests.plain_order import heads

from thence.core.event import Event
from thence.core.merge import WORK_SLOTS, counting, find_conflicts, judged, slots_of
from thence.core.order import is_concurrent, totally_ordered
from thence.core.vocabulary import PLAIN, SIM

WP01 = "p/028-sync/WP01"


def work_slot(event):
    return WORK_SLOTS.get(event.event_type)


def judgement(events, slot_of=work_slot):
    ordered = totally_ordered(events)
    _, twins = counting(ordered)
    return judged(ordered, [event.subject for event in ordered], slot_of, twins)


def conflicts_of(events, slot_of=work_slot):
    return judgement(events, slot_of).conflicts


@pytest.mark.promise("L10")
@given(histories(), st.sampled_from([work_slot, slots_of(PLAIN)]))
def test_conflicts_hold_each_disputed_pair_and_nothing_without_one(events, slot_of):
    found = conflicts_of(events, slot_of)
    pairs = disputed(events, slot_of)
    told = [{event.event_id for event in conflict.events} for conflict in found]
    assert all(sum(pair <= ids for ids in told) == 1 for pair in pairs)
    for conflict, ids in zip(found, told, strict=True):
        assert any(pair <= ids for pair in pairs)
        assert list(conflict.events) == totally_ordered(conflict.events)
        assert {event.subject for event in conflict.events} == {conflict.subject}
        for event in conflict.events:
            assert any(is_concurrent(event, other, events) for other in conflict.events)


@pytest.mark.promise("L10")
@given(histories())
def test_conflict_is_open_until_an_event_on_the_slot_has_seen_all_of_it(events):
    for conflict in conflicts_of(events):
        behind = [
            event
            for event in totally_ordered(events)
            if event.subject == conflict.subject
            and (slot := work_slot(event)) is not None
            and slot.name == conflict.slot
            and has_seen_all(event, conflict.events, events)
        ]
        assert conflict.resolved_by == (behind[0] if behind else None)
        assert conflict.is_open == (not behind)


@pytest.mark.promise("L10")
@pytest.mark.promise("L11")
@given(histories(), st.randoms(use_true_random=False), st.integers(0, 14))
def test_equal_events_make_equal_conflicts_in_any_order_and_partition(events, chance, cut):
    expected = judgement(events)
    one, other = events[:cut], events[max(0, cut - 3) :]
    chance.shuffle(one)
    chance.shuffle(other)
    assert judgement([*other, *one]) == expected
    assert canonical(judgement([*one, *other])) == canonical(expected)


@given(histories())
def test_heads_are_those_of_the_plain_truth(events):
    found = judgement(events).heads
    for subject in {event.subject for event in events} - {None}:
        assert found[subject] == heads(subject, events)


@given(foreign_graphs(has_circles=True), st.randoms(use_true_random=False))
def test_lines_that_name_each_other_in_a_circle_are_judged_the_same_in_any_order(events, chance):
    expected = judgement(events)
    chance.shuffle(events)
    assert judgement(events) == expected


@pytest.mark.parametrize("drawn", [mixed_histories(), foreign_graphs()], ids=["mixed", "graphs"])
@given(st.data())
def test_lines_of_other_tools_are_judged_as_the_plain_truth_says(drawn, data):
    events = data.draw(drawn)
    plain = in_turn(events)
    assume(not has_circle(plain))
    conflicts = conflicts_of(events)
    pairs = disputed(plain, work_slot)
    told = [{event.event_id for event in conflict.events} for conflict in conflicts]
    assert all(any(pair <= ids for ids in told) for pair in pairs)
    assert all(any(pair <= ids for pair in pairs) for ids in told)
    assert all(conflict.winner in conflict.events for conflict in conflicts)


@pytest.mark.promise("L14")
def test_double_claim_between_clones_is_one_conflict_and_the_last_writer_wins():
    created = on(WP01, {"wp_id": "WP01", "title": "t"}, event_type="WPCreated")
    ada = move(WP01, "planned", "doing", node="a", clock=2, causes=[created])
    bob = move(WP01, "planned", "doing", node="b", clock=2, causes=[created])
    (conflict,) = conflicts_of([bob, created, ada])
    assert conflict.events == (ada, bob)
    assert (conflict.rule, conflict.winner) == ("last_writer", bob)
    assert conflict.is_open
    gone_on = move(WP01, "doing", "for_review", node="a", clock=3, causes=[ada, bob])
    (conflict,) = conflicts_of([gone_on, bob, created, ada])
    assert conflict.resolved_by == gone_on


@pytest.mark.promise("L10")
@pytest.mark.parametrize("lane", ["doing", "planned"])
@pytest.mark.parametrize("key", ["previous_status", "old_status"])
def test_send_back_beats_a_concurrent_done_though_done_is_later(lane, key):
    review = move(WP01, "doing", "for_review")
    back = on(WP01, {key: "for_review", "new_status": lane}, node="a", clock=2, causes=[review])
    done = move(WP01, "for_review", "done", node="b", clock=9, causes=[review])
    (conflict,) = conflicts_of([review, back, done])
    assert (conflict.rule, conflict.winner) == ("send_back_beats_done", back)
    assert judgement([review, back, done]).beaten == {done.event_id}


def test_branch_that_was_sent_back_wins_by_its_latest_event():
    review = move(WP01, "doing", "for_review")
    back = move(WP01, "for_review", "doing", node="a", clock=2, causes=[review])
    again = move(WP01, "doing", "for_review", node="a", clock=3, causes=[back])
    done = move(WP01, "for_review", "done", node="b", clock=9, causes=[review])
    (conflict,) = conflicts_of([review, back, again, done])
    assert (conflict.rule, conflict.winner) == ("send_back_beats_done", again)
    assert set(conflict.events) == {back, again, done}
    assert judgement([review, back, again, done]).beaten == {done.event_id}


def test_equal_values_both_stand_and_merged_ones_are_kept():
    done = [move(WP01, "for_review", "done", node=node) for node in "ab"]
    assert conflicts_of(done) == ()
    tags = [on("s", {"tags": [node]}, event_type="tagged", node=node) for node in "ab"]
    counts = [on("s", {"delta": 2}, event_type="counted", node=node) for node in "ab"]
    assert find_conflicts([*tags, *counts], PLAIN) == ()
    noted = [on("s", {"text": node}, event_type="noted", node=node) for node in "ab"]
    (conflict,) = find_conflicts([*tags, *counts, *noted], PLAIN)
    assert set(conflict.events) == set(noted)


def test_lines_of_a_tool_that_knows_no_causes_follow_each_other_unless_two_nodes_wrote():
    lanes = ("doing", "for_review", "done")
    told = [
        foreign(f"{n:026d}", subject=WP01, payload={"new_status": lane}, node_id="x")
        for n, lane in enumerate(lanes)
    ]
    assert conflicts_of(told) == ()
    assert judgement(told).heads[WP01] == (told[-1],)
    late = foreign("9" * 26, subject=WP01, payload={"new_status": "rejected"}, node_id="y")
    (conflict,) = conflicts_of([*told, late])
    assert set(conflict.events) == {*told, late}


def test_import_of_one_place_in_two_clones_counts_once_and_both_have_seen_it():
    ids = [f"{number:026d}" for number in range(1, 5)]
    twice = [
        foreign(
            ids[n], source="kitty", source_id="7", subject=WP01, payload={"new_status": "doing"}
        )
        for n in (0, 1)
    ]
    later = move(WP01, "doing", "for_review", node="b", clock=5, causes=[ids[1]])
    assert conflicts_of([*twice, later]) == ()
    assert judgement([*twice, later]).heads[WP01] == (later,)
    assert judgement(twice).heads[WP01] == (twice[0],)
    other = move(WP01, "planned", "rejected", node="c")
    (conflict,) = conflicts_of([*twice, other])
    assert set(conflict.events) == {twice[0], other}


def test_state_of_a_simulation_that_two_wrote_at_once_is_a_conflict():
    details = {"scope": "global", "variable_name": "price"}
    told = [
        foreign(f"{n:026d}", event_type="STATE", node_id=node, details=details | {"new_value": n})
        for n, node in enumerate("xy")
    ]
    events = [Event(event.line, event.header, SIM) for event in told]
    (conflict,) = find_conflicts(events, SIM)
    assert (conflict.subject, conflict.winner) == ("global/price", events[1])
