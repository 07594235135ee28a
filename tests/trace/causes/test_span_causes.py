"""Inside a span its begin is the cause, however spans, steps and code are nested."""

import asyncio
import contextlib
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest
from opentelemetry import context as otel_context
from opentelemetry import propagate, trace
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.sampling import Decision, Sampler, SamplingResult
from tests.cli.installed import in_python
from tests.trace.tracing import causes, traced

import thence
from thence.otel import SpanProcessor

pytestmark = pytest.mark.promise("A4b")


class NotNamedQuiet(Sampler):
    """Takes all spans but those that are named quiet."""

    def should_sample(self, parent_context, trace_id, name, *_, **__):
        return SamplingResult(Decision.DROP if name == "quiet" else Decision.RECORD_AND_SAMPLE)

    def get_description(self):
        return "not quiet"


def test_records_appends_steps_and_tokens_inside_a_span_have_its_begin_as_cause(
    log, tracer, logger
):
    with tracer.start_as_current_span("tool") as span:
        logger.warning("low")
        log.append("a")
        log.emit("b")
        token = thence.carry()
        with thence.step("s", log=log):
            log.append("c")
    log.append("after")
    assert causes(log) == {
        "tool.begun": [],
        "record.warning": ["tool.begun"],
        "a": ["tool.begun"],
        "b": ["tool.begun"],
        "s.begun": ["tool.begun"],
        "c": ["s.begun"],
        "s.ended": ["s.begun"],
        "tool.ended": ["tool.begun"],
        "after": [],
    }
    context = span.get_span_context()
    assert token["traceparent"] == f"00-{context.trace_id:032x}-{context.span_id:016x}-01"
    begun = log.query(type="tool.begun").events[0]
    assert token["tracestate"] == f"thence={log.handed_on(begun).text}"


def test_span_whose_begin_no_log_holds_is_not_caused_by_what_runs_at_its_end(log):
    provider = TracerProvider()
    tracer = provider.get_tracer("test")
    early, parent = tracer.start_span("early"), tracer.start_span("parent")
    processor = SpanProcessor(log)
    provider.add_span_processor(processor)
    with trace.use_span(parent), tracer.start_as_current_span("child") as child:
        pass
    inside = trace.set_span_in_context(child)
    late = TracerProvider().get_tracer("other").start_span("late", inside)
    with thence.step("now", log=log), tracer.start_as_current_span("around"):
        early.end()
        parent.end()
        processor.on_end(late)
    found = causes(log)
    assert (found["early.ended"], found["parent.ended"]) == ([], [])
    assert found["late.ended"] == ["child.begun"]


def test_of_a_step_and_a_span_the_inner_one_is_named(log, tracer):
    with thence.step("outer", log=log), tracer.start_as_current_span("inner"):
        log.append("a")
        with thence.step("innermost"):
            log.append("b")
            assert thence.carry()["traceparent"].split("-")[1] == trace_id()
        log.append("c")
    with tracer.start_as_current_span("around"), thence.step("in", log=log):
        log.append("d")
    assert causes(log) == {
        "outer.begun": [],
        "inner.begun": ["outer.begun"],
        "a": ["inner.begun"],
        "innermost.begun": ["inner.begun"],
        "b": ["innermost.begun"],
        "innermost.ended": ["innermost.begun"],
        "c": ["inner.begun"],
        "inner.ended": ["inner.begun"],
        "outer.ended": ["outer.begun", "innermost.ended"],
        "around.begun": [],
        "in.begun": ["around.begun"],
        "d": ["in.begun"],
        "in.ended": ["in.begun"],
        "around.ended": ["around.begun"],
    }


def trace_id():
    return f"{trace.get_current_span().get_span_context().trace_id:032x}"


def test_span_that_has_ended_is_around_nothing_and_what_is_around_it_counts(log, tracer):
    with tracer.start_as_current_span("outer"):
        with tracer.start_as_current_span("inner") as inner:
            with thence.step("s", log=log):
                inner.end()
                log.append("in step")
            log.append("behind its end")
        log.append("outside")
    named = causes(log)
    assert named["in step"] == ["s.begun"]
    assert named["behind its end"] == named["outside"] == ["outer.begun"]


def test_span_made_current_inside_a_step_is_the_inner_one(log, tracer):
    span = tracer.start_span("early")
    with thence.step("s", log=log):
        log.append("a")
        with trace.use_span(span, end_on_exit=True):
            log.append("b")
    assert (causes(log)["a"], causes(log)["b"]) == (["s.begun"], ["early.begun"])


def test_span_of_another_provider_or_unsampled_hands_on_what_is_around_it(log):
    tracer, _ = traced(log, sampler=NotNamedQuiet())
    stranger = TracerProvider().get_tracer("stranger")
    with tracer.start_as_current_span("ours"):
        with stranger.start_as_current_span("theirs"):
            log.append("a")
            with stranger.start_as_current_span("theirs too"):
                log.append("b")
                with tracer.start_as_current_span("ours again"):
                    log.append("c")
        with tracer.start_as_current_span("quiet"):
            log.append("d")
    named = causes(log)
    assert named["a"] == named["b"] == named["d"] == named["ours again.begun"] == ["ours.begun"]
    assert named["c"] == ["ours again.begun"]
    with stranger.start_as_current_span("alone"):
        log.append("e")
    assert causes(log)["e"] == []


def test_tasks_have_the_span_in_which_they_were_begun_each_its_own(log, tracer):
    async def work(name, together):
        with tracer.start_as_current_span(name):
            await together.wait()
            log.append(f"in {name}")
            await together.wait()
        log.append(f"behind {name}")

    async def later(is_over):
        await is_over.wait()
        log.append("when it has ended")

    async def main():
        together, is_over = asyncio.Barrier(5), asyncio.Event()
        with tracer.start_as_current_span("all"):
            await asyncio.gather(*(work(f"w{number}", together) for number in range(5)))
            late = asyncio.create_task(later(is_over))
        is_over.set()
        await late

    asyncio.run(main())
    named = causes(log)
    for number in range(5):
        assert named[f"in w{number}"] == [f"w{number}.begun"]
        assert named[f"behind w{number}"] == named[f"w{number}.begun"] == ["all.begun"]
    assert named["when it has ended"] == []


def test_thread_has_the_span_where_its_context_came_along(log, tracer):
    def work(name):
        log.append(name)
        with tracer.start_as_current_span(f"span of {name}"):
            pass

    with tracer.start_as_current_span("outer"):
        for name, target in (("bare", work), ("handed", thence.propagate(work))):
            thread = threading.Thread(target=target, args=(name,))
            thread.start()
            thread.join()
        with ThreadPoolExecutor(1) as pool:
            pool.submit(thence.propagate(work), "pooled").result()
            pool.submit(work, "bare in a pool").result()
    named = causes(log)
    assert named["bare"] == named["span of bare.begun"] == named["bare in a pool"] == []
    assert named["handed"] == named["span of handed.begun"] == ["outer.begun"]
    assert named["pooled"] == ["outer.begun"]
    begun = log.query(type="span of handed.begun").events[0]
    assert "parent_span_id" not in begun.payload, "the tracer has its parent too"


def test_begin_in_another_log_is_an_external_cause(log, tracer, tmp_path):
    with (
        thence.open(tmp_path / "other") as other,
        tracer.start_as_current_span("outer"),
    ):
        event = other.append("a")
        with traced(other)[0].start_as_current_span("inner"):
            pass
        inner = other.query(type="inner.begun").events[0]
        outer = log.query(type="outer.begun").events[0]
        assert event.caused_by == inner.caused_by == (outer.event_id,)
        assert event.external_causes == inner.external_causes == (log.handed_on(outer).text,)
        assert event.lamport_clock > outer.lamport_clock
        assert inner.payload["parent_span_id"] == outer.payload["span_id"]
        assert other.verify().findings == ()


WORKER = """
import sys, thence
from opentelemetry import propagate
from opentelemetry.sdk.trace import TracerProvider
from thence.otel import SpanProcessor
provider = TracerProvider()
with thence.open("log") as log:
    provider.add_span_processor(SpanProcessor(log))
    with provider.get_tracer("w").start_as_current_span(
        "worker tool", context=propagate.extract({"traceparent": sys.argv[1]})
    ):
        log.append("done")
"""


def test_parent_in_another_process_is_looked_up_in_the_log(log, tracer, tmp_path):
    with tracer.start_as_current_span("orchestrator"):
        headers = {}
        propagate.inject(headers)
        assert in_python(WORKER, headers["traceparent"], cwd=tmp_path).code == 0
    named = causes(log)
    assert named["worker tool.begun"] == ["orchestrator.begun"]
    assert named["done"] == ["worker tool.begun"]
    begun = log.query(type="worker tool.begun").events[0]
    assert "parent_span_id" not in begun.payload


def test_empty_context_is_around_nothing(log, tracer):
    with tracer.start_as_current_span("outer"):
        token = otel_context.attach(otel_context.Context())
        log.append("a")
        otel_context.detach(token)
    assert causes(log)["a"] == []


def test_failure_is_caused_by_the_span_that_its_error_left_before(log, tracer):
    def pay():
        with tracer.start_as_current_span("pay"):
            raise ValueError("no key")

    async def tools():
        with tracer.start_as_current_span("tools"):
            await asyncio.gather(asyncio.to_thread(pay))

    with contextlib.suppress(KeyError), tracer.start_as_current_span("agent"):
        try:
            asyncio.run(tools())
        except ValueError as error:
            with tracer.start_as_current_span("excuse"):
                log.append("sorry")
            raise KeyError("order") from error
    named = causes(log)
    assert named["tools.failed"] == ["tools.begun", "pay.failed"]
    assert named["agent.failed"] == ["agent.begun", "tools.failed"]
    assert "tools.failed" in named["sorry"]
    assert named["excuse.ended"] == ["excuse.begun", "tools.failed"]


def test_failure_of_a_step_and_of_a_span_are_causes_of_each_other(log, tracer):
    with (
        contextlib.suppress(ValueError),
        thence.step("outer", log=log),
        tracer.start_as_current_span("middle"),
        thence.step("inner", log=log),
    ):
        raise ValueError("no key")
    named = causes(log)
    assert named["middle.failed"] == ["middle.begun", "inner.failed"]
    assert named["outer.failed"] == ["outer.begun", "inner.failed", "middle.failed"]
