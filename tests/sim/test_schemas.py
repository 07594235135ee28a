"""The schemas of a simulation's event types hold for its events, and for no others."""

import json

import jsonschema_rs
import pytest
from tests.sim.test_events import TYPED
from tests.sim.toys import SCENARIO, lines

from thence.errors import InvalidEvent
from thence.sim import Event, EventWriter, SimulationOrchestrator, create_system_event
from thence.sim.events import TYPED as CLASSES
from thence.sim.schemas import EVENT_TYPES, schema

pytestmark = pytest.mark.promise("E2")


def problems(event):
    rules = jsonschema_rs.Draft202012Validator(schema(event["event_type"]))
    return [each.message for each in rules.iter_errors(event["details"])]


def test_every_event_of_a_run_is_as_its_schema_says(tmp_path):
    run = SimulationOrchestrator(SCENARIO, output_root=tmp_path, verbosity="DETAIL", max_turns=12)
    events = lines(run.run().output_dir)
    assert {event["event_type"] for event in events} == set(EVENT_TYPES)
    for event in events:
        assert problems(event) == [], event["step"]


def test_notices_and_repaired_values_are_as_their_schema_says(tmp_path):
    with EventWriter(tmp_path, "run", "DETAIL") as writer:
        facts = create_system_event("run", 1, "timeout", "retry")
        for event in (*TYPED, facts):
            writer.emit(event)
        effect = Event(event_type="note", caused_by=[f"{n:026}" for n in range(40)])
        writer.emit(effect)
        own = {"agent_id": "ada", "decision_type": "d", "new_value": {float("nan"), object()}}
        writer.emit(CLASSES["DECISION"](**own))
    events = [event for event in lines(tmp_path) if event["event_type"] in CLASSES]
    assert "causes_joined" in {event["details"].get("error_type") for event in events}
    assert any("repairs" in event for event in events)
    assert [problem for event in events for problem in problems(event)] == []


@pytest.mark.parametrize("event_type", EVENT_TYPES)
def test_schema_is_one_and_closes_what_its_type_closes(event_type):
    told = schema(event_type)
    jsonschema_rs.meta.validate(told)
    assert (told["title"], told["required"]) == (event_type, list(CLASSES[event_type].fields))
    assert told["description"]
    json.dumps(told)
    told["properties"].clear()
    assert schema(event_type)["properties"]


@pytest.mark.parametrize("event", TYPED, ids=lambda event: event.event_type)
def test_what_the_schema_refuses_is_refused_when_an_event_is_built(event):
    rules = jsonschema_rs.Draft202012Validator(schema(event.event_type))
    whole = json.loads(event.to_json())
    wrong = [None, "", 7, -1, "lunch", [], {}, True]
    for name in event.fields:
        for value in wrong:
            details = event.details | {name: value}
            try:
                type(event).from_dict(whole | {"details": details})
            except ValueError:
                assert not rules.is_valid(details), (name, value)
            else:
                assert rules.is_valid(details), (name, value)
    assert not any(map(rules.is_valid, wrong))
    more = event.details | {"more": 1}
    assert rules.is_valid(more) == (event.event_type == "SYSTEM")


@pytest.mark.parametrize("event_type", ["action", "", "WPCreated", "note"])
def test_other_type_has_no_schema(event_type):
    with pytest.raises(InvalidEvent, match="event_type"):
        schema(event_type)
