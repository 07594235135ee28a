"""An orchestrator whose agents are at work asks git for nothing and stays small."""

from pathlib import Path

import pytest
from tests.cli.terminals import Terminal
from tests.cli.work.other_git import with_git
from tests.log.committers import until
from tests.tiers import tenth

AGENTS = 8
FRAMES = tenth(20, 6)
PEAK_KB_MAX = 60_000
FORECAST_CALLS = 1 + AGENTS  # the branches, and each with the target


def peak_kb(process: int) -> int:
    lines = Path(f"/proc/{process}/status").read_text().splitlines()
    (line,) = [line for line in lines if line.startswith("VmHWM:")]
    return int(line.split()[1])


@pytest.mark.timeout(300)
@pytest.mark.whole
def test_eight_agents_at_work_cost_little_memory_and_no_git(make, tmp_path):
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
        shown, called = len(terminal.screen.frames), len(calls.read_bytes())
        terminal.until(lambda screen: len(screen.frames) > shown + FRAMES)
        called = len(calls.read_bytes()) - called
        print(f"{called} git, {peak_kb(process)} kB")
        assert called <= FORECAST_CALLS
        assert peak_kb(process) <= PEAK_KB_MAX
    finally:
        terminal.close()
