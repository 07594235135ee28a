"""What belongs to an agent is found and ended with whatever means a system has."""

import os
import signal
import sys

import pytest
from tests.work.agents import children, ended, living, order, script, there

from thence.work import supervisor as ending
from thence.work.orchestrate.agent_process import start


@pytest.fixture
def running(tmp_path):
    """An agent with children that do not hear, the files with their ids, and its mark."""
    names = ("child", "session", "daemon", "agent")
    files = [tmp_path / name for name in names]
    deaf = ["ignore", "SIGTERM"]
    forks = [
        ["fork", kind, [deaf, ["note", str(file)], ["hang"]]]
        for kind, file in zip(names[:3], files[:3], strict=True)
    ]
    own = [deaf, ["describe", "told"], ["note", str(files[3])], ["hang"]]
    run = start(order(tmp_path, script(tmp_path, *forks, *own)))
    pids = dict(zip(names, map(int, there(*files)), strict=True))
    mark = (tmp_path / "told").read_text().partition(f'"{ending.VARIABLE}": "')[2][:32]
    yield pids, mark
    run.stop(0)
    ended(run)
    assert not living(str(tmp_path / "script.json"))


def test_list_of_processes_finds_all_that_belong_to_an_agent(running):
    pids, mark = running
    agent = pids["agent"]
    argv = ending._PS_MACOS if sys.platform == "darwin" else ending.PS
    (guard,) = (pid for pid, command in children() if "supervisor.py" in command)
    variable = f"{ending.VARIABLE}={mark}".encode()
    assert ending.by_ps(agent, {variable}, argv) == set(pids.values())
    assert ending.by_ps(agent, {variable, mark.encode()}, argv) == {*pids.values(), guard}
    assert ending.members(agent, mark) == {*pids.values(), guard}
    assert ending.members(agent, "other") == {agent, pids["child"]}
    assert ending.by_ps(agent, {b"other"}, argv) == {agent, pids["child"]}


def test_group_is_ended_where_nothing_lists_processes(running, tmp_path, monkeypatch):
    pids, mark = running
    agent = pids["agent"]
    (guard,) = (pid for pid, command in children() if "supervisor.py" in command)
    os.kill(guard, signal.SIGSTOP)
    monkeypatch.setattr(ending, "_PROC", "/nowhere")
    monkeypatch.setenv("PATH", "/nowhere")
    assert ending.members(agent, mark) == {-agent}
    # the agent is dead, and its supervisor has not looked
    assert not ending.end(agent, mark, 0.0, 0.5)
    monkeypatch.undo()
    remaining = {int(line.split()[0]) for line in living(str(tmp_path / "script.json"))}
    os.kill(guard, signal.SIGCONT)
    assert remaining == {pids["session"], pids["daemon"]}


def test_nothing_to_end_is_at_once_at_its_end():
    assert ending.end(2**22 + 1, "1" * 32, 60.0, wait=lambda _: pytest.fail("it has waited"))
    assert not ending.members(2**22 + 1, "1" * 32) & {os.getpid()}
