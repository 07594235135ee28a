"""A span that is entered by a generator counts in the code around it, however that is driven."""

import asyncio
import contextlib
import sys
import types

import pytest
from opentelemetry import trace
from opentelemetry.util._decorator import _agnosticcontextmanager
from tests.trace.tracing import causes

import thence

pytestmark = pytest.mark.promise("A4b")


class Driven:
    """A context manager that drives a generator by itself, sync or async."""

    def __init__(self, items):
        self.items = items

    def __enter__(self):
        return next(self.items)

    def __exit__(self, *error):
        if error[1] is None:
            next(self.items, None)
        else:
            self.items.throw(error[1])

    async def __aenter__(self):
        return await anext(self.items)

    async def __aexit__(self, *error):
        if error[1] is None:
            await anext(self.items, None)
        else:
            await self.items.athrow(error[1])


class Begun:
    """A context manager that begins a span without a generator."""

    def __init__(self, tracer):
        self.span = tracer.start_as_current_span("way")

    def __enter__(self):
        return self.span.__enter__()

    def __exit__(self, *error):
        return self.span.__exit__(*error)


def ways(tracer):
    """Returns each way to enter a span `way` for a block of code."""

    def items():
        with tracer.start_as_current_span("way") as span:
            yield span

    async def items_async():
        with tracer.start_as_current_span("way") as span:
            yield span

    @contextlib.contextmanager
    def used():
        span = tracer.start_span("way")
        with trace.use_span(span, end_on_exit=True):
            yield span

    @contextlib.contextmanager
    def stacked():
        with contextlib.ExitStack() as stack:
            yield stack.enter_context(_agnosticcontextmanager(items)())

    return {
        "with": lambda: tracer.start_as_current_span("way"),
        "use_span": used,
        "contextlib": contextlib.contextmanager(items),
        "async contextlib": contextlib.asynccontextmanager(items_async),
        "OpenTelemetry's decorator": _agnosticcontextmanager(items),
        "__enter__ and next": lambda: Driven(items()),
        "__aenter__ and anext": lambda: Driven(items_async()),
        "__enter__ without a generator": lambda: Begun(tracer),
        "stacked": stacked,
    }


WAYS = list(ways(None))


@contextlib.asynccontextmanager
async def entered(manager):
    """Enters a manager of either kind."""
    if hasattr(manager, "__enter__") and not isinstance(getattr(manager, "items", 0), type(agen())):
        with manager as value:
            yield value
    else:
        async with manager as value:
            yield value


async def agen():
    yield


@pytest.mark.parametrize("way", WAYS)
def test_all_that_is_recorded_inside_has_the_span_as_cause(log, tracer, logger, way):
    async def main():
        with thence.step("around", log=log):
            async with entered(ways(tracer)[way]()):
                log.append("a")
                log.emit("b")
                logger.warning("low")
                token.update(thence.carry())
                async with thence.step("s"):
                    log.append("c")
            log.append("behind")

    token = {}
    asyncio.run(main())
    named = causes(log)
    assert named["way.begun"] == named["behind"] == ["around.begun"]
    for inside in ("a", "b", "record.warning", "s.begun"):
        assert named[inside] == ["way.begun"], inside
    assert named["c"] == ["s.begun"]
    (begun,) = log.query(type="way.begun").events
    assert begun.event_id in token["tracestate"]


@pytest.mark.parametrize("way", WAYS)
def test_in_a_loop_it_counts_while_the_generator_that_entered_it_runs(log, tracer, way):
    async def items():
        async with entered(ways(tracer)[way]()):
            for number in range(2):
                log.append(f"inside {number}")
                yield number

    async def main():
        async with contextlib.aclosing(items()) as stream:
            async for number in stream:
                log.append(f"between {number}")

    asyncio.run(main())
    named = causes(log)
    assert named["inside 0"] == named["inside 1"] == ["way.begun"]
    assert named["between 0"] == named["between 1"] == []


@pytest.mark.parametrize("way", WAYS)
def test_failure_that_leaves_it_is_a_cause_of_what_handles_the_error(log, tracer, way):
    async def main():
        with contextlib.suppress(ValueError), tracer.start_as_current_span("outer"):
            async with entered(ways(tracer)[way]()):
                raise ValueError("no key")

    asyncio.run(main())
    assert causes(log)["outer.failed"] == ["outer.begun", "way.failed"]


def test_current_span_of_langchain_counts_unless_another_was_begun_inside(log, tracer, monkeypatch):
    """Its instrumentor makes no span current: `get_current_span` of its module knows it."""
    langchain = types.ModuleType("openinference.instrumentation.langchain")
    current = None
    langchain.get_current_span = lambda: current
    monkeypatch.setitem(sys.modules, langchain.__name__, langchain)
    log.append("before")
    with tracer.start_as_current_span("request") as request:
        log.append("no graph")
        current = tracer.start_span("tool", context=trace.set_span_in_context(request))
        log.append("in tool")
        with tracer.start_as_current_span("inside", context=trace.set_span_in_context(current)):
            log.append("in span")
    current.end()
    log.append("behind")
    current = tracer.start_span("alone")
    with thence.step("s", log=log):
        log.append("in step")
    named = causes(log)
    assert named["before"] == named["behind"] == named["alone.begun"] == []
    assert named["no graph"] == named["tool.begun"] == ["request.begun"]
    assert named["in tool"] == ["tool.begun"]
    assert named["in span"] == ["inside.begun"]
    assert (named["s.begun"], named["in step"]) == (["alone.begun"], ["s.begun"])
