"""Runs that are resumed, replayed and branched come to the same events, or say where not."""

import json
import os
import platform
import shutil
import signal

import msgspec
import pytest
from tests import tiers
from tests.cli.warm import warm
from tests.codes import raises_code
from tests.sim.toys import (
    SCENARIO,
    Adder,
    Doer,
    Hiring,
    add,
    assert_goes_on,
    at_turn,
    hiring,
    killed,
    made,
    orchestrator,
    told,
)
from tests.sim.worlds import faults

import thence
from thence.core.vocabulary import SIM
from thence.errors import RunDiverged, ThenceError
from thence.sim import SimulationOrchestrator, branch, replay, resume
from thence.sim.run.agents import Action
from thence.sim.scenario.new_project import make_project

pytestmark = pytest.mark.promise("O11")
TURNS = 7


@pytest.mark.parametrize(
    ("verbosity", "mode", "interval"), [("DETAIL", "sync", 1), ("ACTION", "async", 3)]
)
def test_run_killed_twice_at_any_turn_is_the_same_as_one_that_was_not(
    tmp_path, verbosity, mode, interval
):
    given = {"output_root": tmp_path, "verbosity": verbosity, "mode": mode}
    given |= {"max_turns": TURNS, "checkpoint_interval": interval}
    whole = SimulationOrchestrator(SCENARIO, **given).run()
    expected = told(whole.output_dir)
    for turn in range(1, TURNS):
        folder = tmp_path / f"killed-{turn}"

        def first(turn=turn):
            SimulationOrchestrator(
                SCENARIO, run_id=f"killed-{turn}", on_turn=at_turn(turn), **given
            ).run()

        killed(first)
        if turn + 2 < TURNS:
            killed(lambda folder=folder, turn=turn: resume(folder, on_turn=at_turn(turn + 2)).run())
        result = resume(folder).run()
        assert result.status == "completed"
        assert told(folder) == expected
        assert result.final_state == whole.final_state


def test_run_killed_between_its_end_and_its_result_does_not_end_twice(tmp_path, monkeypatch):
    given = {"output_root": tmp_path, "verbosity": "DETAIL", "max_turns": 3}
    whole = SimulationOrchestrator(SCENARIO, **given).run()

    def first():
        kill = lambda *_: os.kill(os.getpid(), signal.SIGKILL)  # noqa: E731
        monkeypatch.setattr(thence.sim.run.run, "write_result", kill)
        SimulationOrchestrator(SCENARIO, run_id="killed", **given).run()

    killed(first)
    folder = tmp_path / "killed"
    assert told(folder) == told(whole.output_dir)
    result = resume(folder).run()
    assert (result.status, result.final_state) == ("completed", whole.final_state)
    assert told(folder) == told(whole.output_dir)
    assert resume(folder, max_turns=5).run().turns == 5
    ends = [each[1] for each in told(folder) if each[1].endswith(".end.-.0")]
    assert ends == ["3.end.-.0", "5.end.-.0"]


class Counter(Doer):
    """An agent that remembers how often it was asked, and asks a model what to add."""

    asked: list[object]

    def __init__(self, name, model, with_state=True):
        super().__init__(name, None, remembers=True)
        self.count = 0
        self.model = model
        if with_state:
            self.get_state = lambda: {"count": self.count}
            self.set_state = lambda state: setattr(self, "count", state["count"])

    def decide_action(self, seen):
        self.count += 1
        answer = seen.outcome({"count": self.count, "x": seen["x"]}, lambda: self.model(seen.turn))
        return add(answer["amount"])


def model(asked):
    def answer(turn):
        asked.append(turn)
        return {"amount": len(asked) * 10 + turn}

    return answer


def toy_run(folder, asked, run_id, *, with_state=True, on_turn=None):
    agents = [Counter("ada", model(asked), with_state)]
    settings = {"checkpoint_interval": 2, "mode": "sync", "on_turn": on_turn}
    return orchestrator(folder, agents, turns=6, run_id=run_id, **settings)


@pytest.mark.parametrize("with_state", [True, False])
def test_model_is_asked_anew_only_for_what_was_not_recorded(tmp_path, with_state):
    killed(lambda: toy_run(tmp_path, [], "run", with_state=with_state, on_turn=at_turn(3)).run())
    before = [each for each in told(tmp_path / "run") if each[0] == "ACTION"]
    asked = []
    agents = [Counter("ada", model(asked), with_state)]
    result = resume(tmp_path / "run", agents=agents, engine=Adder()).run()
    assert result.status == "completed"
    assert asked == [4, 5, 6]
    actions = [each for each in told(tmp_path / "run") if each[0] == "ACTION"]
    assert [each[1] for each in actions] == [f"{turn}.act.ada.0" for turn in range(1, 7)]
    assert actions[: len(before)] == before
    assert agents[0].count == 6


def test_answer_of_a_turn_that_a_kill_cut_short_is_not_asked_for_again(tmp_path):
    def killing(seen):
        if seen.turn == 3:
            os.kill(os.getpid(), signal.SIGKILL)

    def run(folder, last):
        agents = [Counter("ada", model([])), Doer("zoe", last)]
        return orchestrator(folder, agents, turns=6, run_id="run", mode="sync")

    killed(lambda: run(tmp_path, killing).run())
    with (tmp_path / "run" / "outcomes.jsonl").open("ab") as file:
        file.write(b'{"step":"3.decide.ada","request":"0')  # as if cut in the midst of a line
    asked = []
    agents = [Counter("ada", model(asked)), Doer("zoe", lambda seen: None)]
    assert resume(tmp_path / "run", agents=agents, engine=Adder()).run().turns == 6
    assert asked == [4, 5, 6]
    assert replay(tmp_path / "run", agents=_anew(), engine=Adder()).step == ""


def _anew():
    return [Counter("ada", model([])), Doer("zoe", lambda seen: None)]


def test_replay_names_the_first_difference(tmp_path):
    class Other(Adder):
        def apply_action(self, view, action):
            own = view.agent(action.agent_id)
            own["x"] = own["x"] + action.payload["amount"] + (view.turn == 4)

    first = toy_run(tmp_path, [], "run").run()
    again = replay(first.output_dir, agents=[Counter("ada", model([]))], engine=Other())
    assert again.step == "4.apply0.ada.agent/ada/x"
    assert "says" in again.difference


def test_whole_event_that_lacks_only_its_newline_is_not_played_anew(tmp_path):
    whole = toy_run(tmp_path, [], "whole").run()
    killed(lambda: toy_run(tmp_path, [], "run", on_turn=at_turn(3)).run())
    log = tmp_path / "run" / "events.jsonl"
    log.write_bytes(log.read_bytes().removesuffix(b"\n"))
    resume(tmp_path / "run", agents=[Counter("ada", model([1, 2, 3]))], engine=Adder()).run()
    steps = [event[1] for event in told(tmp_path / "run")]
    assert len(steps) == len(set(steps))
    assert steps == [event[1] for event in told(whole.output_dir)]


def test_replay_names_the_causes_that_are_new_and_those_that_are_gone(tmp_path):
    class Reader(Adder):
        def __init__(self, read):
            super().__init__()
            self.read = read

        def apply_engine_rules(self, view):
            view.world["sum"] = 0 * view.agent(self.read)["x"] + view.turn

    agents = [Doer(name, lambda seen: add()) for name in ("ada", "ben")]
    first = orchestrator(tmp_path, agents, Reader("ada"), 6).run()
    assert replay(first.output_dir, agents=agents, engine=Reader("ada")).step == ""
    again = replay(first.output_dir, agents=agents, engine=Reader("ben"))
    assert again.step == "1.rules.-.global/sum"
    assert again.difference == (
        "its causes differ: new 1.apply0.ben.agent/ben/x; gone 1.apply0.ada.agent/ada/x"
    )


def test_another_python_is_named_first_where_a_replay_differs(tmp_path):
    faster = made(Adder, apply_engine_rules=lambda self, view: view.set("global", "sum", 3))
    agents = [Doer("ada", lambda seen: add())]
    folder = orchestrator(tmp_path, agents, Adder()).run().output_dir
    config = json.loads((folder / "config.json").read_bytes())
    here = platform.python_version()
    assert config["made_by"]["Python"] == here
    differing = replay(folder, agents=agents, engine=faster).difference
    assert "made by" not in differing
    config["made_by"] = {"Python": "2.7.18"}
    (folder / "config.json").write_text(json.dumps(config))
    assert replay(folder, agents=agents, engine=Adder()).step == "", "equal is equal on any Python"
    told_first = f"the run was made by Python 2.7.18, and this is {here}; {differing}"
    assert replay(folder, agents=agents, engine=faster).difference == told_first


def test_resumed_run_that_comes_to_another_event_appends_nothing(tmp_path):
    class Other(Adder):
        def apply_action(self, view, action):
            view.agent(action.agent_id)["x"] = 7

    killed(lambda: toy_run(tmp_path, [], "run", with_state=False, on_turn=at_turn(3)).run())
    before = told(tmp_path / "run")
    agents = [Counter("ada", model([]), with_state=False)]
    with pytest.raises(RunDiverged, match=r"1\.apply0\.ada") as raised:
        resume(tmp_path / "run", agents=agents, engine=Other()).run()
    assert raised.value.step == "1.apply0.ada.agent/ada/x"
    assert told(tmp_path / "run") == before


def test_branch_differs_only_behind_its_turn_and_asks_only_what_is_new(tmp_path):
    first = toy_run(tmp_path, [], "run").run()
    asked = []
    parts = {"agents": [Counter("ada", model(asked))], "engine": Adder()}
    result = branch(first.output_dir, 3, set={"agent/ada/x": 5}, **parts).run()
    assert asked == [4, 5, 6]
    old, new = told(first.output_dir), told(result.output_dir)
    behind = [each[1] for each in new if each not in old]
    assert behind[0] == "3.set.-.agent/ada/x"
    assert all(int(step.split(".")[0]) > 3 for step in behind[1:])
    fourth = next(each for each in new if each[1] == "4.decide.ada.0")
    assert "3.set.-.agent/ada/x" in fourth[4]
    kept = msgspec.json.decode((result.output_dir / "config.json").read_bytes())
    assert kept["parent"] == {"run_id": "run", "turn": 3}
    assert kept["altered"] == {"3.set.-.agent/ada/x": 5}
    again = replay(result.output_dir, agents=[Counter("ada", model([]))], engine=Adder())
    assert (again.step, again.turns) == ("", 6)


@pytest.mark.parametrize("decision", [{"action_type": "add", "payload": {"amount": 1000}}, None])
def test_branch_at_another_decision_plays_on_from_it(tmp_path, decision):
    agents = lambda: [Doer("ada", lambda seen: add(seen["x"] + 1))]  # noqa: E731
    first = orchestrator(tmp_path, agents(), turns=6).run()
    decided = {"4.decide.ada.0": decision}
    result = branch(first.output_dir, 3, decide=decided, agents=agents(), engine=Adder()).run()
    steps = {each[1]: each[3] for each in told(result.output_dir)}
    amount = steps.get("4.act.ada.0", {}).get("action_payload", {}).get("amount")
    assert amount == (1000 if decision else None)
    assert first.final_state != result.final_state


def test_what_cannot_be_played_again_is_refused_with_the_reason(tmp_path):
    run = toy_run(tmp_path, [], "run")
    with raises_code("run_goes_on"):
        resume(run.output_dir, agents=[Counter("ada", model([]))], engine=Adder())
    first = run.run()
    with pytest.raises(ThenceError, match="the run is completed"):
        resume(first.output_dir)
    with pytest.raises(ThenceError, match="came as objects"):
        replay(first.output_dir)


def test_action_given_as_an_object_replaces_a_decision(tmp_path):
    altered = {"2.decide.ada.0": Action("add", {"amount": 50})}
    result = toy_run(tmp_path, [], "run").run(alter=altered)
    steps = {each[1]: each[3] for each in told(result.output_dir)}
    assert steps["2.act.ada.0"]["action_payload"] == {"amount": 50}


def test_paused_and_removed_agents_are_so_after_a_resume(tmp_path):
    def parts():
        agents = [Doer(name, lambda seen: add()) for name in ("ada", "ben")]
        return {"agents": agents, "engine": Hiring()}

    def run(run_id, **words):
        words = {"verbosity": "DETAIL", "checkpoint_interval": 1, **words}
        return hiring(tmp_path, run_id=run_id, **words)

    assert_goes_on(tmp_path, run, parts, 4)
    assert "4.decide.ben.0" not in {each[1] for each in told(tmp_path / "whole")}


@pytest.fixture
def folder(tmp_path):
    """The folder of a completed run of four turns, each on the disk when the next begins."""
    run = SimulationOrchestrator(
        SCENARIO, output_root=tmp_path, max_turns=4, verbosity="ACTION", mode="sync"
    )
    return run.run().output_dir


def test_run_that_was_given_more_turns_is_replayed_and_resumed_with_them(folder):
    assert resume(folder, max_turns=6).run().turns == 6
    found = replay(folder)
    assert (found.step, found.turns) == ("", 6)
    with pytest.raises(ThenceError, match="max_turns 6 reached"):
        resume(folder)


def test_run_killed_in_its_further_turns_is_killed_and_resumed_to_their_end(folder):
    killed(lambda: resume(folder, max_turns=8, on_turn=at_turn(6)).run())
    assert warm("sim", "list", "--output-root", folder.parent, cwd=folder).out.startswith("killed")
    result = resume(folder).run()
    assert (result.status, result.turns) == ("completed", 8)


def test_fewer_turns_than_were_played_and_turns_that_were_not_are_refused(folder):
    for turns in (3, 4):
        with pytest.raises(ThenceError, match="has played 4 turns already"):
            resume(folder, max_turns=turns)
    assert replay(folder).step == ""
    for turn in (5, -1, 2.5):
        with pytest.raises(ThenceError, match="has played 4 turns"):
            branch(folder, turn)
    assert list(folder.parent.iterdir()) == [folder], "no run is made"


def test_copy_without_the_folder_of_checkpoints_is_resumed(folder):
    shutil.rmtree(folder / "checkpoints")
    assert resume(folder, max_turns=5).run().status == "completed"


def test_run_with_notices_of_many_causes_is_replayed_and_resumed(tmp_path):
    make_project(tmp_path / "herd")

    def run(root, on_turn=None):
        scenario = tmp_path / "herd" / "scenario.yaml"
        given = {"max_turns": 20, "mode": "sync", "run_id": "r", "checkpoint_interval": 5}
        return SimulationOrchestrator(
            scenario, output_root=root, on_turn=on_turn, seed=353, **given
        )

    whole = run(tmp_path / "whole").run()
    assert replay(whole.output_dir).step == ""
    killed(lambda: run(tmp_path, at_turn(15)).run())
    with thence.open(tmp_path / "r") as log:
        found = [each.turn_number for each in log.read() if SIM.notice_kind(each) == "joined"]
    assert 11 in found, "the turn behind the checkpoint has one"
    assert resume(tmp_path / "r").run().final_state == whole.final_state
    assert replay(tmp_path / "r").sha256 == replay(whole.output_dir).sha256


@pytest.mark.parametrize("part", range(4))
@pytest.mark.whole
def test_run_replay_and_resumed_run_are_the_same_in_any_world(tmp_path, part):
    first = tiers.seed(f"replay {part}")
    for seed in range(first, first + tiers.tenth(50, 5)):
        root = tmp_path / str(seed)
        root.mkdir()
        assert not faults(seed, root), f"world {seed}"


def test_awaited_answer_is_recorded_and_so_is_its_failure(tmp_path):
    asked = []

    async def model(turn):
        asked.append(turn)
        if turn == 2:
            raise OSError("no line")
        return {"amount": turn}

    async def answer(seen):
        try:
            reply = await seen.outcome_async({"turn": seen.turn}, lambda: model(seen.turn))
        except ThenceError as error:
            if error.code != "outcome_failed":
                raise
            return None
        return add(reply["amount"])

    components = {"agents": [Doer("ada", answer)], "engine": Adder()}
    run = orchestrator(tmp_path, **components)
    assert run.run().final_state["agent/ada"] == {"x": 4}
    assert replay(run.output_dir, **components).step == ""
    assert asked == [1, 2, 3]
