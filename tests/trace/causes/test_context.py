"""Causes that the surrounding code names: through blocks, tasks and threads."""

import asyncio
import contextlib
import gc
import weakref
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager, contextmanager
from contextvars import Context, copy_context

import pytest
from tests.events import by_type

import thence
from thence.errors import InvalidEvent
from thence.log.causes import current_blocks, current_causes
from thence.log.files.disk import OS_DISK, AppendLock

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


def test_same_cause_is_named_once(log):
    with thence.because(A):
        assert log.append("t", caused_by=[B, A, B]).caused_by == (B, A)


def test_threads_carry_it_when_they_are_given_the_context(log):
    with ThreadPoolExecutor(1) as pool, thence.because(A):
        assert pool.submit(current_causes).result() == ()
        assert pool.submit(copy_context().run, current_causes).result() == (A,)


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
    "append_many": lambda log, causes: log.append_many([{"event_type": "t", "caused_by": causes}])[
        0
    ],
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
        ([first, second.event_id], [first, second]),
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


def tokens(log, entered):
    """Streams words inside a block, with an event before each."""
    with entered():
        for word in ("one", "two", "three"):
            log.append(word)
            yield word


async def tokens_async(log, entered):
    async with entered():
        for word in ("one", "two", "three"):
            log.append(word)
            await asyncio.sleep(0)
            yield word


def entered_since(before):
    """Return the blocks that are not left, but for those of garbage that other tests made."""
    return set(current_blocks()) - set(before)


@pytest.mark.promise("P1", "O6")
@pytest.mark.parametrize("end", ["aclose", "collected", "raised", "kept"])
def test_abandoned_token_stream_leaves_no_false_cause(end, log):
    async def consume():
        stream = tokens_async(log, lambda: thence.step("outer", log=log))
        async for _ in stream:
            break
        assert log.append("after").caused_by == ()
        assert await asyncio.to_thread(lambda: log.append("thread").caused_by) == ()
        if end == "aclose":
            await stream.aclose()
        elif end == "raised":
            with pytest.raises(KeyError):
                await stream.athrow(KeyError("x"))
        elif end == "collected":
            del stream
            gc.collect()
            await asyncio.sleep(0)  # the loop makes a task that closes it
            await asyncio.gather(*asyncio.all_tasks() - {asyncio.current_task()})
        else:
            assert await anext(stream) == "two"
            assert by_type(log)["two"].caused_by == (by_type(log)["outer.begun"].event_id,)
        assert log.append("at last").caused_by == ()
        return entered_since(before) if end != "kept" else ()

    before = current_blocks()
    assert not asyncio.run(consume())


async def each_in_a_task(stream, around=contextlib.nullcontext):
    """Returns the items of a generator, each asked for in a task of its own."""
    items = []
    while True:
        with around():
            task = asyncio.create_task(anext(stream, None))
        if (item := await task) is None:
            return items
        items.append(item)


async def each_in_a_thread(stream, around=contextlib.nullcontext):
    """Returns the items of a generator as a server of threads gets them."""
    items = []
    while True:
        with around():
            item = await asyncio.to_thread(next, stream, None)
        if item is None:
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
    seen = asyncio.run(each_in_a_task(stream_async()))
    seen_in_threads = asyncio.run(each_in_a_thread(stream()))
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
            items = await each_in_a_task(stream(), lambda: thence.step("send", log=log))
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
    before = current_blocks()
    streams = [tokens(log, lambda: thence.because(A)) for _ in range(200)]
    for stream in streams:
        next(stream)
    assert log.append("t").caused_by == ()
    assert len(entered_since(before)) == 200
    del stream, streams
    gc.collect()
    assert not entered_since(before)


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


@pytest.fixture
def strict(tmp_path):
    with thence.open(tmp_path / "strict", strict_causes=True) as opened:
        yield opened


@contextmanager
def nothing_written(log):
    """Holds the append lock, so that what is emitted meanwhile stays queued."""
    lock = AppendLock(OS_DISK, log.folder / ".thence" / "lock")
    lock.acquire()
    yield
    lock.close()


STRICT_DOORS = {
    "append": lambda log: log.append("t", caused_by=A),
    "append_many": lambda log: log.append_many([{"event_type": "t", "caused_by": A}]),
    "append_async": lambda log: asyncio.run(log.append_async("t", caused_by=A)),
    "emit": lambda log: log.emit("t", caused_by=A),
    "because": lambda log: thence.because(A)(log.append)("t"),
    "step": lambda log: thence.because(A)(thence.step("t", log=log)(lambda: None))(),
}


@pytest.mark.promise("P1")
@pytest.mark.parametrize("door", STRICT_DOORS)
def test_strict_log_refuses_a_cause_that_is_nowhere_and_appends_nothing(door, strict):
    with pytest.raises(InvalidEvent) as refusal:
        STRICT_DOORS[door](strict)
    assert A in refusal.value.cause
    assert (refusal.value.place, bool(refusal.value.hint)) == ("field caused_by", True)
    strict.flush()
    assert strict.events() == []


@pytest.mark.promise("P1")
@pytest.mark.parametrize("door", STRICT_DOORS)
def test_log_that_is_not_strict_takes_it_and_verify_tells_that_it_is_missing(door, log):
    STRICT_DOORS[door](log)
    log.flush()
    (finding,) = log.verify().findings
    assert (finding.code, finding.severity) == ("cause_missing", "noted")
    assert A in finding.reason


def test_strict_log_takes_what_is_queued_in_it_and_what_other_processes_have_appended(strict):
    strict.append("ready")
    with ThreadPoolExecutor(1) as pool, nothing_written(strict):
        first = strict.emit("first")
        second = pool.submit(strict.emit, "second", caused_by=first).result()
    with thence.open(strict.folder) as other:
        foreign = other.append("elsewhere")
    third = strict.append("third", caused_by=[foreign, second])
    assert third.caused_by == (foreign.event_id, second)
    assert not strict.verify().findings


def test_strict_log_does_not_take_what_its_full_queue_dropped(tmp_path):
    with thence.open(tmp_path, strict_causes=True, max_queue_size=1, on_full="drop") as strict:
        strict.append("ready")
        with nothing_written(strict):
            ids = [strict.emit("t") for _ in range(20_000)]
        assert strict.dropped_count
        strict.flush()
        held = {event.event_id for event in strict.read()}
        dropped = next(event_id for event_id in ids if event_id not in held)
        with pytest.raises(InvalidEvent, match=dropped):
            strict.append("effect", caused_by=dropped)


def test_strict_log_looks_up_what_it_appended_long_ago(tmp_path):
    with thence.open(tmp_path, strict_causes=True, max_queue_size=1) as strict:
        first = strict.append("first")
        for _ in range(30):
            strict.append_many([{"event_type": "t"}] * 1_000)
        assert first.event_id not in strict._strict._newer | strict._strict._older
        assert strict.append("last", caused_by=first).caused_by == (first.event_id,)


def test_events_of_one_strict_append_name_each_other(strict):
    ids = [thence.log.open.new_id() for _ in range(2)]
    strict.append_many(
        [thence.NewEvent("a", event_id=ids[0]), thence.NewEvent("b", caused_by=ids[0])]
    )
    assert not strict.verify().findings


def test_strict_log_takes_causes_that_other_logs_hold_and_hand_on(strict, log, monkeypatch):
    with thence.step("outer", log=log) as outer:
        assert strict.append("inner").external_causes
    handed_on = log.environment(outer)
    monkeypatch.setenv("THENCE_CAUSE", handed_on["THENCE_CAUSE"])
    with thence.open(strict.folder, strict_causes=True) as received:
        assert received.append("t").caused_by == (outer.event_id,)
        assert not received.verify().findings
