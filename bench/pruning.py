"""How long a prune of 1 GB takes: 3,000,000 events in closed segments, archived and removed."""

import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory

import thence
from bench.verifying import made

SEGMENTS = 30
SEGMENT_EVENTS = 100_000
TARGET_S = 120.0
# the command in a process of its own, which then tells its most memory in MB
_PRUNE = """
import resource, sys
from thence.cli.frame import run
assert run(["prune", "--log", *sys.argv[1:], "--yes", "-q"]) == 0
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024)
"""


def filled(folder: Path) -> int:
    """Makes a log of 30 segments of 100,000 events, and returns its bytes."""
    size = 0
    with thence.open(folder) as log:
        log.append("begun")
    (folder / "events.jsonl").rename(folder / "events_2026-01-01_00-00-00-000000.jsonl")
    for number in range(1, SEGMENTS + 1):
        size += made(folder, SEGMENT_EVENTS, node_id=f"{number:012x}")
        name = f"events_2026-01-02_00-00-{number:02d}-000000.jsonl"
        (folder / "events.jsonl").rename(folder / name)
    return size


def pruned(folder: Path, *words: str) -> tuple[float, int]:
    """Prunes all but a third of a log; returns the seconds and the most memory in MB."""
    begin = time.perf_counter()
    command = [sys.executable, "-c", _PRUNE, str(folder), *words]
    said = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    return time.perf_counter() - begin, int(said.split()[-1])


def rows(place: Path, row: Callable[[str, str, str, bool], None]) -> None:
    """Prints the rows: removed, and archived."""
    with TemporaryDirectory(dir=place) as top:
        for name in ("removed", "archived"):
            folder = Path(top, name)
            size = filled(folder)
            keep = ("--keep-bytes", str(size // 3))
            words = (*keep, "--archive", str(Path(top, "old"))) if name == "archived" else keep
            seconds, memory = pruned(folder, *words)
            told = f"{seconds:.0f} s"
            row(
                f"{size * 2 // 3 / 1e9:.1f} GB pruned, {name}",
                told,
                f"{TARGET_S:.0f} s",
                seconds <= TARGET_S,
            )
            print(f"    of {SEGMENTS * SEGMENT_EVENTS:,} events; at most {memory} MB of memory")
