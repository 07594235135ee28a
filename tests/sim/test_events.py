"""Events of a simulation: what they hold, what they refuse."""

import copy
import json
import pickle
from datetime import UTC, datetime, timedelta, timezone

import jsonschema_rs
import pytest
from tests.sim.toys import SCENARIO, lines

from thence.errors import InvalidEvent
from thence.sim import (
    ActionEvent,
    DecisionEvent,
    DetailEvent,
    Event,
    EventWriter,
    MilestoneEvent,
    SimulationOrchestrator,
    StateEvent,
    SystemEvent,
    VerbosityLevel,
    create_action_event,
    create_decision_event,
    create_detail_event,
    create_milestone_event,
    create_state_event,
    create_system_event,
)
from thence.sim.record.events import TYPED as CLASSES
from thence.sim.schemas import EVENT_TYPES, schema

pytestmark = pytest.mark.promise("E2")

TYPED = [
    create_milestone_event("run", 1, "turn_start"),
    create_decision_event("run", 1, "ada", "trade", None, "sell 3 grain"),
    create_action_event("run", 1, "ada", "sell", {"good": "grain", "amount": 3}),
    create_state_event("run", 1, "grain", 5, 2, "agent/ada"),
    create_detail_event("run", 1, "price", {"supply": 4}),
    create_system_event("run", 1, "timeout", "retry", 2),
]


@pytest.mark.promise("E1")
def test_an_event_has_the_promised_fields_of_which_data_is_another_name_for_details() -> None:
    event = Event(event_type="note", simulation_id="run", data={"a": 1})
    names = "event_id timestamp turn_number event_type simulation_id details"
    assert set(event.to_dict()) == set(names.split())
    assert (event.turn_number, event.details) == (0, {"a": 1})
    assert Event.from_dict({"event_type": "note", "data": {"a": 1}}).details == {"a": 1}
    assert datetime.fromisoformat(event.timestamp).utcoffset() == timedelta(0)
    assert len(event.timestamp) == len("2026-11-20T07:13:00.123456Z")
    moment = datetime(2026, 11, 20, 9, 13, 0, 5, tzinfo=timezone(timedelta(hours=2)))
    event = Event(event_type="note", timestamp=moment)  # type: ignore[arg-type]
    assert event.timestamp == "2026-11-20T07:13:00.000005Z"


@pytest.mark.promise("E1")
def test_a_long_description_is_cut_and_flagged() -> None:
    event = Event(event_type="note", description="x" * 501)
    assert event.description == "x" * 500
    assert event.repairs == ({"path": "description", "was": "501 characters"},)
    assert Event(event_type="note", description="x" * 500).repairs == ()


@pytest.mark.promise("E1")
def test_causes_are_events_or_ids_and_one_may_stand_alone() -> None:
    cause, other = TYPED[0], "0" * 26
    event = Event(event_type="note", caused_by=[cause, other, cause.event_id])
    assert event.caused_by == (cause.event_id, other)
    assert Event(event_type="note", caused_by=None).caused_by == ()
    for alone in (cause, cause.event_id, [cause], iter([cause])):
        assert Event(event_type="note", caused_by=alone).caused_by == (cause.event_id,)
    for named, causes in ((other, (other,)), (None, ())):  # one of a line is not taken apart
        assert Event.from_dict({"event_type": "note", "caused_by": named}).caused_by == causes


@pytest.mark.promise("E1")
@pytest.mark.parametrize("given", ["01J", "", b"01J", 7, [None], [7], object()])
def test_what_is_neither_event_nor_id_is_no_cause(given: object) -> None:
    with pytest.raises(ValueError, match="field caused_by"):
        Event(event_type="note", caused_by=given)


@pytest.mark.parametrize("event", TYPED, ids=lambda event: event.event_type)
@pytest.mark.parametrize("name", ["details", "data"])
def test_typed_event_refuses_details_that_it_has_no_place_for(event: Event, name: str) -> None:
    own = {field: getattr(event, field) for field in event.fields}
    with pytest.raises(ValueError, match="field details"):
        type(event)(agent_id=event.agent_id, **own, **{name: {"note": 1}})
    assert type(event)(agent_id=event.agent_id, **own, **{name: {}}).details == event.details


def test_line_whose_details_hold_more_than_its_type_is_read_with_all_of_them() -> None:
    line = TYPED[2].to_dict()
    line["details"] = line["details"] | {"note": 1}
    assert Event.from_dict(line).details == line["details"]
    with pytest.raises(ValueError, match="field details"):
        ActionEvent.from_dict(line)


NO_NUMBERS = [
    Event(event_type="note", data={"n": [float("nan")]}),
    create_state_event("run", 1, "grain", float("nan"), 2.0),
]


@pytest.mark.parametrize("event", [*TYPED, *NO_NUMBERS])
def test_event_can_be_copied_and_pickled(event: Event) -> None:
    for again in (copy.copy(event), copy.deepcopy(event), pickle.loads(pickle.dumps(event))):
        assert type(again) is type(event)
        assert repr(again) == repr(event)


@pytest.mark.parametrize("event", TYPED, ids=lambda event: event.event_type)
def test_typed_fields_lie_in_details_and_round_trip(event: Event) -> None:
    assert set(type(event).fields) <= set(event.details)
    for name in type(event).fields:
        assert getattr(event, name) == event.details[name]
    again = Event.from_dict(event.to_dict())
    assert type(again) is type(event)
    assert again == event
    assert f'"event_id":"{event.event_id}"' in event.to_json()


@pytest.mark.parametrize(
    ("kind", "field", "values"),
    [
        (MilestoneEvent, "agent_id", {"milestone_type": "turn_start", "agent_id": "ada"}),
        (DecisionEvent, "agent_id", {"decision_type": "trade"}),
        (DecisionEvent, "decision_type", {"agent_id": "ada", "decision_type": 3}),
        (ActionEvent, "agent_id", {"action_type": "sell"}),
        (StateEvent, "variable_name", {"scope": "global"}),
        (StateEvent, "scope", {"variable_name": "grain", "scope": None}),
        (SystemEvent, "status", {"error_type": "x", "status": "meh"}),
        (ActionEvent, "turn_number", {"agent_id": "a", "action_type": "b", "turn_number": -1}),
        (ActionEvent, "turn_number", {"agent_id": "a", "action_type": "b", "turn_number": True}),
        (ActionEvent, "event_type", {"agent_id": "a", "action_type": "b", "event_type": "STATE"}),
        (ActionEvent, "caused_by", {"agent_id": "a", "action_type": "b", "caused_by": "01J"}),
        (ActionEvent, "event_id", {"agent_id": "a", "action_type": "b", "event_id": 'a"b'}),
        (ActionEvent, "timestamp", {"agent_id": "a", "action_type": "b", "timestamp": "noon"}),
    ],
)
def test_a_wrong_value_raises_a_value_error_that_names_the_field(kind, field, values):
    with pytest.raises(ValueError, match=f"field {field}"):
        kind(simulation_id="run", **values)  # type: ignore[arg-type]


def test_a_line_whose_details_fit_no_type_is_read_as_a_plain_event_which_is_frozen() -> None:
    event = Event.from_dict({"event_type": "ACTION", "details": {"free": 1}})
    assert type(event) is Event
    assert event.details == {"free": 1}
    for one in (event, *TYPED):
        with pytest.raises(AttributeError):
            one.turn_number = 7  # type: ignore[misc]


@pytest.mark.promise("E3")
def test_builders_fill_id_and_time() -> None:
    before = datetime.now(UTC)
    event = create_milestone_event("run", 3, "turn_end")
    assert len(event.event_id) == 26
    assert before - timedelta(milliseconds=1) <= datetime.fromisoformat(event.timestamp)
    assert event.event_id < create_milestone_event("run", 3, "turn_end").event_id


@pytest.mark.promise("E4")
def test_levels_hold_those_before_them_and_action_is_the_default() -> None:
    order = [kind.level for kind in (MilestoneEvent, DecisionEvent, ActionEvent, StateEvent)]
    assert order == sorted(order) == [1, 2, 3, 4]
    assert DetailEvent.level == SystemEvent.level == VerbosityLevel.DETAIL
    assert Event.level < VerbosityLevel.MILESTONE


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
