"""Agents that tests start, and what is alive of them."""

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tests.log.committers import until

from thence.work.orchestrate.agent_process import AgentRun, AgentRunResult, AgentSpec

WAIT_S = 60.0
LONG_S = 600.0
NO_CLAIM = os.open(os.devnull, os.O_RDONLY)
PROGRAM = Path(__file__).with_name("agent_program.py")


def script(folder: Path, *steps: list) -> Path:
    """Write what an agent does in each of its attempts."""
    path = folder / "script.json"
    path.write_text(json.dumps({"*": [list(steps)]}), "utf-8")
    return path


def order(place: Path, told: Path, **more: Any) -> AgentSpec:
    """Return the order for an agent that follows a script, with no claim to hold."""
    usual = AgentSpec(
        argv=(sys.executable, str(PROGRAM), str(told)),
        folder=place,
        env={},
        prompt=b"",
        output=place / "output",
        timeout_s=LONG_S,
        stall_s=LONG_S,
        lease=NO_CLAIM,
    )
    return usual._replace(**more)


def ended(run: AgentRun, seen: Callable[[], object] = lambda: None) -> AgentRunResult:
    """Poll a run until it has ended; `seen` is its progress."""
    until(lambda: run.poll(seen()))
    told = run.poll(seen())
    assert told is not None
    return told


def there(*paths: Path) -> list[str]:
    """Wait until files are there, and return what they hold."""
    until(lambda: all(path.exists() for path in paths))
    return [path.read_text() for path in paths]


def living(word: str) -> list[str]:
    """Return the processes, other than dead ones that nobody has waited for, that name a word."""
    with tempfile.TemporaryFile() as file:  # a pipe would show this very process
        subprocess.run(["ps", "-A", "-ww", "-o", "pid=,stat=,command="], stdout=file, check=True)
        file.seek(0)
        lines = file.read().decode("utf-8", "replace").splitlines()
    return [line for line in lines if word in line and not line.split()[1].startswith("Z")]


def children() -> list[tuple[int, str]]:
    """Return the processes that this one has started, dead ones too, with their commands."""
    argv = ["ps", "-A", "-ww", "-o", "pid=,ppid=,command="]
    listed = subprocess.run(argv, capture_output=True, check=True).stdout.decode("utf-8", "replace")
    rows = (line.split(None, 2) for line in listed.splitlines())
    own = ((int(pid), said[0]) for pid, ppid, *said in rows if int(ppid) == os.getpid())
    return [(pid, command) for pid, command in own if not command.startswith("ps -A")]
