"""Writers killed at random instants over one folder, again and again, with a ledger outside.

The next writer after each kill is `thence.open`; what it finds is judged by `evidence`.
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
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.crash.evidence import events, is_valid, problems, recovery, tail
from tests.crash.writing import Life, write

import thence

ROOT = Path(__file__).resolve().parents[2]
LIFE_S_MAX = 30.0
ACKNOWLEDGED_MAX = 25
DELAY_S_MAX = 0.004
CALLS_MAX = 120
WRITES_MAX = 30
FILE_BYTES = (1_500, 6_000, 500 * 1024 * 1024)
KINDS = {"plain": ("append", "emit"), "sim": ("sync", "async")}


@dataclass
class Campaign:
    """Kills over one folder: what was acknowledged so far, and what was seen."""

    folder: Path
    vocabulary: str
    chance: random.Random
    acknowledged: set[str] = field(default_factory=set)
    seen: Counter[str] = field(default_factory=Counter)

    def kill(self, processes: int, kinds: tuple[str, ...] = ()) -> list[str]:
        """Let so many processes write at once, kill each, judge what they leave."""
        lives = [self.life(kinds or KINDS[self.vocabulary]) for _ in range(processes)]
        victims = [Victim(self.folder, life, self.chance) for life in lives]
        while any(victim.is_watched for victim in victims):
            for victim in victims:
                victim.watch()
        for victim in victims:
            self.acknowledged |= victim.ended()
        self.seen["kills"] += processes
        return [f"{problem}, after {lives}" for problem in self.judged()]

    def life(self, kinds: tuple[str, ...]) -> Life:
        """Draw how a process writes, and whether it dies from outside, at a call or writing."""
        calls_max = self.chance.choice((0, CALLS_MAX, WRITES_MAX))
        return Life(
            kind=self.chance.choice(kinds),
            seed=self.chance.randrange(2**32),
            file_bytes_max=self.chance.choice(FILE_BYTES),
            dies_at=self.chance.randrange(1, calls_max) if calls_max else 0,
            dies_writing=calls_max == WRITES_MAX,
        )

    def judged(self) -> list[str]:
        """Open the log with its next writer, append one event, and judge all of it."""
        offset, torn = tail(self.folder)
        told = [recovery(members) for _, members in events(self.folder) if members]
        with thence.open(self.folder, self.vocabulary) as log:
            first = log.append("reopened", caused_by=())
            self.acknowledged.add(first.event_id)
            checked = log.verify()
        found = [f"verify: {finding}" for finding in checked.findings]
        found += problems(self.folder, self.acknowledged)
        self.seen["events"] = len(self.acknowledged)
        if torn and not is_valid(torn):
            self.seen["torn"] += 1
            found += self.misses(offset, torn, len(told))
        elif torn:
            self.seen["lacked only a newline"] += 1
        self.seen["files"] = len(list(self.folder.glob("events*.jsonl")))
        return found

    def misses(self, offset: int, torn: bytes, told_before: int) -> list[str]:
        """Look for the notice of a torn tail that was there before the reopening."""
        notices = [recovery(members) for _, members in events(self.folder) if members]
        for facts in filter(None, notices[told_before:]):
            if (facts["offset"], facts["bytes"]) == (offset, len(torn)):
                kept = (self.folder / facts["quarantine"]).read_bytes()
                return [] if kept == torn else ["quarantine holds other bytes than were torn"]
        return [f"nothing tells of the {len(torn)} torn bytes at {offset}"]


class Victim:
    """One writing process, with the end of its ledger, and the instant at which it dies."""

    def __init__(self, folder: Path, life: Life, chance: random.Random) -> None:
        context = context_of_writers()
        self._ledger, theirs = context.Pipe(duplex=False)
        self._process = context.Process(target=write, args=(str(folder), life, theirs))
        self._process.start()
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
        assert time.monotonic() < self._deadline_s, "the writer neither wrote nor died"
        if not self._dies_itself and self._heard.count(b"\n") >= self._wanted:
            self._process.kill()

    def ended(self) -> set[str]:
        """Wait for its end by SIGKILL; return every id that it acknowledged."""
        self._process.join(LIFE_S_MAX)
        assert self._process.exitcode == -9, f"the writer ended with {self._process.exitcode}"
        self._ledger.close()
        self._process.close()
        *ids, rest = self._heard.decode().split("\n")
        assert not rest
        return set(ids)


def context_of_writers() -> Any:
    """Return what starts processes, forked from one clean process that has thence loaded."""
    context = multiprocessing.get_context("forkserver")
    os.environ["PYTHONPATH"] = str(ROOT)
    context.set_forkserver_preload(["tests.crash.writing"])
    return context


def campaign(
    folder: Path, vocabulary: str, seed: int, kills: int, processes: int
) -> tuple[list[str], Counter[str]]:
    """Kill so many writers in rounds of so many at once; stop at the first problem."""
    running = Campaign(folder, vocabulary, random.Random(seed))
    found: list[str] = []
    while not found and running.seen["kills"] < kills:
        found = running.kill(processes)
    return found, running.seen


def soak(kills: int, seed: int) -> int:
    """Run campaigns of every kind until so many processes were killed."""
    chance = random.Random(seed)
    done = 0
    while done < kills:
        vocabulary, processes = chance.choice(["plain", "sim"]), chance.choice([1, 2, 3])
        with tempfile.TemporaryDirectory() as folder:
            part = chance.randrange(2**32)
            found, seen = campaign(Path(folder), vocabulary, part, min(kills, 50), processes)
        print(f"seed {part} {vocabulary} {processes}: {dict(seen)}", flush=True)
        if found:
            print("\n".join(found))
            return 1
        done += seen["kills"]
    return 0


if __name__ == "__main__":
    wanted = int(sys.argv[1])
    chosen = int(sys.argv[2]) if len(sys.argv) > 2 else random.randrange(2**32)
    print(f"seed {chosen}")
    sys.exit(soak(wanted, chosen))
