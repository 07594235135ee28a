"""Runs of the fishery as a sweep on two cores, beside the same runs in one process."""

import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

RUNS = 200
ONE_PROCESS = f"""
from thence.sim import SimulationOrchestrator
for seed in range(1, {RUNS} + 1):
    SimulationOrchestrator("fishery", seed=seed, output_root="alone").run()
"""


def rows(place: Path, row: Callable[[str, str, str, bool], None]) -> None:
    """Prints how many times faster a sweep of two processes is than a loop in one, in wall time."""
    thence = str(Path(sys.executable).parent / "thence")
    words = ["sim", "sweep", "fishery", "--seeds", f"1-{RUNS}", "--output", "swept"]
    loop_s = _seconds(place, sys.executable, "-c", ONE_PROCESS)
    sweep_s = _seconds(place, thence, *words, "--jobs", "2")
    again_s = _seconds(place, thence, *words)
    print(f"    a loop {loop_s:.1f} s, the sweep {sweep_s:.1f} s, the sweep again {again_s:.1f} s")
    times = loop_s / sweep_s
    row(
        f"{RUNS} runs of the fishery, sweep of 2 / one process", f"{times:.2f}", "1.7", times >= 1.7
    )


def _seconds(place: Path, *command: str) -> float:
    start_s = time.perf_counter()
    subprocess.run(command, cwd=place, check=True, stdout=subprocess.DEVNULL)
    return time.perf_counter() - start_s
