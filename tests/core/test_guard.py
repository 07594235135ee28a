"""A guard on an append: broken by what came behind its position, by nothing else."""

import pytest
from tests.events import NODE, OTHER_NODE, drafted, event_of, new_id, stamped

from thence.core.values.new_event import Unchanged
from thence.core.values.position import Position
from thence.errors import InvalidEvent


def made(seq, subject="order/1", event_type="paid", node_id=NODE):
    members = {"subject": subject} if subject else {}
    return event_of(stamped(drafted(new_id(), event_type, members), seq, seq, node_id))


def test_event_behind_the_position_breaks_a_guard_on_its_subject():
    known, later = made(1), made(2)
    guard = Unchanged(Position().after([known]), {"order/1", "order/2"})
    assert guard.is_broken_by(later)
    assert guard.is_broken_by(made(2, "order/2", "noted"))
    assert not guard.is_broken_by(known)
    assert not guard.is_broken_by(made(2, "order/3"))
    assert not guard.is_broken_by(made(2, ""))


def test_types_narrow_a_guard_to_events_of_these_types_on_its_subjects():
    guard = Unchanged(Position(), ["order/1"], ["paid", "sent"])
    assert guard.is_broken_by(made(1))
    assert not guard.is_broken_by(made(1, event_type="noted"))
    assert not guard.is_broken_by(made(1, "order/2"))


@pytest.mark.parametrize("name", ["subjects", "types"])
def test_text_in_place_of_a_collection_of_texts_is_refused(name):
    fields = {"subjects": {"order/1"}, "types": {"paid"}} | {name: "order/1"}
    with pytest.raises(InvalidEvent) as caught:
        Unchanged(Position(), **fields)
    expected = f"could not guard the append field {name}: a text is no collection of texts"
    assert str(caught.value) == expected
    assert caught.value.hint == f"pass {name}={{'order/1'}}"


def test_all_before_an_event_of_this_node_is_held_along_with_the_numbers_from_1():
    since = Position().with_numbers([(NODE, 1), (NODE, 2), (NODE, 4), (OTHER_NODE, 2)])
    guard = Unchanged(since, {"order/1"})
    assert [guard.reaches_back_to(made(seq), NODE) for seq in (1, 2, 3, 4)] == [True, True, 0, 0]
    assert not guard.reaches_back_to(made(1, node_id=OTHER_NODE), NODE)
    assert not guard.reaches_back_to(made(2, node_id=OTHER_NODE), OTHER_NODE)
    assert not guard.reaches_back_to(event_of(b'{"event_id":"theirs"}'), "")
    assert not Unchanged(Position(), {"order/1"}).reaches_back_to(made(1), NODE)
