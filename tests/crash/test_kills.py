"""Writers killed at random instants: nothing acknowledged is lost, every recovery is told."""

import json
import random
from collections.abc import Iterator
from threading import Event
from typing import NamedTuple

import pytest
from tests.crash.campaign import (
    KILLS_OF_A_LOG,
    PROCESSES,
    Campaign,
    campaign,
)
from tests.crash.evidence import events, notices, problems, tail
from tests.crash.first_writes import timing, too_many_syncs
from tests.crash.hands import Job
from tests.log.committers import append_notice
from tests.tiers import seed, tenth

import thence
from thence.core.vocabulary import PLAIN
from thence.log.files.disk import OS_DISK
from thence.log.open import Log, LogSettings

TORN = b'{"event_id":"01J'

KILLS = tenth(KILLS_OF_A_LOG, 10)

pytestmark = [pytest.mark.xdist_group("kills"), pytest.mark.timeout(300)]


@pytest.mark.promise("W3", "W9", "W12")
@pytest.mark.parametrize("processes", tenth(PROCESSES, (1, 6)))
@pytest.mark.parametrize("vocabulary", ["plain", "sim"])
@pytest.mark.whole
def test_no_kill_loses_what_was_acknowledged(tmp_path, vocabulary, processes):
    drawn = seed(f"kills {vocabulary} {processes}")
    found, running = campaign(tmp_path, vocabulary, drawn, KILLS, processes)
    seen = running.seen
    print(dict(seen), timing(running.first_writes))
    assert not found, "\n".join(found)
    assert seen["kills"] >= KILLS
    assert seen["events"] > KILLS
    assert seen["files"] > 1
    waited = too_many_syncs(running.first_writes)
    assert not waited, "\n".join(waited)


class TornInSmallSegments(Campaign):
    """Most die amid a write, so that the next has a torn tail to tell of before its own batch.

    The notice may fill the segment.
    """

    def life(self, kinds):
        life = super().life(kinds)
        dies_at = self.chance.randrange(3, 16)
        return life._replace(
            line_bytes_max=400, file_bytes_max=1_500, dies_at=dies_at, dies_writing=True
        )


@pytest.mark.promise("W9")
def test_what_is_lost_beside_torn_tails_in_small_segments_is_told(tmp_path):
    drawn = random.randrange(2**32)
    print(f"seed {drawn}")
    running = TornInSmallSegments(tmp_path, "plain", random.Random(drawn))
    rounds = (running.kill(4, kinds=("count", "count", "append")) for _ in range(10))
    assert not next(filter(None, rounds), None)
    assert running.seen["torn"] > 2
    assert running.seen["queued events lost"] > 10


def test_harness_notices_a_writer_that_acknowledges_too_early(tmp_path):
    drawn = random.randrange(2**32)
    print(f"seed {drawn}")
    lying = Campaign(tmp_path, "plain", random.Random(drawn))
    rounds = (lying.kill(1, kinds=("lie",)) for _ in range(20))
    found = next(filter(None, rounds), [])
    assert any("was acknowledged and is lost" in problem for problem in found)


@pytest.fixture
def recovered(tmp_path) -> Iterator[tuple]:
    """A log of several files whose torn tail was recovered, and the ids in it."""
    with Log(tmp_path, PLAIN, LogSettings(max_file_size=600)) as log:
        for number in range(6):
            log.append("t", {"n": number})
    with (tmp_path / "events.jsonl").open("ab") as file:
        file.write(TORN)
    running = Campaign(tmp_path, "plain", random.Random(1))
    assert tail(tmp_path)[1] == TORN
    assert running.judged() == []
    assert running.seen["torn"] == 1
    ids = {event.event_id for event in thence.open(tmp_path).read()}
    assert problems(tmp_path, ids) == []
    return tmp_path, ids


def test_harness_notices_a_lost_event(recovered):
    folder, ids = recovered
    assert problems(folder, {*ids, "0" * 26}) == [f"{'0' * 26} was acknowledged and is lost"]
    path = min(folder.glob("events_*.jsonl"))
    path.write_bytes(path.read_bytes().split(b"\n", 1)[1])
    found = " ".join(problems(folder, ids))
    assert "lost" in found
    assert "seq has a gap" in found


@pytest.mark.parametrize(
    ("spoil", "told"),
    [
        (lambda data: data.replace(b"\n", b"", 1), "a line that is not an event"),
        (lambda data: data[:-1], "ends in half a line"),
        (lambda data: data + data.split(b"\n")[0] + b"\n", "stands 2 times"),
        (lambda data: data[:50] + bytes([data[50] ^ 1]) + data[51:], "a line that is not an event"),
        (lambda data: b"\n".join([*data.split(b"\n")[1::-1], b""]), "gap, a repetition or a step"),
    ],
)
def test_harness_notices_a_damaged_log(recovered, spoil, told):
    folder, ids = recovered
    path = min(folder.glob("events_*.jsonl"))
    path.write_bytes(spoil(path.read_bytes()))
    assert any(told in problem for problem in problems(folder, ids))


def test_harness_notices_a_recovery_that_is_not_told(recovered):
    folder, ids = recovered
    (kept,) = (folder / ".thence/quarantine").iterdir()
    (folder / ".thence/quarantine/other.torn").write_bytes(b"")
    assert any("untold" in problem for problem in problems(folder, ids))
    kept.write_bytes(TORN + b"x")
    assert any("its notice says" in problem for problem in problems(folder, ids))
    kept.unlink()
    assert any("which is gone" in problem for problem in problems(folder, ids))


def test_harness_notices_a_tail_that_no_notice_tells_of(recovered):
    folder, _ = recovered
    running = Campaign(folder, "plain", random.Random(1))
    told = notices(events(folder))
    assert running.misses(5, b"abc", told) == ["nothing tells of the 3 torn bytes at 5"]
    (kept,) = (folder / ".thence/quarantine").iterdir()
    offset = json.loads(kept.name.split("-")[1])
    assert running.misses(offset, TORN, told) == []
    kept.write_bytes(TORN[::-1])
    assert running.misses(offset, TORN, told) == ["quarantine holds other bytes than were torn"]


class Ended(NamedTuple):
    """What is known of a process that was killed."""

    life: str = "a life"
    noise: str = "AB"
    accepted: frozenset[str] = frozenset("12")
    may_have_queue: bool = True


def test_harness_notices_queues_that_are_told_wrongly(tmp_path):
    running = Campaign(tmp_path, "plain", random.Random(1))
    own, other = ("gap", {"opening": "01AB"}), ("gap", {"opening": "01CD"})
    victim, idle = Ended(), Ended(accepted=frozenset(), may_have_queue=False)
    for ended, present, told in (
        (victim, "1", [own, other]),
        (victim, "12", []),
        (victim, "12", [own]),
        (idle, "", [other]),
    ):
        assert not running.mistold(ended, set(present), told)
    for ended, present, told in (
        (victim, "1", []),
        (victim, "1", [other]),
        (victim, "1", [own, own]),
        (victim, "12", [own, own]),
        (idle, "", [own]),
    ):
        assert running.mistold(ended, set(present), told)


def test_harness_notices_what_no_kill_brings_about(recovered):
    folder, ids = recovered
    ids.add(append_notice(folder, "torn", {"file": "events.jsonl", "offset": 0, "bytes": 9}))
    assert problems(folder, ids) == ["a notice tells of torn, which no kill brings about"]


def test_lines_of_killed_writers_are_short_and_long(tmp_path):
    chance = random.Random(1)
    job = Job(tmp_path, 10**9, 200_000, OS_DISK, chance, lambda mark, ids: None, Event())
    with job.replica() as log:
        sizes = [len(log.append("worked", job.payload()).whole_line) for _ in range(200)]
    assert min(sizes) < 400
    assert 100_000 < max(sizes) < 201_000
