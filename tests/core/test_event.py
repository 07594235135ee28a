"""An event as it was stored: read-only, decoded when asked for, its line kept."""

from types import MappingProxyType

import pytest
from tests.events import drafted, event_of, line_of, stamped

from thence.core.codec import parse
from thence.core.event import Event, frozen
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
