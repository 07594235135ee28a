"""Tracers killed at random moments lose no span that has begun or ended for them."""

import subprocess
import sys
from pathlib import Path

import pytest
from tests.cli.installed import environment
from tests.log.faults import WAIT_S

ROOT = Path(__file__).resolve().parents[2]
pytestmark = [pytest.mark.xdist_group("kills"), pytest.mark.rest]


def killed(folder, *words):
    argv = [sys.executable, "-m", "tests.crash.span_kills", *words]
    run = {"cwd": folder, "env": environment(PYTHONPATH=str(ROOT)), "timeout": 5 * WAIT_S}
    return subprocess.run(argv, capture_output=True, text=True, check=False, **run)


@pytest.mark.promise("A4b")
def test_no_kill_loses_a_span_that_was_recorded(tmp_path):
    done = killed(tmp_path, "20")
    print(done.stdout)
    assert (done.returncode, done.stderr) == (0, "")
    assert "kills 20" in done.stdout


def test_spans_that_are_only_queued_are_lost_and_the_campaign_says_so(tmp_path):
    done = killed(tmp_path, "5", "--queued")
    assert done.returncode == 1
    assert "not in the log: " in done.stdout
