"""A run goes on after an agent that raises, hangs or returns nonsense, if its policy says so."""

import asyncio
import threading

import pytest
from tests.sim.toys import Adder, Doer, add, always, causes, config, lines, played

from thence.errors import ScenarioError, ThenceError
from thence.sim import SimulationOrchestrator
from thence.sim.agents import BaseValidator, Verdict
from thence.sim.simulation import Components, Simulation, one_by_one

pytestmark = pytest.mark.promise("O9a")
TIMEOUT_S = 0.2
WAIT_S = 30
KINDS = {
    "raises": "raised",
    "hangs": "timed_out",
    "hangs_async": "timed_out",
    "raises_in_generator": "raised",
    "hangs_in_generator": "timed_out",
    "nonsense": "nonsense",
    "returns_error": "nonsense",
}
# only ada has a timeout: on a busy machine a quick agent may take long
ADA = {"name": "ada", "type": "trader", "goods": [], "places": [], "timeout_s": TIMEOUT_S}


class Fails:
    """An agent's answer function that fails in turn 2; `free` ends what hangs."""

    def __init__(self, way):
        self.way = way
        self.free = threading.Event()
        self.turns = []

    def __call__(self, seen):
        self.turns.append(seen.turn)
        if seen["x"] != 1:
            return add()
        return getattr(self, self.way)()

    def raises(self):
        raise OSError("no disk")

    def hangs(self):
        self.free.wait()

    async def hangs_async(self):
        await asyncio.Event().wait()

    def raises_in_generator(self):
        yield add()
        raise OSError("no disk")

    def hangs_in_generator(self):
        yield add()
        self.free.wait(WAIT_S)

    def nonsense(self):
        return ["sell"]

    async def returns_error(self):
        return KeyError("price")


@pytest.fixture
def fails():
    made = []

    def make(way):
        made.append(Fails(way))
        return made[-1]

    yield make
    for each in made:
        each.free.set()


def settings(policy, turns=3, **more):
    return config(
        agents=[ADA],
        simulation={"name": "toy", "max_turns": turns, "on_agent_error": policy, **more},
    )


def events_of(folder):
    events = lines(folder)
    return {each["step"]: each for each in events}, {
        each["event_id"]: each.get("step") for each in events
    }


@pytest.mark.parametrize("way", KINDS)
@pytest.mark.parametrize("policy", ["fail", "skip", "pause"])
def test_policy_decides_what_follows_a_failure(tmp_path, fails, policy, way):
    answer = fails(way)
    agents = [Doer("ada", answer), Doer("ben", always(add()))]
    run = SimulationOrchestrator(
        settings(policy), output_root=tmp_path, agents=agents, engine=Adder(), verbosity="STATE"
    )
    result = run.run()
    events, steps = events_of(run.output_dir)
    if policy == "fail":
        assert (result.status, result.turns) == ("failed", 1)
        assert "agent ada" in result.error
        return
    assert (result.status, result.turns) == ("completed", 3)
    assert result.final_state["agent/ben"]["x"] == 3
    failed = events["2.failed.ada.0"]
    details = failed["details"]
    assert (details["kind"], details["policy"]) == (KINDS[way], policy)
    assert failed["agent_id"] == "ada"
    words = {
        "raises": "no disk",
        "raises_in_generator": "no disk",
        "nonsense": "sell",
        "returns_error": "KeyError('price')",
    }
    named = words.get(way, f"{TIMEOUT_S} s")
    assert named in details["error"]
    assert {steps[each] for each in failed["caused_by"]} == {
        "2.turn_start.-.0",
        "1.apply0.ada.agent/ada/x",
    }


@pytest.mark.parametrize("verbosity", ["MILESTONE", "DECISION", "ACTION", "DETAIL"])
def test_failure_is_recorded_at_every_verbosity(tmp_path, fails, verbosity):
    run = SimulationOrchestrator(
        config(turns=2),
        output_root=tmp_path,
        agents=[Doer("ada", fails("raises"))],
        engine=Adder(),
        verbosity=verbosity,
        on_agent_error="skip",
    )
    assert run.run().status == "completed"
    assert "2.failed.ada.0" in events_of(run.output_dir)[0]


def test_inaction_and_next_decision_name_the_failure(fails):
    class Reader(Adder):
        def apply_engine_rules(self, view):
            view.world["sum"] = view.turn + view.agent("ada")["x"]

    answer = fails("raises")
    agents = [Doer("ada", lambda seen: add() if seen.turn == 3 else answer(seen), remembers=True)]
    events, _ = played(settings("skip"), agents, Reader())
    assert "2.failed.ada.0" in causes(events, "2.rules.-.global/sum")
    assert "2.failed.ada.0" in causes(events, "3.decide.ada.0")


def test_agent_that_still_hangs_is_not_entered_twice(fails):
    answer = fails("hangs")
    events, _ = played(settings("skip", turns=4), [Doer("ada", answer), Doer("ben", always(None))])
    assert answer.turns == [1, 2]
    assert {"2.failed.ada.0", "3.failed.ada.0", "4.failed.ada.0"} <= events.keys()


@pytest.mark.parametrize("way", KINDS)
def test_known_failure_is_recorded_again_and_the_agent_not_called(fails, way):
    answer = fails(way)
    ben = always(add())
    first, _ = played(settings("skip"), [Doer("ada", answer, remembers=True), Doer("ben", ben)])
    known = {"2.failed.ada.0": dict(first["2.failed.ada.0"].details)}
    events = []
    again = Doer("ada", lambda seen: add() if seen["x"] == 0 or seen.turn != 2 else 1 / 0, True)
    parts = Components((again, Doer("ben", ben)), Adder(), BaseValidator())
    simulation = Simulation(
        settings("fail", turns=2), parts, one_by_one(events.append), known_failures=known
    )
    asyncio.run(simulation.run())
    second = {event.step: event for event in events}
    assert simulation.reason == "max_turns 2 reached"
    assert second["2.failed.ada.0"].details == first["2.failed.ada.0"].details
    for step in second.keys() - {"2.end.-.0"}:
        assert causes(second, step) == causes(first, step), step


@pytest.mark.parametrize("answer", [True, None])
def test_validator_without_a_verdict_fails_the_run(tmp_path, answer):
    class Odd(BaseValidator):
        def validate_action(self, action, state):
            return answer

    assert repr(answer) in failed_validator(tmp_path, Odd())


def test_validator_that_hangs_fails_the_run(tmp_path):
    free = threading.Event()

    class Hanging(BaseValidator):
        def validate_action(self, action, state):
            free.wait()

    assert f"{TIMEOUT_S} s" in failed_validator(tmp_path, Hanging())
    free.set()


def failed_validator(folder, validator):
    run = SimulationOrchestrator(
        settings("skip"),
        timeout_s=TIMEOUT_S,
        output_root=folder,
        agents=[Doer("ada", always(add()))],
        engine=Adder(),
        validator=validator,
    )
    result = run.run()
    assert result.status == "failed"
    assert "the validator" in result.error
    return result.error


def test_validator_that_rejects_all_leaves_the_run_going():
    class No(BaseValidator):
        def validate_action(self, action, state):
            return Verdict.reject("no")

    _, simulation = played(config(turns=2), [Doer("ada", always(add()))], validator=No())
    assert simulation.history[2].agent("ada")["x"] == 0


def test_state_of_another_type_is_named():
    class Odd(Adder):
        def apply_engine_rules(self, view):
            return {"x": 1}

    with pytest.raises(ThenceError, match="dict"):
        played(config(turns=1), [], Odd())


def test_agent_that_changes_what_it_observed_changes_nothing():
    def vandal(seen):
        seen["goods"].append("stolen")
        seen.agent("ben")["map"]["k"].clear()

    given = config(
        turns=1,
        agent_vars=[
            {"name": "goods", "type": "list"},
            {"name": "map", "type": "dict", "default": {"k": [1]}},
        ],
    )
    _, simulation = played(given, [Doer("ada", vandal), Doer("ben", always(None))])
    assert simulation.history[1].values() == simulation.history[0].values()


@pytest.mark.parametrize("wrong", [{"on_agent_error": "ignore"}, {"timeout_s": 0}, {"threads": -1}])
def test_wrong_setting_is_refused(wrong):
    with pytest.raises(ScenarioError):
        config(simulation={"name": "toy", **wrong})
