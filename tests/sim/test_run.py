"""A run leaves a folder, a result and a log that is whole, however it ends."""

import asyncio
import itertools
import json
import os
import re
import signal
import subprocess
import sys
import textwrap
from concurrent.futures import ThreadPoolExecutor

import pytest
from tests.sim.toys import SCENARIO, Adder, Doer, add, always, config, lines
from tests.sim.toys import orchestrator as toy

from thence.errors import ThenceError
from thence.sim import (
    Action,
    RunResult,
    SimulationOrchestrator,
    VerbosityLevel,
    WriteMode,
    open_run,
)
from thence.sim.run.agents import BaseValidator


def orchestrator(tmp_path, agents=None, **given):
    agents = [Doer("ada", always(add()))] if agents is None else agents
    return toy(tmp_path, agents, **{"verbosity": "DETAIL", **given})


def milestones(folder):
    return [
        each["details"]["milestone_type"]
        for each in lines(folder)
        if each["event_type"] == "MILESTONE"
    ]


@pytest.mark.promise("O1")
class TestRun:
    def test_run_blocks_in_plain_code_and_its_result_is_awaited_too(self, tmp_path):
        result = orchestrator(tmp_path).run()
        ended = result.status, result.turns, result.reason
        assert ended == ("completed", 3, "max_turns 3 reached")
        assert result.final_state["agent/ada"] == {"x": 3}

        async def inside():
            return await result

        assert asyncio.run(inside()) is result

    def test_run_is_awaited_inside_a_loop_and_says_there_that_it_failed(self, tmp_path):
        async def inside(*agents):
            return await orchestrator(tmp_path, *agents).run()

        result = asyncio.run(inside())
        assert (type(result), result.status, result.turns) == (RunResult, "completed", 3)
        assert result.to_dict()["turns"] == 3
        failed = asyncio.run(inside([Doer("ada", lambda seen: 1 / 0)]))
        assert failed.status == "failed"
        assert "ZeroDivisionError" in failed.error

    def test_run_happens_once_or_never(self, tmp_path):
        run = orchestrator(tmp_path)
        run.close()
        assert run.result is None
        run = orchestrator(tmp_path)
        run.run()
        with pytest.raises(ThenceError, match="this run has ended"):
            run.run()

    def test_attributes_are_there_before_the_run(self, tmp_path):
        run = orchestrator(tmp_path)
        assert run.output_dir == tmp_path / run.run_id
        assert [agent.name for agent in run.agents] == ["ada"]
        assert isinstance(run.engine, Adder)
        assert isinstance(run.validator, BaseValidator)
        assert run.event_writer.mode is WriteMode.ASYNC
        assert run.history == []
        run.run()

    def test_runs_beside_each_other_are_independent(self, tmp_path):
        def one(number):
            run = orchestrator(tmp_path, [Doer("ada", always(add(number)))], turns=20)
            return number, run.run()

        with ThreadPoolExecutor(4) as pool:
            for number, result in pool.map(one, range(1, 9)):
                assert result.final_state["agent/ada"]["x"] == 20 * number
                ids = {line["simulation_id"] for line in lines(result.output_dir)}
                assert ids == {result.run_id}

    def test_runs_of_one_loop_mix(self, tmp_path):
        async def both():
            first, second = orchestrator(tmp_path), orchestrator(tmp_path, turns=5)
            return await asyncio.gather(first.run_async(), second.run_async())

        assert [result.turns for result in asyncio.run(both())] == [3, 5]

    def test_progress_is_told_after_each_turn(self, tmp_path):
        told = []
        orchestrator(tmp_path, on_turn=told.append).run()
        assert [progress.turn for progress in told] == [1, 2, 3]
        assert told[-1].counts["ACTION"] == 3
        assert told[-1].max_turns == 3

    def test_alteration_leaves_out_or_replaces(self, tmp_path):
        left_out = orchestrator(tmp_path).run(alter={"2.decide.ada.0": None})
        assert left_out.final_state["agent/ada"]["x"] == 2
        replaced = orchestrator(tmp_path).run(alter={"1.apply0.ada.agent/ada/x": 10})
        assert replaced.final_state["agent/ada"]["x"] == 12

    def test_altered_run_says_so_in_its_files_while_it_runs_and_after(self, tmp_path):
        alter = {"2.decide.ada.0": None, "1.apply0.ada.agent/ada/x": 10}
        told = []
        run = orchestrator(tmp_path, on_turn=lambda turn: told.append(held(run)))
        result = run.run(alter=alter)
        assert told == [alter] * 3
        assert held(run) == result.altered == result.to_dict()["altered"] == alter
        assert json.loads((run.output_dir / "result.json").read_text())["altered"] == alter
        run = orchestrator(tmp_path)
        result = run.run(alter={})
        assert result.altered == {}
        assert "altered" not in result.to_dict()
        assert held(run) is None


def held(run):
    """What config.json says of an alteration."""
    return json.loads((run.output_dir / "config.json").read_text()).get("altered")


@pytest.mark.promise("O3")
class TestRunFolder:
    def test_concurrent_starts_have_folders_of_their_own(self, tmp_path):
        with ThreadPoolExecutor(8) as pool:
            runs = list(pool.map(lambda _: orchestrator(tmp_path), range(40)))
        assert len({run.run_id for run in runs}) == 40
        assert all(re.fullmatch(r"toy-\d{8}T\d{6}Z-[a-z0-9]{6}", run.run_id) for run in runs)
        assert len(list(tmp_path.iterdir())) == 40
        for run in runs:
            run.event_writer.close()

    @pytest.mark.parametrize("run_id", ["..", "../x", "/tmp/x", "a/b", "", ".hidden", "x\n", "ü"])
    def test_run_id_never_leaves_the_output_root(self, tmp_path, run_id):
        root = tmp_path / "root"
        with pytest.raises(ThenceError, match="a run id has letters"):
            orchestrator(root, run_id=run_id)
        assert [path.name for path in tmp_path.iterdir()] in ([], ["root"])

    def test_output_root_that_is_no_folder_is_told(self, tmp_path):
        (tmp_path / "file").write_text("")
        with pytest.raises(ThenceError, match="make a run folder"):
            orchestrator(tmp_path / "file")


@pytest.mark.promise("O4")
class TestMilestones:
    @pytest.mark.parametrize("verbosity", ["MILESTONE", "DECISION", "STATE"])
    def test_milestones_stand_in_order_and_begin_with_their_word(self, tmp_path, verbosity):
        folder = orchestrator(tmp_path, verbosity=verbosity, turns=2).run().output_dir
        turn = ["turn_start", "turn_end"]
        assert milestones(folder) == ["simulation_start", *turn, *turn, "simulation_end"]
        events = {each["event_id"]: each for each in lines(folder)}
        ended = [events[each["ends"]]["step"] for each in events.values() if "ends" in each]
        assert ended == ["1.turn_start.-.0", "2.turn_start.-.0", "0.start.-.0"]
        turn = ["turn_starting", "turn_completed"]
        end = "simulation_completed: max_turns 2 reached"
        told = [each["description"] for each in lines(folder) if "description" in each]
        assert told == ["simulation_starting", *turn, *turn, end], "the others have none"

    def test_failing_agent_ends_the_run_and_the_file_in_good_order(self, tmp_path):
        def answer(seen):
            return 1 / (seen.turn - 2) and add()

        run = orchestrator(tmp_path, [Doer("ada", answer)], verbosity="MILESTONE")
        result = run.run()
        assert (result.status, result.turns) == ("failed", 1)
        assert result.error.startswith("agent ada failed: ZeroDivisionError: division by zero")
        notice, end = lines(result.output_dir)[-2:]
        assert notice["details"]["error_type"] == "run_failed"
        assert notice["details"]["error"] == result.error
        assert end["details"]["milestone_type"] == "simulation_end"
        assert end["description"] == f"simulation_failed: {result.error}"
        assert milestones(result.output_dir)[-2:] == ["turn_start", "simulation_end"]

    def test_payload_that_json_cannot_hold_is_repaired_and_the_run_goes_on(self, tmp_path):
        odd = Action("add", {"amount": 1, "why": {"b", "a"}, "odds": float("nan")})
        result = orchestrator(tmp_path, [Doer("ada", always(odd))]).run()
        assert (result.status, result.failed) == ("completed", 0)
        (action, *_) = [each for each in lines(result.output_dir) if each["event_type"] == "ACTION"]
        assert action["details"]["action_payload"]["why"] == ["a", "b"]
        assert len(action["repairs"]) == 2


@pytest.mark.promise("O8")
class TestSettings:
    def test_constructor_wins_over_the_scenario(self, tmp_path):
        given = config(events={"verbosity": "STATE", "mode": "sync", "max_queue_size": 7})
        run = orchestrator(tmp_path, [], given=given, verbosity=VerbosityLevel.MILESTONE)
        assert run.event_writer.verbosity is VerbosityLevel.MILESTONE
        assert run.event_writer.mode is WriteMode.SYNC
        run.run()
        held = json.loads((run.output_dir / "config.json").read_text())["events"]
        assert (held["verbosity"], held["mode"], held["max_queue_size"]) == ("MILESTONE", "sync", 7)

    def test_scenario_says_where_and_how_to_rotate(self, tmp_path):
        given = config(
            turns=40,
            events={"output_root": str(tmp_path / "here"), "max_file_size": 4000, "mode": "sync"},
        )
        run = SimulationOrchestrator(given, agents=[Doer("ada", always(add()))], engine=Adder())
        result = run.run()
        assert result.output_dir.parent == tmp_path / "here"
        assert len(list(result.output_dir.glob("events_*.jsonl"))) > 1
        assert len(lines(result.output_dir)) == result.events

    def test_seed_and_turns_are_those_of_the_constructor(self, tmp_path):
        run = orchestrator(tmp_path, seed=5, max_turns=2)
        assert run.run().turns == 2
        held = json.loads((run.output_dir / "config.json").read_text())["simulation"]
        assert (held["seed"], held["max_turns"]) == (5, 2)

    def test_unknown_verbosity_is_refused(self, tmp_path):
        with pytest.raises(ThenceError, match="it is not a level"):
            orchestrator(tmp_path, verbosity="LOUD")


class TestInterruption:
    PROGRAM = """
        import sys, time
        from tests.sim.toys import Doer, add, orchestrator

        def answer(seen):
            print(seen.turn, flush=True)
            time.sleep(0.02)
            return add()

        agents = [Doer("ada", answer)]
        result = orchestrator(sys.argv[1], agents, turns=100_000, verbosity="DETAIL").run()
        print(result.status, result.turns, result.events, flush=True)
        """

    @pytest.mark.promise("O4")
    def test_ctrl_c_drains_the_log_and_leaves_a_result(self, tmp_path):
        with subprocess.Popen(
            [sys.executable, "-c", textwrap.dedent(self.PROGRAM), str(tmp_path)],
            stdout=subprocess.PIPE,
            text=True,
            env=os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
        ) as program:
            while program.stdout.readline().strip() != "3":
                assert program.poll() is None
            program.send_signal(signal.SIGINT)
            rest = program.stdout.read().splitlines()
        assert program.returncode == 0
        status, turns, events = rest[-1].split()
        assert status == "interrupted"
        (folder,) = tmp_path.iterdir()
        held = json.loads((folder / "result.json").read_text())
        assert (held["status"], held["turns"]) == ("interrupted", int(turns))
        assert len(lines(folder)) == int(events)
        assert lines(folder)[-1]["description"] == "simulation_interrupted"

    @pytest.mark.promise("O4")
    def test_cancelled_task_drains_the_log_and_is_cancelled(self, tmp_path):
        is_waiting = asyncio.Event()

        async def waits(seen):
            if seen.turn == 3:
                is_waiting.set()
                await asyncio.Event().wait()
            return add()

        run = orchestrator(tmp_path, [Doer("ada", waits)], turns=9)

        async def cancel():
            task = asyncio.create_task(run.run_async())
            await is_waiting.wait()
            task.cancel()
            await task

        with pytest.raises(asyncio.CancelledError):
            asyncio.run(cancel())
        assert (run.result.status, run.result.turns) == ("interrupted", 2)
        assert milestones(run.output_dir)[-2:] == ["turn_start", "simulation_end"]


TURNS = 12


def written(folder, verbosity, mode="async"):
    given = {"verbosity": verbosity, "mode": mode, "on_full": "block"}
    run = SimulationOrchestrator(SCENARIO, output_root=folder, max_turns=TURNS, **given)
    return lines(run.run().output_dir)


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """The events of one seed, written at each verbosity."""
    folder = tmp_path_factory.mktemp("runs")
    return {level.name: written(folder, level) for level in VerbosityLevel}


def told(events):
    """What is compared between runs: notices aside."""
    return {
        (each["event_type"], each["step"], repr(each["details"]))
        for each in events
        if "step" in each
    }


@pytest.mark.promise("O7")
def test_higher_verbosity_is_a_superset(files):
    names = [level.name for level in VerbosityLevel]
    for lower, higher in itertools.pairwise(names):
        assert told(files[lower]) < told(files[higher])


@pytest.mark.promise("O7")
def test_same_seed_gives_the_same_events(files, tmp_path):
    assert told(written(tmp_path, "STATE", "sync")) == told(files["STATE"])


@pytest.mark.promise("O4", "O5", "O6")
@pytest.mark.parametrize("verbosity", [level.name for level in VerbosityLevel])
def test_each_step_is_written_once_for_one_run_behind_its_causes(files, verbosity):
    seen = set()
    steps = [each["step"] for each in files[verbosity] if "step" in each]
    assert len(steps) == len(set(steps))
    assert len({each["simulation_id"] for each in files[verbosity]}) == 1
    for event in files[verbosity]:
        assert set(event.get("caused_by", ())) <= seen
        is_notice = "step" not in event
        assert event.get("caused_by") or is_notice or event["step"] == "0.start.-.0"
        seen.add(event["event_id"])


@pytest.mark.promise("O6")
@pytest.mark.parametrize("verbosity", [level.name for level in VerbosityLevel][1:])
def test_chains_run_through_many_turns(files, verbosity):
    events = {each["event_id"]: each for each in files[verbosity]}
    depth = {}
    for event_id, event in events.items():
        own = [
            depth[cause]
            for cause in event.get("caused_by", ())
            if events[cause]["event_type"] in ("DECISION", "ACTION", "STATE", "SYSTEM")
        ]
        turns = max(own, default=frozenset(), key=len)
        depth[event_id] = turns | {event["turn_number"]}
    assert max(map(len, depth.values())) >= TURNS - 2


@pytest.mark.promise("O3")
def test_folder_that_is_there_stays(tmp_path):
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "notes.txt").write_text("mine")
    with pytest.raises(ThenceError, match="it is there already"):
        toy(tmp_path, [], run_id="a")
    assert (tmp_path / "a" / "notes.txt").read_text() == "mine"


@pytest.mark.promise("O5")
def test_turn_tells_each_decision_action_and_change_once(tmp_path):
    class Overriding(Adder):
        def apply_actions(self, state, actions, writes):
            super().apply_actions(state, actions, writes)

        def apply_engine_rules(self, view):
            with view.rule("sum"):
                view.world["sum"] = view.agent("ada")["x"] + view.agent("ben")["x"]

    agents = [Doer("ada", always(add())), Doer("ben", always([add(1), add(2)]))]
    run = toy(tmp_path, agents, Overriding(), turns=1)
    found = [
        (each["event_type"], each["step"], each["details"].get("old_value"),
         each["details"].get("new_value"))
        for each in lines(run.run().output_dir)
        if each["event_type"] in ("ACTION", "STATE")
    ]  # fmt: skip
    assert found == [
        ("ACTION", "1.act.ada.0", None, None),
        ("ACTION", "1.act.ben.0", None, None),
        ("ACTION", "1.act.ben.1", None, None),
        ("STATE", "1.apply0.ada.agent/ada/x", 0, 1),
        ("STATE", "1.apply0.ben.agent/ben/x", 0, 1),
        ("STATE", "1.apply1.ben.agent/ben/x", 1, 3),
        ("STATE", "1.sum.-.global/sum", 0, 4),
    ]


def test_run_stays_in_its_folder_when_the_program_changes_its_own(tmp_path, monkeypatch):
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    monkeypatch.chdir(tmp_path)
    terms = {"output_root": "runs", "run_id": "a", "max_turns": 4}
    moves = SimulationOrchestrator(
        "fishery", **terms, on_turn=lambda _: monkeypatch.chdir(elsewhere)
    )
    assert moves.run().status == "completed"
    assert not list(elsewhere.iterdir())
    monkeypatch.chdir(tmp_path)
    with open_run("runs/a") as recorded:
        monkeypatch.chdir(elsewhere)
        assert recorded.result["status"] == "completed"
        assert len(recorded.variables()) == 5
