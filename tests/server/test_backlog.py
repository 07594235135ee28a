"""What waits for clients that don't read has a bound for all together; nobody loses an event."""

import json
import os
import re
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

import pytest
from bench.load import grown
from tests.cli.installed import environment
from tests.server.listening import frames, gauge, until
from tests.server.serving import Serving

import thence
from thence.server.live.listener import Backlog

STREAMS = 40
EVENTS = 40_000
BYTES_MAX = 2 * 1024 * 1024
# unread they would hold two batches each, up to 4 MiB then; most of this is what reading costs
GROWN_MAX_KIB = 80 * 1024
LIVE = "/simulations/run/events/live"

_SERVE = """
import json, sys
from pathlib import Path
from thence.server import running
from thence.server import state

state.BACKLOG_BYTES_MAX = int(sys.argv[2])
listener = running.listening(0)
print(json.dumps({"url": f"http://127.0.0.1:{listener.getsockname()[1]}"}), flush=True)
running.end_on_sigterm()
running.serve(listener, Path(sys.argv[1]), None)
"""


@contextmanager
def bounded(root: Path, bytes_max: int = BYTES_MAX) -> Iterator[Serving]:
    """Serves with a small bound."""
    argv = [sys.executable, "-c", _SERVE, str(root), str(bytes_max)]
    process = subprocess.Popen(argv, stdout=subprocess.PIPE, env=environment())
    assert process.stdout is not None
    try:
        server = Serving(process, json.loads(process.stdout.readline())["url"])
        with server.client:
            yield server
    finally:
        process.terminate()
        process.wait(30)
        process.stdout.close()


def held_kib(server: Serving, name: str) -> int:
    told = Path(f"/proc/{server.process.pid}/status").read_text()
    return int(told.partition(f"{name}:")[2].split()[0])


def sockets(server: Serving) -> int:
    """How many connections the server holds, and listens on."""
    files = Path(f"/proc/{server.process.pid}/fd").iterdir()
    return sum(os.path.realpath(file).rpartition("/")[2].startswith("socket:") for file in files)


def unread(port: int, opened: ExitStack) -> socket.socket:
    """Opens a stream that nobody reads, and that the system holds little of."""
    client = opened.enter_context(socket.socket())
    client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4_096)
    client.settimeout(60)
    client.connect(("127.0.0.1", port))
    client.sendall(b"GET %b HTTP/1.1\r\nHost: localhost\r\n\r\n" % LIVE.encode())
    return client


def read(client: socket.socket, last: bytes) -> list[tuple[bytes, bytes]]:
    """Reads what still comes until the connection ends, or the last event is there."""
    whole = bytearray()
    with suppress(ConnectionResetError):
        while last not in whole[-2 * len(last) :] and (part := client.recv(1 << 20)):
            whole += part
    return re.findall(rb"^id: (\S+)\ndata: (.*)\n\n", whole, re.MULTILINE)


@pytest.mark.promise("Q7", "Q9")
def test_unread_streams_are_ended_beyond_a_bound_and_resume_without_a_gap(tmp_path: Path) -> None:
    grown(tmp_path / "run", EVENTS)
    lines = (tmp_path / "run" / "events.jsonl").read_bytes().splitlines()
    with bounded(tmp_path) as server, ExitStack() as opened:
        with server.client.stream("GET", LIVE, params={"tail": 1}) as answer:
            assert next(frames(answer))  # its index is made
        before = held_kib(server, "VmRSS")
        port = server.client.base_url.port
        clients = [unread(port, opened) for _ in range(STREAMS)]
        until(lambda: gauge(server, "thence_streams_cut_total") >= STREAMS / 2)
        until(lambda: sockets(server) <= STREAMS)  # what waited for them is freed, read or not
        grown_kib = held_kib(server, "VmHWM") - before
        print(f"{STREAMS} streams of {sum(map(len, lines)) >> 20} MiB: {grown_kib} KiB more")
        assert grown_kib < GROWN_MAX_KIB
        every = (read(client, lines[-1]) for client in clients)
        got = next(found for found in every if len(found) < len(lines))
        asked = {"Last-Event-ID": got[-1][0].decode()} if got else {}
        with server.client.stream("GET", LIVE, headers=asked) as answer:
            rest = frames(answer)
            told = [data for _, data in got] + [next(rest).data for _ in lines[len(got) :]]
        assert told == lines


@pytest.mark.promise("Q7")
def test_what_comes_in_for_streams_that_are_not_read_counts_too(tmp_path: Path) -> None:
    grown(tmp_path / "run", EVENTS)
    # what is on its way to eight clients is 4 MiB at most, what comes in for them 8 more
    with bounded(tmp_path, 6 * 1024 * 1024) as server, ExitStack() as opened:
        for _ in range(8):
            unread(server.client.base_url.port, opened).recv(1)  # it listens by now
        assert not gauge(server, "thence_streams_cut_total")
        log = opened.enter_context(thence.open(tmp_path / "run"))
        some = [{"event_type": "NOTE", "payload": {"text": "x" * 400}}] * 400

        def is_cut() -> bool:
            log.append_many(some)
            return gauge(server, "thence_streams_cut_total") > 0

        until(is_cut)


class Held:
    """A stream for which so much waits."""

    def __init__(self, backlog_bytes: int) -> None:
        self.backlog_bytes = backlog_bytes
        self.is_cut = False

    def cut(self) -> None:
        self.is_cut, self.backlog_bytes = True, 0


def test_streams_that_waited_longest_are_ended_and_idle_ones_stay() -> None:
    backlog = Backlog(100)
    idle, slow, newer = Held(0), Held(60), Held(60)
    for reader in (idle, slow, newer):
        backlog.move(reader, reader.backlog_bytes)
    assert [each.is_cut for each in (idle, slow, newer)] == [False, True, False]
    assert backlog.cut == 1
    late = Held(60)
    backlog.move(late, 60)
    assert (newer.is_cut, late.is_cut, idle.is_cut) == (True, False, False)
    backlog.leave(late)
    backlog.add(1_000)
    assert backlog.cut == 2
