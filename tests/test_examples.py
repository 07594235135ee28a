"""The programs and scenarios in examples/ do what their docstrings say."""

import re
import subprocess
import sys
from collections import defaultdict
from itertools import pairwise
from pathlib import Path

import pytest
from tests.cli.installed import environment
from tests.log.faults import WAIT_S

import thence
from thence.sim import SimulationOrchestrator

EXAMPLES = Path(__file__).parents[1] / "examples"
SHOWN = {
    "threads": [
        "shop: order/881 began",
        "depot: item/milk pack began",
        "depot: item/milk pack ended",
        "shop: order/882 began",
        "depot: item/salt pack began",
        "depot: item/salt pack ended",
    ],
    "workers": ["ada: upload/3 began", "image/3 resize began", "image/3 resize ended"],
    "agent": [
        "Oslo: 16 degrees; Rome: 16 degrees",
        "agent: task/1 began",
        "agent: task/1 chat began",
        "agent: task/1 chat ended",
        "agent: city/Rome weather began",
        "agent: city/Rome weather ended",
    ],
}


def run(name: str, cwd: Path) -> list[str]:
    argv = [sys.executable, str(EXAMPLES / f"{name}.py")]
    done = subprocess.run(
        argv, cwd=cwd, env=environment(), timeout=WAIT_S, capture_output=True, text=True, check=True
    )
    assert done.stderr == ""
    return done.stdout.splitlines()


def test_each_example_is_tested() -> None:
    assert {path.stem for path in EXAMPLES.glob("*.py")} == {
        *SHOWN,
        *("hooks", "epidemic", "segregation"),
    }


@pytest.mark.parametrize("name", SHOWN)
def test_example_tells_why_and_leaves_a_log_without_faults(name: str, tmp_path: Path) -> None:
    lines = run(name, tmp_path)
    cut = [re.sub(r" (after|\[).*|: request .*", "", line) for line in lines]
    assert cut == SHOWN[name]
    (folder,) = tmp_path.iterdir()
    with thence.open(folder) as log:
        assert log.verify().findings == ()


def test_agent_that_is_run_again_asks_nothing(tmp_path: Path) -> None:
    run("agent", tmp_path)
    run("agent", tmp_path)
    with thence.open(tmp_path / "agent") as log:
        names = [event.event_type for event in log.read()]
    assert (names.count("chat.begun"), names.count("task.begun")) == (2, 2)


def test_example_of_hooks_tells_why_a_file_was_edited(tmp_path: Path) -> None:
    lines = run("hooks", tmp_path)
    flight, why = " ".join(" ".join(lines).split()).split("why was pay.py edited? ")
    assert flight.count("may still be running") == 4
    assert why.startswith("1 claude-code began a session")
    assert 'the user asked: "Let orders be paid"' in why
    assert "claude-code/coder edited pay.py" in why
    assert "5 causes in all" in why


def played(name: str, folder: Path) -> SimulationOrchestrator:
    run = SimulationOrchestrator(EXAMPLES / f"{name}.yaml", output_root=folder)
    run.run()
    return run


def test_illness_goes_from_the_ill_along_edges_alone(tmp_path: Path) -> None:
    run = played("epidemic", tmp_path)
    assert run.config.spatial.network is not None
    near = defaultdict(set)
    for edge in run.config.spatial.network.edges:
        near[edge.start].add(edge.goal)
        near[edge.goal].add(edge.start)
    infections = 0
    for before, after in pairwise(run.history):
        health = {name: after.agent(name)["health"] for name in near}
        for name, others in near.items():
            if health[name] == "infected" != before.agent(name)["health"]:
                infections += 1
                assert "ill" in {health[other] for other in others}
    assert infections > 20


def test_people_who_want_few_of_their_own_kind_around_them_end_among_many(tmp_path: Path) -> None:
    run = played("segregation", tmp_path)
    assert run.history[-1].world["alike"] > 0.7
