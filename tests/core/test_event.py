"""An event as it was stored: its line kept, decoded anew when asked for."""

import copy
import json
import pickle

import pytest
from tests.events import drafted, event_of, line_of, stamped

from thence.core.codec import BadLine, parse
from thence.core.event import Event, EventFields, EventHeader
from thence.core.vocabulary import SIM, VOCABULARIES


def change(value):
    """Empties a JSON value, the deepest part of it first."""
    inner = value.values() if isinstance(value, dict) else value
    for item in list(inner):
        if isinstance(item, (dict, list)):
            change(item)
    value.clear()


@pytest.mark.promise("P1")
@pytest.mark.parametrize("asked", ["payload", "members"])
def test_what_an_event_gives_is_the_callers_own(asked):
    event = event_of(line_of({"a": {"b": [1, {"c": 2}]}}))
    line, before = event.line, json.dumps(getattr(event, asked))
    change(getattr(event, asked))
    assert json.dumps(getattr(event, asked)) == before
    assert event.line == line


@pytest.mark.promise("P1")
@pytest.mark.parametrize("host", ["plain", "sim", "work"])
@pytest.mark.parametrize("is_read", [True, False])
@pytest.mark.parametrize(
    "again", [copy.copy, copy.deepcopy, lambda event: pickle.loads(pickle.dumps(event))]
)
def test_event_can_be_copied_and_pickled(host, is_read, again):
    vocabulary = VOCABULARIES[host]
    payload = {vocabulary.payload_key: {"n": [1]}}
    event = parse(stamped(drafted("0" * 26, "t", payload), 1, 1)[:-1], vocabulary)
    if is_read:
        assert event.payload == {"n": [1]}
    found = again(event)
    assert found == event
    assert found.vocabulary is vocabulary
    assert (found.payload, found.seq, found.stream) == ({"n": [1]}, 1, event.stream)


@pytest.mark.promise("P1")
def test_foreign_event_is_pickled_as_it_was_read():
    event = event_of(b'{"event_id":"x","event_type":"t","caused_by":["a",7]}')
    found = pickle.loads(pickle.dumps(event))
    assert (found, found.caused_by, found.header) == (event, event.caused_by, event.header)


def test_unknown_members_survive_in_the_line():
    line = b'{"event_id":"x","event_type":"t","tomorrow":{"k":[1]}}'
    event = event_of(line)
    assert event.line == line
    assert event.members["tomorrow"] == {"k": [1]}
    assert event.payload == {}


@pytest.mark.parametrize("members", [b"", b',"payload":[1]'])
def test_payload_that_is_no_map_or_is_not_there_is_an_empty_dict(members):
    event = event_of(b'{"event_id":"x"%b}' % members)
    assert event.is_foreign
    event.payload.update(x=1)
    assert event.payload == {}


def test_events_are_equal_when_their_lines_are():
    line = line_of({"a": 1})
    assert event_of(line) == event_of(line)
    assert hash(event_of(line)) == hash(event_of(line))
    assert event_of(line) != event_of(line_of({"a": 1}))
    assert event_of(line) != line


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


def test_number_that_python_can_not_hold_stands_as_its_digits():
    digits = "1" * 5_000
    line = b'{"event_id":"x","payload":{"f":1e400,"i":%b,"n":-1.5e3,"m":7}}' % digits.encode()
    event = event_of(line)
    assert dict(event.payload) == {"f": "1e400", "i": digits, "n": -1500.0, "m": 7}
    for odd in (b'"\\ud800"', b"NaN", b"[1,]"):  # no JSON beside such a number either
        assert isinstance(parse(b'{"event_id":"x","n":1e400,"m":%b}' % odd, SIM), BadLine)


def test_each_written_member_but_the_body_is_read():
    body = {"repairs", "details", "payload", "bodies"}
    assert set(EventFields.__struct_fields__) - body <= set(EventHeader.__struct_fields__)
