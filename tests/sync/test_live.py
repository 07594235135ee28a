"""Live delivery between programs, and what a log does where there is none.

The server is the installed command, and each clone a program of its own with a timer of an hour.
"""

import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.server.listening import until
from tests.server.team.team_server import PASSWORD, TeamServer, team_server
from tests.sync import http_servers
from tests.sync.test_service import Asking, enabled

import thence
from thence.log.storage.segment import current_path
from thence.sync import BackgroundSyncService
from thence.sync.credentials import CredentialStore
from thence.sync.http_transport import log_in
from thence.sync.target import SyncTarget, read_connection, read_status, write_target

WAIT_S = 20
PROGRAM = Path(__file__).with_name("live_program.py")


class Clone:
    """A log with a program that keeps it in sync."""

    def __init__(self, folder: Path, server: TeamServer) -> None:
        self.folder = folder
        self.config = folder.with_name(f"{folder.name}-config")
        self._server = server
        with thence.open(folder):
            pass
        CredentialStore(self.config).save(log_in(server.url, "ada", PASSWORD))
        write_target(folder, SyncTarget(server.url, "red", "ada", "orders", "plain", "2026"))

    def start(self) -> None:
        self._program = subprocess.Popen(
            [sys.executable, PROGRAM, self.folder, self.config], stdin=subprocess.PIPE, text=True
        )

    def append(self, text: str) -> None:
        assert self._program.stdin is not None
        self._program.stdin.write(f"{text}\n")
        self._program.stdin.flush()

    def holds(self, text: str) -> bool:
        path = current_path(self.folder)
        return path.exists() and f'"{text}"'.encode() in path.read_bytes()

    def is_connected(self) -> bool:
        return read_connection(self.folder) == "Connected"

    def end(self) -> float:
        """Ends the program; returns the seconds it took."""
        began = time.monotonic()
        self._program.communicate(timeout=WAIT_S)
        assert self._program.returncode == 0
        return time.monotonic() - began


@pytest.fixture
def server(tmp_path: Path) -> Iterator[TeamServer]:
    with team_server(tmp_path / "data") as found:
        yield found


@pytest.mark.promise("S5")
def test_append_reaches_another_clone_at_once_also_after_the_server_was_killed(
    tmp_path: Path, server: TeamServer
) -> None:
    clones = [Clone(tmp_path / name, server) for name in ("one", "other")]
    one, other = clones
    for clone in clones:
        clone.start()
    until(lambda: all(clone.is_connected() for clone in clones))
    one.append("first")
    began = time.monotonic()
    until(lambda: other.holds("first"))
    assert time.monotonic() - began < 2

    server.end(signal.SIGKILL)
    until(lambda: not any(clone.is_connected() for clone in clones))
    one.append("while it was down")
    until(lambda: one.holds("while it was down"))
    server.start("--port", server.url.rpartition(":")[2])
    until(lambda: other.holds("while it was down"))
    until(lambda: all(clone.is_connected() for clone in clones))
    other.append("answer")
    until(lambda: one.holds("answer"))
    assert [clone.end() < 2 for clone in clones] == [True, True]
    lines = [sorted(current_path(clone.folder).read_bytes().splitlines()) for clone in clones]
    assert lines[0] == lines[1]
