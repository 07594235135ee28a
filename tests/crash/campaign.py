"""Writers killed at random instants over one folder, again and again, with a ledger outside.

The next writer after each kill opens the log anew; what it finds is judged by `evidence`, how
long it took by `first_writes`.
`python -m tests.crash.campaign KILLS [SEED]` soaks as long as is wanted.
"""

import multiprocessing
import os
import random
import select
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.crash.evidence import Notice, events, is_valid, notices, problems, tail
from tests.crash.first_writes import FirstWrite, first_write, slow, timing, too_many_syncs
from tests.crash.writing import Life, write

ROOT = Path(__file__).resolve().parents[2]
LIFE_S_MAX = 60.0
ACKNOWLEDGED_MAX = 25
DELAY_S_MAX = 0.004
CALLS_MAX = 120
WRITES_MAX = 30
FILE_BYTES = (1_500, 20_000, 500 * 1024 * 1024)
LINE_BYTES = (400, 5_000, 200_000)
PROCESSES = (1, 2, 3, 4, 6, 8)
KILLS_OF_A_LOG = 25
TOLD_EACH_S = 60.0
SYNCHRONOUS = ("append", "threads", "tasks", "sync", "sync threads")
KINDS = {
    "plain": ("append", "threads", "tasks", "emit", "write", "count"),
    "sim": ("sync", "sync threads", "async", "async tasks"),
}


@dataclass
class Campaign:
    """Kills over one folder: what was acknowledged so far, and what was seen.

    `first_writes` says where the time of each reopening went; `told` is how many notices
    stood in the log when it was last judged.
    """

    folder: Path
    vocabulary: str
    chance: random.Random
    acknowledged: set[str] = field(default_factory=set)
    seen: Counter[str] = field(default_factory=Counter)
    first_writes: list[FirstWrite] = field(default_factory=list)
    told: int = 0

    def kill(self, processes: int, kinds: tuple[str, ...] = ()) -> list[str]:
        """Let so many processes write at once, kill each, judge what they leave."""
        lives = [self.life(kinds or KINDS[self.vocabulary]) for _ in range(processes)]
        victims = [Victim(self.folder, life, self.chance) for life in lives]
        try:
            while any(victim.is_watched for victim in victims):
                for victim in victims:
                    victim.watch()
        finally:
            for victim in victims:
                victim.kill()
        for victim in victims:
            victim.end()
            self.acknowledged |= victim.acknowledged
            self.seen[victim.life.kind] += 1
        self.seen["kills"] += processes
        found = self.judged(victims)
        return [f"{problem}, after {lives}" for problem in found]

    def life(self, kinds: tuple[str, ...]) -> Life:
        """Draw how a process writes, and whether it dies from outside, at a call or writing."""
        calls_max = self.chance.choice((0, CALLS_MAX, WRITES_MAX))
        return Life(
            kind=self.chance.choice(kinds),
            seed=self.chance.randrange(2**32),
            line_bytes_max=self.chance.choice(LINE_BYTES),
            file_bytes_max=self.chance.choice(FILE_BYTES),
            dies_at=self.chance.randrange(1, calls_max) if calls_max else 0,
            dies_writing=calls_max == WRITES_MAX,
        )

    def judged(self, victims: Sequence["Victim"] = ()) -> list[str]:
        """Open the log with its next writer, append one event, and judge all of it."""
        offset, torn = tail(self.folder)
        log, event_id, took = first_write(self.folder, self.vocabulary)
        with log:
            self.first_writes.append(took)
            self.acknowledged.add(event_id)
            checked = log.verify()
        lines = events(self.folder)
        new = notices(lines)[self.told :]
        self.told += len(new)
        found = [f"verify: {one}" for one in checked.findings]
        found += problems(self.folder, self.acknowledged, lines)
        self.seen["events"] = len(self.acknowledged)
        if torn and not is_valid(torn):
            self.seen["torn"] += 1
            found += self.misses(offset, torn, new)
        elif torn:
            self.seen["lacked only a newline"] += 1
        self.seen["files"] = len(list(self.folder.glob("events*.jsonl")))
        present = {members["event_id"] for _, members in lines if members}
        for victim in victims:
            found += self.mistold(victim, present, new)
        return found

    def misses(self, offset: int, torn: bytes, new: list[Notice]) -> list[str]:
        """Look for the notice of a torn tail that was there before the reopening."""
        kept = [
            (self.folder / facts["quarantine"]).read_bytes()
            for kind, facts in new
            if kind == "recovered" and (facts["offset"], facts["bytes"]) == (offset, len(torn))
        ]
        if torn in kept:  # beside others of this size at this offset, of other segments
            return []
        if kept:
            return ["quarantine holds other bytes than were torn"]
        return [f"nothing tells of the {len(torn)} torn bytes at {offset}"]

    def mistold(self, victim: "Victim", present: Collection[str], new: list[Notice]) -> list[str]:
        """Compare whether a killed process may have lost queued events with what is told of it.

        Its ids, and the name of its session, end in its noise. It is told once if any of its
        queue is lost, and not at all if it had nothing queued.
        """
        lost = len(victim.accepted - present)
        told = sum(
            kind == "gap" and bool(victim.noise) and facts["opening"].endswith(victim.noise)
            for kind, facts in new
        )
        self.seen["queued events lost"] += lost
        self.seen["queues told as lost"] += told
        if told > 1 or (lost and not told):
            return [f"{victim.life} lost {lost} queued events, told {told} times"]
        if told and not victim.may_have_queue:
            return [f"{victim.life} had nothing queued, and is told to have lost it"]
        return []


class Victim:
    """One writing process, with the end of its ledger, and the instant at which it dies.

    `acknowledged` and `accepted` are the ids that it told of, known once it has ended.
    """

    def __init__(self, folder: Path, life: Life, chance: random.Random) -> None:
        context = context_of_writers()
        self.life = life
        self.acknowledged: set[str] = set()
        self.accepted: set[str] = set()
        self._ledger, theirs = context.Pipe(duplex=False)
        self._process = context.Process(target=write, args=(str(folder), life, theirs))
        self._process.start()
        self.process_id: int = self._process.pid
        theirs.close()
        self._heard = b""
        self._wanted = chance.randrange(ACKNOWLEDGED_MAX)
        self._delay_s = chance.random() * DELAY_S_MAX
        self._deadline_s = time.monotonic() + LIFE_S_MAX
        self._dies_itself = bool(life.dies_at)
        self.is_watched = True

    def watch(self) -> None:
        """Read on; kill it once enough was acknowledged and a random time has passed."""
        if not self.is_watched:
            return
        if select.select([self._ledger], [], [], self._delay_s)[0]:
            heard = os.read(self._ledger.fileno(), 65_536)
            self._heard += heard
            self.is_watched = bool(heard)
        assert time.monotonic() < self._deadline_s, (
            f"neither wrote nor died, {standing(self.process_id)}: {self.life}"
        )
        if not self._dies_itself and self._heard.count(b"=") >= self._wanted:
            self.kill()

    def kill(self) -> None:
        """Kill it, if it has not done so itself."""
        self._process.kill()

    def end(self) -> None:
        """Wait for its end by SIGKILL; take every id that it told of."""
        self._process.join(LIFE_S_MAX)
        code = self._process.exitcode
        assert code == -9, f"the writer ended with {code}: {self.life}"
        self._ledger.close()
        self._process.close()
        *lines, rest = self._heard.decode().split("\n")
        assert not rest
        self.acknowledged = {line[1:] for line in lines if line[0] == "="}
        self.accepted = {line[1:] for line in lines if line[0] == "+"}

    @property
    def noise(self) -> str:
        """The end of all its ids; empty if it told of none."""
        return min(self.accepted | self.acknowledged, default="")[-8:]

    @property
    def may_have_queue(self) -> bool:
        """Whether it had something queued, as far as that is known.

        A writer that only appends never has, one that dies itself and counts has what it told of.
        """
        if self.life.kind == "count" and self._dies_itself:
            return bool(self.accepted - self.acknowledged)
        return self.life.kind not in SYNCHRONOUS


def standing(process: int) -> str:
    """Say of a process what its threads wait for in the system, where the system tells."""
    waits = Path(f"/proc/{process}/task").glob("*/wchan")
    return "its threads in " + ", ".join(path.read_text() or "?" for path in waits)


def context_of_writers() -> Any:
    """Return what starts processes, forked from one clean process that has thence loaded."""
    context = multiprocessing.get_context("forkserver")
    os.environ["PYTHONPATH"] = str(ROOT)
    context.set_forkserver_preload(["tests.crash.writing"])
    return context


def campaign(
    folder: Path, vocabulary: str, seed: int, kills: int, processes: int
) -> tuple[list[str], Campaign]:
    """Kill so many writers in rounds of so many at once; stop at the first problem."""
    running = Campaign(folder, vocabulary, random.Random(seed))
    found: list[str] = []
    while not found and running.seen["kills"] < kills:
        found = running.kill(processes)
    return found, running


def soak(kills: int, seed: int) -> int:
    """Run campaigns of every kind until so many processes were killed."""
    chance = random.Random(seed)
    seen: Counter[str] = Counter()
    first_writes: list[FirstWrite] = []
    told_s = time.monotonic()
    while seen["kills"] < kills:
        vocabulary, processes = chance.choice(["plain", "sim"]), chance.choice(PROCESSES)
        with tempfile.TemporaryDirectory() as folder:
            part = chance.randrange(2**32)
            found, one = campaign(Path(folder), vocabulary, part, KILLS_OF_A_LOG, processes)
        seen += one.seen
        first_writes += one.first_writes
        if found:
            print(f"seed {part} {vocabulary} {processes}: {dict(one.seen)}")
            print("\n".join(found))
            return 1
        if time.monotonic() >= told_s + TOLD_EACH_S:
            told_s = time.monotonic()
            print(f"{seen['kills']} kills", flush=True)
    over = [*too_many_syncs(first_writes), *slow(first_writes)]
    print("\n".join([str(dict(seen)), timing(first_writes), *over]), flush=True)
    return 1 if over else 0


if __name__ == "__main__":
    wanted = int(sys.argv[1])
    chosen = int(sys.argv[2]) if len(sys.argv) > 2 else random.randrange(2**32)
    print(f"seed {chosen}", flush=True)
    sys.exit(soak(wanted, chosen))
