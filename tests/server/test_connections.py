"""Connections that send nothing neither stop the server nor fill its log."""

import json
import resource
import selectors
import signal
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

import httpx2
import pytest
from tests.cli.installed import THENCE, environment
from tests.server.runs import make_run

from thence.server.http.protocol import HEAD_S, Connections
from thence.server.running import _KEEP_ALIVE_S

FILES_MAX = 256
SILENT = 400
STDERR_BYTES_MAX = 2_000


@contextmanager
def served(root: Path, files_max: int) -> Iterator[tuple[int, Path]]:
    """Runs the installed command where a process may hold so many files; gives port and stderr."""
    errors = root.parent / "stderr"
    limit = f'ulimit -n {files_max} && exec "$@"'
    argv = ["sh", "-c", limit, "sh", str(THENCE), "serve", str(root), "--port", "0", "--json"]
    with errors.open("wb") as stderr:
        process = subprocess.Popen(argv, stdout=subprocess.PIPE, stderr=stderr, env=environment())
        assert process.stdout is not None
        try:
            url = json.loads(process.stdout.readline())["url"]
            yield int(url.rpartition(":")[2]), errors
        finally:
            process.send_signal(signal.SIGTERM)
            assert process.wait(60) == 0
            process.stdout.close()


@pytest.fixture
def root(tmp_path: Path) -> Path:
    folder = tmp_path / "root"
    make_run(folder, "run", count=5)
    return folder


@pytest.mark.promise("Q7")
@pytest.mark.parametrize("is_early", [True, False], ids=["at the start", "later"])
def test_more_silent_connections_than_files_keep_nobody_from_an_answer(
    root: Path, is_early: bool
) -> None:
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    assert soft > SILENT + 100, "this test opens more files than it may"
    with served(root, FILES_MAX) as (port, errors), ExitStack() as opened:
        address = f"http://127.0.0.1:{port}"
        if not is_early:
            assert httpx2.get(f"{address}/simulations").status_code == 200
        for _ in range(SILENT):
            opened.enter_context(socket.create_connection(("127.0.0.1", port), timeout=60))
        for path in ("/health", "/simulations", "/simulations/run/events", "/health"):
            assert httpx2.get(address + path, timeout=0.9 * HEAD_S).status_code == 200
        told = errors.read_text()
        assert len(told.encode()) < STDERR_BYTES_MAX, told[:STDERR_BYTES_MAX]
        assert sum("connections are open" in line for line in told.splitlines()) == 1


@pytest.mark.promise("Q7")
def test_server_that_has_no_file_left_for_a_connection_says_little_of_it(root: Path) -> None:
    with served(root, FILES_MAX // 4) as (port, errors), ExitStack() as opened:
        address = f"http://127.0.0.1:{port}"
        assert httpx2.get(f"{address}/simulations").status_code == 200
        for _ in range(SILENT // 2):
            opened.enter_context(socket.create_connection(("127.0.0.1", port), timeout=60))
        assert httpx2.get(f"{address}/health", timeout=3 * HEAD_S).status_code == 200
        assert len(errors.read_bytes()) < STDERR_BYTES_MAX


@pytest.mark.promise("Q7")
def test_connection_without_a_whole_head_is_closed_after_a_time(root: Path) -> None:
    whole = b"GET /health HTTP/1.1\r\nHost: localhost\r\n\r\n"
    with served(root, FILES_MAX) as (port, _), ExitStack() as opened:
        assert httpx2.get(f"http://127.0.0.1:{port}/simulations").status_code == 200
        waiting = selectors.DefaultSelector()
        opened.enter_context(waiting)
        begun = time.monotonic()
        for sent in (b"", b"G", whole[:-2], whole + b"GET /hea"):
            client = socket.create_connection(("127.0.0.1", port), timeout=60)
            opened.enter_context(client)
            client.sendall(sent)
            if sent.startswith(whole):
                answer = client.recv(65_536)
                while not answer.endswith(b"}"):
                    answer += client.recv(65_536)
            waiting.register(client, selectors.EVENT_READ)
        while waiting.get_map():
            # a connection on which nobody asks any more is closed long after that
            found = waiting.select(min(3 * HEAD_S, _KEEP_ALIVE_S))
            assert found, "it is never closed"
            for key, _ in found:
                assert isinstance(key.fileobj, socket.socket)
                with suppress(ConnectionResetError):
                    assert key.fileobj.recv(100) == b""
                assert time.monotonic() - begun > HEAD_S / 2
                waiting.unregister(key.fileobj)


class Held:
    """A connection by its name."""

    def __init__(self, name: str, closed: list[str]) -> None:
        self.name, self._closed = name, closed

    def abort(self) -> None:
        self._closed.append(self.name)


def test_connection_that_waited_longest_makes_room_and_one_at_work_stays(caplog) -> None:
    closed: list[str] = []
    a, b, c, d = (Held(name, closed) for name in "abcd")
    among = Connections(2)
    for count, each in enumerate((a, b), 1):
        among.wait(each)
        among.make_room(count)
    among.work(a)
    among.wait(c)
    among.make_room(3)
    assert closed == ["b"]
    among.work(c)
    among.wait(d)
    among.make_room(3)
    assert closed == ["b", "d"]
    assert len(caplog.records) == 1
    among.make_room(1)
    among.wait(b)
    among.make_room(3)
    assert closed == ["b", "d", "b"]
    assert len(caplog.records) == 2
