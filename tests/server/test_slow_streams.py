"""What waits for clients that don't read has a bound for each; nobody loses an event."""

import re
import socket
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from bench.load import grown
from tests.server.listening import frames
from tests.server.serving import Serving, serving
from tests.tiers import tenth

import thence
from thence.log.index.arrivals import BATCH_BYTES
from thence.server.routes.live_events import STREAMS_MAX

EVENTS = 40_000
# beside what waits for it, what a connection and its stream cost
STREAM_KIB = BATCH_BYTES // 1024 + 128
# the log's index and what the threads read at once: so much is there with four streams too
SHARED_KIB = 4 * 1024
LIVE = "/simulations/run/events/live"


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A log of 18 MB."""
    folder = tmp_path_factory.mktemp("root") / "run"
    grown(folder, EVENTS)
    return folder


@pytest.fixture(scope="module")
def server(run: Path) -> Iterator[Serving]:
    """Serves the log, whose index is made."""
    with serving(run.parent) as server:
        with server.client.stream("GET", LIVE, params={"tail": 1}) as answer:
            assert next(frames(answer))
        yield server


def unread(server: Serving, opened: ExitStack) -> socket.socket:
    """Opens a stream that nobody reads, and that the system holds little of."""
    client = opened.enter_context(socket.socket())
    client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4_096)
    client.settimeout(60)
    client.connect(("127.0.0.1", server.client.base_url.port))
    client.sendall(b"GET %b HTTP/1.1\r\nHost: localhost\r\n\r\n" % LIVE.encode())
    assert client.recv(12, socket.MSG_PEEK | socket.MSG_WAITALL) == b"HTTP/1.1 200"
    return client


def read(client: socket.socket, last: bytes) -> list[bytes]:
    """Reads the lines that come, up to a last one."""
    whole = bytearray()
    while last not in whole[-2 * len(last) :]:
        part = client.recv(1 << 20)
        assert part, "the stream has ended"
        whole += part
    body = re.sub(rb"\r\n[0-9a-f]+\r\n", b"", whole.partition(b"\r\n\r\n")[2])
    return re.findall(rb"^data: (.*)\n\n", body, re.MULTILINE)


@pytest.mark.promise("Q7", "Q9")
@pytest.mark.whole
def test_as_many_unread_streams_as_may_be_hold_little_and_miss_nothing(server, run):
    with ExitStack() as opened:
        before = server.kib("VmRSS")
        clients = [unread(server, opened) for _ in range(STREAMS_MAX)]
        assert server.json("/simulations/run")["event_count"] >= EVENTS
        with thence.open(run) as log:
            some = [{"event_type": "NOTE", "payload": {"text": "x" * 400}}] * 400
            for _ in range(tenth(20, 6)):
                log.append_many(some)
        grown_kib = server.kib("VmHWM") - before
        lines = (run / "events.jsonl").read_bytes().splitlines()
        print(f"{STREAMS_MAX} streams of {sum(map(len, lines)) >> 20} MiB: {grown_kib} KiB more")
        assert grown_kib < SHARED_KIB + STREAMS_MAX * STREAM_KIB
        assert read(clients[0], lines[-1]) == lines
