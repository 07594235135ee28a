"""A run says which component failed and what led to it, or goes on after an agent that failed."""

import asyncio
import threading

import msgspec
import pytest
import structlog
from tests.sim.toys import (
    Adder,
    Doer,
    add,
    always,
    causes,
    config,
    lines,
    made,
    one_by_one,
    orchestrator,
    played,
)
from tests.tiers import tenth

from thence.errors import ScenarioError, ThenceError
from thence.sim.again.replay_input import ReplayInput
from thence.sim.run.agents import Action, BaseValidator, Verdict
from thence.sim.run.simulation import Components, Simulation

pytestmark = pytest.mark.promise("O4")


class CardDeclined(Exception):
    """What fails in these worlds, always in turn 2."""


def declined(turn):
    if turn == 2:
        raise CardDeclined("no money")


def failed(folder, ada=lambda seen: add(), engine=None, validator=None, verbosity="DETAIL"):
    """Plays a world that fails; returns the orchestrator, the notice, and its causes by step."""
    agents = [Doer("ada", ada), Doer("ben", always(add()))]
    run = orchestrator(folder, agents, engine, 4, validator=validator, verbosity=verbosity)
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


def with_method(method, name):
    """Returns a validator or an engine of which one method is another."""
    if name == "validate_action":
        return {"validator": made(BaseValidator, validate_action=method)}
    return {"engine": made(Adder, **{name: method})}


def validate_action(self, action, state):
    declined(state.turn if action.agent_id == "ben" else 0)
    return Verdict.accept()


def apply_actions(self, state, actions, writes):
    declined(state.turn if state.agent("ben")["x"] == 0 else 0)


def apply_action(self, view, action):
    x = view.agent(action.agent_id)["x"]
    declined(view.turn if action.agent_id == "ben" else 0)
    view.agent(action.agent_id)["x"] = x + 1


def apply_engine_rules(self, view):
    with view.rule("tax"):
        view.agent("ada")["x"] += 0
        declined(view.turn)


def check_termination(self, state):
    declined(state.agent("ben")["x"])


def initialize_state(self, state):
    declined(2)


APPLYING = "the engine, applying actions"


@pytest.mark.parametrize(
    ("method", "agent", "component", "causes"),
    [
        (validate_action, "ben", "the validator", {"2.decide.ben.0"}),
        (apply_actions, None, APPLYING, {"2.act.ada.0", "2.act.ben.0"}),
        (apply_action, "ben", APPLYING, {"2.act.ben.0", "1.apply0.ben.agent/ben/x"}),
        (
            apply_engine_rules,
            None,
            "the engine, applying its rule tax,",
            {"2.apply0.ada.agent/ada/x"},
        ),
        (
            check_termination,
            None,
            "the engine, checking termination",
            {"2.turn_end.-.0", "2.apply0.ben.agent/ben/x"},
        ),
        (initialize_state, None, "the engine, initializing", {"0.start.-.0"}),
    ],
)
def test_failing_part_is_named_with_what_led_to_it(tmp_path, method, agent, component, causes):
    run, notice, named = failed(tmp_path, **with_method(method, method.__name__))
    assert (notice.get("agent_id"), notice["details"]["component"]) == (agent, component)
    assert named == causes
    assert "CardDeclined: no money" in run.result.error
    assert lines(run.output_dir)[-1]["details"]["milestone_type"] == "simulation_end"


@pytest.mark.parametrize(
    ("name", "answer", "told"),
    [
        ("initialize_state", None, "returned None, not a State"),
        ("initialize_state", 5, "returned 5, not a State"),
        ("apply_actions", {"sum": 1}, "apply_actions returned {'sum': 1}, not None"),
        ("apply_engine_rules", {"x": 1}, "apply_engine_rules returned {'x': 1}, not None"),
        ("check_termination", True, "check_termination of the engine returned True"),
        ("check_termination", 5, "check_termination of the engine returned 5"),
    ],
)
def test_engine_that_answers_nonsense_is_named_with_what_it_returned(tmp_path, name, answer, told):
    run, _, _ = failed(tmp_path, **with_method(lambda *_: answer, name))
    assert told in run.result.error


@pytest.mark.parametrize(
    ("answer", "shown"),
    [
        ("sell", "'sell'"),
        (["sell"], "'sell'"),
        (3, "3"),
        ({"a": 1}, "{'a': 1}"),
        (Action("add", None), "Action("),
    ],
)
def test_answer_that_is_no_action_is_the_agents_failure(tmp_path, answer, shown):
    run, notice, _ = failed(tmp_path, lambda seen: answer if seen.turn == 2 else None)
    assert f"could not take the decision of agent ada: it returned {shown}" in run.result.error
    assert notice["agent_id"] == "ada"
    assert notice["details"]["component"] == "agent ada"
    assert isinstance(run.failure, ThenceError)


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


@pytest.mark.parametrize(
    ("kind", "value", "held"), [("float", float("nan"), "NaN"), ("str", "a\udc80", "a\\udc80")]
)
def test_result_is_json_whatever_the_world_holds(tmp_path, kind, value, held):
    lost = made(Adder, apply_engine_rules=lambda self, view: view.set("global", "mood", value))
    given = config(global_vars=[{"name": "mood", "type": kind}])
    run = orchestrator(tmp_path, [Doer("ada", always(add()))], lost, given=given)
    content = (run.run().output_dir / "result.json").read_bytes()
    assert msgspec.json.decode(content)["final_state"]["global"]["mood"] == held


TIMEOUT_S = 0.7
WAIT_S = 60
# by the way in which an agent fails: the kind, and what the error says
KINDS = {
    "raises": ("raised", "no disk"),
    "hangs": ("timed_out", f"{TIMEOUT_S} s"),
    "hangs_async": ("timed_out", f"{TIMEOUT_S} s"),
    "raises_in_generator": ("raised", "no disk"),
    "hangs_in_generator": ("timed_out", f"{TIMEOUT_S} s"),
    "nonsense": ("nonsense", "sell"),
    "returns_error": ("nonsense", "KeyError('price')"),
}
# only ada has a timeout, a long one unless she hangs: on a busy machine a quick agent may take long
ADA = {"name": "ada", "type": "scenarios.traders:Trader", "goods": [], "places": []}


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


def settings(policy, turns=3, timeout_s=WAIT_S, **more):
    return config(
        agents=[{**ADA, "timeout_s": timeout_s}],
        simulation={"name": "toy", "max_turns": turns, "on_agent_error": policy, **more},
    )


def timeout_of(way):
    return TIMEOUT_S if KINDS[way][0] == "timed_out" else WAIT_S


def events_of(folder):
    events = lines(folder)
    steps = {each["event_id"]: each.get("step") for each in events}
    return {each["step"]: each for each in events}, steps


POLICIES = ("fail", "skip", "pause")
FAILURES = [(policy, way) for policy in POLICIES for way in KINDS]
# each kind with one policy by turns, and one kind with all
SOME = {(POLICIES[at % 3], way) for at, way in enumerate(KINDS)} | {
    (policy, "raises") for policy in POLICIES
}


@pytest.mark.promise("O9a")
@pytest.mark.parametrize(("policy", "way"), tenth(FAILURES, sorted(SOME)))
@pytest.mark.whole
def test_policy_decides_what_follows_a_failure(tmp_path, fails, policy, way):
    answer = fails(way)
    agents = [Doer("ada", answer), Doer("ben", always(add()))]
    run = orchestrator(tmp_path, agents, given=settings(policy, timeout_s=timeout_of(way)))
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
    kind, words = KINDS[way]
    assert (details["kind"], details["policy"]) == (kind, policy)
    assert failed["agent_id"] == "ada"
    assert words in details["error"]
    led_to_it = {steps[each] for each in failed["caused_by"]}
    assert led_to_it == {"2.turn_start.-.0", "1.apply0.ada.agent/ada/x"}


@pytest.mark.promise("O9a")
@pytest.mark.parametrize("verbosity", ["MILESTONE", "DECISION", "ACTION", "DETAIL"])
def test_failure_is_recorded_at_every_verbosity(tmp_path, fails, verbosity):
    agents = [Doer("ada", fails("raises"))]
    run = orchestrator(tmp_path, agents, turns=2, verbosity=verbosity, on_agent_error="skip")
    assert run.run().status == "completed"
    failure = events_of(run.output_dir)[0]["2.failed.ada.0"]
    assert failure["details"]["reads"] == ["agent/ada/x"]


@pytest.mark.promise("O9a")
def test_inaction_and_next_decision_name_the_failure(fails):
    def rules(self, view):
        view.world["sum"] = view.turn + view.agent("ada")["x"]

    answer = fails("raises")
    agents = [Doer("ada", lambda seen: add() if seen.turn == 3 else answer(seen), remembers=True)]
    events, _ = played(settings("skip"), agents, made(Adder, apply_engine_rules=rules))
    assert "2.failed.ada.0" in causes(events, "2.rules.-.global/sum")
    assert "2.failed.ada.0" in causes(events, "3.decide.ada.0")


@pytest.mark.promise("O9a")
def test_agent_that_still_hangs_is_not_entered_twice(fails):
    answer = fails("hangs")
    agents = [Doer("ada", answer), Doer("ben", always(None))]
    events, _ = played(settings("skip", turns=4, timeout_s=TIMEOUT_S), agents)
    assert answer.turns == [1, 2]
    assert {"2.failed.ada.0", "3.failed.ada.0", "4.failed.ada.0"} <= events.keys()


@pytest.mark.promise("O9a")
@pytest.mark.parametrize("way", KINDS)
@pytest.mark.whole(rows=4)
def test_known_failure_is_recorded_again_and_the_agent_not_called(fails, way):
    answer = fails(way)
    ben = always(add())
    agents = [Doer("ada", answer, remembers=True), Doer("ben", ben)]
    first, _ = played(settings("skip", timeout_s=timeout_of(way)), agents)
    known = {"2.failed.ada.0": dict(first["2.failed.ada.0"].details)}
    events = []
    again = Doer("ada", lambda seen: add() if seen["x"] == 0 or seen.turn != 2 else 1 / 0, True)
    parts = Components((again, Doer("ben", ben)), Adder(), BaseValidator())
    simulation = Simulation(
        settings("fail", turns=2),
        parts,
        one_by_one(events.append),
        again=ReplayInput(failures=known),
    )
    asyncio.run(simulation.run())
    second = {event.step: event for event in events}
    assert simulation.reason == "max_turns 2 reached"
    assert second["2.failed.ada.0"].details == first["2.failed.ada.0"].details
    for step in second.keys() - {"2.end.-.0"}:
        assert causes(second, step) == causes(first, step), step


@pytest.mark.promise("O9a")
@pytest.mark.parametrize("answer", [True, None])
def test_validator_without_a_verdict_fails_the_run(tmp_path, answer):
    odd = made(BaseValidator, validate_action=lambda self, action, state: answer)
    assert repr(answer) in failed_validator(tmp_path, odd)


@pytest.mark.promise("O9a")
def test_validator_that_hangs_fails_the_run(tmp_path):
    free = threading.Event()

    hanging = made(BaseValidator, validate_action=lambda self, action, state: free.wait())
    assert f"{TIMEOUT_S} s" in failed_validator(tmp_path, hanging, TIMEOUT_S)
    free.set()


def failed_validator(folder, validator, timeout_s=WAIT_S):
    words = {"given": settings("skip"), "timeout_s": timeout_s, "validator": validator}
    result = orchestrator(folder, [Doer("ada", always(add()))], **words).run()
    assert result.status == "failed"
    assert "the validator" in result.error
    return result.error


@pytest.mark.promise("O9a")
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


@pytest.mark.promise("O9a")
@pytest.mark.parametrize(
    "wrong",
    [
        {"max_turns": -1},
        {"seed": "x"},
        {"timeout_s": -1},
        {"threads": -1},
        {"mode": "fast"},
        {"on_full": "wait"},
        {"max_queue_size": 0},
        {"max_cost": -1},
    ],
)
def test_wrong_argument_is_refused_by_its_name_and_makes_no_folder(tmp_path, wrong):
    (name,) = wrong
    with pytest.raises(
        ScenarioError, match=rf"{name} should be .*, not {next(iter(wrong.values()))!r}"
    ):
        orchestrator(tmp_path, [Doer("ada", always(None))], **wrong)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("parts", "reason"),
    [
        ({"agents": [Doer]}, "is not a BaseAgent"),
        ({"agents": ["ada"]}, "'ada' is not a BaseAgent"),
        ({"engine": Adder}, "is not a BaseEngine"),
        ({"validator": BaseValidator}, "is not a BaseValidator"),
        ({"agents": [Doer("a" * 101, always(None))]}, "is not a name for an agent"),
        ({"agents": [Doer("ada", always(None))] * 2}, "'ada' appears twice"),
    ],
)
def test_what_is_no_component_is_refused_before_the_run_has_a_folder(tmp_path, parts, reason):
    with pytest.raises(ScenarioError, match=reason) as caught:
        orchestrator(tmp_path, **parts)
    assert caught.value.hint
    assert not list(tmp_path.iterdir())


def test_agents_of_a_generator_take_part(tmp_path):
    names = ("ada", "ben")
    run = orchestrator(tmp_path, (Doer(name, always(add())) for name in names))
    assert [agent.name for agent in run.agents] == [*names]


def test_failure_is_told_with_the_line_of_the_callers_code(tmp_path):
    class Wrong(Doer):
        def decide_action(self, seen):
            return seen.random("nobody").choice([])

    run = orchestrator(tmp_path, [Wrong("ada", None)])
    assert "IndexError" in run.run().error
    assert "(test_failures.py, line" in run.result.error


class Keeper(Doer):
    """An agent that remembers, and keeps what it is told to."""

    def __init__(self, name, get_state):
        super().__init__(name, always(add()), remembers=True)
        self.get_state = get_state


@pytest.mark.parametrize("kept", [{"at": (1, 2)}, {"of": {3}}, float("nan"), {1: 2}])
def test_state_that_json_can_not_give_back_is_told_with_its_agent(tmp_path, kept):
    agents = [Doer("ada", always(add())), Keeper("ben", lambda: kept)]
    with structlog.testing.capture_logs() as records:
        run = orchestrator(tmp_path, agents, checkpoint_interval=1)
        assert run.run().status == "completed"
    (record,) = [each for each in records if each["event"] == "checkpoint_not_written"]
    assert record["turn"] == 1
    assert "get_state of agent/ben" in record["cause"]


def test_get_state_that_raises_is_named(tmp_path):
    agents = [Keeper("ben", lambda: {}["key"])]
    result = orchestrator(tmp_path, agents, checkpoint_interval=1).run()
    assert result.error.startswith("get_state of agent/ben failed: KeyError: 'key'")


@pytest.mark.parametrize("answer", [5, [5], ["zoe"], ("agent/ada", "x", "y")])
def test_reach_that_is_none_is_told_with_its_agent(tmp_path, answer):
    far = made(Adder, reach=lambda self, agent: answer)
    result = orchestrator(tmp_path, [Doer("ada", always(add()))], far).run()
    assert "could not take the reach of agent ada: no agent of the run is named" in result.error
