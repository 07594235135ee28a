"""A claim is held by whoever works on a package, be it an agent that has lost its orchestrator."""

import os
import signal
import subprocess
import sys

from tests.log.committers import until
from tests.work.agents import ended, order, script, there

from thence.work.journal import claims
from thence.work.orchestrate.agent_process import AgentRun

TAKING = """
import pathlib, sys
from thence.work.journal import claims
claims.take(pathlib.Path(sys.argv[1]), "it")
print(flush=True)
sys.stdin.read()
"""


def free(home):
    """Take a claim as soon as it is free, and drop it."""
    leases = []
    until(lambda: leases.append(claims.take(home, "it")) or leases[-1] is not None)
    claims.drop(leases[-1])


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
