"""An event named by a text: found, or told why not."""

import pytest
from tests.events import drafted, event_of, stamped
from tests.plain_order import among, named

from thence.core.query.answer import last_failure
from thence.core.values.vocabulary import PLAIN
from thence.errors import AmbiguousId, EventNotFound

IDS = ("01KAG0QV3J0000000144SGTKJP", "01KAG0QV3J0000000244SGTKJP", "01KAG0QV3K0000000144SGTKJP")


def log(*types):
    """Make events of these types in total order."""
    return [
        event_of(stamped(drafted(event_id, event_type, {}), number, number))
        for number, (event_id, event_type) in enumerate(zip(IDS, types, strict=False), 1)
    ]


EVENTS = log("noted", "refund.failed", "noted")


@pytest.mark.parametrize(
    ("text", "number"),
    [
        (IDS[1], 1),
        (IDS[2][:10], 2),
        (IDS[2][:10].lower(), 2),
        ("@last", 2),
        ("@last-error", 1),
    ],
)
def test_event_is_found_by_id_beginning_or_place(text, number):
    assert named(text, EVENTS, PLAIN, "orders") == EVENTS[number]


def test_six_characters_are_enough_where_no_other_event_begins_so():
    assert named(IDS[0][:6], EVENTS[:1], PLAIN, "orders") == EVENTS[0]


def test_latest_of_many_errors_is_the_last_error():
    events = log("a.failed", "b.failed", "noted")
    assert named("@last-error", events, PLAIN, "orders") == events[1]


def test_text_is_a_beginning_and_no_part_of_an_id():
    with pytest.raises(EventNotFound):
        named(IDS[0][1:], EVENTS, PLAIN, "orders")


def test_short_beginning_is_refused_though_it_fits():
    with pytest.raises(AmbiguousId) as caught:
        named("01KAG", EVENTS[:1], PLAIN, "orders")
    assert str(caught.value) == "could not look up 01KAG: a prefix has at least 6 characters"
    assert caught.value.hint == "give more of the id"


def test_beginning_of_many_ids_is_told_with_one_to_choose():
    with pytest.raises(AmbiguousId) as caught:
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


def test_event_of_an_id_is_found_among_others_by_its_whole_id_alone():
    assert among(iter(EVENTS), IDS[1], "orders") == EVENTS[1]
    with pytest.raises(EventNotFound, match=f"{IDS[1][:20]}: no event of the log orders"):
        among(EVENTS, IDS[1][:20], "orders")


def test_type_stands_for_its_latest_event_where_no_subject_has_the_name():
    events = log("refund.failed", "noted", "refund.failed")
    assert named("refund.failed", events, PLAIN, "orders", by_type=True) == events[2]
    assert named("noted", events, PLAIN, "orders", by_type=True) == events[1]
    with pytest.raises(EventNotFound, match="id, subject or type"):
        named("note", events, PLAIN, "orders", by_type=True)
    with pytest.raises(EventNotFound, match="id or subject"):
        named("noted", events, PLAIN, "orders")
    on = event_of(stamped(drafted("9" * 26, "paid", {"subject": "noted"}), 9, 9))
    assert named("noted", [*events, on], PLAIN, "orders", by_type=True) == on


@pytest.mark.parametrize(
    ("types", "failed"),
    [
        (["placed", "pay.failed"], "pay.failed"),
        (["pay.failed", "noted"], "pay.failed"),
        (["pay.failed", "send.ended"], "pay.failed"),
        (["pay.failed", "pay.ended"], None),
        (["charge.failed", "charge.captured"], None),
        (["pay.ended", "pay.failed"], "pay.failed"),
        (["pay.failed", "pay.begun"], "pay.failed"),
        (["pay.failed", "pay.cancelled"], "pay.failed"),
        (["send.failed", "pay.failed", "pay.ended"], "send.failed"),
        (["placed", "paid"], None),
        ([], None),
    ],
)
def test_last_failure_is_the_one_that_no_success_of_its_kind_followed(types, failed):
    kinds = [
        event_of(stamped(drafted(f"{number:026}", kind, {}), number, number))
        for number, kind in enumerate(types, 1)
    ]
    failure = last_failure(reversed(kinds), PLAIN)
    assert (failure and failure.event_type) == failed
