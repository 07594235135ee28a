"""A run that loses its supervisor, its starter, or both, leaves nothing of its agent alive."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

from tests.work.agents import (
    LONG_S,
    WAIT_S,
    children,
    ended,
    family,
    living,
    order,
    script,
    take,
    there,
)

from thence.work import supervisor as ending
from thence.work.journal import claims
from thence.work.orchestrate.agent_process import start

ROOT = Path(__file__).parents[2]


def guards() -> list[int]:
    return [pid for pid, command in children() if "supervisor.py" in command]


def test_agent_whose_supervisor_is_killed_is_ended_with_all_that_it_has_started(tmp_path):
    steps, files = family(tmp_path)
    told = script(tmp_path, *steps)
    run = start(order(tmp_path, told))
    there(*files)
    (guard,) = guards()
    os.kill(guard, signal.SIGTERM)  # it is deaf to this
    assert run.poll() is None
    os.kill(guard, signal.SIGKILL)
    assert ended(run)[:3] == ("killed", None, None), "nobody has seen how it ended"
    assert not living(str(told))


def test_deaf_agent_whose_supervisor_is_killed_while_it_ends_it_is_killed(tmp_path):
    told = script(tmp_path, ["ignore", "SIGTERM"], ["note", str(tmp_path / "ready")], ["hang"])
    run = start(order(tmp_path, told))
    there(tmp_path / "ready")
    run.stop(LONG_S)
    assert run.poll() is None
    (guard,) = guards()
    os.kill(guard, signal.SIGKILL)
    assert ended(run).how == "killed"
    assert not living(str(told))


def test_agent_that_has_lost_its_starter_and_its_supervisor_is_ended_by_the_next_claim(tmp_path):
    claim = claims.take(tmp_path, "it")
    assert claim is not None
    os.close(claim)
    (path,) = (tmp_path / "claims").iterdir()
    steps, files = family(tmp_path)
    told = script(tmp_path, *steps)
    argv = [sys.executable, "-m", "tests.work.agents", path, told]
    with subprocess.Popen(argv, cwd=ROOT) as starter:
        there(*files)
        listed = subprocess.run(["ps", "-A", "-o", "pid=,ppid="], capture_output=True, check=True)
        pairs = [tuple(map(int, line.split())) for line in listed.stdout.splitlines()]
        os.kill(starter.pid, signal.SIGSTOP)  # it would end the agent itself
        for pid, ppid in pairs:
            if ppid == starter.pid:
                os.kill(pid, signal.SIGKILL)
        starter.kill()
    until_s = time.monotonic() + WAIT_S
    while claims.is_held(tmp_path, "it"):  # a death takes its moment
        assert time.monotonic() < until_s
    assert len(living(str(told))) >= len(files)
    while (claim := claims.take(tmp_path, "it")) is None:
        assert time.monotonic() < until_s
    assert not living(str(told))
    assert not os.pread(claim, 1, 0)
    os.close(claim)


def test_agent_that_has_lost_all_may_take_its_own_claim(tmp_path, monkeypatch):
    claim = claims.take(tmp_path, "it")
    assert claim is not None
    os.pwrite(claim, b"2" * 32, 0)
    os.close(claim)
    with subprocess.Popen(["sleep", "600"], env={**os.environ, ending.VARIABLE: "2" * 32}) as one:
        monkeypatch.setenv(ending.VARIABLE, "2" * 32)
        claim = claims.take(tmp_path, "it")
        assert claim is not None
        os.close(claim)
        assert one.poll() is None
        monkeypatch.delenv(ending.VARIABLE)
        claim = claims.take(tmp_path, "it")
        assert claim is not None
        os.close(claim)
        assert one.wait(WAIT_S) == -signal.SIGTERM


def test_claim_bears_no_mark_once_its_run_is_over(tmp_path):
    lease = take(tmp_path / "claim")
    assert lease is not None
    ready = tmp_path / "ready"
    run = start(order(tmp_path, script(tmp_path, ["note", str(ready)], ["hang"]), lease=lease))
    agent = int(*there(ready))
    (guard,) = (pid for pid, command in children() if "supervisor.py" in command)
    assert ending.members(None, os.pread(lease, 64, 0).decode()) == {agent, guard}
    run.stop(0)
    ended(run)
    assert not os.pread(lease, 64, 0)
    os.close(lease)


def test_supervisor_bears_no_mark_of_an_agent_that_started_us(tmp_path, monkeypatch):
    monkeypatch.setenv(ending.VARIABLE, "outer")
    ready = tmp_path / "ready"
    run = start(order(tmp_path, script(tmp_path, ["note", str(ready)], ["hang"])))
    agent = int(*there(ready))
    assert ending.members(agent, "outer") == {agent}
    assert ending.members(2**30, "outer") == set()
    run.stop(0)
    ended(run)
