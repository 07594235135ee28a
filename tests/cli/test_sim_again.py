"""Runs are resumed, replayed and branched by the installed command."""

import json
import signal

import pytest
from tests.cli.installed import THENCE, begin, thence
from tests.cli.warm import warm
from tests.log.committers import until

from thence.sim import SimulationOrchestrator

SHIPPED = "spatial_trade_network"

pytestmark = pytest.mark.promise("O11")


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    """A folder with a run of six turns in its ./output."""
    root = tmp_path_factory.mktemp("again")
    made = {"output_root": root / "output", "run_id": "first", "max_turns": 6}
    SimulationOrchestrator(SHIPPED, verbosity="STATE", checkpoint_interval=2, **made).run()
    return root


def test_killed_run_is_listed_as_such_resumed_and_replayed(tmp_path):
    words = (THENCE, "sim", "run", SHIPPED, "--turns", "2000", "--mode", "sync")
    with begin(*words, cwd=tmp_path) as running:
        until(lambda: list(tmp_path.glob("output/*/checkpoints/turn-*.json")))
        running.send_signal(signal.SIGKILL)
    (run,) = json.loads(warm("sim", "list", "--json", cwd=tmp_path).out)["runs"]
    assert run["status"] == "killed"
    resumed = warm("sim", "resume", run["run_id"], "--turns", "230", "--json", cwd=tmp_path)
    assert json.loads(resumed.out)["turns"] >= 230
    assert json.loads(resumed.out)["status"] == "completed"
    replayed = warm("sim", "replay", run["run_id"], cwd=tmp_path)
    assert replayed.out.startswith("the same: ")
    assert replayed.err == ""


def test_branch_is_listed_with_its_parent_and_what_it_altered(root):
    made = warm(
        "sim", "branch", "first", "--at", "3", "--set", "place/Mill/price_grain=9.5",
        "--decide", "5.decide.ada.0=null", "--json", cwd=root,
    )  # fmt: skip
    branch = json.loads(made.out)
    assert branch["output_dir"] == str(root / "output" / branch["run_id"])
    assert branch["altered"] == {"3.set.-.place/Mill/price_grain": 9.5, "5.decide.ada.0": None}
    listed = warm("sim", "list", cwd=root).out
    assert "branch of first at turn 3" in listed
    assert "3.set.-.place/Mill/price_grain" in listed
    assert "branch of first" in warm("sim", "show", branch["run_id"], cwd=root).out
    diff = warm("diff", "first", branch["run_id"], cwd=root).out
    assert "only in B" in diff


@pytest.mark.parametrize(
    ("words", "code", "why"),
    [
        (("resume", "first", "--turns", "6"), 1, "has played 6 turns already"),
        (("resume", "nowhere"), 4, "nowhere"),
        (("branch", "first", "--at", "3", "--set", "place/Mill/pricee=1"), 2, "declares no such"),
        (("branch", "first", "--at", "3", "--set", "agent/ada/money=much"), 2, "needs a float"),
        (("branch", "first", "--at", "3", "--set", "money"), 2, "is not NAME=VALUE"),
        (("branch", "first", "--at", "3", "--set", "agent.ada.money=5"), 2, "it has no scope"),
        (("branch", "first", "--at", "3", "--decide", "2.decide.ada.0=null"), 2, "after turn 3"),
        (("branch", "first", "--at", "3", "--decide", "5.decide.ada.0={x"), 2, "is not JSON"),
        (("branch", "first"), 2, "--at"),
    ],
)
def test_what_cannot_be_played_again_is_refused_in_three_lines(root, words, code, why):
    assert why in warm("sim", *words, cwd=root).failure(code)


def test_resume_of_a_completed_run_says_so_and_plays_nothing(root):
    result = (root / "output" / "first" / "result.json").read_bytes()
    ran = warm("sim", "resume", "first", cwd=root)
    assert (ran.code, ran.err) == (0, "")
    assert "run first is completed: max_turns 6 reached; nothing is left to run" in ran.out
    ran = warm("sim", "resume", "first", "--json", cwd=root)
    assert (ran.code, json.loads(ran.out)) == (0, json.loads(result))
    assert (root / "output" / "first" / "result.json").read_bytes() == result


def test_replay_names_the_first_difference_and_fails(root, tmp_path):
    thence("sim", "new", "market", cwd=tmp_path).done()
    made = json.loads(thence("sim", "run", "market/scenario.yaml", "--json", cwd=tmp_path).out)
    engine = tmp_path / "market" / "engine.py"
    text = engine.read_text()
    assert "+ 1" in text
    engine.write_text(text.replace("+ 1", "+ 2  # one more", 1))
    replayed = warm("sim", "replay", made["run_id"], cwd=tmp_path)
    assert replayed.code == 1
    assert "the first difference is at " in replayed.out
