"""Which event a text names, why something happened, in what order counts are told."""

import pytest
from tests.codes import raises_code
from tests.events import drafted, event_of, stamped
from tests.plain_order import named, why

from thence.core.order import CONE_EVENTS_MAX
from thence.core.query.why import MissingCause, descending, last_failure, reasons, told
from thence.core.vocabulary import PLAIN, SIM
from thence.errors import EventNotFound


def made(number, *causes, kind="noted", vocabulary=PLAIN, **members):
    item = drafted(f"{number:026}", kind, members, [f"{cause:026}" for cause in causes])
    return event_of(stamped(item, number, number), vocabulary)


def test_causes_that_are_not_in_the_log_are_told_with_who_names_them_and_where_they_lie():
    events = [made(1, 9, external_causes=[f"{9:026}@4@{'Z' * 26}"]), made(2, 1, 8)]
    answer = why(events[1], events, PLAIN)
    assert answer.missing == (
        MissingCause(f"{9:026}", f"{1:026}", "Z" * 26),
        MissingCause(f"{8:026}", f"{2:026}", None),
    )
    assert answer.cut_at == ()
    sound = [made(1), made(2, 1)]
    assert why(sound[1], sound, PLAIN).missing == ()


def test_answer_that_is_cut_says_at_which_events():
    chain = [made(1), *(made(number, number - 1) for number in range(2, CONE_EVENTS_MAX + 3))]
    assert why(chain[-1], chain, PLAIN).cut_at == (chain[1].event_id,)
    assert why(chain[-2], chain, PLAIN).cut_at == ()


def chosen(events, rows, height=1):
    """Return the numbers and depths of the reasons for the last event."""
    cone = reasons(why(events[-1], events, PLAIN), rows, lambda cause, depth: height)
    return [(int(cause.event_id), depth) for cause, depth in cone]


def test_reasons_stand_below_what_they_led_to_the_latest_first():
    events = [made(1), made(2), made(3, 1), made(4, 2), made(5, 3, 4)]
    assert chosen(events, 9) == [(4, 1), (2, 2), (3, 1), (1, 2)]
    assert chosen(events, 3) == [(4, 1), (2, 2), (3, 1)]
    assert chosen(events, 3, height=2) == [(4, 1)]
    assert chosen(events, 0) == []


def test_three_causes_of_an_event_at_most_are_reasons_and_each_once():
    events = [*map(made, range(1, 6)), made(6, 5), made(7, 1, 2, 3, 4, 5, 6)]
    assert chosen(events, 9) == [(6, 1), (5, 1), (4, 1)]


def test_milestone_is_a_reason_only_where_nothing_else_is_and_leads_no_further():
    events = [
        made(1, kind="MILESTONE"),
        made(2, 1, kind="MILESTONE"),
        made(3, 2, kind="STATE"),
        made(4, 2, 3),
    ]
    assert chosen(events, 9) == [(3, 1), (2, 2)]
    assert chosen([*events, made(5, 2, kind="MILESTONE")], 9) == [(2, 1)]


def test_causes_that_name_each_other_are_reasons_once():
    events = [made(1, 2), made(2, 1), made(3, 2)]
    assert chosen(events, 9) == [(2, 1), (1, 2)]


def test_equal_counts_fall_by_name():
    assert list(descending({"b": 1, "c": 2, "a": 1})) == ["c", "a", "b"]


IDS = ("01KAG0QV3J0000000144SGTKJP", "01KAG0QV3J0000000244SGTKJP", "01KAG0QV3K0000000144SGTKJP")


def log(*types):
    """Make events of these types in total order."""
    return [
        event_of(stamped(drafted(event_id, event_type, {}), number, number))
        for number, (event_id, event_type) in enumerate(zip(IDS, types, strict=False), 1)
    ]


EVENTS = log("noted", "refund.failed", "noted")


def test_short_beginning_is_refused_though_it_fits():
    with raises_code("ambiguous_id") as caught:
        named("01KAG", EVENTS[:1], PLAIN, "orders")
    assert str(caught.value) == "could not look up 01KAG: a prefix has at least 6 characters"
    assert caught.value.hint == "give more of the id"


def test_beginning_of_many_ids_is_told_with_one_to_choose():
    with raises_code("ambiguous_id") as caught:
        named("01KAG0QV3J", EVENTS, PLAIN, "orders")
    assert str(caught.value) == "could not look up 01KAG0QV3J: 2 events begin with it"
    assert caught.value.hint == f"give more of the id, such as {IDS[0]}"


@pytest.mark.parametrize(
    ("text", "reason"),
    [("@last", "is there yet"), ("@last-error", "reports an error"), (IDS[0], "has this id")],
)
def test_nothing_is_found_in_an_empty_log(text, reason):
    with pytest.raises(EventNotFound) as caught:
        named(text, [], PLAIN, "orders")
    expected = f"could not find the event {text}: no event of the log orders {reason}"
    assert str(caught.value).startswith(expected)
    assert caught.value.hint == "`thence log` lists the events"


def test_type_stands_for_its_latest_event_where_no_subject_has_the_name():
    events = log("refund.failed", "noted", "refund.failed")
    assert named("refund.failed", events, PLAIN, "orders") == events[2]
    assert named("noted", events, PLAIN, "orders") == events[1]
    with pytest.raises(EventNotFound, match="id, subject or type"):
        named("note", events, PLAIN, "orders")
    on = event_of(stamped(drafted("9" * 26, "paid", {"subject": "noted"}), 9, 9))
    assert named("noted", [*events, on], PLAIN, "orders") == on


@pytest.mark.parametrize(
    ("types", "failed"),
    [
        (["placed", "pay.failed"], "pay.failed"),
        (["pay.failed", "send.ended"], "pay.failed"),
        (["pay.failed", "pay.ended"], None),
        (["charge.failed", "charge.captured"], None),
        (["pay.failed", "pay.begun"], "pay.failed"),
        (["pay.failed", "pay.cancelled"], "pay.failed"),
        (["send.failed", "pay.failed", "pay.ended"], "send.failed"),
        ([], None),
    ],
)
def test_last_failure_is_the_one_that_no_success_of_its_kind_followed(types, failed):
    kinds = [made(number, kind=kind) for number, kind in enumerate(types, 1)]
    failure = last_failure(reversed(kinds), PLAIN)
    assert (failure and failure.event_type) == failed


def test_change_follows_its_action_this_its_decision_and_this_the_answer_of_the_model():
    events = [
        made(1, kind="MILESTONE"),
        made(2, 1, kind="SYSTEM", actor="ben"),
        made(3, 1, kind="STATE"),
        made(4, 1, 3, 2, kind="DECISION", actor="ben"),
        made(5, 4, kind="ACTION", actor="ben"),
        made(6, 1, kind="ACTION", actor="cleo"),
        made(7, 6, kind="STATE"),
        made(8, 7, 6, kind="SYSTEM"),
        made(9, 5, 6, 7, 8, kind="STATE"),
    ]
    answer = why(events[-1], events, PLAIN)
    assert [int(link.event_id) for link in answer.chain] == [1, 2, 4, 5, 9]
    assert chosen(events, 1) == [(5, 1)]
    # a change that names its causes by a notice alone follows the states before it
    by_rule = [*events[:-1], made(9, 8, 7, kind="STATE")]
    assert [int(link.event_id) for link in why(by_rule[-1], by_rule, PLAIN).chain][-2:] == [7, 9]


def of_a_run(number, kind, details, *causes):
    members = {"simulation_id": "run", "details": details}
    return made(number, *causes, kind=kind, vocabulary=SIM, **members)


def state(number, scope, name):
    change = {"variable_name": name, "old_value": 1, "new_value": 2}
    return of_a_run(number, "STATE", {"scope": scope, **change})


def test_summary_of_causes_is_told_with_what_is_behind_it_through_other_summaries():
    changes = [state(number, f"agent/wolf-{number}", "position") for number in range(1, 10)]
    changes += [state(10, "agent/ada", "position"), state(11, "global/x", "price")]
    inner = of_a_run(12, "SYSTEM", {"error_type": "causes_joined", "count": 9}, *range(1, 10))
    outer = of_a_run(13, "SYSTEM", {"error_type": "causes_joined", "count": 3}, 10, 11, 12)
    by_id = {event.event_id: event for event in (*changes, inner, outer)}
    sentence = told(outer, SIM, by_id).rpartition(" [")[0]
    assert sentence == "represents moves of ada and 9 wolf agents; changes of price of x"
    assert told(outer, SIM, {}).startswith("represents 3 causes of the next event")
    assert told(changes[0], SIM, by_id) == SIM.sentence(changes[0])
