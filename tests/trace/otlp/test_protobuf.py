"""Protobuf says what the JSON form says, field by field, and is what an endpoint gets."""

import json

import msgspec
import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTracePartialSuccess,
    ExportTraceServiceRequest,
    ExportTraceServiceResponse,
)
from tests.cli.installed import in_python, is_three_lines, thence
from tests.trace.otlp.collector import collector, json_of
from tests.trace.otlp.test_encoding import without_zero

import thence as package
from thence.core.new_event import HostEvent
from thence.trace.otlp.encoding import LogSpans, trace_of
from thence.trace.otlp.protobuf import request_of

PROTOBUF = {"Content-Type": "application/x-protobuf"}
WITHOUT = (
    "import sys; sys.modules['opentelemetry.proto'] = None\n"
    "from thence.cli.main import main; sys.exit(main())"
)


@pytest.fixture
def log(tmp_path):
    values = {"n": -3, "large": 2**62, "x": 0.5, "on": False, "none": None, "texts": ["ä", "", 1]}
    with package.open(tmp_path / "agent") as opened:
        placed = opened.append("placed", values, subject="order/1")
        with package.step("ask", log=opened) as ask:
            opened.append("inside", caused_by=[ask, placed])
        with pytest.raises(ValueError, match="no"), package.step("pay", log=opened):
            raise ValueError("no")
        opened.append("after", caused_by=[ask.ended])
        opened.append_many([HostEvent("call.begun", begins=True)])
        yield opened


@pytest.mark.promise("A4d")
def test_both_forms_of_a_log_are_the_same_field_by_field(log):
    maker = LogSpans()
    spans = [*filter(None, [maker.take(event, True) for event in log.events()])]
    trace = trace_of([*spans, *maker.unfinished()], {"service.name": "agent"}, "1")
    read = json_of(ExportTraceServiceRequest.FromString(request_of(trace)))
    assert len(spans) == 5
    assert without_zero(read) == without_zero(json.loads(msgspec.json.encode(trace)))


def export(log, at, path=""):
    return thence("export", "--log", "agent", "--otlp", at.url + path, cwd=log.folder.parent)


@pytest.mark.promise("A4d")
def test_without_the_package_nothing_is_sent_and_what_to_install_is_named(log):
    words = ("export", "--log", "agent", "--otlp")
    with collector() as at:
        refused = in_python(WITHOUT, *words, at.url, cwd=log.folder.parent)
    assert (refused.code, at.requests) == (1, [])
    assert is_three_lines(refused.err)
    assert "pip install 'thence[otel]'" in " ".join(refused.err.split())


@pytest.mark.promise("A4d")
def test_answers_in_protobuf_are_read(log):
    partial = ExportTracePartialSuccess(rejected_spans=2, error_message="too old")
    answer = ExportTraceServiceResponse(partial_success=partial).SerializeToString()
    # a google.rpc.Status: 1 its code, 2 its message
    status = b"\x08\x03\x12\x0dno such token"
    with collector() as at:
        at.answers.append((200, PROTOBUF, answer))
        ended = export(log, at, "/otlp/traces")
        at.answers.append((400, PROTOBUF, status))
        refused = export(log, at)
        at.answers.append((200, PROTOBUF, b"\xff\xff"))
        spoilt = export(log, at)
    assert "rejected 2 spans: too old" in ended.err
    assert f"4 spans sent to {at.url}/otlp/traces" in ended.err
    assert [path for path, _, _ in at.requests] == ["/otlp/traces", "/v1/traces", "/v1/traces"]
    assert "it answered 400: no such token" in " ".join(refused.err.split())
    assert (spoilt.code, "6 spans sent" in spoilt.err) == (0, True)
