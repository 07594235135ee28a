"""Several processes that answer for one server, of which any may die."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import httpx2
import pytest
from tests.processes import children, state_of
from tests.server.listening import frames
from tests.server.postgres import Cluster
from tests.server.team.conftest import ENGINES
from tests.server.team.lines import lines
from tests.server.team.listener import listening
from tests.server.team.notices import ANN, SECRET, Node
from tests.server.team.team_server import TeamServer, team_server
from tests.server.team.test_team_pages import claim, push

WAIT_S = 60
WORKERS = 3


@pytest.fixture(params=ENGINES)
def server(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[TeamServer]:
    address = ""
    if request.param != "sqlite":
        cluster: Cluster = request.getfixturevalue("postgres")
        address = cluster.address(cluster.empty())
    arguments = ("--workers", str(WORKERS))
    with team_server(tmp_path / "data", arguments=arguments, address=address) as running:
        yield running


def workers(server: TeamServer) -> list[int]:
    """Returns the processes that answer, once all are there and have the database open.

    One that is stopped while it opens the database would keep the others from it.
    """
    assert server.process is not None
    end_s = time.monotonic() + WAIT_S
    while True:
        found = children(server.process.pid)
        if len(found) == WORKERS and all(map(takes_connections, found)):
            return found
        assert time.monotonic() < end_s, f"{len(found)} processes answer"
        time.sleep(0.01)


def takes_connections(process: int) -> bool:
    """Reports whether a process waits for connections, which it does last.

    Then its event loop looks at more than what wakes it.
    """
    with suppress(OSError):
        for file in Path(f"/proc/{process}/fd").iterdir():
            if os.readlink(file) == "anon_inode:[eventpoll]":
                told = Path(f"/proc/{process}/fdinfo/{file.name}").read_text()
                return told.count("tfd:") > 1
    return False


def living(processes: list[int]) -> list[int]:
    """Returns those of some processes that have not ended, whether anybody waited for them."""
    return [one for one in processes if state_of(one) not in ("", "Z", "X")]


@contextmanager
def only(server: TeamServer, one: int) -> Iterator[None]:
    """Lets one process alone take in connections."""
    others = [each for each in workers(server) if each != one]
    for other in others:
        os.kill(other, signal.SIGSTOP)
    try:
        yield
    finally:
        for other in others:
            os.kill(other, signal.SIGCONT)


def test_listeners_at_one_process_hear_of_what_another_took(server: TeamServer) -> None:
    one, other, _ = workers(server)
    ada = server.client("ada")
    ada.statuses("log", lines(1))
    with only(server, one):
        web = httpx2.Client(base_url=server.url, timeout=WAIT_S)
        bearer = {"Authorization": f"Bearer {ada.access}"}
        stream = web.stream("GET", "/logs/log/events/live", headers=bearer)
        listener = listening(ada, "log")
        answer, live = stream.__enter__(), listener.__enter__()
        heard = frames(answer)
    try:
        with only(server, other):
            ada.statuses("log", lines(3))
            _, cursor = ada.pull("log")
        live.hints_until(cursor)
        assert [next(heard).data for _ in range(3)] == lines(3)
    finally:
        stream.__exit__(None, None, None)
        listener.__exit__(None, None, None)


@pytest.mark.promise("S10a")
def test_what_one_process_redacts_leaves_the_folders_of_all(server: TeamServer) -> None:
    ada, node = server.client("ada"), Node()
    there = workers(server)
    claim(ada, ANN, node)
    push(ada, ANN, "log", node.said(SECRET))
    for one in there:
        with only(server, one):
            assert ada.ask("GET", "/logs/log/events").body.count(SECRET.encode()) == 1
    folder = server.data / "workers"
    assert len(holding(folder, SECRET)) >= WORKERS
    with only(server, there[0]):
        push(ada, ANN, "log", node.redaction(node.lines[0]))
    end_s = time.monotonic() + WAIT_S
    while files := holding(folder, SECRET):
        assert time.monotonic() < end_s, files


def holding(folder: Path, text: str) -> list[str]:
    """Returns the files in which a text stands; some go meanwhile."""
    holding = []
    for place, _, names in os.walk(folder):
        for name in names:
            with suppress(FileNotFoundError):
                if text.encode() in Path(place, name).read_bytes():
                    holding.append(f"{place}/{name}")
    return holding


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 0)])
def test_signal_ends_all_processes_with_the_code_of_one(
    server: TeamServer, number: int, code: int
) -> None:
    there = workers(server)
    assert server.end(number) == code
    assert not living(there)


def test_a_process_ends_with_its_parent(server: TeamServer) -> None:
    there = workers(server)
    assert server.process is not None
    server.process.kill()
    server.process.wait()
    end_s = time.monotonic() + WAIT_S
    while alive := living(there):
        assert time.monotonic() < end_s, alive


GIVES_UP = """
from thence.server.supervisor import Supervisor
from thence.errors import ThenceError
try:
    Supervisor(lambda number: 3, print).run(2)
except ThenceError as error:
    print(error)
"""


def test_processes_that_end_as_soon_as_they_begin_are_given_up() -> None:
    ended = subprocess.run(
        [sys.executable, "-c", GIVES_UP], capture_output=True, text=True, timeout=WAIT_S, check=True
    )
    told = ended.stdout.splitlines()
    assert "process 1 of the server ended with 3; another follows it" in told
    assert "6 of them ended as soon as they began, the last with 3" in told[-1]
