"""Sweeps by the installed command: what is played, what a kill leaves, what is told."""

import json
import os
import shlex
import signal
from pathlib import Path

import pytest
from tests.cli.installed import THENCE, Ended, begin, ran
from tests.cli.warm import warm
from tests.sim.models.endpoint import Endpoint
from tests.sim.models.village import generous, written
from tests.sim.sweeps import content, counting, first_ids
from tests.tiers import tenth

SWEEP = ("counting.yaml", "--set", "agents.ada.by=1,5", "--seeds", "1-3")
DONE = "sweep completed: 6 of 6 runs completed, swept\n"
RUNS = [f"set-{number}-seed-{seed}" for number in (1, 2) for seed in (1, 2, 3)]


def sweep(folder: Path, *arguments: object, output: str = "swept") -> Ended:
    """Sweep over two settings and three seeds in two processes."""
    return warm(
        "sim", "sweep", *(arguments or SWEEP), "--output", output, "--jobs", "2", cwd=folder
    )


def is_completed(folder: Path, whole: Path) -> None:
    """See that a sweep goes on, and comes to what an undisturbed one has."""
    assert sweep(folder, "--quiet").out == DONE
    assert content(folder / "swept") == content(whole)


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a sweep that nothing disturbed."""
    folder = tmp_path_factory.mktemp("whole")
    counting(folder)
    assert sweep(folder).code == 0
    return folder / "swept"


@pytest.mark.promise("O11a")
def test_each_combination_is_run_with_each_seed_as_sim_run_would(tmp_path, whole):
    assert sorted(path.name for path in whole.glob("set-*")) == RUNS
    finals = {
        name: json.loads((whole / name / "result.json").read_text())["final_state"]["agent/ada"]
        for name in RUNS
    }
    assert [finals[name]["counted"] for name in RUNS] == [5, 10, 15, 25, 50, 75]
    assert "counted 5" in (whole / "workers.log").read_text()
    words = ("--set", "agents.ada.by=5", "--seed", "3", "--run-id", "set-2-seed-3")
    warm("sim", "run", counting(tmp_path), *words, "--output-root", "alone", cwd=tmp_path).done()
    assert content(tmp_path / "alone").items() <= content(whole).items()


@pytest.mark.promise("O11a")
def test_seeds_that_make_no_difference_are_told_by_sweep_table_and_plot(tmp_path, whole):
    village = written(tmp_path, "http://127.0.0.1:1")
    with Endpoint(generous) as endpoint:
        url = f"llm.endpoints.local.base_url={endpoint.base_url}"
        settings = ("--set", url, "--set", "events.verbosity=STATE")
        ended = sweep(tmp_path, village, *settings, "--seeds", "1-3")
    told = "the runs of all seeds end in the same state, so that 3 of them show what one does; "
    assert (ended.code, ended.err.count(told)) == (0, 1)
    words = ("swept", "--output", "a.csv"), ("swept", "--variable", "*/money", "--output", "a.svg")
    for command, arguments in zip(("table", "plot"), words, strict=True):
        assert told in warm("sim", command, *arguments, cwd=tmp_path).err
    assert warm("sim", "table", whole, "--output", "a.csv", cwd=tmp_path).err == ""


@pytest.mark.promise("O11a")
@pytest.mark.parametrize("arguments", [("--quiet",), *tenth([()], [])])
@pytest.mark.whole
def test_sweep_that_is_begun_again_plays_what_lacks(tmp_path, arguments):
    counting(tmp_path)
    assert sweep(tmp_path).code == 0
    lacking = tmp_path / "swept" / RUNS[4]
    before = first_ids(tmp_path / "swept")
    lacking.rename(tmp_path / "away")
    ended = sweep(tmp_path, *arguments)
    assert (ended.code, ended.out) == (0, DONE)
    after = first_ids(tmp_path / "swept")
    assert [name for name in RUNS if before[name] != after[name]] == [RUNS[4]]


@pytest.mark.promise("O11a")
def test_killed_sweep_goes_on_with_the_runs_that_it_had_begun(tmp_path, whole):
    counting(tmp_path, "kills the sweep")
    words = (*SWEEP, "--jobs", "2", "--output", "swept")
    killed = ran(THENCE, "sim", "sweep", *words, cwd=tmp_path)
    assert killed.code == -signal.SIGKILL
    is_completed(tmp_path, whole)


@pytest.mark.rest
def test_workers_of_a_killed_sweep_end_where_a_shell_had_ctrl_c_ignored(tmp_path, whole):
    counting(tmp_path, "kills the sweep")
    # as a shell starts what stands before &
    words = shlex.join([str(THENCE), "sim", "sweep", *SWEEP])
    ignoring = f"trap '' INT; exec {words} --jobs 1 --output swept"
    assert ran("sh", "-c", ignoring, cwd=tmp_path).code == -signal.SIGKILL
    is_completed(tmp_path, whole)


@pytest.mark.promise("O11a")
def test_run_whose_process_is_killed_is_played_on(tmp_path, whole):
    counting(tmp_path, "dies")
    ended = sweep(tmp_path)
    assert (ended.code, ended.err) == (0, "")
    assert content(tmp_path / "swept") == content(whole)
    assert "a deed" in (tmp_path / "swept" / "workers.log").read_text()


@pytest.mark.parametrize(
    ("deed", "reason"),
    [("always dies", "died, twice"), *tenth([("fails", "the pencil broke")], [])],
)
@pytest.mark.whole
def test_run_that_fails_is_told_with_its_command_and_the_others_go_on(tmp_path, deed, reason):
    counting(tmp_path, deed)
    ended = sweep(tmp_path)
    assert ended.code == 1
    assert ended.out == "sweep failed: 4 of 6 runs completed, swept\n"
    assert ended.err.count(reason) == 2
    assert f"next: thence sim resume {tmp_path}/swept/set-1-seed-2" in ended.err
    again = sweep(tmp_path, "--json")
    assert again.code == 1
    assert [run["run_id"] for run in again.json["failed"]] == [RUNS[1], RUNS[4]]
    assert again.json["completed"] == 4


def test_interrupted_sweep_ends_its_runs_in_good_order_and_tells_how_to_go_on(tmp_path, whole):
    counting(tmp_path, "interrupts the sweep")
    words = (*SWEEP, "--jobs", "1", "--output", "swept")
    process = begin(THENCE, "sim", "sweep", *words, cwd=tmp_path)
    out, err = process.communicate(timeout=60)
    assert process.returncode == 130
    assert out == "sweep interrupted: 1 of 6 runs completed, swept\n"
    assert err == "next: thence sim sweep --output swept\n"
    result = json.loads((tmp_path / "swept" / RUNS[1] / "result.json").read_text())
    assert (result["status"], result["turns"]) == ("interrupted", 2)
    begun = first_ids(tmp_path / "swept")
    is_completed(tmp_path, whole)
    assert begun.items() <= first_ids(tmp_path / "swept").items(), "what had begun is resumed"


@pytest.mark.rest
@pytest.mark.whole(alone=True)
def test_sweep_waits_for_the_workers_of_a_killed_one_and_says_who_holds_it(tmp_path, whole):
    counting(tmp_path, "outlives the sweep")
    os.mkfifo(tmp_path / "gate")
    words = ("sim", "sweep", *SWEEP)
    killed = ran(THENCE, *words, "--jobs", "1", "--output", "swept", cwd=tmp_path)
    assert killed.code == -signal.SIGKILL
    assert "held" in sweep(tmp_path, "--quiet").failure(1)
    with begin(THENCE, *words, "--output", "swept", cwd=tmp_path) as waiting:
        (tmp_path / "gate").write_text("")
        assert "6 of 6 runs completed" in waiting.communicate(timeout=60)[0]
    assert content(tmp_path / "swept") == content(whole)


def test_printed_commands_do_what_the_sweep_would(tmp_path, whole):
    counting(tmp_path)
    printed = sweep(tmp_path, *SWEEP, "--print").lines
    assert len(printed) == 6
    for line in printed[:5]:
        assert warm(*shlex.split(line)[1:], "-q", cwd="/").code == 0
    (remaining,) = sweep(tmp_path, "--print").lines
    assert remaining == printed[5]
    is_completed(tmp_path, whole)


@pytest.mark.parametrize(
    ("arguments", "texts"),
    [
        (["--set", "agents.ada.bye=1"], ["counting.yaml", "  why:  agents[0].bye: ", "is by"]),
        (["--set", "agents.adda.by=1"], ["counting.yaml", "agents", "'adda'", "nearest is ada"]),
        (["--set", "engin.by=1"], ["engin", "nearest known is engine"]),
        (["--set", "simulation.name.x=1"], ["simulation.name", "nothing can be set"]),
        (
            ["--set", "agents.ada.by=1,many"],
            ["  why:  agents[0].by: ", "an integer", "'many'", "the setting agents.ada.by"],
        ),
        (["--set", "agents.ada.by="], ["'agents.ada.by='", "KEY=VALUE"]),
        (["--set", 'agents.ada.by="a,b",c'], ["'agents.ada.by=\"a,b\",c'", "not JSON"]),
        (["--set", "agents.ada.by"], ["'agents.ada.by'", "KEY=VALUE"]),
        (["--set", "agents..by=1"], ["'agents..by=1'", "KEY=VALUE"]),
        (["--set", "simulation.seed=1,2"], ["--seeds"]),
        (["--seeds", "5-1"], ["'5-1'", "1-50"]),
        (["--seeds", "1,,2"], ["''", "1-50"]),
        (["--seeds", "1-9999999"], ["'1-9999999'"]),
        (["--seeds", "1-90000", "--set", "agents.ada.by=1,2"], ["180,000 runs"]),
    ],
)
def test_what_can_not_be_swept_over_is_refused_with_its_key(tmp_path, arguments, texts):
    counting(tmp_path)
    told = warm("sim", "sweep", "counting.yaml", *arguments, cwd=tmp_path).failure(2)
    for text in texts:
        assert text in told
    assert not (tmp_path / "output").exists()


def test_folder_of_another_plan_is_refused(tmp_path):
    scenario = counting(tmp_path)
    assert sweep(tmp_path, "counting.yaml", "--seeds", "1").code == 0
    told = sweep(tmp_path, "counting.yaml", "--seeds", "1-2").failure(1)
    assert "another value of: seeds" in told
    scenario.write_text(scenario.read_text().replace("max_turns: 5", "max_turns: 6"))
    assert "another value of: counting.yaml" in sweep(tmp_path, "--quiet").failure(1)
    scenario.write_text(scenario.read_text().replace("max_turns: 6", "max_turns: 5"))
    plan = json.loads((tmp_path / "swept" / "plan.json").read_text())
    (tmp_path / "swept" / "plan.json").write_text(json.dumps({**plan, "seeds": ["../../x"]}))
    assert "Expected `int`, got `str`" in sweep(tmp_path, "--quiet").failure(1)
    assert "nowhere" in warm("sim", "sweep", "--output", "nowhere", cwd=tmp_path).failure(1)


def test_a_run_takes_one_value_a_setting(tmp_path):
    counting(tmp_path)
    words = ("counting.yaml", "--set", "agents.ada.by=1,2")
    assert "sim sweep" in warm("sim", "run", *words, cwd=tmp_path).failure(2)


def test_equal_values_of_a_setting_make_one_run(tmp_path):
    counting(tmp_path)
    words = ("--set", "agents.ada.by=1,5,1", "--set", "agents.ada.by=5", "--print")
    commands = warm("sim", "sweep", "counting.yaml", *words, "--json", cwd=tmp_path).json[
        "commands"
    ]
    runs = [command.rpartition(" ")[2] for command in commands]
    assert runs == ["set-1-seed-1", "set-2-seed-1"]


def test_no_sweep_begins_in_the_folder_of_a_run(tmp_path):
    counting(tmp_path)
    assert warm("sim", "run", "counting.yaml", "--run-id", "one", cwd=tmp_path).code == 0
    told = sweep(tmp_path, "counting.yaml", output="output/one").failure(1)
    assert "could not begin the sweep" in told
    assert not (tmp_path / "output" / "one" / "plan.json").exists()


@pytest.mark.rest
@pytest.mark.xdist_group("ray")
@pytest.mark.whole(alone=True)
def test_sweep_on_ray_outlives_a_worker_that_is_killed(tmp_path, whole):
    counting(tmp_path, "dies")
    words = (*SWEEP, "--on", "ray", "--jobs", "2", "--output", "swept")
    done = ran(THENCE, "sim", "sweep", *words, cwd=tmp_path, env={"HOME": str(tmp_path)})
    assert (done.code, done.out) == (0, DONE), done.err
    assert (tmp_path / "done").exists(), "no worker was killed"
    assert content(tmp_path / "swept") == content(whole)
