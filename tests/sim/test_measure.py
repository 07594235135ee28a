"""Weights of causes: what changed an event when it was altered, by plays that leave no trace."""

import json
from itertools import pairwise

import pytest
from bench import incidents
from tests.cli.warm import warm
from tests.sim.models.endpoint import Endpoint
from tests.sim.models.village import village
from tests.sim.toys import Adder, Doer, add, config, lines, made, orchestrator

import thence
from thence.errors import NotALog, RunDiverged, ThenceError
from thence.sim import LLMAgent, SimulationOrchestrator, Verdict, measure
from thence.sim.results.measure import wilson
from thence.sim.run.agents import BaseValidator

pytestmark = pytest.mark.promise("O13")
TURNS = 8
BYSTANDERS = ("ben", "cleo", "dov", "esme")
NUMBERS = ({"name": "x", "type": "int", "default": 0, "min": 0, "max": 20},)
ALARM = "6.siren.-.global/siren"
SIREN = ({"name": "siren", "type": "bool"},)


class Siren(Adder):
    """The siren goes off in turn 6 if all have 10 together; who reads it adds it up anew."""

    def apply_engine_rules(self, view):
        with view.rule("siren"):
            total = sum(view.agent(name)["x"] for name in ("ada", *BYSTANDERS))
            if view.turn == 6 and total >= 10:
                view.world["siren"] = True


def people():
    """Ada adds 9 in turn 2; the others 1 in turns of their own, so that 13 are there in turn 6."""

    def ada(seen):
        if seen.turn == 7:
            return add(int(seen.world["siren"]))
        return add(9) if seen.turn == 2 else None

    return [
        Doer("ada", ada),
        *(Doer(n, lambda s, at=k: add(1) if s.turn == at else None) for k, n in others()),
    ]


def others():
    return enumerate(BYSTANDERS, 1)


def siren_run(root, run_id="run", **settings):
    given = config(turns=TURNS, agent_vars=NUMBERS, global_vars=SIREN)
    run = orchestrator(root, people(), Siren(), given=given, run_id=run_id, **settings)
    return run.run().output_dir


def measured(folder, event, **options):
    return measure(folder, event, agents=people(), engine=Siren(), **options)


def measured_of(folder, step, agents, engine=None, validator=None, runs=64, **given):
    """Plays a run of these components, and measures what led to the event at a step."""
    parts = {"agents": agents, "engine": engine or Adder(), "validator": validator}
    given = config(**{"agent_vars": NUMBERS, **given})
    run = SimulationOrchestrator(given, output_root=folder, verbosity="STATE", **parts)
    folder = run.run().output_dir
    return measure(folder, at(folder, step), runs=runs, **parts)


def weight_at(found, step):
    return next(each for each in found.weights if each.event.step == step)


def at(folder, step):
    """Returns the id of the event at a step."""
    return next(each["event_id"] for each in lines(folder) if each.get("step") == step)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return siren_run(tmp_path_factory.mktemp("measured"))


@pytest.mark.parametrize(
    ("verbosity", "effect"),
    [("STATE", ALARM), ("ACTION", "7.act.ada.0"), ("DECISION", "7.decide.ada.0")],
)
def test_cause_that_decided_is_heavier_than_bystanders_in_the_cone(tmp_path, verbosity, effect):
    folder = siren_run(tmp_path, verbosity=verbosity)
    found = measured(folder, at(folder, effect))
    by_step = {each.event.step: each for each in found.weights}
    assert found.weights[0].event.step == "2.decide.ada.0"
    assert by_step["1.decide.ben.0"].weight == 0
    assert by_step["1.decide.ben.0"].n >= 1


def test_weight_is_the_share_of_alterations_that_changed_the_event_within_bounds(folder):
    found = measured(folder, at(folder, ALARM), runs=200)
    ada, ben = weight_at(found, "2.decide.ada.0"), weight_at(found, "1.decide.ben.0")
    # left out, or 1 added as in turn 7; ben: left out, or 9 added as by ada
    assert (ada.n, ada.weight, ada.unknown) == (2, 1.0, 0)
    assert (ben.n, ben.weight, ben.unknown) == (2, 0.0, 0)
    assert (ada.low, ada.high) == wilson(1.0, 2)
    assert found.unmeasured == 0
    assert found.plays < 200
    few = measured(folder, at(folder, ALARM), runs=3)
    assert few.plays == 3
    assert few.unmeasured > 0
    assert len(few.weights) + few.unmeasured == len(found.weights)
    more = measured(folder, at(folder, ALARM), runs=5)
    assert weight_at(more, "2.decide.ada.0").n == 2, "what is heavy is measured more closely"
    assert more.unmeasured == 1


def test_measuring_leaves_the_run_as_it_was(folder):
    def content():
        return {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}

    measured(folder, at(folder, ALARM))  # makes the index, if any
    before = content()
    measured(folder, at(folder, ALARM))
    assert content() == before


def test_plays_begin_at_the_checkpoint_before_what_they_alter(folder):
    turns = []

    class Counted(Siren):
        def apply_engine_rules(self, view):
            turns.append(view.turn)
            super().apply_engine_rules(view)

        def __deepcopy__(self, memo):
            return self

    found = measure(folder, at(folder, ALARM), agents=people(), engine=Counted(), runs=64)
    earliest = min(each.event.turn_number for each in found.weights)
    assert earliest == 1
    assert turns[:6] == [1, 2, 3, 4, 5, 6], "the unaltered play begins at the first turn"
    starts = [now for before, now in pairwise(turns) if now <= before]
    assert {1, 2, 3, 4} <= set(starts)
    assert len(turns) < 6 * (found.plays + 1)


def test_effects_of_an_event_are_told_with_the_share_that_changed_them(folder):
    found = measured(folder, at(folder, "2.decide.ada.0"), of_effects=True, runs=8)
    by_step = {each.event.step: each for each in found.weights}
    assert by_step["2.act.ada.0"].weight == 1
    assert by_step[ALARM].weight == 1
    assert by_step[ALARM].depth == 3
    bystander = measured(folder, at(folder, "1.decide.ben.0"), of_effects=True, runs=8)
    by_step = {each.event.step: each for each in bystander.weights}
    assert by_step["1.act.ben.0"].weight == 1
    assert by_step[ALARM].weight < 1


def test_interrupt_gives_what_is_measured_so_far(folder):
    def stop(done, runs):
        assert runs == 64
        if done == 5:
            raise KeyboardInterrupt

    found = measured(folder, at(folder, ALARM), on_play=stop)
    assert (found.interrupted, found.plays) == (True, 5)
    assert found.weights


def test_run_that_does_not_come_to_its_events_again_is_refused(folder):
    class Other(Siren):
        def apply_action(self, view, action):
            view.agent(action.agent_id)["x"] = 7

    silent = made(Siren, apply_engine_rules=lambda self, view: None)
    with pytest.raises(RunDiverged, match=r"1\.apply0\.ben"):
        measure(folder, at(folder, ALARM), agents=people(), engine=Other())
    with pytest.raises(RunDiverged, match="it did not happen again"):
        measure(folder, at(folder, ALARM), agents=people(), engine=silent)


def test_log_that_is_no_run_and_run_without_decisions_are_refused(tmp_path):
    with thence.open(tmp_path / "plain") as log:
        event = log.append("order.placed", {"amount": 1})
    with pytest.raises(NotALog, match="not a simulation's run"):
        measure(tmp_path / "plain", event.event_id)
    folder = siren_run(tmp_path, verbosity="MILESTONE")
    with pytest.raises(ThenceError, match="nothing that can be altered led to it") as raised:
        measured(folder, at(folder, "8.turn_end.-.0"))
    assert "verbosity DECISION" in raised.value.hint
    folder = siren_run(tmp_path, "other")
    with pytest.raises(ThenceError, match="no play comes to an effect"):
        measured(folder, at(folder, "8.end.-.0"), of_effects=True)


def test_why_and_effects_tell_weights_as_text_and_json(tmp_path):
    warm("sim", "run", "fishery", "--turns", "6", cwd=tmp_path)
    (folder,) = (tmp_path / "output").iterdir()
    step = "6.decide.dov.0"
    named = at(folder, step)
    told = warm("why", named, "--measure", "--runs", "20", cwd=tmp_path)
    assert "weight  95 %          n  moved" in told.out
    assert "20 plays, " in told.out
    assert "thence effects 01" in told.out.splitlines()[-1]
    answer = json.loads(warm("why", named, "--measure", "--runs", "20", "--json", cwd=tmp_path).out)
    assert answer["plays"] == 20
    assert len(answer["causes"]) + answer["unmeasured"] > 20
    heaviest = answer["causes"][0]
    assert heaviest["low"] <= heaviest["weight"] <= heaviest["high"]
    assert (answer["event"], heaviest["event"]) == (named, at(folder, heaviest["step"]))
    first = at(folder, "1.decide.ada.0")
    answer = json.loads(
        warm("effects", first, "--measure", "--runs", "4", "--json", cwd=tmp_path).out
    )
    assert answer["plays"] == 4
    assert {each["n"] for each in answer["effects"]} == {4}
    told = warm("why", "@last", "--measure", "--runs", "1", cwd=tmp_path)
    assert "0 mattered" in told.out
    assert "weight" not in told.out
    refused = warm("why", at(folder, "0.start.-.0"), "--measure", cwd=tmp_path)
    assert refused.code == 1
    assert "nothing that can be altered led to it" in refused.err
    for command in ("why", "effects"):
        alone = warm(command, named, "--runs=3", cwd=tmp_path)
        assert (alone.code, "belongs to --measure" in alone.err) == (2, True)


class Asker(Doer):
    """An agent that asks a model what to add, by what it sees."""

    remembers = False

    def __init__(self, name, asked):
        super().__init__(name, None)
        self.asked = asked

    def decide_action(self, seen):
        def model():
            self.asked.append(seen.turn)
            return len(self.asked) % 3

        return add(seen.outcome({"ben": seen.agent("ben")["x"]}, model))

    def __deepcopy__(self, memo):
        return self


def asking_run(root, asked):
    agents = [Asker("ada", asked), Doer("ben", lambda seen: add(1))]
    given = config(turns=4, agent_vars=NUMBERS)
    run = orchestrator(root, agents, given=given, on_agent_error="skip")
    return run.run().output_dir, agents


def test_alteration_that_needs_an_answer_is_unknown_and_asks_nothing(tmp_path):
    asked = []
    folder, agents = asking_run(tmp_path, asked)
    count = len(asked)
    found = measure(folder, at(folder, "4.decide.ada.0"), agents=agents, engine=Adder())
    assert len(asked) == count
    ben = weight_at(found, "3.decide.ben.0")
    assert (ben.n, ben.low, ben.high) == (0, 0.0, 1.0)
    assert ben.unknown >= 1
    assert found.problem == "it needs an answer that was not recorded"


def test_alteration_that_needs_an_answer_changes_no_failure(tmp_path):
    agents = [Asker("ada", []), Doer("ben", lambda seen: add(1))]
    fragile = Fragile(lambda view: view.agent("ben")["x"] >= 0 and view.turn == 3)
    found = measured_of(tmp_path, "3.failed.-.0", agents, fragile, turns=4)
    ben = weight_at(found, "1.decide.ben.0")
    assert (ben.n, ben.weight, ben.unknown > 0) == (0, None, True)


def test_effects_before_an_answer_lacks_are_known_and_the_others_not(tmp_path):
    folder, agents = asking_run(tmp_path, [])
    ben = at(folder, "2.decide.ben.0")
    found = measure(folder, ben, agents=agents, engine=Adder(), of_effects=True)
    of_turn = {each.event.step: (each.weight, each.n > 0) for each in found.weights}
    assert of_turn["2.act.ben.0"] == of_turn["2.apply0.ben.agent/ben/x"] == (1, True)
    assert of_turn["3.decide.ada.0"] == (None, False)


class Fragile(Adder):
    """An engine that breaks where a condition holds."""

    def __init__(self, breaks):
        super().__init__()
        self.breaks = breaks

    def apply_engine_rules(self, view):
        if self.breaks(view):
            raise ValueError("too many")


def trio(amount):
    """Returns ada, who adds 1 a turn, ben, who adds what she has, and cleo, who adds once."""
    return [
        Doer("ada", lambda seen: add(1)),
        Doer("ben", lambda seen: add(seen.agent("ada")["x"])),
        Doer("cleo", lambda seen: add(amount) if seen.turn == 1 else None),
    ]


class Eye(LLMAgent):
    """An agent that tells a model what ben has, and not in which turn."""

    remembers = False

    def messages(self, observation):
        return [{"role": "user", "content": f"ben has {observation.agent('ben')['x']}"}]

    def action(self, answer, observation):
        return add(int(answer))


@pytest.mark.rest
def test_same_request_at_another_step_has_the_recorded_answer(tmp_path):
    def agents():
        return [Eye("ada"), Doer("ben", lambda seen: add(1) if seen.turn == 1 else None)]

    with Endpoint(lambda body: body["messages"][0]["content"][-1]) as endpoint:
        local = {"base_url": endpoint.base_url, "model": "qwen"}
        given = config(turns=3, agent_vars=NUMBERS, llm={"endpoints": {"local": local}})
        folder = orchestrator(tmp_path, agents(), given=given).run().output_dir
        named, count = at(folder, "3.decide.ada.0"), len(endpoint.requests)
        found = measure(folder, named, agents=agents(), engine=Adder())
        assert len(endpoint.requests) == count == 3
    ben = weight_at(found, "1.decide.ben.0")
    assert (ben.weight, ben.unknown) == (1, 0), "left out: ben has 0, as in turn 1"


def forgiving(body):
    """Ann gives on as long as she remembers that she gave; the others do nothing."""
    text = body["messages"][1]["content"]
    gives = text.startswith("You are ann.") and ("turn 1." in text or "I did give" in text)
    action = {"do": "give", "to": "ben", "amount": 1} if gives else {"do": "none"}
    return json.dumps({"action": action, "note": "so it was", "importance": 5})


@pytest.mark.promise("O12", "O13")
def test_decision_that_others_remember_is_measured_or_said_to_be_not_measured(tmp_path):
    with village(forgiving, tmp_path, keys="memory: 5\n    sees: []") as (endpoint, scenario):
        run = SimulationOrchestrator(scenario, output_root=tmp_path / "runs", verbosity="STATE")
        folder = run.run().output_dir
        effect, count = at(folder, "4.decide.ann.0"), len(endpoint.requests)
        found = measure(folder, effect)
        first = weight_at(found, "1.decide.ann.0")
        assert (first.n, first.weight) == (0, None)
        # one of ann in turn 2, and all of the turns behind it
        assert len(endpoint.requests) == count
        told = " ".join(warm("why", effect, "--measure", "--log", folder, cwd=tmp_path).out.split())
        assert "unknown where it needs an answer that was not recorded" in told
        assert "? 0.00-1.00 0" in told
    assert [one.weight for one in found.weights if one.event.actor == "ben"] in ([], [None])


def test_alteration_that_makes_a_play_fail_is_unknown(tmp_path):
    fragile = Fragile(lambda view: view.agent("ada")["x"] > 10)
    found = measured_of(tmp_path, "3.decide.ben.0", trio(10), fragile, turns=3)
    ada = weight_at(found, "2.decide.ada.0")
    assert ada.unknown == 1, "it adds 10, as cleo did"
    assert ada.n >= 1
    assert found.problem == "the play failed: ValueError: too many"


def test_action_that_the_validator_refuses_alters_nothing(tmp_path):
    class Strict(BaseValidator):
        def validate_action(self, action, state):
            is_odd = action.agent_id != "ada" or action.payload["amount"] % 2
            return Verdict.accept() if is_odd else Verdict.reject("odd amounts alone")

    found = measured_of(tmp_path, "3.decide.ben.0", trio(2), validator=Strict(), turns=3)
    ada = weight_at(found, "2.decide.ada.0")
    assert (ada.n, ada.weight, ada.unknown) == (1, 1.0, 2), "left out; cleo's 2 and ben's 0"
    assert found.problem == "the validator refuses the other action"


def test_failure_of_a_run_is_measured_too(tmp_path):
    fragile = Fragile(lambda view: view.agent("ada")["x"] > 10)
    ada = Doer("ada", lambda seen: add(9 if seen.turn == 2 else 1))
    agents = [ada, Doer("ben", lambda seen: add())]
    found = measured_of(tmp_path, "3.failed.-.0", agents, fragile, turns=5)
    heavy = [each.event.step for each in found.weights if each.weight == 1]
    assert "2.decide.ada.0" in heavy


def test_alternatives_are_actions_that_were_taken_in_the_run(tmp_path):
    seen = set()

    class Watched(BaseValidator):
        def validate_action(self, action, state):
            seen.add((action.agent_id, action.action_type, action.payload["amount"]))
            return Verdict.accept()

    agents = [Doer(n, lambda s, k=k: add(k * s.turn)) for k, n in ((1, "ada"), (10, "ben"))]
    parts = {"agents": agents, "engine": Adder(), "validator": Watched()}
    folder = orchestrator(tmp_path, turns=3, **parts).run().output_dir
    taken = {amount for _, _, amount in seen}
    found = measure(folder, at(folder, "3.act.ada.0"), **parts)
    own = weight_at(found, "3.decide.ada.0")
    assert own.weight == 1
    assert own.n == 6, "left out, two other actions of its own, three of ben's"
    assert {amount for _, _, amount in seen} == taken


class Tide(Adder):
    """An engine with one rule, which gives the world's sum its height."""

    def __init__(self, height):
        super().__init__()
        self.height = height

    def apply_engine_rules(self, view):
        with view.rule("tide"):
            view.world["sum"] = self.height(view)


def test_change_by_a_rule_gets_its_bounds_and_its_old_value(tmp_path):
    tides = Tide(lambda view: view.world["sum"] + 3)
    agents = [Doer("ada", lambda seen: add(int(seen.world["sum"] > 5)))]
    tide = [{"name": "sum", "type": "int", "default": 0, "min": -5, "max": 40}]
    found = measured_of(tmp_path, "2.decide.ada.0", agents, tides, turns=4, global_vars=tide)
    state = weight_at(found, "1.tide.-.global/sum")
    # 3 became 40, 0, -5, 6, 9 and 12, of which 0 and -5 are not above 5 either
    assert (state.n, round(state.weight, 3)) == (6, 0.667)


def test_number_that_came_out_the_same_has_not_moved(tmp_path):
    tides = Tide(lambda view: 9 if view.turn == 2 else view.agent("ada")["x"])
    agents = [Doer("ada", lambda seen: add(1))]
    found = measured_of(tmp_path, "2.tide.-.global/sum", agents, tides, turns=2)
    ada = weight_at(found, "1.decide.ada.0")
    assert (ada.weight, ada.moved) == (1, 0), "it went from 0 to 9, not from 1"


def test_beginning_of_a_long_trail_is_found_among_many_bystanders(tmp_path):
    def passing(seen):
        number = int(seen.agent_id[1:])
        noise = sum(seen.agent(f"{side}{number}")["x"] for side in "lr")
        told = seen.turn == number + 1 and (number == 0 or seen.agent(f"p{number - 1}")["x"])
        return add(1) if told and noise >= 0 else None

    agents = [Doer(f"p{n}", passing) for n in range(10)]
    noisy = [f"{side}{n}" for side in "lr" for n in range(10)]

    def reading(seen):
        return add(2 if sum(seen.agent(name)["x"] for name in noisy) >= 0 else 1)

    agents += [Doer(name, reading) for name in noisy]
    found = measured_of(tmp_path, "10.decide.p9.0", agents, turns=10, runs=90)
    assert found.weights[0].event.step == "1.decide.p0.0"
    assert found.unmeasured > 80


@pytest.mark.rest
@pytest.mark.parametrize("kind", ["fishery, closed at a review", "traders, a debt comes due"])
@pytest.mark.whole(alone=True)
def test_planted_decision_is_among_the_first_three(tmp_path, kind):
    incident = incidents.incidents(kind, tmp_path, 1)[0]
    place, _ = incidents.measured(incident, 64)
    assert place <= 3


def test_wilson_interval():
    assert wilson(0.0, 0) == (0.0, 1.0)
    assert wilson(1.0, 8) == pytest.approx((0.6756, 1.0), abs=1e-4)
    assert wilson(0.5, 10) == pytest.approx((0.2366, 0.7634), abs=1e-4)
