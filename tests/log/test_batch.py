"""What lies in the queue, how the outcome of a write is handed out, and who waits for it."""

import asyncio
from collections import deque

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
    PendingAppend,
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
        "appended": lambda: PendingAppend([drafted(new_id(), "t", {})]),
        "appended together": lambda: PendingAppend([drafted(new_id(), "t", {}) for _ in range(3)]),
        "flush": lambda: PendingAppend(),
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
        if isinstance(item, PendingAppend):
            assert item.wait(0)
            assert item.result() == [draft.event_id.encode() for draft in item.drafts]


def test_error_that_several_share_is_raised_as_a_copy_with_its_cause():
    waiting, cause = PendingAppend(), OSError("as said")
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
    thread = PendingAppend([drafted(new_id(), "t", {})])
    tasks = [
        PendingAppend([drafted(new_id(), "t", {})], None, loop.create_future())
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
        PendingAppend((two, three), condition),
        PendingAppend(),
        two,
        PendingAppend((one,), condition),
    ]
    pair = condition._replace(span=2)
    assert conditions_of(queued, 0) == {2: pair, 4: condition}
    assert conditions_of(queued, 3) == {5: pair, 7: condition}


def test_each_who_waits_gets_the_outcomes_of_its_own_events_and_what_ended_the_batch():
    one, two, three = numbered(3)
    first, flush, last = PendingAppend((one, two)), PendingAppend(), PendingAppend((three, one))
    refused, broken = (ThenceError(name, code="append_failed") for name in ("refused", "broken"))
    answer([first, three, flush, last], [b"1", b"2", b"3", b"4"], broken)
    assert [(item.outcomes, item.error) for item in (first, flush, last)] == [
        ([b"1", b"2"], broken),
        ([], broken),
        ([b"4"], broken),
    ]
    with raises_code("append_failed", match="broken") as caught:
        flush.result()
    assert caught.value is not broken  # others of the batch share it
    answer([first], [b"1", refused], None)
    with raises_code("append_failed", match="refused"):
        first.result()
    answer([first], [b"1", b"2"], None)
    assert first.result() == [b"1", b"2"]
    assert first.wait(WAIT_S)
    assert not PendingAppend((one,)).wait(0.01)
