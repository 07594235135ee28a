"""A run that fails says which component failed, for whom, why, and what led to it."""

import msgspec
import pytest
from tests.sim.toys import Adder, Doer, add, always, config, lines

from thence.errors import ThenceError
from thence.sim import SimulationOrchestrator
from thence.sim.agents import BaseValidator, Verdict

pytestmark = pytest.mark.promise("O4")


class CardDeclined(Exception):
    """What fails in these worlds, always in turn 2."""


def declined(turn):
    if turn == 2:
        raise CardDeclined("no money")


def failed(folder, ada=lambda seen: add(), engine=None, validator=None, verbosity="DETAIL"):
    """Plays a world that fails; returns the orchestrator, the notice, and its causes by step."""
    agents = [Doer("ada", ada), Doer("ben", always(add()))]
    run = SimulationOrchestrator(
        config(turns=4),
        output_root=folder,
        agents=agents,
        engine=engine or Adder(),
        validator=validator,
        verbosity=verbosity,
    )
    assert run.run().status == "failed"
    events = lines(run.output_dir)
    (notice,) = [each for each in events if each["details"].get("error_type") == "run_failed"]
    steps = {each["event_id"]: each["step"] for each in events}
    return run, notice, {steps[cause] for cause in notice["caused_by"]}


def test_failing_agent_is_named_with_what_it_had_read(tmp_path):
    def answer(seen):
        declined(seen.turn if seen.agent("ben")["x"] else 0)
        return add()

    run, notice, causes = failed(tmp_path, answer)
    assert (notice["agent_id"], notice["turn_number"]) == ("ada", 2)
    details = notice["details"]
    told = (details["exception"], details["message"], details["component"])
    assert told == ("CardDeclined", "no money", "agent ada")
    assert details["error"] == run.result.error
    assert causes == {"2.turn_start.-.0", "1.apply0.ben.agent/ben/x"}
    assert isinstance(run.failure, CardDeclined)
    assert run.failure.__traceback__ is not None


def test_failing_validator_is_named_with_the_decision_that_it_judged(tmp_path):
    class Broken(BaseValidator):
        def validate_action(self, action, state):
            declined(state.turn if action.agent_id == "ben" else 0)
            return Verdict.accept()

    _, notice, causes = failed(tmp_path, validator=Broken())
    assert notice["agent_id"] == "ben"
    assert notice["details"]["component"] == "the validator"
    assert causes == {"2.decide.ben.0"}


def test_failing_action_is_named_as_the_cause_with_what_its_application_read(tmp_path):
    class Broken(Adder):
        def apply_action(self, view, action):
            x = view.agent(action.agent_id)["x"]
            declined(view.turn if action.agent_id == "ben" else 0)
            view.agent(action.agent_id)["x"] = x + 1

    _, notice, causes = failed(tmp_path, engine=Broken())
    assert notice["agent_id"] == "ben"
    assert notice["details"]["component"] == "the engine, applying actions"
    assert causes == {"2.act.ben.0", "1.apply0.ben.agent/ben/x"}


def test_failing_rule_is_named_with_what_it_had_read(tmp_path):
    class Broken(Adder):
        def apply_engine_rules(self, view):
            with view.rule("tax"):
                view.agent("ada")["x"] += 0
                declined(view.turn)

    _, notice, causes = failed(tmp_path, engine=Broken())
    assert "agent_id" not in notice
    assert "rule tax" in notice["details"]["component"]
    assert causes == {"2.apply0.ada.agent/ada/x"}


def test_failing_check_of_the_end_is_named_with_what_it_had_read(tmp_path):
    class Broken(Adder):
        def check_termination(self, state):
            declined(state.agent("ben")["x"])

    _, notice, causes = failed(tmp_path, engine=Broken())
    assert notice["details"]["component"] == "the engine, checking termination"
    assert causes == {"2.turn_end.-.0", "2.apply0.ben.agent/ben/x"}


@pytest.mark.parametrize("given", [True, 5])
def test_reason_to_end_that_is_no_text_is_named_as_what_it_is(tmp_path, given):
    class Wrong(Adder):
        def check_termination(self, state):
            return given

    agents = [Doer("ada", always(add()))]
    run = SimulationOrchestrator(config(), agents=agents, engine=Wrong(), output_root=tmp_path)
    result = run.run()
    assert result.status == "failed"
    assert f"check_termination of the engine returned {given}" in result.error


def test_engine_that_can_not_begin_is_caused_by_the_start(tmp_path):
    class Broken(Adder):
        def initialize_state(self, state):
            declined(2)

    assert failed(tmp_path, engine=Broken())[2] == {"0.start.-.0"}


def test_answer_that_is_no_action_is_the_agents_failure(tmp_path):
    run, notice, _ = failed(tmp_path, lambda seen: "sell" if seen.turn == 2 else None)
    assert notice["agent_id"] == "ada"
    assert notice["details"]["component"] == "agent ada"
    assert isinstance(run.failure, ThenceError)


@pytest.mark.parametrize("verbosity", ["MILESTONE", "DECISION", "ACTION", "STATE"])
def test_failure_is_told_at_every_verbosity_by_written_causes(tmp_path, verbosity):
    _, notice, causes = failed(tmp_path, lambda seen: declined(seen.turn), verbosity=verbosity)
    assert notice["agent_id"] == "ada"
    assert causes == {"2.turn_start.-.0"}


def test_error_that_two_runs_share_is_blamed_on_each_anew(tmp_path):
    error = CardDeclined("no money")
    names = []
    for turn in (1, 2):

        def answer(seen, turn=turn):
            if seen.turn == turn:
                raise error

        run, _, causes = failed(tmp_path, answer)
        names.append(run.run_id)
        assert causes == {f"{turn}.turn_start.-.0"}
    assert len(set(names)) == 2


def test_error_that_can_not_tell_itself_ends_the_run_all_the_same(tmp_path):
    class Mute(Exception):
        def __str__(self):
            raise RuntimeError

    def answer(seen):
        raise Mute

    _, notice, _ = failed(tmp_path, answer)
    assert notice["details"]["exception"] == "Mute"


@pytest.mark.promise("O4")
@pytest.mark.parametrize("given", [None, 5])
def test_engine_whose_first_state_is_none_is_named_with_what_it_returned(tmp_path, given):
    class Wrong(Adder):
        def initialize_state(self, state):
            return given

    agents = [Doer("ada", always(add()))]
    run = SimulationOrchestrator(config(), agents=agents, engine=Wrong(), output_root=tmp_path)
    result = run.run()
    assert result.status == "failed"
    assert f"returned {given}, not a State" in result.error


@pytest.mark.promise("O4")
@pytest.mark.parametrize(
    ("kind", "value", "held"), [("float", float("nan"), "NaN"), ("str", "a\udc80", "a\\udc80")]
)
def test_result_is_json_whatever_the_world_holds(tmp_path, kind, value, held):
    class Lost(Adder):
        def apply_engine_rules(self, view):
            view.world["mood"] = value

    given = config(global_vars=[{"name": "mood", "type": kind}])
    agents = [Doer("ada", always(add()))]
    run = SimulationOrchestrator(given, agents=agents, engine=Lost(), output_root=tmp_path)
    content = (run.run().output_dir / "result.json").read_bytes()
    assert msgspec.json.decode(content)["final_state"]["global"]["mood"] == held
