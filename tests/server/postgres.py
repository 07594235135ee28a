"""A cluster of PostgreSQL for the tests alone: a socket and a folder, by the system's programs."""

import ctypes
import os
import pwd
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import count
from pathlib import Path
from typing import Any

import psycopg
import pytest
from tests.system_packages import provided

from thence.server.team.postgres import make_database

MISSING = (
    "there is no PostgreSQL to run the tests of a server's store on.\n"
    "Install it: apt-get install postgresql (Debian), dnf install postgresql-server (Fedora), "
    "brew install postgresql (macOS).\n"
    "To leave these tests out: make test ARGS=\"-k 'not postgres'\""
)
EPOCH = "0123456789abcdef"
ENDS_S = 60
_PLACES = ("/usr/lib/postgresql/*/bin", "/usr/pgsql-*/bin", "/opt/homebrew/opt/postgresql*/bin")
_USERS = ("postgres", "nobody")
_TEMPLATE = "server"
_PR_SET_PDEATHSIG = 1


class Cluster:
    """A running cluster, and how to have a database of it."""

    def __init__(self, folder: Path, *, is_durable: bool = False) -> None:
        """Makes a cluster; one that is to be killed is durable, others save the time."""
        self.folder = folder
        self._programs = programs()
        self._is_durable = is_durable
        self._numbers = count()
        self.process: subprocess.Popen[bytes] | None = None
        self._run("initdb", "-ND", "data", "-Uthence", "-EUTF8", "--locale=C", "-Atrust")

    def start(self, *settings: str) -> None:
        """Starts it and returns once it answers."""
        durable = () if self._is_durable else ("fsync=off", "full_page_writes=off")
        settings = (*durable, *settings, "listen_addresses=", "max_connections=200")
        argv = ["-D", "data", "-k", str(self.folder)]
        argv += [part for setting in settings for part in ("-c", setting)]
        with (self.folder / "log").open("ab") as log:
            self.process = subprocess.Popen(
                [str(self._programs / "postgres"), *argv],
                cwd=self.folder,
                stdout=log,
                stderr=log,
                preexec_fn=end_with_parent,
                **owner(),
            )
        while not self._answers():
            if self.process.poll() is not None:
                pytest.fail(f"postgres ended: {(self.folder / 'log').read_text()}", pytrace=False)

    def end(self, number: int = signal.SIGINT) -> None:
        """Ends it at once; by SIGQUIT as if the machine had lost its power."""
        if self.process is not None:
            self.process.send_signal(number)
            try:
                self.process.wait(ENDS_S)
            finally:
                self.process.kill()
                self.process.wait()
            self.process = None

    def address(self, name: str = "postgres", user: str = "thence") -> str:
        """Returns the address of a database."""
        return f"postgresql://{user}@/{name}?host={self.folder}"

    def execute(self, statement: str, name: str = "postgres") -> list[tuple[Any, ...]]:
        """Runs a statement as superuser."""
        with psycopg.connect(self.address(name), autocommit=True) as connection:
            cursor = connection.execute(statement.encode())
            return cursor.fetchall() if cursor.description else []

    def empty(self) -> str:
        """Returns the name of a new database without tables."""
        name = f"d{next(self._numbers)}"
        self.execute(f"CREATE DATABASE {name}")
        return name

    def server(self) -> str:
        """Returns the name of a new database of a server."""
        if not self.execute(f"SELECT 1 FROM pg_database WHERE datname = '{_TEMPLATE}'"):
            self.execute(f"CREATE DATABASE {_TEMPLATE}")
            make_database(self.address(_TEMPLATE), EPOCH)
        name = f"d{next(self._numbers)}"
        self.execute(f"CREATE DATABASE {name} TEMPLATE {_TEMPLATE} STRATEGY file_copy")
        return name

    def disconnect(self, name: str) -> None:
        """Ends all connections to a database."""
        query = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname"
        self.execute(f"{query} = '{name}'")

    def drop(self, name: str) -> None:
        """Removes a database, whoever is connected."""
        self.execute(f"DROP DATABASE {name} WITH (FORCE)")

    def _run(self, program: str, *arguments: str) -> None:
        argv = [str(self._programs / program), *arguments]
        done = subprocess.run(
            argv, cwd=self.folder, capture_output=True, text=True, check=False, **owner()
        )
        if done.returncode:
            pytest.fail(f"{program} failed: {done.stdout}{done.stderr}", pytrace=False)

    def _answers(self) -> bool:
        try:
            self.execute("SELECT 1")
        except psycopg.OperationalError:
            return False
        return True


@contextmanager
def cluster(*, is_durable: bool = False) -> Iterator[Cluster]:
    """Runs a cluster in a folder of its own, which its user can reach."""
    programs()  # with these comes the user as whom they run
    with tempfile.TemporaryDirectory(prefix="thence-pg-") as place:
        folder = Path(place)
        folder.chmod(0o755)
        as_owner = owner()
        if as_owner:
            shutil.chown(folder, as_owner["user"], as_owner["group"])
        made = Cluster(folder, is_durable=is_durable)
        made.start()
        try:
            yield made
        finally:
            made.end(signal.SIGQUIT)


def programs() -> Path:
    """Returns the folder of PostgreSQL's programs."""
    return provided("postgresql", _found, MISSING)


def _found() -> Path | None:
    folders = [folder for place in _PLACES for folder in Path("/").glob(place[1:])]
    folders += [Path(path).parent for path in [shutil.which("postgres")] if path]
    folders = [folder for folder in folders if (folder / "initdb").exists()]
    return max(folders, key=lambda folder: (len(str(folder)), str(folder)), default=None)


def owner() -> dict[str, Any]:
    """Returns as whom the programs run: they refuse root."""
    if os.geteuid() != 0:
        return {}
    names = {entry.pw_name for entry in pwd.getpwall()}
    user = next(name for name in _USERS if name in names)
    return {"user": user, "group": pwd.getpwnam(user).pw_gid, "extra_groups": []}


def end_with_parent() -> None:
    """Has the cluster end at once when the process of the tests is killed."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGQUIT)
