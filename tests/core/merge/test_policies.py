"""Policies name who stands, whatever order the events come in."""

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from tests.core.merge.histories import LANES, histories, move, on

from thence.core.merge import LANE, WHOLE, Written, slots_of, state_machine_merge
from thence.core.order import total_order_key, totally_ordered
from thence.core.vocabulary import PLAIN, SIM, WORK
from thence.errors import InvalidEvent

PRIORITY = {"done": 3, "for_review": 2, "doing": 2, "planned": 1, "rejected": 1}


@pytest.mark.promise("L5")
@given(histories(), st.randoms(use_true_random=False))
def test_state_of_the_highest_priority_wins_and_the_last_of_several(events, chance):
    events = [event for event in events if event.subject == "p/028-sync/WP01"]
    known = [event for event in totally_ordered(events) if "new_status" in event.payload]
    assume(known or not events)
    expected = max(
        known,
        key=lambda event: (PRIORITY[event.payload["new_status"]], total_order_key(event)),
        default=None,
    )
    doubled = [*events, *events[:4]]
    chance.shuffle(doubled)
    assert state_machine_merge(doubled, PRIORITY) == expected


@pytest.mark.promise("P3")
def test_priority_may_be_a_list_and_the_key_another():
    events = [on("s", {"state": state}, clock=n) for n, state in enumerate("bac", 1)]
    assert state_machine_merge(events, ["a", "b", "c"], "state") == events[1]
    assert state_machine_merge(events, {"c": -5, "b": -6, "a": -7}, state_key="state") == events[2]
    assert state_machine_merge([*events, on("s", {"note": 1})], "abc", "state") == events[1]
    assert state_machine_merge([], PRIORITY) is None


def refusal(events, *asked):
    with pytest.raises(ValueError, match="could not merge the states") as caught:
        state_machine_merge(events, *asked)
    assert isinstance(caught.value, InvalidEvent)
    return caught.value


@pytest.mark.promise("L5")
def test_key_that_no_event_has_is_refused():
    error = refusal([move("s", "planned", "done")], PRIORITY, "new_statsu")
    assert "new_statsu" in error.place
    assert "state_key" in error.hint


@pytest.mark.promise("L5")
@pytest.mark.parametrize("state", ["parked", "Done", 7, None, ["done"]])
def test_state_that_the_priority_lacks_is_refused(state):
    events = [move("s", "planned", "done"), on("s", {"new_status": state}, clock=2)]
    error = refusal(events, PRIORITY)
    assert events[1].event_id in error.place
    assert repr(state) in error.cause
    assert "for_review" in error.hint


def settled(slot, *events, linked=()):
    """Settle a dispute of events that are all beside each other, save the linked pairs."""
    ordered = totally_ordered(events)
    seen = [
        sum(1 << place for place, cause in enumerate(ordered) if (cause, event) in linked)
        for event in ordered
    ]
    written, numbers = Written(ordered, seen), range(len(ordered))
    rule, winner = slot.settled(written, numbers, written.heads(numbers))
    return rule, ordered[winner]


@pytest.mark.promise("L10")
def test_last_writer_is_the_last_head_in_total_order():
    events = [move("s", "planned", lane, clock=n) for n, lane in enumerate(LANES, 1)]
    last = ("last_writer", events[-1])
    assert settled(WHOLE, *reversed(events)) == last
    circle = [(one, other) for one in events for other in events]
    assert settled(WHOLE, *events, linked=circle) == last


@pytest.mark.promise("L10")
def test_send_back_says_nothing_where_no_done_stands_beside_it():
    back = move("s", "for_review", "doing", clock=1)
    done = move("s", "for_review", "done", clock=2)
    rejected = move("s", "for_review", "rejected", clock=3)
    claim = move("s", "planned", "doing", clock=4)
    beats, last = "send_back_beats_done", "last_writer"
    assert settled(LANE, back, done) == (beats, back)
    assert settled(LANE, back, done, rejected) == (beats, rejected)
    assert settled(LANE, back, rejected) == (last, rejected)
    assert settled(LANE, claim, done) == (last, claim)
    assert settled(LANE, back, done, rejected, linked=[(back, done)]) == (last, rejected)
    assert settled(WHOLE, back, done) == (last, done)


@pytest.mark.promise("L14")
def test_each_claim_is_one_of_its_kind_and_other_lanes_are_equal():
    slot = slots_of(WORK)(move("s", "planned", "doing"))
    claims = [move("s", "planned", "doing", node=node) for node in "ab"]
    backs = [move("s", "for_review", "doing", node=node) for node in "ab"]
    dones = [move("s", "for_review", "done", node=node) for node in "ab"]
    assert slot.value(claims[0]) != slot.value(claims[1])
    assert slot.value(backs[0]) == slot.value(backs[1])
    assert slot.value(dones[0]) == slot.value(dones[1])
    assert slot.value(dones[0]) != slot.value(backs[0])


@pytest.mark.parametrize(
    ("event_type", "one", "other", "is_same"),
    [
        ("WPAssigned", {"agent_id": "a"}, {"agent_id": "b"}, False),
        ("WPAssigned", {"phase": "review"}, {"phase": "implementation"}, False),
        ("WPAssigned", {"agent_id": "a", "retry_count": 1}, {"agent_id": "a"}, True),
        ("WPCreated", {"title": "a"}, {"title": "b"}, False),
        ("WPCreated", {"dependencies": ["WP01"]}, {"dependencies": []}, False),
        ("FeatureCreated", {"target_branch": "a"}, {"target_branch": "b"}, False),
        ("FeatureCreated", {"wp_count": 1}, {"wp_count": 2}, True),
        ("SpecCreated", {"title": "a"}, {"title": "b"}, False),
        ("GateResultChanged", {"new_status": "passed"}, {"new_status": "failed"}, False),
        ("GateResultChanged", {"old_status": "passed"}, {"old_status": "failed"}, True),
    ],
)
def test_values_of_work_differ_by_what_decides(event_type, one, other, is_same):
    events = [on("s", payload, event_type=event_type) for payload in (one, other)]
    slot = slots_of(WORK)(events[0])
    assert (slot.value(events[0]) == slot.value(events[1])) == is_same


@pytest.mark.parametrize("event_type", ["HistoryAdded", "ErrorLogged", "SubtaskCompleted", "odd"])
def test_what_can_always_stand_side_by_side_writes_no_slot(event_type):
    assert slots_of(WORK)(on("s", {"x": 1}, event_type=event_type)) is None


def test_simulation_has_the_plain_rules():
    assert slots_of(SIM)(on("s", {"x": 1})) == slots_of(PLAIN)(on("s", {"x": 1}))
