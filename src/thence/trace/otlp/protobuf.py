"""The protobuf form of OTLP, to and from its JSON form.

Protobuf's own JSON differs in ids alone: bytes in base64, which OTLP has in hex. Needs the package
`opentelemetry-proto`, of the extra `otel`.
"""

import base64
from collections.abc import Callable

import msgspec
from google.protobuf.json_format import MessageToDict, ParseDict
from google.protobuf.message import DecodeError
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTracePartialSuccess,
    ExportTraceServiceRequest,
    ExportTraceServiceResponse,
)

from thence.trace.otlp.encoding import Json

__all__ = ["DecodeError", "document_of", "message_of", "partial_success_of", "request_of"]

_IDS = frozenset(("traceId", "spanId", "parentSpanId"))


def request_of(trace: Json) -> bytes:
    """Returns a batch, as `trace_of` makes it, as the body of a request."""
    request: Json = msgspec.json.decode(msgspec.json.encode(trace))  # a copy
    _recode(request, lambda text: base64.b64encode(bytes.fromhex(text)).decode())
    body: bytes = ParseDict(request, ExportTraceServiceRequest()).SerializeToString()
    return body


def document_of(body: bytes) -> Json:
    """Returns a request in protobuf as OTLP/JSON has it; raises DecodeError."""
    message = ExportTraceServiceRequest.FromString(body)
    document: Json = MessageToDict(message, use_integers_for_enums=True)
    _recode(document, lambda text: base64.b64decode(text).hex())
    return document


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


def _recode(request: Json, change: Callable[[str], str]) -> None:
    """Changes the ids of a request in place."""
    for group in request.get("resourceSpans", ()):
        for scoped in group.get("scopeSpans", ()):
            for span in scoped.get("spans", ()):
                for ids in (span, *span.get("links", ())):
                    for name in _IDS.intersection(ids):
                        ids[name] = change(ids[name])
