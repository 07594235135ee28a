"""Causes that the surrounding code names: through blocks, tasks and threads."""

import asyncio
import contextlib
import gc
import weakref
from contextlib import asynccontextmanager
from contextvars import Context
from functools import partial

import pytest
from tests.events import by_type

import thence
from thence.errors import InvalidEvent
from thence.log.causes import current_blocks, current_causes

A, B = "0" * 25 + "A", "0" * 25 + "B"


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


@pytest.mark.parametrize("cause", ["", 7, object(), b"x", [[A]], {"a": 1}, "misspelt", [A, "no"]])
def test_what_is_no_event_and_no_id_is_refused(cause, log):
    with pytest.raises(InvalidEvent, match="caused_by"):
        log.append("t", caused_by=cause)
    with pytest.raises(InvalidEvent, match="caused_by"), thence.because(cause):
        pass
    assert list(log.read()) == []


DOORS = {
    "append": lambda log, causes: log.append("t", caused_by=causes),
    "emit": lambda log, causes: log.get(flushed(log, log.emit("t", caused_by=causes))),
    "append_async": lambda log, causes: asyncio.run(log.append_async("t", caused_by=causes)),
    "append_many": lambda log, causes: log.append_many([thence.NewEvent("t", caused_by=causes)])[0],
    "because": lambda log, causes: inside(log, causes),
}


def flushed(log, event_id):
    log.flush()
    return event_id


def inside(log, causes):
    with thence.because(causes):
        return log.append("t")


@pytest.mark.promise("P1")
@pytest.mark.parametrize("door", DOORS)
def test_every_door_takes_an_event_an_id_several_or_none(door, log):
    first, second = log.append("first"), log.append("second")
    for causes, wanted in [
        (first, [first]),
        (first.event_id, [first]),
        ([first, second.event_id, first], [first, second]),
        ((cause for cause in (second, first)), [second, first]),
        (None, []),
        ([], []),
    ]:
        event = DOORS[door](log, causes)
        assert event.caused_by == tuple(cause.event_id for cause in wanted), causes
    with pytest.raises(InvalidEvent, match="'misspelt'"):
        DOORS[door](log, "misspelt")


@pytest.mark.parametrize("door", sorted(set(DOORS) - {"because"}))
def test_text_in_another_form_must_be_an_id_that_the_log_holds(door, log):
    log.append("first")
    with log.current_file.open("ab") as file:
        file.write(b'{"event_id":"order-7","event_type":"imported"}\n')
    assert DOORS[door](log, "order-7").caused_by == ("order-7",)
    assert inside(log, log.get("order-7")).caused_by == ("order-7",)
    with pytest.raises(InvalidEvent, match="'order-8'"):
        DOORS[door](log, ["order-7", "order-8"])


async def each(ask, around=contextlib.nullcontext):
    """Returns the items of a generator, each asked for in a task or thread of its own."""
    items = []
    while True:
        with around():
            task = asyncio.create_task(ask())
        if (item := await task) is None:
            return items
        items.append(item)


@pytest.mark.promise("P1", "O6")
@pytest.mark.parametrize("kind", ["because", "carried", "step", "async step", "decorated"])
def test_block_in_a_generator_counts_whichever_task_or_thread_resumes_it(log, kind):
    """As servers of events do that send a heartbeat: each item in a task of its own."""
    noted = log.append("noted")
    with thence.because(noted):
        token = thence.carry()
    blocks = {
        "because": lambda: thence.because(noted),
        "carried": lambda: thence.carried(token),
        "step": lambda: thence.step("turn", log=log),
        "async step": lambda: thence.step("turn", log=log),
        "decorated": contextlib.nullcontext,
    }

    def stream():
        with blocks[kind]():
            for _ in range(3):
                yield log.append("chunk").caused_by

    async def stream_async():
        block = blocks[kind]()
        async with block if kind == "async step" else in_async(block):
            for _ in range(3):
                yield log.append("chunk").caused_by

    if kind == "decorated":
        stream, stream_async = map(thence.step("turn", log=log), (stream, stream_async))
    items_async, items = stream_async(), stream()
    seen = asyncio.run(each(lambda: anext(items_async, None)))
    seen_in_threads = asyncio.run(each(lambda: asyncio.to_thread(next, items, None)))
    turns = [event.event_id for event in log.read() if event.event_type == "turn.begun"]
    first, second = turns or (noted.event_id, noted.event_id)
    assert seen == [(first,)] * 3
    assert seen_in_threads == [(second,)] * 3
    assert len(log.query(type="turn.ended").events) == len(turns)
    assert log.append("after").caused_by == ()


@asynccontextmanager
async def in_async(block):
    with block:
        yield


@pytest.mark.promise("P1", "O6")
def test_blocks_of_a_generator_nest_in_every_task_that_resumes_it(log):
    def helped():
        with thence.because(A):
            return log.append("helped").caused_by

    async def stream():
        with thence.step("outer", log=log):
            yield "outer", log.append("c").caused_by, helped()
            with thence.step("inner"):
                yield "inner", log.append("c").caused_by, helped()
                yield "inner", log.append("c").caused_by, helped()
            yield "outer", log.append("c").caused_by, helped()
            task = asyncio.create_task(asyncio.sleep(0, log.append("inside").caused_by))
            yield "outer", await task, helped()

    async def consume():
        with thence.step("consumer", log=log):
            asked = stream()
            around = partial(thence.step, "send", log=log)
            items = await each(lambda: anext(asked, None), around)
            assert log.append("c").caused_by == (by_type(log)["consumer.begun"].event_id,)
            return items

    items = asyncio.run(consume())
    begun = {name: by_type(log)[f"{name}.begun"].event_id for name in ("outer", "inner")}
    assert [name for name, _, _ in items] == ["outer", "inner", "inner", "outer", "outer"]
    assert items == [(name, (begun[name],), (A,)) for name, _, _ in items]
    ends = by_type(log)
    assert ends["inner.begun"].caused_by == (begun["outer"],)
    assert ends["outer.ended"].caused_by == (begun["outer"], ends["inner.ended"].event_id)


@pytest.mark.promise("P1", "O6")
def test_block_of_a_generator_counts_for_nobody_while_that_is_suspended(log):
    """Two that take turns in the same tasks, each closed in another one."""

    async def stream(name):
        with thence.step(name, log=log):
            while True:
                yield log.append(name).caused_by, thence.carry(), thence.propagate(current_causes)

    async def both():
        streams, seen = [stream("a"), stream("b")], []
        for _ in range(2):
            for one in streams:
                items = await asyncio.create_task(anext(one))
                assert log.append("between").caused_by == ()
                seen.append(items)
        for one in streams:
            await asyncio.create_task(one.aclose())
        return seen

    seen = asyncio.run(both())
    a, b = (by_type(log)[f"{name}.begun"].event_id for name in "ab")
    assert [causes for causes, _, _ in seen] == [(a,), (b,), (a,), (b,)]
    assert [propagated() for _, _, propagated in seen] == [(a,), (b,), (a,), (b,)]
    assert all(a in token["tracestate"] for _, token, _ in seen[::2])
    assert {"a.cancelled", "b.cancelled"} <= by_type(log).keys()


class Held:
    """What a generator's frame holds."""


@pytest.mark.parametrize("is_closed", [True, False])
def test_generator_that_is_dropped_keeps_nothing(log, is_closed):
    def stream(held):
        with thence.because(A):
            yield held
            yield held

    held = Held()
    streams = [stream(held), stream(held)]
    for one in streams:
        Context().run(next, one)
    held.streams = streams  # a circle
    gone = weakref.ref(held)
    if is_closed:
        for one in streams:
            Context().run(one.close)
    del held, streams, one
    gc.collect()
    assert gone() is None
    assert log.append("t").caused_by == ()


def test_very_many_abandoned_generators_are_pruned_when_they_end(log):
    def stream():
        with thence.because(A):
            yield

    before = set(current_blocks())  # of garbage that other tests made
    streams = [stream() for _ in range(200)]
    for one in streams:
        next(one)
    assert log.append("t").caused_by == ()
    assert len(set(current_blocks()) - before) == 200
    del one, streams
    gc.collect()
    assert not set(current_blocks()) - before


def test_block_that_is_left_where_it_is_unknown_counts_no_more(log):
    block = thence.because(A)
    block.__enter__()
    assert log.append("t").caused_by == (A,)
    Context().run(block.__exit__, None, None, None)
    assert log.append("t").caused_by == ()


def test_block_decorates_functions_and_is_entered_once_at_a_time(log):
    @thence.because(A)
    def work(depth):
        return log.append("t").caused_by if depth == 0 else work(depth - 1)

    assert work(3) == (A,)
    for block in (thence.because(B), thence.carried({})):
        with block, pytest.raises(InvalidEvent, match="entered already"), block:
            pass
        with block:
            pass
    assert log.append("t").caused_by == ()
