"""What a team's server needs for what it holds: disk, memory, and the time of a first question.

`python -m bench.sizes [EVENTS [ADDRESS]]` pushes so many, 200,000 by itself, to a server of its own
over loopback, below the present folder: half a minute. Where the address of a database of
PostgreSQL is named, the team is copied into it at the end.
"""

import socket
import subprocess
import sys
import tempfile
import time
from contextlib import ExitStack
from pathlib import Path

from bench.relaying import BATCH, batches
from bench.teams import PROGRAM, Client, packed, server

EVENTS = 200_000
STREAMS_OF_USER = 20
MILLION = 1_000_000
WAIT_S = 60


def main(events: int = EVENTS, address: str = "") -> None:
    """Prints what a server needs for each million of events, and for each stream."""
    with tempfile.TemporaryDirectory(prefix=".bench-", dir=Path.cwd()) as name:
        _measure(Path(name), events)
        if address:
            begin_s = time.perf_counter()
            data = ["--data", str(Path(name) / "server")]
            subprocess.run([PROGRAM, "server", "copy", address, "--team", "t0", *data], check=True)
            _tell("copied into PostgreSQL, s", time.perf_counter() - begin_s)


def _measure(folder: Path, events: int) -> None:
    with (
        server(folder) as (process, clients),
        ExitStack() as opened,
    ):
        data = folder / "server"
        member, *others = clients
        _tell("memory at rest, MiB", _resident_mib(process))
        lines = [line for batch in batches("a" * 12, events // BATCH, 1, 1) for line in batch]
        member.push(packed([lines]))
        _tell("a line, bytes", sum(map(len, lines)) / len(lines))
        database = sum(file.stat().st_size for file in data.glob("server.db*"))
        _tell("disk of a million events, the database, MB", database / len(lines))
        _tell("the first question after a million events, s", _first_question(member) / events)
        cache = sum(file.stat().st_size for file in (data / "teams").rglob("*") if file.is_file())
        _tell("disk of a million events, the cache, MB", cache / len(lines))
        _tell("memory after that, MiB", before := _resident_mib(process))
        for other in others:
            other.push(packed([batches("b" * 12, 1, 1, 2)[0]]))
            _first_question(other)
        count = sum(_streams(opened, other) for other in others)
        grown_kib = (_resident_mib(process) - before) * 1024
        _tell("an idle stream, memory, KiB", grown_kib / count)
        _tell(f"memory with {count} of {len(others)} teams, MiB", _resident_mib(process))


def _first_question(client: Client) -> float:
    """Returns the microseconds until a question to a log that was not asked yet is answered."""
    begin_s = time.perf_counter()
    while True:
        try:
            client.ask("GET", "/logs/log/events?limit=1")
        except OSError as error:
            if " 503 " not in str(error):
                raise
        else:
            return (time.perf_counter() - begin_s) * MILLION


def _streams(opened: ExitStack, client: Client) -> int:
    """Opens as many streams as one user may; returns how many."""
    host, port = client.address.split(":")
    for _ in range(STREAMS_OF_USER):
        connection = socket.create_connection((host, int(port)), timeout=WAIT_S)
        opened.enter_context(connection)
        head = f"Host: {host}\r\nAuthorization: Bearer {client.access}\r\n\r\n"
        connection.sendall(f"GET /logs/log/events/live?tail=0 HTTP/1.1\r\n{head}".encode())
        answer = connection.recv(4096)
        if not answer.startswith(b"HTTP/1.1 200"):
            raise OSError(f"a stream was refused: {answer!r}")
    return STREAMS_OF_USER


def _resident_mib(process: "subprocess.Popen[str]") -> float:
    lines = Path(f"/proc/{process.pid}/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("VmRSS:")) / 1024


def _tell(name: str, *figures: float) -> None:
    print(f"    {name:<60} {'  '.join(f'{figure:,.1f}' for figure in figures)}", flush=True)


if __name__ == "__main__":
    main(*map(int, sys.argv[1:2]), *sys.argv[2:3])
