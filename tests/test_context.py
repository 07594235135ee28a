"""Causes that the surrounding code names: through blocks, tasks and threads."""

import asyncio
from concurrent.futures import ThreadPoolExecutor
from contextvars import copy_context

import pytest

import thence
from thence.context import current_causes, id_of
from thence.errors import InvalidEvent

A, B = "0" * 25 + "A", "0" * 25 + "B"


@pytest.fixture
def log(tmp_path):
    with thence.open(tmp_path) as opened:
        yield opened


@pytest.mark.promise("P1")
def test_events_appended_inside_the_block_are_caused_by_it(log):
    first = log.append("first")
    with thence.because(first):
        second = log.append("second", caused_by=[A])
        third = log.emit("third")
    log.flush()
    assert second.caused_by == (A, first.event_id)
    assert log.get(third).caused_by == (first.event_id,)
    assert log.append("fourth").caused_by == ()


def test_inner_block_replaces_the_causes_of_the_outer_one(log):
    with thence.because(A):
        with thence.because(B, A):
            assert current_causes() == (B, A)
        with thence.because():
            assert current_causes() == ()
        assert current_causes() == (A,)
        with pytest.raises(RuntimeError), thence.because(B):
            raise RuntimeError
        assert current_causes() == (A,)
    assert current_causes() == ()


def test_same_cause_is_named_once(log):
    with thence.because(A):
        assert log.append("t", caused_by=[B, A, B]).caused_by == (B, A)


def test_tasks_begun_inside_the_block_carry_it(log):
    async def work(cause):
        with thence.because(cause):
            await asyncio.sleep(0)
            return log.append("t").caused_by

    async def both():
        with thence.because(A):
            inherited = asyncio.create_task(asyncio.to_thread(lambda: log.append("t").caused_by))
        return await asyncio.gather(work(A), work(B), inherited)

    assert asyncio.run(both()) == [(A,), (B,), (A,)]


def test_threads_carry_it_when_they_are_given_the_context(log):
    with ThreadPoolExecutor(1) as pool, thence.because(A):
        assert pool.submit(current_causes).result() == ()
        assert pool.submit(copy_context().run, current_causes).result() == (A,)


@pytest.mark.parametrize("cause", [None, "", 7, object(), b"x", [A]])
def test_what_is_no_event_and_no_id_is_refused(cause, log):
    with pytest.raises(InvalidEvent, match="neither an event nor"):
        id_of(cause)
    with pytest.raises(InvalidEvent):
        log.append("t", caused_by=[cause])
    with pytest.raises(InvalidEvent), thence.because(cause):
        pass
    assert list(log.read()) == []
