"""An orchestrator whose agents are at work takes next to nothing by itself."""

import os
import time
from pathlib import Path

import pytest
from tests.cli.terminals import Terminal
from tests.cli.work.orchestra import until
from tests.cli.work.other_git import with_git

AGENTS = 8
WATCHED_S = 6.0
SHARE_MAX = 0.05
PEAK_KB_MAX = 60_000
FORECAST_CALLS = 1 + AGENTS  # the branches, and each with the target


def processor_s(process: int) -> float:
    """Return what a process has taken of the processor, its git commands included."""
    fields = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()
    return sum(map(int, fields[11:15])) / os.sysconf("SC_CLK_TCK")


def peak_kb(process: int) -> int:
    lines = Path(f"/proc/{process}/status").read_text().splitlines()
    (line,) = [line for line in lines if line.startswith("VmHWM:")]
    return int(line.split()[1])


@pytest.mark.timeout(300)
def test_eight_agents_at_work_cost_little_processor_and_memory_and_no_git(make, tmp_path):
    packages = {f"WP{number:02}": [] for number in range(1, AGENTS + 1)}
    project = make(packages, slots=AGENTS)
    notes = [tmp_path / f"{wp_id}.pid" for wp_id in packages]
    project.tell(ANY=[[["note", str(tmp_path / "{wp}.pid")], ["hang"]]])
    calls = tmp_path / "calls"
    path = with_git(tmp_path / "bin", "-c", f"echo >> '{calls}'")
    terminal = Terminal(project.folder, "work", "orchestrate", PATH=path)
    process = terminal.process.pid
    try:
        until(lambda: all(note.exists() for note in notes))
        terminal.until(lambda screen: f"{AGENTS} doing" in str(screen))
        shown, begun_s = len(terminal.screen.frames), time.monotonic()
        taken_s, called = processor_s(process), len(calls.read_bytes())
        terminal.until(lambda _: time.monotonic() >= begun_s + WATCHED_S)
        taken_s, called = processor_s(process) - taken_s, len(calls.read_bytes()) - called
        seconds = time.monotonic() - begun_s
        assert len(terminal.screen.frames) > shown + 5, "the board goes on"
        print(f"{taken_s:.2f} s of {seconds:.1f} s, {called} git, {peak_kb(process)} kB")
        assert called <= FORECAST_CALLS
        assert taken_s <= SHARE_MAX * seconds
        assert peak_kb(process) <= PEAK_KB_MAX
    finally:
        terminal.close()
