"""The sync of logs with a team's server over loopback, by the installed commands.

The row of `make bench` delivers 100,000 queued events. `python -m bench.syncing` delivers a
million, which a second log then takes, and asks once more when both are equal: some minutes. Then
services of both logs run, and it says how long after an append the other log has the event.
"""

import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import pairwise
from multiprocessing import get_context
from pathlib import Path

import thence
from bench.relaying import BATCH, batches
from thence.sync import BackgroundSyncService
from thence.sync.client import SyncClient
from thence.sync.credentials import CredentialStore, Login
from thence.sync.engine import SyncEngine
from thence.sync.target import SyncTarget, enabled_target
from thence.sync.wire.messages import PulledPage

PROGRAM = Path(sys.executable).parent / "thence"
QUEUED = 100_000
MANY = 1_000_000
DELIVERED_S_MAX = 15.0
LAST_PAGES = 20
CONNECTED_S = 5.0
APPENDS = 21

Row = Callable[[str, str, str, bool], None]


def rows(place: Path, row: Row) -> None:
    """Prints the row of 100,000 queued events."""
    with tempfile.TemporaryDirectory(dir=place) as name:
        folder = Path(name)
        with team(folder) as commands:
            make_log(folder / "log", QUEUED)
            commands.enable(folder / "log")
            seconds = commands.now(folder / "log")
    is_reached = seconds < DELIVERED_S_MAX
    target = f"{DELIVERED_S_MAX:.0f} s"
    row("100,000 queued events, thence sync now", f"{seconds:.1f} s", target, is_reached)


def main() -> None:
    """Prints what a million events cost, measured below the present folder."""
    with tempfile.TemporaryDirectory(prefix=".bench-", dir=Path.cwd()) as name:
        folder = Path(name)
        with team(folder) as commands:
            make_log(folder / "log", MANY)
            commands.enable(folder / "log")
            print(f"brought {MANY:,}: {commands.now(folder / 'log'):.0f} s")
            with thence.open(folder / "clone") as log:
                log.append("begun")
            commands.enable(folder / "clone", "--name", name_of(folder / "log"))
            taker = get_context("spawn").Process(  # so that its memory is that of sync alone
                target=_take, args=(folder / "clone", folder / "config" / "thence")
            )
            taker.start()
            taker.join()
            os.environ.update(commands.env)
            seconds = _passed_on(folder / "log", folder / "clone")
            print(f"from an append to the other log, both services live: {seconds:.2f} s")


def _passed_on(folder: Path, clone: Path) -> float:
    """Returns the median of the seconds after which events of one log are in the other."""
    found = []
    with (
        thence.open(folder) as log,
        thence.open(clone) as other,
        BackgroundSyncService(log),
        BackgroundSyncService(other),
    ):
        time.sleep(CONNECTED_S)
        for _ in range(APPENDS):
            position = other.position()
            began = time.perf_counter()
            event = log.append("tick")
            next(got for got in other.follow(position) if got.event_id == event.event_id)
            found.append(time.perf_counter() - began)
            time.sleep(1)
    return statistics.median(found)


def _take(folder: Path, config: Path) -> None:
    """Takes all into a second log, and compares both once they are equal."""
    store = CredentialStore(config)
    target = enabled_target(folder)
    timed = _Timed(target, store.login(target.server, target.user), store)
    with thence.open(folder) as log:
        engine = SyncEngine(log, timed, target=target.key)
        began = time.perf_counter()
        result = engine.round()
        seconds = time.perf_counter() - began
        assert result.pulled == MANY, result
        at = timed.asked_at
        pages = [after - before for before, after in pairwise(at)]
        first, last = (
            statistics.median(part) for part in (pages[:LAST_PAGES], pages[-LAST_PAGES:])
        )
        peak_mib = _peak_mib()
        print(f"took {MANY:,}: {seconds:.0f} s in {len(pages):,} pages, at most {peak_mib:.0f} MiB")
        print(f"    first pages {first * 1e3:.0f} ms, last {last * 1e3:.0f}: {last / first:.2f}")
        began = time.perf_counter()
        assert engine.round().is_complete
        seconds = time.perf_counter() - began
        print(f"asked when equal: {seconds:.2f} s")
        engine.close()


def _peak_mib() -> float:
    """Returns the most memory that this process had; getrusage counts its parent's in."""
    lines = Path("/proc/self/status").read_text().splitlines()
    (peak,) = (line.split()[1] for line in lines if line.startswith("VmHWM:"))
    return int(peak) / 1024


class _Timed(SyncClient):
    """A client that records when each page was asked for."""

    def __init__(self, target: SyncTarget, login: Login, store: CredentialStore) -> None:
        super().__init__(target, login, store)
        self.asked_at: list[float] = []

    def page(self, after: str, seen: str = "") -> PulledPage:
        """Records the time, then asks."""
        self.asked_at.append(time.perf_counter())
        return super().page(after, seen)


def name_of(folder: Path) -> str:
    """Returns the name of a log, under which its clones meet."""
    identity = json.loads((folder / ".thence" / "log.json").read_text())
    return str(identity["log_id"])


def make_log(folder: Path, count: int) -> None:
    """Writes a log of so many events."""
    with thence.open(folder) as log:
        log.append("begun")
        with log.current_file.open("ab") as segment:
            for lines in batches("a" * 12, count // BATCH, 2, 1):
                segment.write(b"\n".join([*lines, b""]))
    segment_path = folder / "events.jsonl"
    data = segment_path.read_bytes()
    segment_path.write_bytes(data[data.index(b"\n") + 1 :])  # exactly `count` events


@dataclass(frozen=True)
class Commands:
    """The commands of an installed thence, with a configuration of their own."""

    program: Path
    env: Mapping[str, str]

    def run(self, *arguments: str, stdin: str = "") -> str:
        """Runs a command; returns what it wrote."""
        done = subprocess.run(
            [self.program, *arguments],
            env=self.env,
            input=stdin,
            capture_output=True,
            text=True,
            check=True,
        )
        return done.stdout

    def enable(self, folder: Path, *options: str) -> None:
        """Lets a log sync with the server."""
        self.run("sync", "enable", "--log", str(folder), *options)

    def now(self, folder: Path) -> float:
        """Returns the seconds of a round, with Python's start."""
        began = time.perf_counter()
        self.run("sync", "now", "--log", str(folder))
        return time.perf_counter() - began


@contextmanager
def team(folder: Path, program: Path = PROGRAM) -> Iterator[Commands]:
    """Starts a server and logs in to it."""
    commands = Commands(program, {**os.environ, "XDG_CONFIG_HOME": str(folder / "config")})
    data = ("--data", str(folder / "server"))
    commands.run("server", "init", *data)
    password = json.loads(commands.run("server", "user", "add", "ada", *data, "--json"))["password"]
    server = subprocess.Popen(
        [program, "server", "run", *data, "--port", "0"], stdout=subprocess.PIPE, text=True
    )
    try:
        assert server.stdout
        address = server.stdout.readline().strip()
        login = ("sync", "login", address, "--username", "ada", "--password-stdin")
        commands.run(*login, stdin=password)
        yield commands
    finally:
        server.terminate()
        server.wait(30)


if __name__ == "__main__":
    main()
