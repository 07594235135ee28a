"""A component that gives no answer is named while the run waits for it."""

import json
import os
import signal
import subprocess

import pytest
from tests.cli.installed import THENCE, environment
from tests.cli.scenarios import SCENARIO
from tests.cli.terminals import Terminal

pytestmark = pytest.mark.promise("O9a")
WAIT_S = 60
HANGING = """
import asyncio
from pathlib import Path
from threading import Event

from thence.sim import Action, BaseAgent, BaseEngine


def is_due(turn, name):
    return turn == 1 and not Path(name).exists()


class Clerk(BaseAgent):
    def decide_action(self, observation):
        while is_due(observation.turn, "agent"):
            Event().wait(0.01)
        return Action("count", {"by": 1})


class AsyncClerk(BaseAgent):
    async def decide_action(self, observation):
        while is_due(observation.turn, "async"):
            await asyncio.sleep(0.01)


class Counter(BaseEngine):
    def apply_engine_rules(self, view):
        while is_due(view.turn, "rules"):
            Event().wait(0.01)
"""
IN_TURN = (
    ("agent", "agent ada"),
    ("async", "agent bob"),
    ("rules", "the engine, applying its rules"),
)


def hanging(folder):
    (folder / "parts.py").write_text(HANGING)
    text = SCENARIO.format(turns=3, engine="Counter", agent="Clerk")
    bob = '  - {name: bob, type: "./parts.py:AsyncClerk"}\nengine:'
    (folder / "hanging.yaml").write_text(text.replace("engine:", bob))
    return "hanging.yaml"


def started(folder, *arguments):
    return subprocess.Popen(
        [THENCE, "sim", "run", *arguments],
        cwd=folder,
        env=environment(),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


@pytest.mark.parametrize("columns", [80, 40])
def test_line_of_a_terminal_names_each_component_that_the_run_waits_for(tmp_path, columns):
    scenario = hanging(tmp_path)
    (tmp_path / "async").touch()
    awaited = [each for each in IN_TURN if columns == 80 or each[0] == "agent"]
    if columns == 80:
        (tmp_path / "async").unlink()
    else:
        (tmp_path / "rules").touch()
    terminal = Terminal(tmp_path, "sim", "run", scenario, columns=columns)
    try:
        for file, component in awaited:
            line = f"turn 1 of 3, waiting for {component},"
            terminal.until(lambda screen, line=line: line in str(screen))
            (tmp_path / file).touch()
        assert terminal.end() == 0
    finally:
        terminal.close()
    assert "waiting for" not in str(terminal.screen)
    assert "turn 3/3" in str(terminal.screen)
    assert "still_waiting" not in terminal.told


def test_record_names_a_component_that_blocks_the_loop_where_there_is_no_terminal(tmp_path):
    process = started(tmp_path, hanging(tmp_path), "--json", "-q")
    with process:
        line = process.stderr.readline()
        assert "still_waiting" in line
        assert "component=agent ada" in line
        for file, _ in IN_TURN:
            (tmp_path / file).touch()
        out, err = process.communicate(timeout=WAIT_S)
    assert (process.returncode, json.loads(out)["status"], err) == (0, "completed", "")


@pytest.mark.parametrize("stands", ["agent", "async", "rules"])
def test_ctrl_c_ends_a_run_that_is_waited_for(tmp_path, stands):
    scenario = hanging(tmp_path)
    for file, _ in IN_TURN:
        if file != stands:
            (tmp_path / file).touch()
    terminal = Terminal(tmp_path, "sim", "run", scenario)
    try:
        terminal.until(lambda screen: "waiting for" in str(screen))
        os.kill(terminal.process.pid, signal.SIGINT)
        if stands != "async":  # the first one can't end a call on the loop's thread
            terminal.until(lambda screen: "waiting for" in str(screen))
            os.kill(terminal.process.pid, signal.SIGINT)
        assert terminal.end() == 130
    finally:
        terminal.close()
    told = str(terminal.screen)
    assert " interrupted: 0 turns" in told
    assert "Traceback" not in told
    (folder,) = (tmp_path / "output").iterdir()
    last = json.loads((folder / "events.jsonl").read_text().splitlines()[-1])
    assert last["details"]["milestone_type"] == "simulation_end"
