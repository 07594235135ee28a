"""A claim is held by whoever works on a package, be it an agent that has lost its orchestrator."""

import os
import signal
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

import pytest
from tests.log.committers import until
from tests.work.agents import ended, living, order, script, there

from thence.errors import Refused
from thence.work.journal import claims
from thence.work.orchestrate.agent_process import AgentRun

ROOT = Path(__file__).parents[2]
TAKING = """
import pathlib, sys
from thence.work.journal import claims
claims.take(pathlib.Path(sys.argv[1]), "it")
print(flush=True)
sys.stdin.read()
"""


@pytest.fixture
def orphan(tmp_path):
    """The processes of an agent whose starter was killed, and of its child in its own session."""
    agent, child = tmp_path / "agent", tmp_path / "child"
    forks = ["fork", "daemon", [["note", str(child)], ["hang"]]]
    told = script(tmp_path, forks, ["note", str(agent)], ["hang"])
    argv = [sys.executable, "-m", "tests.work.agents", tmp_path, told]
    with subprocess.Popen(argv, cwd=ROOT) as starter:
        pids = [int(pid) for pid in there(agent, child)]
        until(lambda: claims.holder(tmp_path, "it") == pids[0])
        starter.kill()
    yield pids
    for pid in pids:
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)


def free(home):
    """Take a claim as soon as it is free, and drop it."""
    leases = []
    until(lambda: leases.append(claims.take(home, "it")) or leases[-1] is not None)
    claims.drop(leases[-1])


def refusal(home):
    with pytest.raises(Refused) as refused, claims.claimed(home, "it"):
        raise AssertionError("somebody holds it")
    return refused.value


def test_agent_without_its_orchestrator_holds_the_claim_and_after_it_what_it_started(
    tmp_path, orphan
):
    agent = orphan[0]
    for ends in orphan:
        assert claims.take(tmp_path, "it") is None
        assert claims.holder(tmp_path, "it") == agent
        assert f"process {agent}, or one that it started, is working" in refusal(tmp_path).cause
        os.kill(ends, signal.SIGKILL)
    free(tmp_path)
    assert claims.holder(tmp_path, "it") is None


def test_claim_is_passed_on_and_nobody_is_ended(tmp_path, orphan):
    with claims.claimed(tmp_path, "it", is_passed=True):
        assert claims.holder(tmp_path, "it") == os.getpid()
        assert f"process {os.getpid()}," in refusal(tmp_path).cause
    free(tmp_path)
    assert len(living(str(tmp_path / "script.json"))) == len(orphan)


def test_claim_that_is_dropped_is_free_though_a_child_of_the_agent_has_inherited_it(tmp_path):
    note = tmp_path / "child"
    forks = ["fork", "session", [["note", str(note)], ["hang"]]]
    lease = claims.take(tmp_path, "it")
    assert lease is not None
    run = AgentRun(order(tmp_path, script(tmp_path, forks, ["wait_for", str(note)]), lease=lease))
    (child,) = there(note)
    assert ended(run).how == "done"
    assert claims.take(tmp_path, "it") is None
    claims.drop(lease)
    free(tmp_path)
    os.kill(int(child), signal.SIGKILL)  # it lived


def test_claim_of_a_killed_command_is_free_and_names_nobody(tmp_path):
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
    with subprocess.Popen([sys.executable, "-c", TAKING, tmp_path], **pipes) as process:
        assert process.stdout.readline()
        assert claims.holder(tmp_path, "it") == process.pid
        process.kill()
    assert claims.holder(tmp_path, "it") is None
    free(tmp_path)


def test_home_that_cannot_be_written_keeps_nobody_from_their_work(tmp_path):
    (tmp_path / "home").write_text("no folder\n")
    for _ in range(2):
        with claims.claimed(tmp_path / "home", "it"):
            assert claims.holder(tmp_path / "home", "it") is None
