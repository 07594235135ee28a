"""What each event names as its causes, in worlds small enough to know the answer."""

import sys

import pytest
from tests.sim import ring
from tests.sim.test_thinking import events_of
from tests.sim.toys import (
    Adder,
    Doer,
    add,
    always,
    at_turn,
    causes,
    config,
    killed,
    orchestrator,
    played,
    told,
)
from tests.tiers import tenth

from thence.sim import VerbosityLevel, branch, replay, resume
from thence.sim.results.recorded import RecordedRun
from thence.sim.run import simulation
from thence.sim.run.agents import Action, BaseValidator, Verdict
from thence.sim.run.engine import BaseEngine

pytestmark = pytest.mark.promise("O6")


def watching(name, of):
    """An agent that adds one if another agent's x is above 1."""
    return Doer(name, lambda seen: add() if seen.agent(of)["x"] > 1 else None)


def test_decision_action_and_state_name_what_led_to_them_and_what_was_read():
    class Careful(BaseValidator):
        def validate_action(self, action, state):
            return Verdict(state.agent("ada")["x"] < 100)

    cleo = Doer("cleo", lambda seen: add() if seen["x"] == 0 else None)
    agents = [Doer("ada", always(add())), watching("ben", of="ada"), cleo]
    events, _ = played(config(turns=3), agents, validator=Careful())
    before = "1.apply0.ada.agent/ada/x"
    assert causes(events, "3.decide.ben.0") == {"3.turn_start.-.0", "2.apply0.ada.agent/ada/x"}
    assert causes(events, "3.decide.ada.0") == {"3.turn_start.-.0"}
    assert causes(events, "1.decide.cleo.0") == {"1.turn_start.-.0", "0.start.-.0"}
    assert causes(events, "2.act.ada.0") == {"2.decide.ada.0", before}
    assert causes(events, "2.apply0.ada.agent/ada/x") == {"2.act.ada.0", before}


def test_rule_names_what_it_read_and_not_what_another_rule_read():
    class Two(Adder):
        def apply_engine_rules(self, view):
            with view.rule("sum"):
                view.world["sum"] = view.agent("ada")["x"]
            with view.rule("copy"):
                view.world["copy"] = view.agent("ben")["x"]

    given = config(turns=2, global_vars=[{"name": name, "type": "int"} for name in ("sum", "copy")])
    agents = [Doer("ada", always(add())), Doer("ben", always(add()))]
    events, _ = played(given, agents, Two())
    assert causes(events, "1.sum.-.global/sum") == {"1.apply0.ada.agent/ada/x"}
    assert causes(events, "1.copy.-.global/copy") == {"1.apply0.ben.agent/ben/x"}


def test_state_names_whose_old_value_it_tells():
    class Overwriting(BaseEngine):
        def apply_engine_rules(self, view):
            with view.rule("clock"):
                view.world["sum"] = view.turn

    events, _ = played(config(turns=2), [], Overwriting())
    assert causes(events, "1.clock.-.global/sum") == {"1.turn_start.-.0"}
    assert causes(events, "2.clock.-.global/sum") == {"1.clock.-.global/sum"}


def test_rule_that_leaves_a_value_as_it_is_lends_its_causes():
    class Capped(Adder):
        def apply_engine_rules(self, view):
            with view.rule("cap"):
                view.world["sum"] = min(1, view.agent("ada")["x"])

    ben = Doer("ben", lambda seen: add(seen.world["sum"]))
    events, _ = played(config(turns=4), [Doer("ada", always(add())), ben], Capped())
    assert "3.cap.-.global/sum" not in events
    assert causes(events, "4.decide.ben.0") == {"4.turn_start.-.0", "3.apply0.ada.agent/ada/x"}


def test_rule_that_may_write_lends_its_causes_when_it_does_not():
    class Alarm(Adder):
        def apply_engine_rules(self, view):
            with view.rule("alarm", may_change=[("global", "sum")]):
                if view.agent("ada")["x"] > 100:
                    view.world["sum"] = 1

    ben = Doer("ben", lambda seen: add(seen.world["sum"]))
    events, _ = played(config(turns=2), [Doer("ada", always(add())), ben], Alarm())
    assert causes(events, "2.decide.ben.0") == {"2.turn_start.-.0", "1.apply0.ada.agent/ada/x"}


def test_silent_agent_leaves_behind_why_it_was_silent():
    ada = Doer("ada", always(add()))
    ben = Doer("ben", lambda seen: None if seen.agent("ada")["x"] else add())
    cleo = Doer("cleo", lambda seen: add(seen.agent("ben")["x"]))
    events, _ = played(config(turns=3), [ada, ben, cleo])
    assert "2.decide.ben.0" not in events
    read = {"1.apply0.ben.agent/ben/x", "1.apply0.ada.agent/ada/x"}
    assert causes(events, "3.decide.cleo.0") == {"3.turn_start.-.0", *read}


class Small(BaseValidator):
    """Refuses amounts above one, or above `most`."""

    def __init__(self, most=1):
        super().__init__()
        self.most = most

    def validate_action(self, action, state):
        is_small = action.payload["amount"] <= self.most
        return Verdict(is_small, "too much", {"at_most": self.most})


class NeverBen(BaseValidator):
    """Refuses what ben wants, once it has looked at the world's sum."""

    def validate_action(self, action, state):
        return Verdict(action.agent_id != "ben", f"not ben at {state.world['sum']}")


def effects(events, step):
    """Returns the steps of all events that go back to one."""
    found = {step}
    for each in events:
        if causes(events, each) & found:
            found.add(each)
    return found - {step}


def test_refused_agent_leaves_behind_what_it_and_the_validator_read():
    class Summing(Adder):
        def apply_engine_rules(self, view):
            view.world["sum"] = view.turn

    ada = Doer("ada", always(add()))
    ben = Doer("ben", lambda seen: add(seen.agent("ada")["x"]))
    cleo = Doer("cleo", lambda seen: add(seen.agent("ben")["x"]))
    events, _ = played(config(turns=3), [ada, ben, cleo], Summing(), NeverBen())
    assert events["2.reject.ben.0"].details["reason"] == "not ben at 1"
    assert "2.act.ben.0" not in events
    read = {"1.apply0.ada.agent/ada/x", "1.rules.-.global/sum"}
    assert causes(events, "3.decide.cleo.0") == {"3.turn_start.-.0", *read}


@pytest.mark.parametrize("remembers", [True, False])
def test_refused_decision_has_no_effect_but_its_rejection(remembers):
    ben = Doer("ben", always(add()), remembers=remembers)
    cleo = Doer("cleo", lambda seen: add(seen.agent("ben")["x"] + 1), remembers=remembers)
    events, _ = played(config(turns=4), [ben, cleo], validator=NeverBen())
    assert effects(events, "1.decide.ben.0") == {"1.reject.ben.0"}
    assert effects(events, "1.decide.cleo.0") > {"1.act.cleo.0", "1.apply0.cleo.agent/cleo/x"}


@pytest.mark.promise("O11")
def test_accepted_decision_in_place_of_a_refused_one_is_the_cause_in_the_branch(tmp_path):
    def agents():
        return [Doer("ben", always(add(9))), watching("cleo", of="ben")]

    run = orchestrator(tmp_path, agents(), validator=Small(8)).run()
    events = events_of(run.output_dir)
    assert effects(events, "1.decide.ben.0") == {"1.reject.ben.0"}
    other = {"1.decide.ben.0": {"action_type": "add", "payload": {"amount": 5}}}
    parts = {"agents": agents(), "engine": Adder(), "validator": Small(8)}
    branched = events_of(branch(run.output_dir, 0, decide=other, **parts).run().output_dir)
    came = {step for step in branched.keys() - events.keys() if not step.startswith("0.")}
    assert {"1.act.ben.0", "1.apply0.ben.agent/ben/x", "2.decide.cleo.0"} <= came
    assert came <= effects(branched, "1.decide.ben.0")


def test_refused_decision_causes_what_came_of_asking_again():
    ben = Doer("ben", lambda seen: add(2 - len(seen.rejections)))
    given = config(turns=2, validator={"retries": 1})
    events, _ = played(given, [ben], validator=Small())
    assert effects(events, "1.decide.ben.0") > {"1.retry1.ben.0", "1.act1.ben.0"}
    stubborn = Doer("ben", always(add(2)))
    events, _ = played(given, [stubborn, Doer("cleo", always(add(1)))], validator=Small())
    kinds = ("reject", "retry1", "decide1", "reject1")
    assert effects(events, "1.decide.ben.0") == {f"1.{kind}.ben.0" for kind in kinds}


@pytest.mark.promise("O5")
def test_retry_names_the_rejection_and_its_decision_names_the_retry():
    def answer(seen):
        return add(seen.rejections[-1].verdict.facts["at_most"] if seen.rejections else 9)

    given = config(turns=1, validator={"retries": 1})
    events, simulation = played(given, [Doer("ada", answer)], validator=Small())
    assert events["1.reject.ada.0"].details["error_type"] == "action_rejected"
    assert events["1.retry1.ada.0"].details["error_type"] == "action_retried"
    assert causes(events, "1.reject.ada.0") == {"1.decide.ada.0"}
    assert causes(events, "1.retry1.ada.0") == {"1.reject.ada.0"}
    assert causes(events, "1.decide1.ada.0") == {"1.turn_start.-.0", "1.retry1.ada.0"}
    assert simulation.history[-1].agent("ada")["x"] == 1


def test_agent_that_remembers_names_its_earlier_decision():
    memory = []

    def answer(seen):
        memory.append(seen.agent("ben")["x"])
        return add(memory[0] + 1)

    events, _ = played(
        config(turns=2), [Doer("ada", answer, remembers=True), Doer("ben", always(add()))]
    )
    assert "1.decide.ada.0" in causes(events, "2.decide.ada.0")


def test_turn_that_depends_on_a_value_names_it():
    class Ending(Adder):
        def check_termination(self, state):
            return "ada has enough" if state.agent("ada")["x"] > 1 else None

    events, simulation = played(config(turns=9), [Doer("ada", always(add()))], Ending())
    assert simulation.reason == "ada has enough"
    assert causes(events, "2.turn_start.-.0") == {"1.turn_end.-.0", "1.apply0.ada.agent/ada/x"}
    assert causes(events, "2.end.-.0") == {"2.turn_end.-.0", "2.apply0.ada.agent/ada/x"}


def test_action_that_the_engine_made_itself_is_put_down_to_all_of_the_turn():
    class Inventive(Adder):
        def apply_actions(self, state, actions, writes):
            with writes.action(Action("rain")) as view:
                view.world["sum"] = 1

    agents = [Doer("ada", always(add())), Doer("ben", always(add()))]
    events, _ = played(config(turns=1), agents, Inventive())
    assert causes(events, "1.apply.-.global/sum") == {"1.act.ada.0", "1.act.ben.0"}


@pytest.mark.parametrize("reach", [[("agent/dov", "x")], ["dov"], ("dov", "cleo"), "dov"])
def test_silent_agent_leaves_why_on_all_that_its_action_might_have_changed(reach):
    class Reaching(Adder):
        def reach(self, agent):
            return reach if agent == "cleo" else None

    cleo = Doer("cleo", lambda seen: add() if seen.turn > 9 or seen.world["sum"] < 0 else None)
    dov = Doer("dov", lambda seen: add(seen["x"]) if seen.turn == 3 else None, remembers=False)

    class Counting(Reaching):
        def apply_engine_rules(self, view):
            view.world["sum"] = view.turn

    events, _ = played(config(turns=3), [cleo, dov], Counting())
    assert "1.rules.-.global/sum" in causes(events, "3.decide.dov.0")


def test_reach_is_asked_once_for_each_agent_in_steps_that_grow_with_their_number():
    """Where nobody talks; counted are the lines that the module of a run executes."""

    class Reaching(Adder):
        def reach(self, agent):
            reached.append(agent)

    def lines_of_turn(count):
        executed = 0

        def trace(frame, event, _):
            nonlocal executed
            executed += event == "line"
            return trace if frame.f_code.co_filename == simulation.__file__ else None

        names = [f"a{number}" for number in range(count)]
        before = sys.gettrace()
        sys.settrace(trace)
        try:
            played(config(turns=2), [Doer(name, always(None)) for name in names], Reaching())
        finally:
            sys.settrace(before)
        assert reached == names
        reached.clear()
        return executed

    reached = []
    few, many = lines_of_turn(20), lines_of_turn(80)
    assert few < many < 5 * few


def test_silence_is_a_cause_of_what_others_do_in_the_same_turn():
    cleo = Doer("cleo", lambda seen: None if seen.world["sum"] else add())
    dov = Doer("dov", always(add()))

    class CopyingCleo(Adder):
        def apply_action(self, view, action):
            if action.agent_id == "dov":
                view.world["sum"] = view.agent("cleo")["x"] + view.turn

    events, _ = played(config(turns=2), [cleo, dov], CopyingCleo())
    assert "1.apply0.dov.global/sum" in causes(events, "2.apply0.dov.global/sum")
    assert "2.decide.cleo.0" not in events


def test_state_that_an_engine_reads_for_all_actions_is_a_cause_of_all_changes():
    class Weather(Adder):
        def apply_actions(self, state, actions, writes):
            factor = 2 if state.agent("ben")["x"] else 1
            for action in actions:
                with writes.action(action) as view:
                    view.agent(action.agent_id)["x"] = action.payload["amount"] * factor

    agents = [Doer("ada", always(add())), Doer("ben", always(add()))]
    events, _ = played(config(turns=2), agents, Weather())
    assert "1.apply0.ben.agent/ben/x" in causes(events, "2.apply0.ada.agent/ada/x")


LINES_MAX = 700  # 7,846 where each wide provenance had notices of its own
# median and 95th percentile of a STATE's causes then
CONES_THEN = {False: (32, 539), True: (37.5, 562)}
WIDER_MAX = 1.2


@pytest.fixture(scope="module", params=[False, True], ids=["own", "reach"])
def of_actions(request, tmp_path_factory):
    root = tmp_path_factory.mktemp("ring")
    return request.param, ring.orchestrator(root, "ACTION", request.param).run()


@pytest.fixture(scope="module")
def hash_of_whole(of_actions):
    reaches, whole = of_actions
    return replay(whole.output_dir, **ring.components(reaches)).sha256


@pytest.mark.promise("O11")
def test_run_of_people_who_read_their_neighbours_writes_few_notices(of_actions):
    _, result = of_actions
    assert result.status == "completed"
    assert result.events <= LINES_MAX


@pytest.mark.promise("O11")
@pytest.mark.parametrize("level", [level.name for level in VerbosityLevel])
@pytest.mark.whole(rows=3)
def test_replay_is_the_same_at_every_verbosity(tmp_path, level):
    result = ring.orchestrator(tmp_path, level, reaches=True).run()
    again = replay(result.output_dir, **ring.components(reaches=True))
    assert (again.step, again.turns) == ("", ring.TURNS)


@pytest.mark.promise("O11")
@pytest.mark.parametrize("turn", tenth([1, 4, 5, 6, 13, 20, 31, 39], [5, 31]))
@pytest.mark.whole
def test_run_that_was_killed_goes_on_to_the_same_state_and_hash(
    tmp_path, of_actions, hash_of_whole, turn
):
    reaches, whole = of_actions
    settings = {"run_id": "killed", "on_turn": at_turn(turn)}
    killed(lambda: ring.orchestrator(tmp_path, "ACTION", reaches, **settings).run())
    result = resume(tmp_path / "killed", **ring.components(reaches)).run()
    assert result.final_state == whole.final_state
    assert told(tmp_path / "killed") == told(whole.output_dir)
    again = replay(result.output_dir, **ring.components(reaches))
    assert again.sha256 == hash_of_whole


@pytest.mark.promise("O11")
@pytest.mark.parametrize("reaches", [False, True], ids=["own", "reach"])
def test_cones_stay_narrow(tmp_path, reaches):
    result = ring.orchestrator(tmp_path, "STATE", reaches).run()
    with RecordedRun(result.output_dir) as run:
        sizes = ring.cone_sizes(list(run.log.read()))
    now = sizes[len(sizes) // 2], sizes[len(sizes) * 95 // 100]
    for size, then in zip(now, CONES_THEN[reaches], strict=True):
        assert size <= WIDER_MAX * then
