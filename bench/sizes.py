"""What a team's server needs for what it holds: disk and memory.

`python -m bench.sizes [EVENTS]` pushes so many, 200,000 by itself, to a server of its own over
loopback, below the present folder.
"""

import subprocess
import sys
import tempfile
from pathlib import Path

from bench.relaying import BATCH, batches
from bench.teams import packed, server

EVENTS = 200_000


def main(events: int = EVENTS) -> None:
    """Prints what a server needs for each million of events."""
    with (
        tempfile.TemporaryDirectory(prefix=".bench-", dir=Path.cwd()) as name,
        server(Path(name)) as (process, (member, *_)),
    ):
        _tell("memory at rest, MiB", _resident_mib(process))
        lines = [line for batch in batches("a" * 12, events // BATCH, 1, 1) for line in batch]
        member.push(packed([lines]))
        _tell("a line, bytes", sum(map(len, lines)) / len(lines))
        database = sum(file.stat().st_size for file in (Path(name) / "server").glob("server.db*"))
        _tell("disk of a million events, MB", database / len(lines))
        _tell("memory after that, MiB", _resident_mib(process))


def _resident_mib(process: "subprocess.Popen[str]") -> float:
    lines = Path(f"/proc/{process.pid}/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("VmRSS:")) / 1024


def _tell(name: str, *figures: float) -> None:
    print(f"    {name:<60} {'  '.join(f'{figure:,.1f}' for figure in figures)}", flush=True)


if __name__ == "__main__":
    main(*map(int, sys.argv[1:2]))
