"""An orchestrator of eight agents that wait, with its board on a terminal: what it takes."""

import json
import os
import pty
import signal
import subprocess
import tempfile
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

from bench.working import PROGRAM

AGENTS = 8
SETTLE_S = 3.0
WATCHED_S = 30.0
_WAIT_S = 120.0
_SLUG = "001-idle"

Row = Callable[[str, str, str, bool], None]


class Cost(NamedTuple):
    """What an orchestrator took: of one core in percent, with and without git, and of memory."""

    core_percent: float
    with_git_percent: float
    peak_mb: float


def rows(place: Path, row: Row) -> None:
    """Prints what the orchestrator of eight idle agents takes by itself."""
    with tempfile.TemporaryDirectory(dir=place) as folder:
        found = cost(Path(folder))
    told = f"{found.core_percent:.2f} %"
    row("orchestrator of 8 idle agents, of one core", told, "2 %", found.core_percent <= 2)
    print(f"    the same, its git commands among it: {found.with_git_percent:.2f} %")
    row("the same, most memory", f"{found.peak_mb:.0f} MB", "60 MB", found.peak_mb <= 60)


def cost(folder: Path) -> Cost:
    """Watches an orchestrator on a terminal for WATCHED_S, once all its agents are at work."""
    top = _project(folder / "project")
    shown, terminal = pty.openpty()
    process = subprocess.Popen(
        [str(PROGRAM), "work", "orchestrate"],
        cwd=top,
        stdout=terminal,
        stderr=terminal,
        env={**os.environ, "TERM": "xterm-256color"},
        start_new_session=True,
    )
    os.close(terminal)
    threading.Thread(target=_read, args=(shown,), name="terminal", daemon=True).start()
    try:
        until_s = time.monotonic() + _WAIT_S
        while len(list(folder.glob("begun.*"))) < AGENTS:
            if time.monotonic() > until_s or process.poll() is not None:
                raise RuntimeError("the agents were not started")
            time.sleep(0.1)
        time.sleep(SETTLE_S)
        before, begun_s = _ticks(process.pid), time.monotonic()
        time.sleep(WATCHED_S)
        after, seconds = _ticks(process.pid), time.monotonic() - begun_s
        peak_mb = _peak_mb(process.pid)
    finally:
        process.send_signal(signal.SIGTERM)  # SIGINT is ignored where a shell began us by "&"
        process.wait(_WAIT_S)
    share = 100 / os.sysconf("SC_CLK_TCK") / seconds
    own, children = ((b - a) * share for a, b in zip(before, after, strict=True))
    return Cost(own, own + children, peak_mb)


def _project(top: Path) -> Path:
    """Makes a project with a package for each agent; an agent notes that it is there and waits."""
    top.mkdir()
    command = ["sh", "-c", f'touch "{top.parent}/begun.$THENCE_WP"; exec sleep 600']
    agent = {"command": command, "stall": "1h"}
    setup = {"slots": AGENTS, "agents": {"idle": agent}}
    packages = "".join(f"## Work Package WP{n:02}: Wait\n\n" for n in range(1, AGENTS + 1))
    _run(top, "git", "init", "--quiet", "--initial-branch", "main")
    _run(top, "git", "config", "user.name", "Ada")
    _run(top, "git", "config", "user.email", "ada@example.com")
    _run(top, "git", "commit", "--quiet", "--allow-empty", "--message", "Begin")
    _run(top, PROGRAM, "work", "setup-spec")
    _run(top, PROGRAM, "work", "setup-spec", "Idle")
    (top / "kitty-specs" / _SLUG / "tasks.md").write_text(f"# Tasks\n\n{packages}")
    _run(top, PROGRAM, "work", "finalize-tasks")
    config = top / ".kittify/config.yaml"
    config.write_text(f"{config.read_text()}orchestrate: {json.dumps(setup)}\n")
    return top


def _read(terminal: int) -> None:
    """Reads what is shown, so that nobody waits for a place to write to."""
    with suppress(OSError):  # the other end is closed
        while os.read(terminal, 65536):
            pass
    os.close(terminal)


def _run(top: Path, *command: str | Path) -> None:
    subprocess.run(
        command, cwd=top, check=True, stdout=subprocess.DEVNULL, stdin=subprocess.DEVNULL
    )


def _ticks(process: int) -> tuple[int, int]:
    """Returns the processor time of a process and of the children that it has waited for."""
    fields = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()
    own, own_system, children, children_system = map(int, fields[11:15])
    return own + own_system, children + children_system


def _peak_mb(process: int) -> float:
    """Returns the most memory that a process has held."""
    for line in Path(f"/proc/{process}/status").read_text().splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) * 1024 / 1e6
    raise RuntimeError("the system tells no peak")
