"""The protobuf form of OTLP, built field by field from its JSON form.

JSON has ids in hex and integers of 64 bits as text, protobuf bytes and numbers; all else is the
same under other names. Needs the package `opentelemetry-proto`, of the extra `otel`.
"""

import re
from functools import cache
from typing import Any

from google.protobuf.message import DecodeError
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTracePartialSuccess,
    ExportTraceServiceRequest,
    ExportTraceServiceResponse,
)

__all__ = ["DecodeError", "message_of", "partial_success_of", "request_of"]

_IDS = frozenset(("traceId", "spanId", "parentSpanId"))
_NUMBERS = frozenset(("startTimeUnixNano", "endTimeUnixNano", "timeUnixNano", "intValue"))
_CAPITAL = re.compile("([A-Z])")


def request_of(trace: dict[str, Any]) -> bytes:
    """Returns a batch, as `trace_of` makes it, as the body of a request."""
    body: bytes = ExportTraceServiceRequest(**_fields(trace)).SerializeToString()
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


def _fields(message: dict[str, Any]) -> dict[str, Any]:
    """Returns the members of a message as the fields of protobuf, which refuses an unknown one."""
    fields: dict[str, Any] = {}
    for key, value in message.items():
        if key in _IDS:
            value = bytes.fromhex(value)
        elif key in _NUMBERS:
            value = int(value)
        elif isinstance(value, dict):
            value = _fields(value)
        elif isinstance(value, list):
            value = [_fields(one) for one in value]
        fields[_field_name(key)] = value
    return fields


@cache
def _field_name(key: str) -> str:
    return _CAPITAL.sub(r"_\1", key).lower()
