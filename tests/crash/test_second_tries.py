"""What a failed sync left, whose process ended, is no more trusted by who comes after it."""

import random

import pytest
from tests.crash.crash_states import Crashes, worst
from tests.crash.simulated_disk import SimulatedDisk
from tests.crash.storms import Process
from tests.crash.traces import log_of, opened
from tests.events import drafted, new_id

from thence.core.codec import stamper
from thence.core.new_event import HostEvent
from thence.errors import OutcomeUnknown, ThenceError

LONG = {"text": "x" * 5_000}  # more than a page
EVERY = 1_000_000
CHOSEN = new_id()
THEIRS = [
    stamper("0123456789ab")([drafted(new_id(), "worked", {"payload": LONG})], n, n)[0][:-1]
    for n in (1, 2)
]


def process(disk):
    """Return a log as a process of its own opens it, and its disk."""
    seen = Process(disk, random.Random(0))
    return opened(seen), seen


def append(log):
    return [log.append("worked", LONG, event_id=CHOSEN).line]


def relay(log):
    log.relay(THEIRS)
    return THEIRS


@pytest.mark.promise("P1")
@pytest.mark.parametrize("work", [append, relay])
@pytest.mark.parametrize("failures", [1, 2, 3, EVERY])
@pytest.mark.parametrize("end", ["killed", "closed", "at work still"])
@pytest.mark.parametrize("second", ["new", "open before", "another before"])
def test_what_is_acknowledged_by_a_second_try_is_there(work, failures, end, second):
    disk = SimulatedDisk(log_of(1))
    later, _ = process(disk)
    if second == "open before":
        later.append("other")
    first, seen = process(disk)
    first.append("worked")
    seen.failing["sync_data"] = failures
    if failures == 1:
        seen.failing["sync_folder"] = EVERY  # so that what is begun to mend it fails
    with pytest.raises(ThenceError):
        work(first)
    if end == "killed":
        seen.die()
    elif end == "closed":
        first.close(0.1)
    if second == "another before":
        process(disk)[0].append("between")
    needed = work(later)
    for image in states(disk.moment()):
        left = opened(SimulatedDisk(image))
        served = [event.line for event in left.read()]
        assert {*needed} <= {*served}
        assert len({event.event_id for event in left.read()}) == len(served)


@pytest.mark.promise("W13")
def test_no_number_is_given_twice_where_what_was_written_again_is_torn():
    disk = SimulatedDisk(log_of(1))
    log, seen = process(disk)
    log.append("worked")
    seen.failing["sync_data"] = EVERY
    with pytest.raises(OutcomeUnknown) as caught:
        log.append_many([HostEvent("worked", LONG)] * 2)
    for _ in range(2):  # each try leaves what it wrote where it was
        with pytest.raises(OutcomeUnknown):
            caught.value.retry()
    for image in states(disk.moment(), 400):
        with opened(SimulatedDisk(image)) as left:
            left.append("after")
            events = list(left.read())
        assert len({(event.node_id, event.seq) for event in events}) == len(events)


def states(moment, count=20):
    """Return what a power cut may leave, some of it drawn by a fixed seed."""
    crashes, chance = Crashes(moment), random.Random(7)
    return [worst(moment), *(crashes.some(chance) for _ in range(count))]
