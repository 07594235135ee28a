"""A component that gives no answer is named while the run waits for it."""

import json
import os
import signal

import pytest
from tests.cli.installed import THENCE, begin
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


def test_line_of_a_terminal_names_each_component_that_the_run_waits_for(tmp_path):
    scenario = hanging(tmp_path)
    (tmp_path / "async").touch()
    terminal = Terminal(tmp_path, "sim", "run", scenario)
    try:
        for file, component in (IN_TURN[0], IN_TURN[2]):
            line = f"turn 1 of 3, waiting for {component},"
            terminal.until(lambda screen, line=line: line in str(screen))
            (tmp_path / file).touch()
        assert terminal.end() == 0
    finally:
        terminal.close()
    assert "waiting for" not in str(terminal.screen)
    assert " completed: 3 turns" in str(terminal.screen).replace("\n", "")
    assert "still_waiting" not in terminal.told


@pytest.mark.parametrize(("file", "component"), IN_TURN[:2])
def test_ctrl_c_ends_a_run_that_waits_for_a_component(tmp_path, file, component):
    scenario = hanging(tmp_path)
    for other, _ in IN_TURN:
        if other != file:
            (tmp_path / other).touch()
    terminal = Terminal(tmp_path, "sim", "run", scenario, columns=40)
    try:
        terminal.until(lambda screen: f"waiting for {component}" in str(screen))
        os.kill(terminal.process.pid, signal.SIGINT)
        assert terminal.end() == 130
    finally:
        terminal.close()
    assert " interrupted: 0 turns" in str(terminal.screen).replace("\n", "")
    assert "Traceback" not in terminal.told
    (folder,) = (tmp_path / "output").iterdir()
    last = json.loads((folder / "events.jsonl").read_text().splitlines()[-1])
    assert last["details"]["milestone_type"] == "simulation_end"


@pytest.mark.whole(alone=True)
def test_record_names_a_component_that_blocks_the_loop_where_there_is_no_terminal(tmp_path):
    words = (THENCE, "sim", "run", hanging(tmp_path), "--json", "-q")
    with begin(*words, cwd=tmp_path) as process:
        line = process.stderr.readline()
        for file, _ in IN_TURN:
            (tmp_path / file).touch()
        out, err = process.communicate(timeout=WAIT_S)
    assert ("still_waiting" in line, "component=agent ada" in line) == (True, True)
    assert (process.returncode, json.loads(out)["status"], err) == (0, "completed", "")
