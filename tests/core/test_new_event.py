"""An event before a log has it, as one of many."""

import pytest
from tests.log.errors import raised

from thence.core.values.new_event import NewEvent
from thence.errors import InvalidEvent

KEYS = "actor, caused_by, event_type, payload, stream, subject"


def test_one_of_many_may_be_a_new_event():
    new = NewEvent("t", begins=True)
    assert NewEvent.of(new) is new


def test_one_of_many_is_taken_apart():
    everything = {
        "event_type": "t",
        "payload": {"n": 1},
        "subject": "s",
        "actor": "a",
        "stream": "r",
        "caused_by": ["x"],
    }
    assert NewEvent.of(everything) == NewEvent("t", {"n": 1}, "s", "a", "r", ["x"])
    assert NewEvent.of({"event_type": "t"}) == NewEvent("t")


@pytest.mark.parametrize(
    "members",
    [["event_type"], "event_type", {}, {"payload": {}}],
    ids=["list", "text", "empty", "typeless"],
)
def test_one_of_many_that_says_something_else_is_refused_with_the_keys_it_may_have(members):
    assert raised(lambda: NewEvent.of(members)) == (
        InvalidEvent,
        "could not store one event of many",
        repr(members)[:80],
        "it is no mapping of event_type and what else append takes",
        f"pass mappings with the keys {KEYS}",
    )


@pytest.mark.promise("P1a")
@pytest.mark.parametrize(
    ("key", "meant"),
    [("subjct", "; did you mean subject?"), ("causedby", "; did you mean caused_by?"), (7, "")],
)
def test_one_of_many_with_an_unknown_key_is_refused_with_the_nearest(key, meant):
    with pytest.raises(InvalidEvent) as caught:
        NewEvent.of({"event_type": "t", key: "x" * 99})
    assert caught.value.cause == f"append takes no {key}{meant}"
    assert caught.value.hint == f"pass mappings with the keys {KEYS}"
