"""Tests of usual events: drafts that are the same bytes as those of the general way."""

from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.core.test_json_values import wild_values
from tests.sim.written import lines

from thence.core.codec import draft
from thence.log.open import new_id
from thence.sim import Action, BaseAgent, BaseEngine, Observation, SimulationOrchestrator, View
from thence.sim.again.replay_input import ReplayInput
from thence.sim.record.events import VerbosityLevel
from thence.sim.record.recorder import RunRecorder
from thence.sim.record.writer import RunEvent, UsualEvent
from thence.sim.run.agents import Accepted
from thence.sim.scenario.state import Declaration, Variable

TEXTS = ["give", 'a"b\\c', "ä€😀", "\u2028\n\t\x00", ""]
PLAIN = [
    {"to": "ben"},
    {},
    {"n": 2**64 - 1, "m": -(2**63), "x": 1e300, "y": -0.0, "z": None, "b": True},
    {"deep": {"deeper": {"deepest": "ä"}}},
    {'a"b': "\\"},
]


CONFIG = {
    "simulation": {"name": "run", "max_turns": 2},
    "state_variables": {"global_vars": [{"name": "count", "type": "int", "default": 0}]},
}


class Turn:
    """A turn of a recorder at STATE, whose deeds return what it wrote, if that is a draft."""

    def __init__(self) -> None:
        self.events: list[RunEvent] = []
        again = ReplayInput()
        self.recorder = RunRecorder(
            'run "1"', self.events.extend, VerbosityLevel.STATE, again, is_drafting=True
        )
        for _ in range(12):
            self.recorder.begin_turn(())

    def decide(self, one: Accepted) -> UsualEvent | None:
        self.recorder.decided(one)
        return self.last()

    def act(self, one: Accepted) -> UsualEvent | None:
        self.recorder.accepted(one, ())
        return self.last()

    def change(self, variable: Variable, old: Any, new: Any, phase: str) -> UsualEvent | None:
        self.recorder.changed(variable, old, new, phase, "ä", (new_id(),), (), is_of_action=True)
        return self.last()

    def last(self) -> UsualEvent | None:
        self.recorder.flush()
        event = self.events[-1]
        return event if isinstance(event, UsualEvent) else None

    def written(self, event: UsualEvent | None) -> dict[str, Any]:
        """Return the details of an event, whose bytes are those of the codec."""
        assert event is not None
        members = event.members()
        again = draft(members)
        assert (again.event_id, again.head, again.tail) == (event.event_id, event.head, event.tail)
        recent = self.recorder.lineage.recent
        assert members.caused_by == event.caused_by == recent[event.event_id]
        assert (members.simulation_id, members.turn_number) == ('run "1"', 12)
        details = {"step": members.step, "agent": members.agent_id, **dict(members.details or {})}
        return {"type": members.event_type, **details}


def decided(payload: Any, kind: Any = "give", agent: str = "ada", **members: Any) -> Accepted:
    """Return an action from its decision on, with two causes."""
    action = Action(kind, payload, agent_id=agent, **members)
    return Accepted(action, 0, 3, (new_id(), new_id()))


@pytest.mark.parametrize("kind", TEXTS)
@pytest.mark.parametrize("agent", TEXTS)
@pytest.mark.parametrize("payload", PLAIN)
def test_decision_and_action_are_what_the_codec_writes(kind: str, agent: str, payload: Any) -> None:
    turn, one = Turn(), decided(payload, kind, agent)
    decision = turn.written(turn.decide(one))
    own = {"type": "DECISION", "agent": agent, "step": f"12.decide.{agent}.3"}
    assert decision == own | {"decision_type": kind, "old_value": None, "new_value": payload}
    action = turn.written(turn.act(one))
    own = {"type": "ACTION", "agent": agent, "step": f"12.act.{agent}.3"}
    assert action == own | {"action_type": kind, "action_payload": payload}
    assert turn.recorder.counts["DECISION"] == turn.recorder.counts["ACTION"] == 1


kinds = st.sampled_from([*TEXTS, "\ud800", "x" * 5_000, 7])


@given(wild_values, kinds, st.sampled_from([None, "in words"]), st.sampled_from([None, 0]))
def test_any_action_is_written_as_it_is_or_goes_the_general_way(
    value: Any, kind: Any, decision: Any, instead_of: Any
) -> None:
    turn, payload = Turn(), {"value": value}
    one = decided(payload, kind, decision=decision, instead_of=instead_of)
    if event := turn.decide(one):
        written = turn.written(event)
        assert (written["new_value"], written["old_value"]) == (decision or payload, instead_of)
    if event := turn.act(one):
        written = turn.written(event)
        assert (written["action_payload"], written["action_type"]) == (payload, kind)


def test_further_attempt_is_what_the_codec_writes() -> None:
    turn = Turn()
    one = Accepted(Action("give", agent_id="ada"), 1, 0, (new_id(),))
    assert turn.written(turn.decide(one))["step"] == "12.decide1.ada.0"
    assert turn.written(turn.act(one))["step"] == "12.act1.ada.0"


@pytest.mark.parametrize("changed", [1.0, True, "1", 2])
def test_payload_that_was_changed_since_its_decision_is_written_anew(changed: Any) -> None:
    payload: dict[str, Any] = {"n": 1}
    turn, one = Turn(), decided(payload)
    assert turn.written(turn.decide(one))["new_value"] == {"n": 1}
    payload["n"] = changed
    assert turn.written(turn.act(one))["action_payload"] == {"n": changed}


@pytest.mark.parametrize("changed", [[1], float("nan"), "\ud800", object(), 2**64])
def test_payload_that_needs_a_repair_since_its_decision_goes_the_general_way(changed: Any) -> None:
    payload: dict[str, Any] = {"n": 1}
    turn, one = Turn(), decided(payload)
    assert turn.decide(one)
    payload["n"] = changed
    assert turn.act(one) is None


def test_change_of_a_number_is_what_the_codec_writes() -> None:
    turn = Turn()
    variable = Variable(4, "agent/ä", Declaration(name="cash", kind="float"))
    for number, (old, new) in enumerate([(0, 1), (1.5, 2**64 - 1), (-(2**63), 1e-9)], 1):
        values = {"old_value": old, "new_value": new, "scope": "agent/ä", "variable_name": "cash"}
        phase = "apply0" if number == 1 else f"apply0~{number}"
        own = {"type": "STATE", "agent": None, "step": f"12.{phase}.ä.agent/ä/cash"}
        assert turn.written(turn.change(variable, old, new, "apply0")) == own | values
    for other in (2**64, float("inf"), float("nan"), True, "1", None, [1]):
        assert turn.change(variable, 0, other, "other") is None
        assert turn.change(variable, other, 0, "other") is None


@pytest.mark.parametrize("rule", ["x" * 5_000, "\ud800"])
def test_change_by_a_rule_of_an_unusual_name_goes_the_general_way(rule: str) -> None:
    variable = Variable(4, "global", Declaration(name="cash", kind="int"))
    assert Turn().change(variable, 0, 1, rule) is None


class Ruling(BaseEngine):
    """An engine with a rule whose name is no text that can be encoded."""

    def apply_engine_rules(self, view: View) -> None:
        with view.rule("odd \udc80"):
            view.world["count"] += 1


class Changing(BaseEngine):
    """An engine that changes the payload of an action."""

    def apply_action(self, view: View, action: Action) -> None:
        view.world["count"] += 1
        if action.agent_id == "ben":
            action.payload["n"] = float("nan")  # type: ignore[index]


class Constant(BaseAgent):
    """An agent that gives."""

    def decide_action(self, observation: Observation) -> Action:
        return Action("give", {"n": 1, "seen": observation.world["count"]})


@pytest.mark.parametrize("verbosity", ["ACTION", "STATE"])
def test_run_writes_a_changed_payload_as_it_is_when_it_is_written(tmp_path, verbosity):
    parts = {"agents": [Constant("ada"), Constant("ben")], "engine": Changing()}
    run = SimulationOrchestrator(CONFIG, output_root=tmp_path, verbosity=verbosity, **parts)
    assert run.run().status == "completed"
    events = [line for line in lines(run.output_dir) if line["event_type"] != "MILESTONE"]
    payloads = [
        event["details"]["action_payload"] for event in events if event["event_type"] == "ACTION"
    ]
    last = 1 if verbosity == "STATE" else "NaN"  # there the ACTION comes before its changes
    assert [payload["n"] for payload in payloads] == [1, last] * 2
    decisions = [event["details"] for event in events if event["event_type"] == "DECISION"]
    assert [details["new_value"]["n"] for details in decisions] == [1] * 4
    assert len(events) == 8 + (4 if verbosity == "STATE" else 0)


def test_run_hands_its_usual_events_to_the_writer_as_drafts(tmp_path: Path) -> None:
    run = SimulationOrchestrator(
        CONFIG,
        output_root=tmp_path,
        agents=[Constant("ada"), Constant("ben")],
        engine=Ruling(),
        verbosity="STATE",
    )
    kinds: Counter[type] = Counter()
    emit_piece = run.event_writer.emit_piece

    def emit(piece: Sequence[RunEvent]) -> None:
        kinds.update(map(type, piece))
        emit_piece(piece)

    run.event_writer.emit_piece = emit  # type: ignore[method-assign]
    assert run.run().status == "completed"
    assert kinds[UsualEvent] == 8  # decisions and actions
    steps = [line["step"] for line in lines(run.output_dir) if line["event_type"] == "STATE"]
    assert len(steps) == 2
    assert all("odd" in step for step in steps)
