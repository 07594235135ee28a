"""The answers to why something happened, with what followed from it."""

from tests.events import drafted, event_of, stamped
from tests.plain_order import concurrent, effects, why

from thence.core.order import CONE_EVENTS_MAX
from thence.core.query.answer import MissingCause, reasons
from thence.core.values.vocabulary import PLAIN


def made(number, *causes, actor="ada"):
    members = {"actor": actor}
    item = drafted(f"{number:026}", "noted", members, [f"{cause:026}" for cause in causes])
    return event_of(stamped(item, number, number))


ORDERED, PAID, SENT, BESIDE = EVENTS = [
    made(1, actor="shop"),
    made(2, 1, actor="till"),
    made(3, 2, actor="van"),
    made(4),
]


def said(event):
    return PLAIN.sentence(event)


def test_why_tells_the_causes_from_the_root_to_the_event():
    answer = why(SENT, EVENTS, PLAIN)
    assert answer.event == SENT
    assert answer.chain == (ORDERED, PAID, SENT)
    assert answer.cone == ((PAID, 1), (ORDERED, 2))
    assert answer.sentences == (said(ORDERED), said(PAID), said(SENT))
    assert not answer.truncated


def test_effects_are_told_nearest_first():
    answer = effects(ORDERED, EVENTS, PLAIN)
    assert answer.event == ORDERED
    assert answer.cone == ((PAID, 1), (SENT, 2))
    assert answer.sentences == (said(PAID), said(SENT))
    assert not answer.truncated


def test_cones_are_cut_beyond_ten_thousand_events():
    chain = [made(1), *(made(number, number - 1) for number in range(2, CONE_EVENTS_MAX + 3))]
    for answer, nearest in (
        (why(chain[-1], chain, PLAIN), chain[-2]),
        (
            effects(chain[0], chain, PLAIN),
            chain[1],
        ),
    ):
        assert answer.truncated
        assert len(answer.cone) == CONE_EVENTS_MAX
        assert answer.cone[0] == (nearest, 1)
    assert not why(chain[-2], chain, PLAIN).truncated
    assert not effects(chain[1], chain, PLAIN).truncated


def test_concurrent_events_are_told_up_to_a_limit():
    lone = made(5)
    events = [*EVENTS, lone]
    for limit, found, is_cut in (
        (4, (ORDERED, PAID, SENT, BESIDE), False),
        (3, (ORDERED, PAID, SENT), True),
    ):
        answer = concurrent(lone, events, limit)
        assert (answer.event, answer.events, answer.truncated) == (lone, found, is_cut)


def test_causes_that_are_not_in_the_log_are_told_with_who_names_them_and_where_they_lie():
    first = drafted(
        f"{1:026}", "noted", {"external_causes": [f"{9:026}@4@{'Z' * 26}"]}, [f"{9:026}"]
    )
    events = [event_of(stamped(first, 1, 1)), made(2, 1, 8)]
    answer = why(events[1], events, PLAIN)
    assert answer.missing == (
        MissingCause(f"{9:026}", f"{1:026}", "Z" * 26),
        MissingCause(f"{8:026}", f"{2:026}", None),
    )
    assert answer.cut_at == ()
    assert why(SENT, EVENTS, PLAIN).missing == ()


def test_answer_that_is_cut_says_at_which_events():
    chain = [made(1), *(made(number, number - 1) for number in range(2, CONE_EVENTS_MAX + 3))]
    assert why(chain[-1], chain, PLAIN).cut_at == (chain[1].event_id,)
    assert why(chain[-2], chain, PLAIN).cut_at == ()


def kind(number, event_type, *causes):
    item = drafted(f"{number:026}", event_type, {}, [f"{cause:026}" for cause in causes])
    return event_of(stamped(item, number, number))


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
    events = [kind(1, "MILESTONE"), kind(2, "MILESTONE", 1), kind(3, "STATE", 2), made(4, 2, 3)]
    assert chosen(events, 9) == [(3, 1), (2, 2)]
    assert chosen([*events, kind(5, "MILESTONE", 2)], 9) == [(2, 1)]


def test_causes_that_name_each_other_are_reasons_once():
    events = [made(1, 2), made(2, 1), made(3, 2)]
    assert chosen(events, 9) == [(2, 1), (1, 2)]
