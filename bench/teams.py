"""A server of many teams over loopback: clients at once, idle rounds, its memory, its size.

`python -m bench.teams` measures on SQLite, with THENCE_DATABASE in the database that it names. A
million events of 20 teams stand beside 100,000 of one: some minutes.
"""

import gzip
import http.client
import json
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import urlencode

from bench.relaying import BATCH, batches

PROGRAM = Path(sys.executable).parent / "thence"
CLIENTS = 10
TEAMS = 20
EVENTS_OF_ONE = 100_000
EVENTS_OF_EACH = 50_000
PAGES = 200
PAGE_EVENTS = 1_000
PUSHED = 500
RATIO_MAX = 1.3


class Client(NamedTuple):
    """A member of a team at a server."""

    address: str
    access: str
    team: str

    def ask(self, method: str, path: str, body: bytes | None = None) -> Any:
        """Returns the answer, as JSON; raises OSError for another status than 200."""
        connection = http.client.HTTPConnection(self.address, timeout=60)
        headers = {"Authorization": f"Bearer {self.access}", "X-Team-Slug": self.team}
        if body is not None:
            headers["Content-Encoding"] = "gzip"
        with closing(connection):
            connection.request(method, path, body, headers)
            answer = connection.getresponse()
            data = answer.read()
        if answer.status != 200:
            raise OSError(f"{path}: {answer.status} {data[:200]!r}")
        return json.loads(data)

    def push(self, bodies: Sequence[bytes]) -> None:
        """Brings batches to the log `log`."""
        for body in bodies:
            self.ask("POST", "/api/v1/events/batch/?log=log&kind=plain", body)

    def page(self, after: str) -> Any:
        """Returns the page of the log behind a cursor."""
        query = {"log": "log", "limit": PAGE_EVENTS, **({"after": after} if after else {})}
        return self.ask("GET", f"/api/v1/events?{urlencode(query)}")

    def pull(self) -> list[str]:
        """Takes the whole log; returns the cursors on the way."""
        cursors = [""]
        while (page := self.page(cursors[-1]))["more"]:
            cursors.append(page["next"])
        return cursors


def main() -> None:
    """Prints what a server of 20 teams does, measured below the present folder."""
    with (
        tempfile.TemporaryDirectory(prefix=".bench-", dir=Path.cwd()) as name,
        server(Path(name)) as (process, clients),
    ):
        one, *others = clients
        bodies = packed(batches("a" * 12, EVENTS_OF_ONE // BATCH, 1, 1))
        began = time.perf_counter()
        one.push(bodies)
        _tell("one client, events/s", EVENTS_OF_ONE / (time.perf_counter() - began))
        at_once = clients_at_once(others[:CLIENTS])
        _tell(f"{CLIENTS} clients of {CLIENTS} teams at once, events/s", at_once)
        alone = asked(one)
        _tell("page, ms; pull, events/s, beside what came so far", *alone)
        for number, client in enumerate(others):
            count = EVENTS_OF_EACH // BATCH - (CLIENTS if number < CLIENTS else 0)
            client.push(packed(batches(f"{number:012x}", count, 50_000, number)))
        among = asked(one)
        _tell("the same among a million of 20 teams", *among)
        page, pull = among[0] / alone[0], alone[1] / among[1]
        print(f"    ratios {page:.2f} and {pull:.2f}, {RATIO_MAX} at most")
        print(f"    memory of the server, at most: {_peak_mib(process.pid):.0f} MiB")


def clients_at_once(clients: Sequence[Client]) -> float:
    """Returns the events a second that clients bring together, 10,000 each."""
    bodies = [
        packed(batches(f"c{number:011x}", CLIENTS, 1, 100 + number))
        for number in range(len(clients))
    ]
    began = time.perf_counter()
    with ThreadPoolExecutor(len(clients)) as pool:
        list(pool.map(Client.push, clients, bodies))
    return len(clients) * CLIENTS * BATCH / (time.perf_counter() - began)


def asked(client: Client) -> tuple[float, float]:
    """Returns the median milliseconds of a page, and the events a second of a pull."""
    began = time.perf_counter()
    cursors = client.pull()
    pulled = EVENTS_OF_ONE / (time.perf_counter() - began)
    times = []
    for number in range(PAGES):
        began = time.perf_counter()
        client.page(cursors[number * 37 % len(cursors)])
        times.append((time.perf_counter() - began) * 1e3)
    return statistics.median(times), pulled


def packed(lines: Sequence[Sequence[bytes]]) -> list[bytes]:
    """Returns the bodies of batches, each in parts that a server takes."""
    return [
        gzip.compress(b'{"events":[' + b",".join(batch[at : at + PUSHED]) + b"]}", 1)
        for batch in lines
        for at in range(0, len(batch), PUSHED)
    ]


@contextmanager
def server(folder: Path) -> Iterator[tuple["subprocess.Popen[str]", list[Client]]]:
    """Starts a server of 21 teams with one member each; yields its process and clients."""
    data = ("--data", str(folder / "server"))
    _run("server", "init", *data, "--team", "t0")
    passwords = []
    for number in range(TEAMS + 1):
        if number:
            _run("server", "team", "add", f"t{number}", *data)
        add = _run("server", "user", "add", f"u{number}", "--team", f"t{number}", *data, "--json")
        passwords.append(json.loads(add)["password"])
    process = subprocess.Popen(
        [PROGRAM, "server", "run", *data, "--port", "0"], stdout=subprocess.PIPE, text=True
    )
    try:
        assert process.stdout
        address = process.stdout.readline().strip().removeprefix("http://")
        yield process, [_logged_in(address, number, word) for number, word in enumerate(passwords)]
    finally:
        process.terminate()
        process.wait(30)


def _logged_in(address: str, number: int, password: str) -> Client:
    body = json.dumps({"username": f"u{number}", "password": password}).encode()
    nobody = Client(address, "", "")
    tokens = nobody.ask("POST", "/api/v1/token/", gzip.compress(body))
    return Client(address, tokens["access"], f"t{number}")


def _run(*arguments: str) -> str:
    done = subprocess.run([PROGRAM, *arguments], capture_output=True, text=True, check=True)
    return done.stdout


def _peak_mib(process_id: int) -> float:
    lines = Path(f"/proc/{process_id}/status").read_text().splitlines()
    (peak,) = (line.split()[1] for line in lines if line.startswith("VmHWM:"))
    return int(peak) / 1024


def _tell(name: str, *figures: float) -> None:
    print(f"    {name:<60} {'  '.join(f'{figure:,.1f}' for figure in figures)}", flush=True)


if __name__ == "__main__":
    main()
