"""ULIDs: unique, and in the order of their creation."""

from itertools import pairwise
from threading import Barrier, Thread

import pytest
from hypothesis import given
from hypothesis import strategies as st
from ulid import ULID

from thence.core.ids import LENGTH, IdSource, is_ulid
from thence.log.files.process_state import new_id

NOW_NS = 1_763_622_780_123_456_789


@pytest.mark.promise("E3")
def test_a_million_ids_are_unique_and_ascending():
    ids = [new_id() for _ in range(1_000_000)]
    assert len(set(ids)) == 1_000_000
    assert all(before < after for before, after in pairwise(ids))


@pytest.mark.promise("E3")
def test_wall_clock_that_steps_back_changes_nothing():
    # The wall time is read once; what a source asks for later is the monotonic time alone.
    monotonic = iter([0, 10**9, 10**9, 2 * 10**9])
    source = IdSource(NOW_NS, lambda: next(monotonic), noise=7).new_id
    ids = [source() for _ in range(3)]
    assert ids == sorted(set(ids))
    assert [ULID.from_str(i).milliseconds - ULID.from_str(ids[0]).milliseconds for i in ids] == [
        0,
        0,
        1000,
    ]


@pytest.mark.promise("E3")
def test_ids_of_many_threads_are_unique_and_ascend_from_call_to_call():
    barrier = Barrier(4)
    made: list[list[str]] = [[] for _ in range(4)]

    def work(mine: list[str]) -> None:
        barrier.wait()
        mine += [new_id() for _ in range(20_000)]

    before = new_id()
    threads = [Thread(target=work, args=(mine,)) for mine in made]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    after = new_id()
    together = [event_id for mine in made for event_id in mine]
    assert len(set(together)) == 80_000
    assert all(mine == sorted(mine) for mine in made)
    assert before < min(together)
    assert max(together) < after


@given(st.integers(0, (2**48 - 1) * 10**6), st.integers(0, 2**40 - 1))
def test_ids_are_ulids(wall_ns, noise):
    source = IdSource(wall_ns, lambda: 0, noise).new_id
    for _ in range(3):
        event_id = source()
        assert is_ulid(event_id)
        assert len(event_id) == LENGTH
        parsed = ULID.from_str(event_id)
        assert str(parsed) == event_id
        assert parsed.milliseconds == wall_ns // 10**6
        assert int(parsed) & (1 << 40) - 1 == noise


FIRST, LAST = "0" * 26, "7" + "Z" * 25


def test_ulid_has_26_characters_of_its_own_from_the_first_to_the_last():
    assert all(map(is_ulid, (FIRST, LAST, "01KAG0QV3J0000000144SGTKJP")))
    for text in ("", FIRST[1:], FIRST + "0", "8" + FIRST[1:], *(FIRST[1:] + c for c in "Iaé")):
        assert not is_ulid(text), text


def test_clock_before_1970_gives_ids_that_are_taken():
    source = IdSource(-NOW_NS, lambda: 5, noise=7).new_id
    first, second = source(), source()
    assert is_ulid(first)
    assert first < second
