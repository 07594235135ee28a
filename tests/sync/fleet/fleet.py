"""A fleet: replicas of one log, a server and a bad network, in one process and from one seed.

Replicas append, sync, are copied, and are restored from backups; so is the server. A member forges
lines. `python -m tests.sync.fleet.fleet STEPS [SEED]` plays fleets of 1,000 steps each, one seed
after the other.
"""

import json
import shutil
import sys
import tempfile
from itertools import chain
from pathlib import Path
from random import Random, randrange
from time import monotonic
from zlib import crc32

from msgspec.structs import replace
from tests.server.team.engines import new_database

import thence
from thence.core.codec import event_id_of, parse
from thence.core.event import Event
from thence.core.redaction import BODY_DIGEST
from thence.core.vocabulary import PLAIN
from thence.errors import SyncRefused
from thence.log.open import OS_DISK
from thence.log.read import reader
from thence.server.team import body_pieces
from thence.server.team.accounts import Accounts
from thence.server.team.body_pieces import NewPiece
from thence.server.team.store import Store
from thence.server.team.sync_service import SyncService
from thence.sync.engine import SyncEngine
from thence.sync.outbox import key_of
from thence.sync.redactions import redact
from thence.sync.wire.messages import BatchRefused, Cursors, EventVerdict

TEAM, LOG = "team", "log"
BEGINNING = Cursors()
REPLICAS_MAX = 8
STEPS = 1_000
_HEALING_CYCLES_MAX = 12


def lines_of(folder):
    """Return all lines of a log as they stand in its segments."""
    return [line.data for line in reader.lines(OS_DISK, folder, PLAIN) if line.is_whole]


def ids_of(lines):
    return {event_id_of(line).decode() for line in lines}


def left_behind(replica):
    """Return the parked and left lines that a server may refuse for good.

    They are redactions by whom it does not belong to, and redacted lines that nobody has whole.
    """
    parked = {one.event_id for one in replica.engine.outbox.parked()}
    replica.engine.outbox.update()
    left = {one.key.digest for one in replica.engine.outbox.left()}
    found = []
    for line in lines_of(replica.folder):
        event = parse(line, PLAIN)
        is_behind = event_id_of(line).decode() in parked or key_of(event).digest in left
        if is_behind and (event.event_type == "log.redacted" or BODY_DIGEST in event.members):
            found.append(line)
    return found


def closed(data):
    """Return a line with its checksum, from all before it."""
    return data + b',"crc":"%08x"}' % crc32(data)


class Server:
    """A team's server, without HTTP."""

    def __init__(self, epoch, lines=(), pieces=()):
        self.database = database = new_database(epoch)
        Accounts(database, str).add_team(TEAM)
        self.epoch = epoch
        self.service = SyncService(Store(database))
        self.service.batch(TEAM, LOG, "plain", [])  # the log is there, and empty
        for piece in pieces:
            assert Store(database).keep_pieces(TEAM, LOG, "plain", [piece]) == 1
        for start in range(0, len(lines), 500):
            self.service.batch(TEAM, LOG, "plain", lines[start : start + 500])

    def pieces(self):
        """Return all pieces of large values, each behind the one before it."""
        with self.database.reading() as connection:
            query = "SELECT sha256, previous, size, data FROM body_pieces ORDER BY size"
            return [NewPiece(*row) for row in connection.execute(query)]

    def lacks_values(self):
        """Report whether a value that a line names is not there whole."""
        store = Store(self.database)
        log, events = store.log(TEAM, LOG), (Event(line, None, PLAIN) for line in self.lines())
        sizes = {entry.digest: entry.size for event in events for entry in event.body_entries}
        held = store.pieces(
            log, lambda opened, of: body_pieces.sizes(opened, of, list(map(bytes.fromhex, sizes)))
        )
        is_damaged = store.pieces(log, body_pieces.damaged_value) is not None
        return is_damaged or sizes != {digest.hex(): size for digest, size in held.items()}

    def lines(self):
        found, cursor, more = [], "", True
        while more:
            page = self.service.page(TEAM, LOG, cursor)
            found += page.lines
            cursor, more = page.next, page.more
        return found


class Network:
    """A replica's connection to the server of the fleet: requests and answers get lost."""

    def __init__(self, fleet, login):
        self._fleet = fleet
        self._login = login
        self.lost = 0.0

    def _lose(self, what):
        if self._fleet.random.random() < self.lost:
            raise SyncRefused(
                "could not ask", cause=f"the {what} got lost", code="server_unreachable"
            )

    def _asked(self, ask):
        self._lose("request")
        answer = ask(self._fleet.server.service)
        self._lose("answer")
        return answer

    def page(self, after, seen=""):
        limit = self._fleet.random.choice((1, 5, 50, 1_000))
        return self._asked(lambda service: service.page(TEAM, LOG, after, limit, seen=seen))

    def batch(self, lines, nodes=(), cursors=BEGINNING):
        results = self._asked(
            lambda service: service.batch(
                TEAM, LOG, "plain", lines, cursors=cursors, login=self._login, nodes=nodes
            )
        )
        random, found = self._fleet.random, results.results
        if random.random() < self.lost:  # an answer that was cut, or mixed up
            found = (*random.sample(found, len(found) // 2), EventVerdict("other", "success"))
        return replace(results, results=found)

    def lines(self, digests):
        return self._asked(lambda service: service.lines(TEAM, LOG, digests))

    def lacking_pieces(self, digests):
        names = [bytes.fromhex(digest) for digest in digests]
        return self._asked(lambda service: service.lacking_pieces(TEAM, LOG, names))

    def push_pieces(self, lines):
        return self._asked(lambda service: service.keep_pieces(TEAM, LOG, "plain", lines))

    def pieces(self, digests):
        named = [bytes.fromhex(digest) for digest in digests]
        return self._asked(lambda service: service.given_pieces(TEAM, LOG, named))


class Replica:
    """One machine's log, with its engine."""

    def __init__(self, fleet, folder):
        self.folder = folder
        self.network = Network(fleet, folder.name)
        self.open()

    def open(self):
        self.log = thence.open(self.folder, bodies_from=1_024)
        self.engine = SyncEngine(self.log, self.network)

    def close(self):
        self.engine.close()
        self.log.close()


class Fleet:
    """The fleet; `acknowledged` are the ids of events that must be everywhere in the end."""

    def __init__(self, folder, seed, replicas=4):
        self.random = Random(seed)
        self.folder = folder
        self.server = Server("epoch")
        self.backups = []
        self.server_backup = ()
        self.acknowledged = set()
        self.forged = set()
        self.redacted = set()  # digests
        self.counts = {}
        self._digests = {}  # by line
        self._made = 0
        self.text = self.random.randbytes(8_000).hex()
        self.replicas = [Replica(self, self._new_folder()) for _ in range(replicas)]
        if seed % 5 == 0:  # several blocks of one node
            many = [{"event_type": "many", "payload": {"n": n}} for n in range(1_500)]
            found = self.replicas[0].log.append_many(many)
            self.acknowledged.update(event.event_id for event in found)

    def _new_folder(self):
        self._made += 1
        return self.folder / f"r{self._made}"

    def kinds(self):
        """Return the kinds of steps with their weights."""
        kinds = (self.append, self.sync, self.back_up, self.restore, self.copy, self.forge)
        weights = (50, 30, 2, 1, 0.5, 2)
        others = (self.cut, self.back_up_server, self.restore_server, self.forget, self.redact)
        return dict(zip(kinds + others, (*weights, 0.5, 1, 0.5, 1, 1.5), strict=True))

    def step(self):
        kinds = self.kinds()
        self.take(self.random.choices(tuple(kinds), tuple(kinds.values()))[0])

    def take_missing(self):
        """Take a step of each kind that chance has left out: ids and keys differ in each run."""
        for kind in self.kinds():
            if kind.__name__ not in self.counts:
                self.take(kind)

    def take(self, kind):
        self.counts[kind.__name__] = self.counts.get(kind.__name__, 0) + 1
        kind()

    def append(self):
        log = self.random.choice(self.replicas).log
        causes = []
        if self.random.random() < 0.2:  # the last event, whoever wrote it
            causes = [event.event_id for event in log.events()[-1:]]
        if self.random.random() < 0.1:
            many = [{"event_type": "many", "payload": {"n": n}} for n in range(5)]
            found = log.append_many(many)
        else:
            payload = {"n": self.random.random()}
            if self.random.random() < 0.3:  # texts that begin alike, as a conversation does
                payload["text"] = self.text[: self.random.randrange(1_000, len(self.text))]
            found = [log.append("one", payload, caused_by=causes)]
        self.acknowledged.update(event.event_id for event in found)

    def sync(self):
        replica = self.random.choice(self.replicas)
        replica.network.lost = self.random.choice((0.0, 0.0, 0.1, 0.4))
        replica.engine.round()

    def redact(self):
        """Take back an event, also one that the replica has no right to take back."""
        replica = self.random.choice(self.replicas)
        events = [event for event in replica.log.events() if event.event_type == "one"]
        if events:
            event = self.random.choice(events)
            redact(replica.log, event, "")
            self.redacted.add(key_of(event).digest)

    def forget(self):
        """Delete what a replica knows of digests and of the server."""
        replica = self.random.choice(self.replicas)
        replica.close()
        shutil.rmtree(replica.folder / ".thence" / "sync")
        replica.open()

    def back_up(self):
        replica = self.random.choice(self.replicas)
        target = self.folder / f"backup{len(self.backups) % 3}"
        shutil.rmtree(target, ignore_errors=True)
        shutil.copytree(replica.folder, target)
        self.backups.append(target)

    def restore(self):
        """Put a backup, maybe another replica's, in a replica's place."""
        if self.backups:
            replica = self.random.choice(self.replicas)
            replica.close()
            before = lines_of(replica.folder)
            shutil.rmtree(replica.folder)
            shutil.copytree(self.random.choice(self.backups), replica.folder)
            self._give_up(before)
            replica.open()

    def cut(self):
        """Put a replica's segment back in place, as backups of a file's content do."""
        replica = self.random.choice(self.replicas)
        before = lines_of(replica.folder)
        kept = self.random.randint(0, 20)
        segment = replica.folder / "events.jsonl"
        lines = segment.read_bytes().splitlines(keepends=True) if before else []
        if len(lines) > kept:
            replica.close()
            with segment.open("r+b") as file:
                file.truncate(sum(map(len, lines[: len(lines) - kept])))
            self._give_up(before)
            replica.open()

    def copy(self):
        if len(self.replicas) < REPLICAS_MAX:
            folder = self._new_folder()
            shutil.copytree(self.random.choice(self.replicas).folder, folder)
            self.replicas.append(Replica(self, folder))

    def back_up_server(self):
        self.server_backup = self.server.lines(), self.server.pieces()

    def restore_server(self):
        before = self.server.lines()
        if self.server_backup:
            self.server.database.close()
            self.server = Server(self.server.epoch, *self.server_backup)
            self._give_up(before)

    def _give_up(self, before):
        """Forget those events of lines that no place holds any more: nobody can have them."""
        gone = ids_of(before) & self.acknowledged
        if gone:
            for lines in (self.server.lines(), *(lines_of(r.folder) for r in self.replicas)):
                gone -= ids_of(lines)
            self.acknowledged -= gone

    def forge(self):
        """Bring a line that its node never wrote, or not so, as any member of the team can."""
        page = self.server.service.page(TEAM, LOG).lines
        known = [line for line in page if b'"seq":' in line and b'"forged":' not in line]
        if not known:
            return
        line = self.random.choice(known)
        members = json.loads(line)
        event_id, seq = members["event_id"].encode(), members["seq"]
        what = self.random.randrange(5)
        data = line[: -len(',"crc":"00000000"}')]
        other_id = b"01" + self.random.randbytes(12).hex().upper().encode()
        if what == 0:  # a number that the node has not given out yet
            data = data.replace(event_id, other_id, 1)
            data = data.replace(b'"seq":%d,' % seq, b'"seq":%d,' % (seq + 5_000), 1)
        elif what == 1:  # two events with one number
            data = data.replace(event_id, other_id, 1)
        elif what == 2:  # two contents under one id
            data += b',"forged":%d' % self.random.randrange(2**31)
        elif what == 3:  # one event, other numbers
            data = data.replace(b'"seq":%d,' % seq, b'"seq":%d,' % (seq + 7), 1)
        forged = closed(data)
        if what == 4:
            forged = b'{"event_type":"t","event_id":"tool-%d","n":1}' % self.random.randrange(2**31)
        self.forged.add(json.loads(forged)["event_id"])
        try:
            self.server.service.batch(TEAM, LOG, "plain", [forged])
        except BatchRefused:  # it can't happen: what is no event is not forged here
            raise AssertionError(forged) from None

    def heal(self):
        """Sync all over a sound network until nothing moves; return what is wrong then."""
        for _ in range(_HEALING_CYCLES_MAX):
            moved = 0
            for replica in self.replicas:
                replica.network.lost = 0.0
                result = replica.engine.round()
                if result.error is not None:
                    return [f"{replica.folder.name}: {result.error}"]
                moved += result.pulled + result.pushed + result.left
            if not moved:
                return self.faults()
        return ["the fleet does not come to rest"]

    def faults(self):
        """Return what is wrong with a fleet that is at rest."""
        wanted = sorted(self.server.lines())
        theirs = self.named(wanted)
        behind = {replica: left_behind(replica) for replica in self.replicas}
        found = []
        if len(set(wanted)) != len(wanted):
            found.append("the server holds a line twice")
        lost = self.acknowledged - ids_of(wanted) - ids_of(chain(*behind.values()))
        if self.server.lacks_values():
            found.append("the server lacks large values that its lines name")
        if lost:
            found.append(f"{len(lost)} acknowledged events are lost, such as {min(lost)}")
        for replica in self.replicas:
            lines = sorted(lines_of(replica.folder))
            name = replica.folder.name
            if len(set(lines)) != len(lines):
                found.append(f"{name} holds a line twice")
            ours = self.named(lines) - (self.named(behind[replica]) - theirs)
            if ours != theirs:
                extra, lacks = ours - theirs, theirs - ours
                found.append(f"{name} has {len(extra)} lines more and {len(lacks)} less")
            codes = {one.code for one in replica.log.verify().findings}
            if "body_missing" in codes:
                found.append(f"{name} lacks large values: {codes}")
            events = replica.log.events()
            clocks = {event.event_id: event.lamport_clock for event in events}
            for event in events:
                named = set(event.caused_by) - self.forged
                if event.event_id in self.forged:
                    continue
                if any(clocks.get(cause, 0) >= event.lamport_clock for cause in named):
                    found.append(f"{name}: {event.event_id} is not behind its cause")
        return found

    def named(self, lines):
        """Return lines as a set; of one that somebody took back its digest.

        A redaction whose proof was cut off or restored away counts where it was made alone.
        """
        found = set()
        for line in lines:
            digest = self._digests.get(line)
            if digest is None:
                digest = self._digests[line] = key_of(parse(line, PLAIN)).digest
            found.add(digest if digest in self.redacted else line)
        return found

    def close(self):
        for replica in self.replicas:
            replica.close()


def played(folder, steps, seed):
    """Play a fleet; return it, at rest and closed, and what was wrong."""
    fleet = Fleet(folder, seed, 3 + seed % 4)
    try:
        for step in range(steps):
            fleet.step()
            if step + 1 in (steps // 2, steps):
                found = fleet.heal()
                if found:
                    return fleet, [f"step {step}, seed {seed}: {one}" for one in found]
        fleet.take_missing()
        return fleet, [f"seed {seed}: {one}" for one in fleet.heal()]
    finally:
        fleet.close()


def main(steps, seed):
    """Play fleets of STEPS steps from one seed after the other; print what was wrong."""
    began, broken, counts = monotonic(), [], {}
    fleets = max(1, steps // STEPS)
    for number in range(fleets):
        with tempfile.TemporaryDirectory() as folder:
            fleet, found = played(Path(folder), min(steps, STEPS), seed + number)
        for name, count in fleet.counts.items():
            counts[name] = counts.get(name, 0) + count
        broken += found
        print(*found, sep="\n", end="\n" if found else "")
    kinds = ", ".join(f"{name} {count:,}" for name, count in sorted(counts.items()))
    print(f"{fleets} fleets of {min(steps, STEPS):,} steps from seed {seed} on: {kinds}")
    print(f"{monotonic() - began:.0f} s; {'nothing' if not broken else len(broken)} wrong")
    return bool(broken)


if __name__ == "__main__":
    sys.exit(main(int(sys.argv[1]), int((sys.argv[2:] or [randrange(2**32)])[0])))
