"""An event as it was stored: read-only, decoded when asked for, its line kept."""

from types import MappingProxyType
from typing import Any

import pytest
from tests.events import drafted, event_of, line_of, stamped

from thence.core.codec import parse
from thence.core.event import LINE_DEPTH_MAX, Event, frozen, is_deep
from thence.core.vocabulary import SIM


def test_payload_is_read_only_throughout():
    event = event_of(line_of({"a": {"b": [1, {"c": 2}]}}))
    assert event.payload["a"]["b"][1]["c"] == 2
    for change in (
        lambda: event.payload.update(x=1),
        lambda: event.payload["a"].update(x=1),
        lambda: event.payload["a"]["b"].append(1),
        lambda: event.payload["a"]["b"][1].update(x=1),
        lambda: event.members.update(x=1),
    ):
        with pytest.raises(AttributeError):
            change()


def test_unknown_members_survive_in_the_line():
    line = b'{"event_id":"x","event_type":"t","tomorrow":{"k":[1]}}'
    event = event_of(line)
    assert event.line == line
    assert event.members["tomorrow"] == {"k": (1,)}
    assert event.payload == {}


def test_payload_that_is_no_map_reads_as_empty():
    assert event_of(b'{"event_id":"x","payload":[1]}').payload == {}


def test_events_are_equal_when_their_lines_are():
    line = line_of({"a": 1})
    assert event_of(line) == event_of(line)
    assert hash(event_of(line)) == hash(event_of(line))
    assert event_of(line) != event_of(line_of({"a": 1}))
    assert event_of(line) != line
    assert repr(event_of(line)).startswith("<Event ")


def test_members_of_a_simulation_are_read_by_its_words():
    members = {
        "simulation_id": "run",
        "turn_number": 0,
        "agent_id": "ada",
        "description": "d",
        "step": "0.act.ada.0",
        "begins": True,
        "ends": "0" * 26,
        "details": {"variable_name": "grain", "scope": "agent/ada"},
    }
    made = drafted("0" * 26, "STATE", members)
    event = parse(stamped(made, 1, 1)[:-1], SIM)
    assert isinstance(event, Event)
    assert (event.stream, event.actor, event.subject) == ("run", "ada", "agent/ada/grain")
    assert (event.simulation_id, event.turn_number, event.description) == ("run", 0, "d")
    assert (event.step, event.begins, event.ends) == ("0.act.ada.0", True, "0" * 26)
    assert event.payload["variable_name"] == "grain"
    assert not event.is_foreign


def test_frozen_leaves_scalars_alone():
    assert frozen("x") == "x"
    assert frozen([1, [2]]) == (1, (2,))
    assert isinstance(frozen({}), MappingProxyType)


def test_event_of_one_id_may_be_written_twice_with_other_numbers():
    first = event_of(line_of({"a": 1}, event_id="x", seq=1, lamport_clock=1))
    again = event_of(line_of({"a": 1}, event_id="x", seq=9, lamport_clock=9, node_id="0" * 12))
    other = event_of(line_of({"a": 2}, event_id="x", seq=1, lamport_clock=1))
    assert first.says_the_same_as(again)
    assert not first.says_the_same_as(other)
    assert not first.says_the_same_as(event_of(line_of({"a": 1}, event_id="y")))


def test_event_shows_its_id_type_and_number():
    event = event_of(line_of(event_id="x", event_type="t", seq=7))
    assert repr(event) == "<Event x t seq=7>"


def test_number_that_python_can_not_hold_stands_as_its_digits():
    digits = "1" * 5_000
    line = b'{"event_id":"x","payload":{"f":1e400,"i":%b,"n":-1.5e3,"m":7}}' % digits.encode()
    event = event_of(line)
    assert dict(event.payload) == {"f": "1e400", "i": digits, "n": -1500.0, "m": 7}


@pytest.mark.parametrize(
    "wrap",
    [
        lambda v: [0, v],
        lambda v: [v, []],
        lambda v: {"a": 0, "b": v},
        lambda v: {"a": v, "b": {}},
        lambda v: [[], v, {}],
    ],
)
def test_value_is_deep_beyond_two_hundred_levels(wrap):
    value: Any = 1
    for _ in range(LINE_DEPTH_MAX - 1):
        value = wrap(value)
    assert not is_deep(value)
    assert is_deep(wrap(value))


def test_payload_that_says_nothing_is_read_only_too():
    event = event_of(b'{"event_id":"x"}')
    assert event.is_foreign
    with pytest.raises(AttributeError):
        event.payload.update(x=1)


def test_many_events_hash_apart():
    assert len({hash(event_of(line_of({"n": n}))) for n in range(99)}) > 90
