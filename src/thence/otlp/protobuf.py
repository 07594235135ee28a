"""The protobuf form of OTLP, built field by field from its JSON form.

The JSON form has ids in hex and integers of 64 bits as text; protobuf has bytes and numbers. Needs
the package `opentelemetry-proto`, of the extra `otel`.
"""

from typing import Any

from google.protobuf.message import DecodeError
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTracePartialSuccess,
    ExportTraceServiceRequest,
    ExportTraceServiceResponse,
)
from opentelemetry.proto.common.v1.common_pb2 import AnyValue, ArrayValue, KeyValue
from opentelemetry.proto.trace.v1.trace_pb2 import ResourceSpans, ScopeSpans, Span, Status

__all__ = ["DecodeError", "message_of", "partial_success_of", "request_of"]

Json = dict[str, Any]


def request_of(trace: Json) -> bytes:
    """Returns a batch, as `trace_of` makes it, as the body of a request."""
    request = ExportTraceServiceRequest()
    request.resource_spans.extend(map(_resource_spans, trace["resourceSpans"]))
    body: bytes = request.SerializeToString()
    return body


def partial_success_of(answer: bytes) -> tuple[int, str]:
    """Returns how many spans an endpoint rejected, and what it said; raises DecodeError."""
    partial = ExportTraceServiceResponse.FromString(answer).partial_success
    return partial.rejected_spans, partial.error_message


def message_of(answer: bytes) -> str:
    """Returns the message of an error, a google.rpc.Status; raises DecodeError.

    Its fields have the numbers and types of a partial success: 1 a number, 2 the message.
    """
    message: str = ExportTracePartialSuccess.FromString(answer).error_message
    return message


def _resource_spans(group: Json) -> ResourceSpans:
    message = ResourceSpans()
    message.resource.attributes.extend(_pairs(group["resource"]))
    for scoped in group["scopeSpans"]:
        scope = ScopeSpans(spans=map(_span, scoped["spans"]))
        scope.scope.name, scope.scope.version = scoped["scope"]["name"], scoped["scope"]["version"]
        message.scope_spans.append(scope)
    return message


def _span(span: Json) -> Span:
    events = [
        Span.Event(
            time_unix_nano=int(event["timeUnixNano"]), name=event["name"], attributes=_pairs(event)
        )
        for event in span["events"]
    ]
    message = Span(
        trace_id=bytes.fromhex(span["traceId"]),
        span_id=bytes.fromhex(span["spanId"]),
        parent_span_id=bytes.fromhex(span.get("parentSpanId", "")),
        name=span["name"],
        kind=span["kind"],
        start_time_unix_nano=int(span["startTimeUnixNano"]),
        end_time_unix_nano=int(span["endTimeUnixNano"]),
        attributes=_pairs(span),
        events=events,
        links=map(_link, span["links"]),
    )
    if "status" in span:
        status = span["status"]
        message.status.CopyFrom(Status(code=status["code"], message=status["message"]))
    return message


def _link(link: Json) -> Span.Link:
    trace_id, span_id = bytes.fromhex(link["traceId"]), bytes.fromhex(link["spanId"])
    return Span.Link(trace_id=trace_id, span_id=span_id, attributes=_pairs(link))


def _pairs(holder: Json) -> list[KeyValue]:
    return [
        KeyValue(key=pair["key"], value=_value(pair["value"]))
        for pair in holder.get("attributes", ())
    ]


def _value(value: Json) -> AnyValue:
    match next(iter(value.items()), None):
        case ("stringValue", text):
            return AnyValue(string_value=text)
        case ("boolValue", truth):
            return AnyValue(bool_value=truth)
        case ("intValue", number):
            return AnyValue(int_value=int(number))
        case ("doubleValue", number):
            return AnyValue(double_value=number)
        case ("arrayValue", array):
            return AnyValue(array_value=ArrayValue(values=map(_value, array["values"])))
    return AnyValue()
