"""Random programs of steps, errors, handlers, loops, tasks, threads and generators.

Each cause that an event names was open, or its exception in hand, when the event was appended;
and the last end that each exception in hand has left is named.
"""

import asyncio
import sys
from collections import defaultdict
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from contextvars import Context, copy_context

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.tiers import examples

import thence


class Boom(Exception):
    """The error of the programs."""


class Open:
    """A step or cause that is open, what is open around it, and the ends of steps inside it."""

    def __init__(self, event, around=()):
        self.event, self.around, self.inner = event, around, set()


class Flow:
    """What a line of execution has open and in hand; a generator has its consumer's as well."""

    def __init__(self, world, opens=(), is_sync=False):
        self.world, self.opens, self.is_sync = world, list(opens), is_sync
        self.hands, self.consumer = [], None

    def child(self, is_sync=False, carries=True):
        return Flow(self.world, self.all_open() if carries else (), is_sync)

    def in_hand(self):
        if self.hands:
            return self.hands[-1]
        return self.consumer.in_hand() if self.consumer else None

    def all_open(self):
        return [*(self.consumer.all_open() if self.consumer else ()), *self.opens]

    def allowed(self):
        ids = {item.event.event_id for item in self.opens}
        for error in linked(self.hands):
            ids.update(self.world.ends[id(error)])
        return ids | (self.consumer.allowed() if self.consumer else set())

    def check(self, event, inner=()):
        assert sys.exception() is self.in_hand()
        assert set(event.caused_by) <= self.allowed() | set(inner)
        for error in linked([self.in_hand()]):
            assert set(self.world.ends[id(error)][-1:]) <= set(event.caused_by)

    def enter(self, taken):
        self.check(taken.begun)
        self.opens.append(Open(taken, self.all_open()))

    @contextmanager
    def followed(self):
        """Checks the end of the step that is entered inside."""
        try:
            yield
        except BaseException as error:
            with self.handling(error):
                end = self.leave()
            self.world.ends[id(error)].append(end)
            self.world.errors.append(error)  # so that its id stays its own
            raise
        self.leave()

    def leave(self):
        step = self.opens[-1]
        end = step.event.ended
        self.check(end, step.inner)
        self.opens.pop()
        for item in step.around:
            item.inner.add(end.event_id)
        return end.event_id

    @contextmanager
    def handling(self, error):
        self.hands.append(error)
        try:
            yield
        finally:
            self.hands.pop()


def linked(errors):
    waiting, seen = list(errors), []
    for error in waiting:
        if error is not None and not any(error is other for other in seen):
            seen.append(error)
            waiting += [error.__cause__, error.__context__, *getattr(error, "exceptions", ())]
    return seen


class World:
    """One run of a program."""

    def __init__(self, log, pool):
        self.log, self.pool = log, pool
        self.ends, self.errors, self.streams = defaultdict(list), [], []

    async def run(self, body, flow):
        for kind, *parts in body:
            await getattr(self, kind)(flow, *parts)

    async def append(self, flow):
        if not flow.is_sync:
            await asyncio.sleep(0)
        flow.check(self.log.append("noted"))

    async def fail(self, flow):
        raise Boom

    async def step(self, flow, is_async, body):
        step = thence.step("step", log=self.log)
        with flow.followed():
            if is_async and not flow.is_sync:
                async with step as taken:
                    flow.enter(taken)
                    await self.run(body, flow)
            else:
                with step as taken:
                    flow.enter(taken)
                    await self.run(body, flow)

    @contextmanager
    def taken(self, flow):
        with flow.followed(), thence.step("step", log=self.log) as taken:
            flow.enter(taken)
            yield

    async def managed(self, flow, body):
        with self.taken(flow):
            await self.run(body, flow)

    async def because(self, flow, body):
        cause = self.log.append("cause")
        with thence.because(cause):
            flow.opens.append(Open(cause))
            try:
                await self.run(body, flow)
            finally:
                flow.opens.pop()

    async def handle(self, flow, body, handler, then):
        try:
            await self.run(body, flow)
        except (Boom, ExceptionGroup) as error:
            with flow.handling(error):
                await self.run(handler, flow)
                if then == "raise":
                    raise
                if then == "raise another":
                    raise Boom  # noqa: B904
                if then == "raise from":
                    raise Boom from error

    async def loop(self, flow, body):
        for _ in range(2):
            await self.run(body, flow)

    async def tasks(self, flow, bodies, meanwhile):
        if flow.is_sync:
            return
        tasks = [asyncio.create_task(self.run(body, flow.child())) for body in bodies]
        try:
            await self.run(meanwhile, flow)
        finally:
            outcomes = await asyncio.gather(*tasks, return_exceptions=True)
        errors = [outcome for outcome in outcomes if outcome is not None]
        if errors:
            raise errors[0] if len(errors) == 1 else ExceptionGroup("several", errors)

    async def thread(self, flow, carries, body):
        context = copy_context() if carries else Context()
        work = self.run(body, flow.child(is_sync=True, carries=carries))
        self.pool.submit(context.run, driven, work).result()

    def stream(self, flow, before, after):
        with self.taken(flow):
            try:
                driven(self.run(before, flow))
            except Boom as error:
                with flow.handling(error):
                    yield  # suspended with the error in hand
                    driven(self.run(after, flow))
            else:
                yield
                driven(self.run(after, flow))

    async def stream_async(self, flow, before, after):
        with flow.followed():
            async with thence.step("step", log=self.log) as taken:
                flow.enter(taken)
                try:
                    await self.run(before, flow)
                except (Boom, ExceptionGroup) as error:
                    with flow.handling(error):
                        yield
                        await self.run(after, flow)
                else:
                    yield
                    await self.run(after, flow)

    async def generator(self, flow, is_async, before, between, after, end):
        is_async = is_async and not flow.is_sync
        inside = Flow(self, is_sync=not is_async)
        stream = (self.stream_async if is_async else self.stream)(inside, before, after)
        self.streams.append((stream, inside, is_async))
        await self.resumed(flow, inside, anext(stream) if is_async else lambda: next(stream))
        await self.run(between, flow)
        if end == "resume":
            move = anext(stream, None) if is_async else lambda: next(stream, None)
            await self.resumed(flow, inside, move)
        elif end == "close":
            await self.resumed(flow, inside, stream.aclose() if is_async else stream.close)

    async def resumed(self, flow, inside, move):
        inside.consumer = flow
        try:
            if callable(move):
                move()
            else:
                await move
        finally:
            inside.consumer = None


def driven(coroutine):
    """Runs a coroutine that awaits nothing."""
    with pytest.raises(StopIteration):
        coroutine.send(None)


ENDS = ["resume", "close", "keep"]  # what becomes of a generator


def programs():
    leaf = st.sampled_from([("append",), ("append",), ("fail",)])

    def larger(nodes):
        body = st.lists(nodes, max_size=3)
        ends = st.sampled_from(["go on", "raise", "raise another", "raise from"])
        nodes = {
            "step": [st.booleans(), body],
            "managed": [body],
            "because": [body],
            "handle": [body, body.map(lambda rest: [("append",), *rest]), ends],
            "loop": [body],
            "tasks": [st.lists(body, min_size=1, max_size=3), body],
            "thread": [st.booleans(), body],
            "generator": [st.booleans(), body, body, body, st.sampled_from(ENDS)],
        }
        return st.one_of([st.tuples(st.just(kind), *parts) for kind, parts in nodes.items()])

    return st.lists(st.recursive(leaf, larger, max_leaves=25), min_size=1, max_size=4)


@pytest.fixture(scope="module")
def log(tmp_path_factory):
    with thence.open(tmp_path_factory.mktemp("programs")) as opened:
        yield opened


@pytest.fixture(scope="module")
def pool():
    with ThreadPoolExecutor(32) as threads:
        yield threads


@settings(max_examples=examples(100))
@given(program=programs())
def test_each_cause_was_open_or_its_exception_in_hand(program, log, pool):
    world = World(log, pool)

    async def main():
        flow = Flow(world)
        await world.handle(flow, program, [("append",)], "go on")
        await world.run([("append",)], flow)
        for stream, inside, is_async in world.streams:
            await world.resumed(flow, inside, stream.aclose() if is_async else stream.close)

    asyncio.run(main())
