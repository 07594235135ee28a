"""Spans of OpenTelemetry are steps: begun before the body, with parents and links as causes."""

import signal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from opentelemetry.trace import SpanKind, StatusCode
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator
from tests.cli.installed import in_python
from tests.events import by_type
from tests.tiers import examples
from tests.trace.tracing import traced

import thence


@pytest.mark.promise("A4b")
def test_span_is_a_step_with_its_parent_as_cause_and_its_attributes(log):
    tracer, processor = traced(log)
    chat = {"gen_ai.request.model": "m", "gen_ai.usage.input_tokens": 812, "tags": ["a", "b"]}
    with (
        thence.step("task", log=log) as task,
        tracer.start_as_current_span("agent") as agent,
        tracer.start_as_current_span("chat m", kind=SpanKind.CLIENT, attributes=chat) as span,
    ):
        assert by_type(log)["chat m.begun"].payload["kind"] == "client"  # durable already
        span.set_attribute("gen_ai.usage.output_tokens", 5)
        span.add_event("token", {"n": 1})
    events = by_type(log)
    begun, ended = events["chat m.begun"], events["chat m.ended"]
    assert events["agent.begun"].caused_by == (task.event_id,)
    assert begun.caused_by == (events["agent.begun"].event_id,)
    assert begun.payload["attributes"] == chat
    assert begun.payload["trace_id"] == f"{agent.get_span_context().trace_id:032x}"
    assert ended.ends == begun.event_id
    said_again = {"gen_ai.request.model": "m"}  # a sentence has one event alone
    assert ended.payload["attributes"] == {**said_again, "gen_ai.usage.output_tokens": 5}
    assert ended.payload["span_id"] == begun.payload["span_id"]
    (event,) = ended.payload["events"]
    assert (event["name"], event["attributes"]) == ("token", {"n": 1})
    assert event["time_unix_nano"] == span.events[0].timestamp
    assert ended.payload["duration_s"] > 0
    assert (log.verify().findings, processor.dropped) == ((), 0)


@pytest.mark.promise("A4b")
def test_parent_in_another_process_is_named_with_its_log(log, tracer, tmp_path):
    with thence.open(tmp_path / "other") as other, thence.step("ask", log=other) as ask:
        headers = thence.carry()
        cause = other.environment(ask)["THENCE_CAUSE"]
    context = TraceContextTextMapPropagator().extract(headers)
    with tracer.start_as_current_span("serve", context=context):
        pass
    served = by_type(log)["serve.begun"]
    assert (served.caused_by, served.external_causes) == ((ask.event_id,), (cause,))
    assert served.payload["trace_id"] == headers["traceparent"].split("-")[1]
    assert served.payload["parent_span_id"] == headers["traceparent"].split("-")[2]


KILLED = """
import os, signal, sys, thence
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, ConsoleSpanExporter
from thence.otel import SpanProcessor
provider = TracerProvider()
provider.add_span_processor(BatchSpanProcessor(ConsoleSpanExporter(out=open("sdk.jsonl", "w"))))
provider.add_span_processor(SpanProcessor(thence.open("log")))
tracer = provider.get_tracer("test")
for number in range(19):
    with tracer.start_as_current_span(f"call {number}"):
        pass
with tracer.start_as_current_span("call 19"):
    os.kill(os.getpid(), signal.SIGKILL)
"""


@pytest.mark.promise("A4b")
def test_what_the_sdk_loses_in_a_kill_is_in_the_log(tmp_path):
    assert in_python(KILLED, cwd=tmp_path).code == -signal.SIGKILL
    assert (tmp_path / "sdk.jsonl").read_text() == ""
    with thence.open(tmp_path / "log") as log:
        names = [event.event_type for event in log.read()]
    assert names == [f"call {n}.{word}" for n in range(19) for word in ("begun", "ended")] + [
        "call 19.begun"
    ]


@pytest.mark.promise("A4b")
def test_spans_that_need_not_be_durable_are_queued_and_flushed(log):
    tracer, processor = traced(log, durable=False)
    for _ in range(50):
        with tracer.start_as_current_span("cheap"):
            pass
    assert processor.force_flush()
    assert [event.ends for event in log.read()][1::2] == [
        event.event_id for event in log.read() if event.begins
    ]


names = st.text(max_size=400)
values = st.one_of(st.text(), st.integers(), st.floats(), st.booleans(), st.binary(), st.none())


@settings(max_examples=examples(100), deadline=None)
@given(names, st.dictionaries(names, values, max_size=3), names)
def test_no_span_stops_the_program(tmp_path_factory, name, attributes, message):
    with thence.open(tmp_path_factory.mktemp("log")) as log:
        tracer, processor = traced(log)
        with tracer.start_as_current_span(name, attributes=attributes) as span:
            span.add_event(message, attributes)
            span.set_status(StatusCode.ERROR, message)
        count = len(list(log.read()))
        assert (count, processor.dropped) == (2, 0)
        assert log.verify().findings == ()


@pytest.mark.promise("A4b")
def test_span_whose_name_is_no_text_or_the_logs_own_is_recorded(log):
    tracer, processor = traced(log)
    for name in (123, None, b"x", "log.write_failed", "log.\ud800", "\n"):
        with tracer.start_as_current_span(name):
            pass
    kinds = [event.event_type.removesuffix(".begun") for event in log.read() if event.begins]
    assert kinds == ["123", "None", "b'x'", "span log.write_failed", "span log.\\ud800", "span"]
    first = log.events()[0]
    assert first.members["repairs"] == [{"path": "event_type", "was": "a name of type int"}]
    assert processor.dropped == 0


@pytest.mark.promise("A4b")
@pytest.mark.parametrize("durable", [True, False])
def test_end_is_written_without_its_payload_where_the_log_refuses_that(tmp_path, durable):
    with thence.open(tmp_path / "log", bodies_from=None) as log:
        tracer, processor = traced(log, durable=durable)
        with tracer.start_as_current_span("large", attributes={"a": "x" * 2_000_000}):
            pass
        with tracer.start_as_current_span("grows") as span:
            span.set_attribute("a", "x" * 2_000_000)
            span.set_status(StatusCode.ERROR, "no" * 9_000)
        log.flush()
        events = by_type(log)
        assert events.keys() == {"large.begun", "large.ended", "grows.begun", "grows.failed"}
        assert events["grows.failed"].ends == events["grows.begun"].event_id
        failed = events["grows.failed"].payload
        assert failed.keys() == {"duration_s", "error_message", "error_type", "span_id"}
        assert len(failed["error_message"]) == 2_000
        (entry,) = events["grows.failed"].members["repairs"]
        assert entry["was"].startswith("a payload that the log refused: ")
        assert events["large.begun"].payload["span_id"]
        assert processor.dropped == 0
        assert not log.end().still_open


def test_large_value_of_a_begin_that_is_still_queued_keeps_no_end_away(log):
    tracer, processor = traced(log, durable=False)
    for _ in range(20):
        with tracer.start_as_current_span("big", attributes={"a": "x" * 300_000}):
            pass
    log.flush()
    assert [bool(event.begins) for event in log.read()] == [True, False] * 20
    assert processor.dropped == 0


def test_closed_log_drops_and_counts(log):
    tracer, processor = traced(log)
    log.close()
    for _ in range(3):
        with tracer.start_as_current_span("late"):
            pass
    assert processor.dropped == 6
    assert processor.force_flush()
    processor.shutdown()


@pytest.mark.promise("A4b")
def test_what_could_not_be_recorded_is_noted_in_the_log_as_it_doubles(log, monkeypatch):
    tracer, processor = traced(log)

    def broken(*_):
        raise RuntimeError("not today")

    monkeypatch.setattr(processor, "_begin", broken)
    for _ in range(5):
        tracer.start_span("lost")
    notices = [event for event in log.read() if event.event_type == "log.events_dropped"]
    assert processor.dropped == 5
    assert [notice.payload["count"] for notice in notices] == [1, 1, 2]
    assert {notice.payload["reason"] for notice in notices} == {"not today"}
    assert log.vocabulary.summary(notices[2]).endswith("2 events were dropped: not today")
