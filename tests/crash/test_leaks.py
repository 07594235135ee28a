"""Whoever opens and closes logs for a long time holds no more of the system in the end."""

import os
import random
import threading

import pytest
from tests.crash import leaks
from tests.crash.leaks import Held, grown, held, loaded_bytes, watch
from tests.tiers import tenth

SECONDS = tenth(5, 2)
EVENTS = 50_000

pytestmark = [pytest.mark.xdist_group("kills"), pytest.mark.timeout(300)]


@pytest.mark.whole
def test_descriptors_threads_and_memory_stay_flat():
    seed = random.randrange(2**32)
    print(f"seed {seed}")
    found, used, first, last = watch(SECONDS, seed)
    print(used, first, last)
    assert not found, found
    assert used.keys() == {way.__name__ for way in leaks.WAYS}


def test_loaded_process_takes_at_most_30_mb_more_than_a_bare_one():
    assert 0 < loaded_bytes(EVENTS) <= leaks.LOADED_BYTES_MAX


def test_watch_notices_what_is_left_open():
    first = held()
    pipe = os.pipe()
    ending = threading.Event()
    thread = threading.Thread(target=ending.wait, daemon=True)
    thread.start()
    found = grown(first, held())
    ending.set()
    thread.join()
    for descriptor in pipe:
        os.close(descriptor)
    assert [problem.split()[0] for problem in found] == ["descriptors", "threads"]
    assert grown(Held(3, 1, 10**6, 1), Held(3, 1, 10**7, 1))
    assert grown(Held(3, 1, 10**6, 1), Held(3, 1, 10**6, 2_000))
    assert not grown(Held(3, 1, 10**7, 2_000), Held(2, 1, 10**6, 1))


def test_watch_notices_memory_that_is_kept_and_only_that():
    first = held()
    kept = [bytes(1_000) for _ in range(8_000)]  # more than 512, so that the C library keeps it
    found = grown(first, held())
    assert [problem.split()[0] for problem in found] == ["memory", "blocks"]
    between = [bytes(1_000) for _ in range(8_000)]
    last = kept.pop()  # it holds up what was given back below, which the C library would keep
    kept.clear()
    between.clear()
    assert len(last) == 1_000
    assert not grown(first, held())
    few = [object() for _ in range(2_000)]
    assert [problem.split()[0] for problem in grown(first, held())] == ["blocks"]
    assert len(few) == 2_000


def test_watch_notices_a_log_that_is_never_closed(monkeypatch):
    kept = []

    def leak(folder):
        kept.append(leaks.thence.open(folder))
        kept[-1].append("worked")

    monkeypatch.setattr(leaks, "WAYS", (leak,))
    found, *_ = watch(0.3, 1)
    for log in kept:
        log.close()
    assert any("descriptors grew" in problem for problem in found)
