"""What loggers keep of what they acknowledged when killed, killed by `bench.killed`.

`python -m bench.kill [KILLS]` prints the table as it stands in docs/project/track-record.md.
"""

import json
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
PEERS = ".venv-bench/bin/python"
OURS = sys.executable
KILLS = 100
SEED = 20261120
VERSIONS = """\
import sqlite3
from importlib.metadata import version
names = ("structlog", "loguru", "eliot", "opentelemetry-sdk")
print(", ".join([*(f"{name} {version(name)}" for name in names), sqlite3.sqlite_version]))
"""

# what it is: (Python, program with its arguments, how it is read)
LOGGERS = {
    "logging, `FileHandler`": (PEERS, "logging_file", False),
    "structlog, `BytesLogger`": (PEERS, "structlog_file", False),
    "loguru, a file": (PEERS, "loguru_file", False),
    "loguru, `enqueue=True`": (PEERS, "loguru_file --enqueue", False),
    "eliot, `to_file`": (PEERS, "eliot_file", False),
    "OpenTelemetry, batch processor": (PEERS, "otel_batch", False),
    "the same, `force_flush` each 100": (PEERS, "otel_batch --flush", False),
    "SQLite WAL, `synchronous=FULL`": (PEERS, "sqlite_wal", True),
    "SQLite WAL, `synchronous=NORMAL`": (PEERS, "sqlite_wal --normal", True),
    "thence, `append`": (OURS, "thence_append", False),
    "thence, `EventWriter` SYNC": (OURS, "thence_writer", False),
    "thence, `EventWriter` ASYNC, `flush` each 100": (OURS, "thence_writer --async", False),
}


def command(python: str, program: str, *more: str) -> str:
    """Writes the command of a peer as the harness takes it."""
    name, *flags = program.split()
    return " ".join((python, "-m", f"bench.peers.{name}", "{file}", *flags, *more))


def tried(python: str, program: str, is_read: bool, kills: int) -> dict[str, int | None]:
    """Has one logger killed; returns the counts."""
    given = ["--command", command(python, program), "--kills", str(kills), "--seed", str(SEED)]
    given += ["--read", command(python, program, "--read")] if is_read else []
    done = subprocess.run(
        [sys.executable, "-m", "bench.killed", *given, "--json", "-q"],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        text=True,
        check=False,
    )
    told = json.loads(done.stdout)
    if "error" in told:
        raise SystemExit(1)
    return told


def main(kills: int) -> None:
    """Tries every logger and prints a row for each."""
    asked = [PEERS, "-c", VERSIONS]
    versions = subprocess.run(asked, cwd=ROOT, capture_output=True, text=True, check=True).stdout
    print(f"{kills} kills each, seed {SEED}; {versions}")
    words = ("acknowledged", "present", "damaged", "lost", "torn", "glued")
    print(f"| | {' | '.join(words)} |\n|---|{'---|' * len(words)}", flush=True)
    for name, (python, program, is_read) in LOGGERS.items():
        told = tried(python, program, is_read, kills)
        cells = ["-" if told[word] is None else f"{told[word]:,}" for word in words]
        print(f"| {name} | {' | '.join(cells)} |", flush=True)


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else KILLS)
