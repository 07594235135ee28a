"""How long a command takes from nothing, beside a Python that does nothing."""

import socket
import statistics
import subprocess
import sys
import time
from pathlib import Path

from bench import working
from bench.load import grown, served

PROGRAM = Path(sys.executable).parent / "thence"
ROUNDS = 15
RUNS = 1_000
LIBRARIES = "import click, msgspec, pathlib"  # what no command does without


def _seconds(command: list[str], folder: Path) -> float:
    start = time.perf_counter()
    subprocess.run(command, cwd=folder, stdout=subprocess.DEVNULL, check=True)
    return time.perf_counter() - start


def figures(folder: Path) -> dict[str, list[float]]:
    """Returns seconds of each command, each round all in turn, after a round not counted."""
    commands = {
        "python -c pass": [sys.executable, "-c", "pass"],
        LIBRARIES: [sys.executable, "-c", LIBRARIES],
        "--help": [str(PROGRAM), "--help"],
        "append": [str(PROGRAM), "append", "--log", "log", "note", "text=hello"],
        "why": [str(PROGRAM), "why", "@last", "--log", "log"],
        "work status": [str(PROGRAM), "work", "status"],
    }
    working.project(folder / "project", 1_000).close()
    places = {"work status": folder / "project"}
    found: dict[str, list[float]] = {name: [] for name in commands}
    for number in range(ROUNDS + 1):
        for name, command in commands.items():
            seconds = _seconds(command, places.get(name, folder))
            if number:
                found[name].append(seconds)
    return found


def health_s(folder: Path, runs: int) -> float:
    """Returns seconds from the start of a server on so many runs to its answer of /health."""
    for number in range(runs):
        grown(folder / f"run-{number}", 1)
    folder.mkdir(exist_ok=True)
    found = []
    for _ in range(ROUNDS):
        start = time.perf_counter()
        with served(folder) as (port, _), socket.create_connection(("127.0.0.1", port)) as asking:
            asking.sendall(b"GET /health HTTP/1.1\r\nHost: localhost\r\n\r\n")
            if not asking.recv(4096).startswith(b"HTTP/1.1 200"):
                raise RuntimeError("/health was not answered")
            found.append(time.perf_counter() - start)
    return statistics.median(found)
