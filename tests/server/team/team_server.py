"""A team's server as users run it: the installed command in a process of its own."""

import json
import signal
import subprocess
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from argon2 import PasswordHasher
from tests.cli.installed import THENCE, environment
from tests.cli.warm import COMMAND, Forked, is_read_at_start, server
from tests.server.team.stranger import Client

from thence.server.running import TEAM_DATABASE
from thence.server.team.accounts import Accounts
from thence.server.team.engines import make_database, open_database

PASSWORD = "correct horse"
# a check costs what the stored form says: here little
HASHER = PasswordHasher(time_cost=1, memory_cost=8, parallelism=1)
ENDS_S = 60


class TeamServer:
    """The folder of a server, and the process that serves it."""

    def __init__(self, data: Path, address: str = "") -> None:
        self.data = data
        self.place = address or data / TEAM_DATABASE
        self.process: subprocess.Popen[bytes] | Forked | None = None
        self.url = ""
        self.files_max = 0
        self.env: dict[str, str] = {}
        self.alteration = ""  # statements of Python before the command

    @property
    def options(self) -> list[str]:
        """The options by which a command finds this server."""
        address = ["--database", self.place] if isinstance(self.place, str) else []
        return ["--data", str(self.data), *address]

    def start(
        self,
        *arguments: str,
        stderr: IO[bytes] | int = subprocess.DEVNULL,
        first: Callable[[], None] | None = None,
    ) -> None:
        """Starts it; `first` is called in its process before."""
        words = ["server", "run", *self.options, "--port", "0", "--json", *arguments]
        if self.files_max or first or stderr == subprocess.PIPE or is_read_at_start(self.env):
            argv = [str(THENCE), *words]
            if self.files_max:
                argv = ["sh", "-c", f'ulimit -n {self.files_max} && exec "$@"', "sh", *argv]
            piped = {"stdout": subprocess.PIPE, "stderr": stderr}
            self.process = subprocess.Popen(
                argv, env=environment(**self.env), preexec_fn=first, **piped
            )
        else:
            code = f"{self.alteration}\n{COMMAND}"
            self.process = server(*words, env=self.env, stderr=stderr, code=code)
        assert self.process.stdout is not None
        self.url = json.loads(self.process.stdout.readline())["url"]

    def end(self, number: int = signal.SIGTERM) -> int:
        """Ends the process and returns its exit code."""
        assert self.process is not None
        if self.process.poll() is None:
            self.process.send_signal(number)
        try:
            return self.process.wait(ENDS_S)
        finally:
            self.process.kill()
            self.process.wait()
            assert self.process.stdout is not None
            self.process.stdout.close()

    def add(self, user: str, team: str = "red", role: str = "writer") -> None:
        with self.accounts() as accounts:
            accounts.add_user(user, team, role, lambda: PASSWORD)

    @contextmanager
    def accounts(self) -> Iterator[Accounts]:
        database = open_database(self.place)
        try:
            yield Accounts(database, HASHER.hash)
        finally:
            database.close()

    def client(self, user: str | None = None) -> Client:
        found = Client(self.url)
        if user is not None:
            found.log_in(user, PASSWORD)
        return found


@contextmanager
def team_server(
    data: Path,
    files_max: int = 0,
    arguments: Sequence[str] = (),
    env: dict[str, str] | None = None,
    address: str = "",
) -> Iterator[TeamServer]:
    """Runs a server with the teams red and blue; ada writes in red.

    `files_max` bounds the files of its process, 0 does not; `env` is added to its environment.
    It keeps all in SQLite, or in a database of PostgreSQL that is empty yet.
    """
    made = TeamServer(data, address)
    make_database(made.place, "0123456789abcdef")
    with made.accounts() as accounts:
        accounts.add_team("red")
        accounts.add_team("blue")
    made.add("ada")
    made.files_max = files_max
    made.env = env or {}
    made.start(*arguments)
    try:
        yield made
    finally:
        made.end()


@contextmanager
def second_server(first: TeamServer) -> Iterator[TeamServer]:
    """Runs another server on the database in PostgreSQL of one that runs."""
    assert isinstance(first.place, str)
    other = TeamServer(first.data.with_name("second"), first.place)
    other.start()
    try:
        yield other
    finally:
        other.end()


@contextmanager
def of_members(data: Path, address: str = "") -> Iterator[TeamServer]:
    """Runs a server as `team_server` does, with more members."""
    with team_server(data, address=address) as server:
        server.add("bob", "blue")
        server.add("eve")
        server.add("rita", "red", "reader")
        yield server
