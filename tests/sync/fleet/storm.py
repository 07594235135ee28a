"""A storm: replicas of one log in programs, one or two servers and a bad network, all killed.

The programs append, and sync by a proxy that cuts, doubles, garbles and delays; others push to the
server and listen there, on PostgreSQL at either of two servers. A program, a server and PostgreSQL
are killed in an order of chance. `python -m tests.sync.fleet.storm REPLICAS SECONDS [SEED]` plays
it on each engine.
"""

import http.client
import signal
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import ExitStack, suppress
from itertools import cycle
from pathlib import Path
from random import Random, randrange
from threading import Event, Thread

from tests.server.postgres import Cluster, cluster
from tests.server.team.lines import lines
from tests.server.team.listener import listening
from tests.server.team.stranger import Client, split
from tests.server.team.team_server import TeamServer, second_server, team_server
from tests.sync.fleet.fleet import ids_of, lines_of
from tests.sync.programs import Program
from tests.sync.proxy import DOWN, UP, Fault, Proxy
from websockets.exceptions import WebSocketException

from thence.core.redaction import digests
from thence.server.team.database import chained
from thence.server.team.engines import open_database
from thence.server.team.store import Store

LOG = "orders"
PROGRAMS = 4
NODES = ("00000000aaaa", "00000000bbbb")
SIZE = 5
# this part of the connections has a fault within so many bytes; the first of all are not garbled:
# where they ask for a web socket, a client takes a refusal for good, for a minute
FAULTY, BYTES_MAX, SOUND_BYTES = 0.4, 2_500, 600
INSTANT_S = 1.0
ENDS_S, OF_REPLICA_S = 60, 4
_PAUSE_S = 0.05
_GONE = (OSError, http.client.HTTPException, WebSocketException, EOFError)


class Stranger(Thread):
    """A client beside the proxy, which begins again whenever the server is gone."""

    def __init__(self, storm: "Storm", name: str) -> None:
        super().__init__(name=name, daemon=True)
        self.lines: list[bytes] = []
        self.wrong: list[object] = []
        self._storm = storm
        self.start()

    def run(self) -> None:
        while not self._storm.ended.wait(_PAUSE_S):
            with suppress(*_GONE):
                self.act(self._storm.client())

    def is_answered(self, status: int) -> bool:
        """Reports whether an answer is good; notes one that none should get."""
        self.wrong += [status] * (status not in (200, 503))
        return status == 200


class Sender(Stranger):
    """Pushes the lines of the node that is its name, each batch again until it is acknowledged."""

    wanted = 0

    def act(self, client: Client) -> None:
        batch = lines(SIZE, node=self.name, first=len(self.lines) + 1)
        is_wanted = len(self.lines) < self.wanted
        if is_wanted and self.is_answered((got := client.push(LOG, batch)).status):
            statuses = {each["status"] for each in got.json["results"]}
            self.wrong += statuses - {"success", "duplicate"}
            self.lines += batch


class Hinted(Stranger):
    """Listens by a web socket: it asks for lines once as it connects, and then for hints alone."""

    cursor = ""

    def act(self, client: Client) -> None:
        with listening(client, LOG) as live:
            while self._takes(client) and live.connection.recv():
                continue

    def _takes(self, client: Client) -> bool:
        has_more = True
        while has_more:
            got = client.page(LOG, self.cursor)
            if not self.is_answered(got.status):
                return False
            self.lines += split(got.body)
            self.cursor, has_more = got.json["next"], got.json["more"]
        return True


class Storm:
    """A storm on servers of one database, the first with `replicas` behind a proxy; close it."""

    def __init__(
        self,
        servers: Sequence[TeamServer],
        proxy: Proxy,
        replicas: int,
        seed: int,
        own: Cluster | None,
    ):
        self.chance, self._network = Random(seed), Random(seed)
        self.counts: Counter[str] = Counter()
        self.rounds: Counter[str] = Counter()
        self.ended = Event()
        self._servers, self._proxy, self._own = servers, proxy, own
        self._next = cycle(servers)
        server = servers[0]
        self._ends_s = ENDS_S + replicas * OF_REPLICA_S
        self._access = server.client("ada").access
        assert self.client().statuses(LOG, lines(1)) == ["success"]
        self._programs = []
        for number in range(PROGRAMS):
            user, share = f"user{number}", len(range(number, replicas, PROGRAMS))
            server.add(user)
            place = server.data.with_name(user)
            self._programs.append(Program(place, proxy.url, user, LOG, replicas=share))
            self._programs[-1].start()
        self._senders = [Sender(self, node) for node in NODES]
        self._listener = Hinted(self, "hinted")

    def client(self) -> Client:
        """Returns a client of one server after the other as they run now, without the proxy."""
        client = Client(next(self._next).url)
        client.access = self._access
        return client

    def rage(self, storm_s: float) -> None:
        """Kills each kind once before any again, for some seconds and until a round ended well."""
        kinds = [self.program, self.server, *([self.postgres] if self._own else [])]
        self._proxy.begin(None, self._fault)
        end_s = time.monotonic() + storm_s
        while not self.rounds["well"] or time.monotonic() < end_s:
            self.chance.shuffle(kinds)
            for kind in kinds:
                self.work()
                self.ended.wait(self.chance.uniform(0, INSTANT_S))
                kind()
                self.counts[kind.__name__] += 1
            self.rounds = sum((program.rounds() for program in self._programs), Counter())

    def work(self) -> None:
        """Has all append, and returns once some of it is heard."""
        for each in self._programs:
            each.append("gust")
        self.push(self._senders)

    def push(self, senders: list[Sender]) -> None:
        heard = self._listener.lines
        count = len(heard)
        for sender in senders:
            sender.wanted += SIZE
        self._wait(lambda: len(heard) > count)

    def program(self) -> None:
        program = self.chance.choice(self._programs)
        program.kill()
        program.start()

    def server(self) -> None:
        server = self.chance.choice(self._servers)
        server.end(signal.SIGKILL)
        server.start()
        # one that begins while PostgreSQL is away ends
        assert Client(server.url).ask("GET", "/ready").status == 200
        self._proxy.server = self._servers[0].url

    def postgres(self) -> None:
        self._own.end(signal.SIGQUIT)
        self._own.start()

    def calm(self) -> list[str]:
        """Ends all faults, waits until all are equal, ends all; returns what is wrong then."""
        self._proxy.begin(None)
        for program in self._programs:
            program.log_in()
        self._wait(lambda: all(program.is_connected() for program in self._programs))
        self.work()  # by the connections that all have now
        with suppress(AssertionError):
            self._wait(lambda: not self.faults())
            self.push(self._senders[:1])  # to one server, and those at the other hear of it
            self._wait(lambda: not self.faults())
        faults = self.faults()
        for program in self._programs:
            program.end()
        self.ended.set()
        codes = [server.end() for server in self._servers]
        faults += ["a server ended badly"] * any(codes)
        for stranger in (*self._senders, self._listener):
            faults += [f"{stranger} got {stranger.wrong}"] * bool(stranger.wrong)
        return faults + self._faults_of_store()

    def faults(self) -> list[str]:
        """Returns what is wrong with the lines of all where nothing is under way."""
        held, _ = self.client().pull(LOG)
        wanted, ids = Counter(held), ids_of(held)
        faults = [f"the server has {line!r} twice" for line in wanted if wanted[line] > 1]
        for sender in self._senders:
            faults += [f"{line!r} is lost" for line in {*sender.lines} - {*held}]
        if self._listener.lines != held:
            faults.append(f"it heard {len(self._listener.lines)} of {len(held)} lines")
        for program in self._programs:
            faults += [f"{one} is lost" for one in program.acknowledged() if one not in ids]
            for folder in program.folders:
                own = Counter(lines_of(folder))
                if own != wanted:
                    extra, lacks = (own - wanted).total(), (wanted - own).total()
                    faults.append(f"{folder} has {extra} lines more and {lacks} less")
        self.counts["lines"] = len(held)
        return faults

    def close(self) -> None:
        """Ends the programs, and has the strangers end."""
        self.ended.set()
        for program in self._programs:
            program.kill()

    def _wait(self, is_so: Callable[[], bool]) -> None:
        end_s = time.monotonic() + self._ends_s
        while not (self.ended.wait(_PAUSE_S) or is_so()):
            assert time.monotonic() < end_s, "it never came so"

    def _fault(self) -> Fault | None:
        if self._network.random() > FAULTY:
            return None
        kind = self._network.choice(("cut", "delay", "double", "swap", "flip"))
        first = 0 if kind in ("cut", "delay") else SOUND_BYTES
        at = self._network.randrange(first, BYTES_MAX)
        return Fault(kind, self._network.choice((UP, DOWN)), at)

    def _faults_of_store(self) -> list[str]:
        """Returns the rows that the server has numbered or chained badly."""
        database = open_database(self._servers[0].place)
        store, chain, faults = Store(database), b"", []
        for number, row in enumerate(store.page(store.log("red", LOG), 0, 10**9), 1):
            chain = chained(chain, digests(row.line).line)
            faults += [f"row {number} is {row}"] * ((row.number, row.chain) != (number, chain))
        database.close()
        return faults


def played(
    folder: Path, engine: str, replicas: int, seed: int, storm_s: float
) -> tuple[Counter[str], Counter[str], list[str]]:
    """Plays a storm; returns its counts, how its rounds ended under fire, and faults."""
    with ExitStack() as stack:
        own = stack.enter_context(cluster(is_durable=True)) if engine == "postgres" else None
        address = own.address(own.empty()) if own else ""
        servers = [stack.enter_context(team_server(folder / "data", address=address))]
        if address:
            servers.append(stack.enter_context(second_server(servers[0])))
        proxy = stack.enter_context(Proxy(servers[0].url))
        storm = Storm(servers, proxy, replicas, seed, own)
        stack.callback(storm.close)
        storm.rage(storm_s)
        return storm.counts, storm.rounds, storm.calm()


def main(replicas: int, storm_s: float, seed: int) -> int:
    """Plays a storm on each engine; prints what was wrong."""
    is_broken = False
    for engine in ("sqlite", "postgres"):
        began_s = time.monotonic()
        with tempfile.TemporaryDirectory() as folder:
            counts, rounds, faults = played(Path(folder), engine, replicas, seed, storm_s)
        print(*faults, sep="\n", end="\n" if faults else "")
        took_s = time.monotonic() - began_s
        print(f"{engine}, {replicas} replicas, seed {seed}: {dict(counts)}; {took_s:.0f} s")
        print(f"{rounds['well']} of {rounds.total()} rounds ended well: {dict(rounds)}")
        is_broken |= bool(faults)
    return int(is_broken)


if __name__ == "__main__":
    number = int((sys.argv[3:] or [randrange(2**32)])[0])
    sys.exit(main(int(sys.argv[1]), float(sys.argv[2]), number))
