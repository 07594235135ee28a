"""The program of a user that keeps replicas of a log in sync with a team's server."""

import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

from tests.server.team.team_server import PASSWORD

import thence
from thence.files import is_locked
from thence.log.files.segment import current_path
from thence.sync.client import log_in
from thence.sync.credentials import CredentialStore
from thence.sync.target import LIVE, SyncTarget, sync_folder, write_target

ENDS_S = 60
_PROGRAM = Path(__file__).with_name("live_program.py")


class Program:
    """A program with some replicas in a folder, which may be killed and started again."""

    def __init__(
        self,
        folder: Path,
        url: str,
        user: str = "ada",
        log: str = "orders",
        *,
        replicas: int = 1,
    ) -> None:
        self._url, self._user = url, user
        self._told = folder / "told"
        self.config = folder / "config"
        self.folders = [folder / f"replica{number}" for number in range(replicas)]
        self.log_in()
        for replica in self.folders:
            thence.open(replica).close()
            write_target(replica, SyncTarget(url, "red", user, log, "plain", "2026"))

    def log_in(self) -> None:
        """Logs the user in, unless there is a login that has not ended."""
        store = CredentialStore(self.config)
        if all(login.has_ended for login in store.logins()):
            store.save(log_in(self._url, self._user, PASSWORD))

    def start(self, ending: str = "stop") -> None:
        argv = [sys.executable, _PROGRAM, self.config, ending, *self.folders]
        with self._told.open("ab") as told:
            self._process = subprocess.Popen(argv, bufsize=0, stdin=subprocess.PIPE, stdout=told)

    def append(self, text: str) -> None:
        """Has it append an event to each replica."""
        assert self._process.stdin is not None
        self._process.stdin.write(f"{text}\n".encode() * len(self.folders))

    def acknowledged(self) -> list[str]:
        """Returns the ids of events that were durable."""
        return self._told.read_text().splitlines()

    def rounds(self) -> Counter[str]:
        """Returns how many of its rounds ended in each way, well or by an error."""
        path = self.config / "rounds"
        return Counter(path.read_text().split() if path.exists() else ())

    def holds(self, text: str) -> bool:
        """Reports whether each replica has an event with a text."""
        paths = [current_path(folder) for folder in self.folders]
        return all(path.exists() and f'"{text}"'.encode() in path.read_bytes() for path in paths)

    def is_connected(self) -> bool:
        """Reports whether each replica has a live connection."""
        return all(is_locked(sync_folder(folder) / LIVE) for folder in self.folders)

    def kill(self) -> None:
        self._process.kill()
        self._process.communicate()

    def end(self) -> float:
        """Ends the program; returns the seconds it took."""
        began_s = time.monotonic()
        self._process.communicate(timeout=ENDS_S)
        assert self._process.returncode == 0
        return time.monotonic() - began_s
