"""What lies in the queue, how the outcome of a write is handed out, and who waits for it."""

import asyncio
from collections import deque
from threading import Barrier, Thread, get_ident

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.codes import raises_code
from tests.events import drafted, new_id
from tests.log.faults import WAIT_S

from thence.errors import ThenceError
from thence.log.write.batch import (
    BATCH_BYTES_MAX,
    BATCH_EVENTS_MAX,
    AppendFuture,
    Latch,
    answer,
    conditions_of,
    drafts_of,
    split,
    take_batch,
)
from thence.log.write.conditions import Condition

items = st.sampled_from(["emitted", "appended", "appended together", "flush"]).map(
    lambda kind: {
        "emitted": lambda: drafted(new_id(), "t", {}),
        "appended": lambda: AppendFuture([drafted(new_id(), "t", {})]),
        "appended together": lambda: AppendFuture([drafted(new_id(), "t", {}) for _ in range(3)]),
        "flush": lambda: AppendFuture(),
    }[kind]()
)


@given(st.lists(items, max_size=12), st.data())
def test_items_are_parted_behind_those_whose_events_are_all_durable(queue, data):
    count = len(drafts_of(queue))
    durable = data.draw(st.integers(0, count))
    done, rest = split(queue, durable)
    assert done + rest == queue
    assert len(drafts_of(done)) <= durable
    if rest:  # a flush belongs to what it waits for
        assert len(drafts_of([*done, rest[0]])) > durable


@given(st.lists(items, max_size=12))
def test_those_who_wait_get_their_own_lines_and_let_each_other_go(queue):
    drafts = drafts_of(queue)
    answer(queue, [item.event_id.encode() for item in drafts], None)
    for item in queue:
        if isinstance(item, AppendFuture):
            assert item.wait(0)
            assert item.result() == [draft.event_id.encode() for draft in item.drafts]


@given(st.lists(st.booleans(), min_size=1, max_size=8))
def test_who_has_left_keeps_nobody_behind_waiting(leaves):
    waiting = [AppendFuture([drafted(new_id(), "t", {})]) for _ in leaves]
    for item, has_left in zip(waiting, leaves, strict=True):
        assert not (has_left and item.wait(0))
    answer(waiting, [b"line"] * len(waiting), None)
    for item, has_left in zip(waiting, leaves, strict=True):
        assert has_left or item.wait(0)


def test_who_comes_back_after_leaving_finds_the_answer():
    first, second = (AppendFuture([drafted(new_id(), "t", {})]) for _ in range(2))
    assert not first.wait(0)
    answer([first, second], [b"1", b"2"], None)
    assert second.wait(0)
    assert first.wait(0)
    assert (first.result(), second.result()) == ([b"1"], [b"2"])


def of_threads(count):
    """Make what so many threads, all alive, would wait by."""
    found, all_there = [], Barrier(count)

    def make():
        waiting = AppendFuture([drafted(new_id(), "t", {})])
        assert waiting.thread == get_ident()
        found.append(waiting)
        all_there.wait(WAIT_S)

    threads = [Thread(target=make) for _ in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(WAIT_S)
    assert len({waiting.thread for waiting in found}) == count
    return found


class At(Latch):
    """Does something when it is waited at; notes for how long."""

    def __init__(self, act, passed=None):
        super().__init__()
        self.act = act
        self.passed = passed
        self.asked = []

    def wait(self, timeout_s):
        self.asked.append(timeout_s)
        self.act()
        return super().wait(0) if self.passed is None else self.passed


def test_each_who_leaves_lets_the_next_go_and_not_those_behind():
    first, second, third, fourth = waiting = of_threads(4)
    states = []

    def answered():
        assert first.is_awaited
        answer(waiting, [b"1", b"2", b"3", b"4"], None)
        states.append([item.is_done for item in waiting])

    def first_leaves():
        assert second.is_awaited
        assert first.wait(0.25) is True
        states.append([item.is_done for item in waiting])

    first.latch, second.latch = At(answered), At(first_leaves)
    assert second.wait(0.5) is True
    assert (first.latch.asked, second.latch.asked) == ([0.25], [0.5])
    assert states == [[True, False, False, False], [True, True, False, False]]
    # nobody waits at the third latch yet, so the fourth is not kept
    assert third.is_done
    assert fourth.wait(0)
    assert third.wait(0)


def test_nobody_who_comes_late_or_has_left_holds_up_the_others():
    for has_left in (False, True):
        first, second, third = waiting = of_threads(3)
        if has_left:
            assert first.wait(0) is False
        answer(waiting, [b"1", b"2", b"3"], None)
        assert [item.is_done for item in waiting] == [True] * 3
        assert all([second.wait(0), third.wait(0), first.wait(0)])


def test_waits_of_one_thread_are_all_let_go_at_once():
    first, second = (AppendFuture([drafted(new_id(), "t", {})]) for _ in range(2))
    (other,) = of_threads(1)
    states = []

    def answered():
        answer([first, other, second], [b"1", b"2", b"3"], None)
        states.append((other.is_done, second.is_done))

    first.latch = At(answered)
    assert first.wait(0)
    assert states == [(True, True)]
    assert first.next_waiter is None


def test_answer_that_comes_as_the_time_runs_out_counts_and_is_passed_on():
    first, second = waiting = of_threads(2)
    first.latch = At(lambda: answer(waiting, [b"1", b"2"], None), passed=False)
    assert first.wait(0.25) is True
    assert second.is_done


def test_handler_that_raises_as_the_next_is_let_go_lets_it_go_all_the_same():
    class Alarm(BaseException):
        pass

    class Interrupted(Latch):
        is_armed = True

        def open(self):
            if self.is_armed:
                self.is_armed = False
                raise Alarm
            super().open()

    first, second, third = waiting = of_threads(3)
    first.latch, second.latch = At(lambda: answer(waiting, [b"1", b"2", b"3"], None)), Interrupted()
    with pytest.raises(Alarm):
        first.wait(0.25)
    assert not first.is_awaited
    assert second.latch.wait(0)
    assert third.is_done


def test_error_that_several_share_is_raised_as_a_copy_with_its_cause():
    waiting, cause = AppendFuture(), OSError("as said")
    shared = ThenceError("could not append", place="here", hint="try again", code="append_failed")
    shared.__cause__ = cause
    answer([waiting], [], shared)
    with raises_code("append_failed", match="could not append here") as caught:
        waiting.result()
    assert caught.value is not shared
    assert caught.value.__cause__ is cause
    assert caught.value.hint == "try again"


def sized(size_bytes):
    short = len(drafted(new_id(), "t", {"payload": {"x": ""}}).tail)
    made = drafted(new_id(), "t", {"payload": {"x": "x" * (size_bytes - short)}})
    assert len(made.tail) == size_bytes
    return made


def test_turn_ends_at_exactly_its_bytes():
    half, whole = sized(BATCH_BYTES_MAX // 1_024), sized(BATCH_BYTES_MAX // 512)
    short = sized(BATCH_BYTES_MAX // 512 - 1)
    assert len(take_batch(deque([half] * 2_048))) == 1_024
    assert len(take_batch(deque([whole] * 2_048))) == 512
    assert len(take_batch(deque([short] + [whole] * 2_047))) == 1_024


class CountingLoop(asyncio.SelectorEventLoop):
    """Counts the calls that come from outside."""

    calls = 0

    def call_soon_threadsafe(self, callback, *args, context=None):
        self.calls += 1
        return super().call_soon_threadsafe(callback, *args, context=context)


def test_tasks_of_a_loop_are_answered_with_one_call_and_a_closed_loop_is_passed_over():
    closed_error, one, other = loops = [CountingLoop() for _ in range(3)]
    thread = AppendFuture([drafted(new_id(), "t", {})])
    tasks = [
        AppendFuture([drafted(new_id(), "t", {})], None, loop.create_future())
        for loop in (closed_error, one, one, other)
    ]
    closed_error.close()
    tasks[1].future.cancel()
    answer([*tasks[:2], thread, *tasks[2:]], [b"1", b"2", b"3", b"4", b"5"], None)
    assert [loop.calls for loop in loops] == [1, 1, 1]
    assert one.run_until_complete(tasks[2].future) is None
    assert other.run_until_complete(tasks[3].future) is None
    assert [task.result() for task in tasks] == [[b"1"], [b"2"], [b"4"], [b"5"]]
    assert thread.wait(0)
    assert thread.result() == [b"3"]
    assert tasks[1].future.cancelled()
    one.close()
    other.close()


def numbered(count, size=1):
    return [drafted(f"id{n}", "t", {"payload": {"x": "x" * size}}) for n in range(count)]


@pytest.mark.parametrize(
    ("queued", "count"),
    [
        (0, 0),
        (1, 1),
        (513, 513),
        (BATCH_EVENTS_MAX, BATCH_EVENTS_MAX),
        (BATCH_EVENTS_MAX + 1, BATCH_EVENTS_MAX),
        (2 * BATCH_EVENTS_MAX, BATCH_EVENTS_MAX),
    ],
)
def test_turn_takes_so_many_events_and_leaves_the_rest(queued, count):
    (one,) = numbered(1)
    queue = deque([one] * queued)
    assert len(take_batch(queue)) == count
    assert len(queue) == queued - count


def test_conditions_stand_at_the_last_event_of_those_they_came_with():
    one, two, three = numbered(3)
    condition = Condition(is_named=True)
    queued = [
        one,
        AppendFuture((two, three), condition),
        AppendFuture(),
        two,
        AppendFuture((one,), condition),
    ]
    pair = condition._replace(span=2)
    assert conditions_of(queued, 0) == {2: pair, 4: condition}
    assert conditions_of(queued, 3) == {5: pair, 7: condition}
