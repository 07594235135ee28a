"""Spans are sent to `thence serve LOG --otlp` over HTTP, and each is recorded once."""

import gzip
import json

import pytest
from opentelemetry.exporter.otlp.json.common.trace_encoder import encode_spans
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTraceServiceRequest,
    ExportTraceServiceResponse,
)
from opentelemetry.proto.trace.v1.trace_pb2 import ResourceSpans, ScopeSpans, Span
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import set_span_in_context
from tests.cli.installed import thence
from tests.log.committers import until
from tests.server.serving import serving

import thence as package
from thence.core.new_event import HostEvent
from thence.log.files.process_state import new_id
from thence.otel import SpanProcessor
from thence.trace.otlp import receiving
from thence.trace.otlp.decoding import Arrivals, SpanReader
from thence.trace.otlp.receiving import SpanIntake

pytestmark = pytest.mark.promise("A4e")
JSON, PROTOBUF = "application/json", "application/x-protobuf"


def post(server, body, form=JSON, path="/v1/traces", **headers):
    answer = server.client.post(path, content=body, headers={"Content-Type": form, **headers})
    return answer.status_code, answer.content


@pytest.fixture
def spans():
    """Returns a tracer, and a function that returns what it exported since: children first."""
    exporter = InMemorySpanExporter()
    provider = TracerProvider(resource=Resource({"service.name": "shop"}))
    provider.add_span_processor(SimpleSpanProcessor(exporter))

    def exported():
        data = encode_spans(exporter.get_finished_spans()).to_json().encode()
        exporter.clear()
        return data

    return provider.get_tracer("test"), exported


def nested(spans):
    """Returns a document with the spans tool and agent, and the list of these within it."""
    tracer, exported = spans
    with tracer.start_as_current_span("agent"), tracer.start_as_current_span("tool"):
        pass
    document = json.loads(exported())
    return document, document["resourceSpans"][0]["scopeSpans"][0]["spans"]


def recorded(folder, count):
    """Waits until a log holds so many events; returns them by type, with their causes' types."""
    with package.open(folder / "log") as log:
        until(lambda: len(list(log.read())) >= count)
        events = list(log.read())
        assert log.verify().findings == ()
    names = {event.event_id: event.event_type for event in events}
    assert len(names) == len(events) == count
    return {event.event_type: [names[one] for one in event.caused_by] for event in events}


def test_spans_that_arrive_before_their_parent_are_recorded_behind_it(tmp_path, spans):
    tracer, exported = spans
    with serving(tmp_path / "log", "--otlp") as server:
        with tracer.start_as_current_span("agent"):
            with tracer.start_as_current_span("tool"):
                pass
            body = exported()
            assert post(server, body) == (200, b"{}")
            assert post(server, gzip.compress(body), **{"Content-Encoding": "gzip"})[0] == 200
        assert post(server, exported())[0] == 200
        found = recorded(tmp_path, 4)
    assert found == {
        "agent.begun": [],
        "tool.begun": ["agent.begun"],
        "tool.ended": ["tool.begun"],
        "agent.ended": ["agent.begun"],
    }
    assert not list((tmp_path / "log").glob(".thence/otlp/*.json"))


def test_protobuf_is_taken_and_answered_with_what_was_refused(tmp_path):
    good = Span(
        trace_id=b"t" * 16,
        span_id=b"s" * 8,
        name="call",
        start_time_unix_nano=10**18,
        end_time_unix_nano=10**18 + 7,
    )
    bad = Span(trace_id=b"t" * 16, span_id=b"x" * 8, name="no start")
    scoped = ScopeSpans(spans=[good, bad])
    request = ExportTraceServiceRequest(resource_spans=[ResourceSpans(scope_spans=[scoped])])
    with serving(tmp_path / "log", "--otlp") as server:
        status, answer = post(server, request.SerializeToString(), PROTOBUF)
        partial = ExportTraceServiceResponse.FromString(answer).partial_success
        assert (status, partial.rejected_spans) == (200, 1)
        assert "without a start" in partial.error_message
        recorded(tmp_path, 2)
    with package.open(tmp_path / "log") as log:
        payload = log.query(type="call.begun").events[0].payload
    assert (payload["trace_id"], payload["span_id"]) == ("74" * 16, "73" * 8)
    assert payload["start_time_unix_nano"] == 10**18


def test_what_is_no_span_is_refused_and_other_signals_are_not_sent_again(tmp_path):
    with serving(tmp_path / "log", "--otlp") as server:
        for path in ("/v1/logs", "/v1/metrics"):
            status, answer = post(server, b"{}", path=path)
            assert status == 200
            assert "only spans" in json.loads(answer)["partialSuccess"]["errorMessage"]
            assert post(server, b"", PROTOBUF, path)[0] == 200
        assert post(server, b"{}", "text/plain")[0] == 415
        assert post(server, b"{", JSON)[0] == post(server, b"\xff", PROTOBUF)[0] == 400
        assert post(server, b"{}", **{"Content-Encoding": "br"})[0] == 415
        assert post(server, b"x", **{"Content-Encoding": "gzip"})[0] == 400
        bomb = gzip.compress(bytes(70 * 1024 * 1024))
        assert post(server, bomb, **{"Content-Encoding": "gzip"})[0] == 413
        assert post(server, b"{}", Host="shop.example")[0] in (400, 403, 421)
        for document in (b"[]", b"{}", b'{"resourceSpans": 7}', b"null"):
            assert post(server, document)[0] == 200
    recorded(tmp_path, 0)


def test_what_was_answered_is_recorded_after_a_kill_and_each_span_once(tmp_path, spans):
    document, children = nested(spans)
    parent = children.pop()
    with serving(tmp_path / "log", "--otlp") as server:
        assert post(server, json.dumps(document).encode())[0] == 200
        server.process.kill()
    assert thence("log", "--log", "log", cwd=tmp_path).out.count("tool") == 0
    with serving(tmp_path / "log", "--otlp") as server:
        found = recorded(tmp_path, 2)
        assert found["tool.begun"] == []
        children[:] = [*children, parent]
        assert post(server, json.dumps(document).encode())[0] == 200
        recorded(tmp_path, 4)
    with package.open(tmp_path / "log") as log:
        begun = log.query(type="tool.begun").events[0]
    assert begun.payload["parent_span_id"] == parent["spanId"]


def test_span_whose_parent_does_not_come_in_time_is_a_root(tmp_path, spans):
    document, children = nested(spans)
    children.pop()
    with package.open(tmp_path / "log") as log, SpanIntake(log, wait_s=0.6) as intake:
        intake.take(document)
        intake.settle()
        assert list(log.read()) == []
        recorded(tmp_path, 2)


def test_span_whose_end_alone_was_lost_by_a_kill_gets_it_at_the_next_start(tmp_path, spans):
    document, children = nested(spans)
    children.pop()
    with package.open(tmp_path / "log") as log:
        with SpanIntake(log) as intake:
            intake.take(document)
        read = SpanReader(log.log_id).read([document])
        log._host_append([*Arrivals(read, ()).events(new_id)][:1])
        with SpanIntake(log):
            recorded(tmp_path, 2)
        with SpanIntake(log):
            recorded(tmp_path, 2)


def test_parent_that_is_no_longer_in_memory_is_looked_up_in_the_log(tmp_path, spans, monkeypatch):
    monkeypatch.setattr(receiving, "HELD_MAX", 0)
    tracer, exported = spans
    with tracer.start_as_current_span("agent") as agent:
        pass
    first = json.loads(exported())
    with tracer.start_as_current_span("tool", context=set_span_in_context(agent)):
        pass
    with package.open(tmp_path / "log") as log, SpanIntake(log) as intake:
        intake.take(first)
        recorded(tmp_path, 2)
        intake.take(json.loads(exported()))
        assert recorded(tmp_path, 4)["tool.begun"] == ["agent.begun"]


def test_spans_of_two_requests_are_tied_to_the_model_call_that_asked(tmp_path, spans):
    tracer, exported = spans
    part = {"type": "tool_call", "id": "c1", "name": "pay", "arguments": {}}
    answer = json.dumps([{"role": "assistant", "parts": [part]}])
    with serving(tmp_path / "log", "--otlp") as server:
        with tracer.start_as_current_span("agent"):
            with tracer.start_as_current_span("chat") as chat:
                chat.set_attribute("gen_ai.output.messages", answer)
            post(server, exported())
            with tracer.start_as_current_span("pay") as pay:
                pay.set_attribute("gen_ai.tool.call.id", "c1")
            post(server, exported())
        post(server, exported())
        found = recorded(tmp_path, 6)
    assert found["pay.begun"] == ["agent.begun", "chat.ended"]


def test_span_that_a_processor_records_and_an_exporter_sends_is_one_span(tmp_path):
    program, intake_log = package.open(tmp_path / "log"), package.open(tmp_path / "log")
    exporter = InMemorySpanExporter()
    provider = TracerProvider()
    provider.add_span_processor(SpanProcessor(program))
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    tracer = provider.get_tracer("test")

    def sent():
        document = json.loads(encode_spans(exporter.get_finished_spans()).to_json())
        exporter.clear()
        intake.take(document)
        intake.settle()

    with program, intake_log, SpanIntake(intake_log, wait_s=0.6) as intake:
        with tracer.start_as_current_span("agent"):
            with tracer.start_as_current_span("tool"):
                pass
            sent()
            assert not list((tmp_path / "log").glob(".thence/otlp/*.json"))
        sent()
        found = recorded(tmp_path, 4)
        # what the program had no time to record comes from the exporter
        with tracer.start_as_current_span("killed"):
            pass
        document = json.loads(encode_spans(exporter.get_finished_spans()).to_json())
        (sent_span,) = document["resourceSpans"][0]["scopeSpans"][0]["spans"]
        sent_span["spanId"] = "ab" * 8
        payload = {"trace_id": sent_span["traceId"], "span_id": "ab" * 8}
        program._host_append([HostEvent("late.begun", payload, begins=True)])
        intake.take(document)
        intake.settle()
        recorded(tmp_path, 8)
    assert found["tool.begun"] == ["agent.begun"]


def test_log_to_import_into_is_taken_while_spans_come_in(tmp_path):
    with package.open(tmp_path / "log") as log, SpanIntake(log):
        (tmp_path / "spans.json").write_text("{}")
        ended = thence("serve", "log", "--otlp", "--port", "0", cwd=tmp_path)
        assert ended.code == 1
        assert "lock" in ended.err
