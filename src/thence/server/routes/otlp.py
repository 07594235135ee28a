"""The routes by which exporters of OpenTelemetry send spans: OTLP over HTTP.

As https://opentelemetry.io/docs/specs/otlp/#otlphttp has it: protobuf or JSON, gzip or not. Logs
and metrics are answered as taken, with a message that none is kept: an exporter that was told to
send them does not try again and again.
"""

from typing import Any

import msgspec
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTracePartialSuccess,
    ExportTraceServiceResponse,
)
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from thence.errors import InvalidEvent
from thence.server.http.bodies import answered
from thence.server.routes.state import app_state
from thence.trace.otlp.protobuf import DecodeError, document_of
from thence.trace.otlp.receiving import BODY_BYTES_MAX, SpanIntake

_PROTOBUF, _JSON = "application/x-protobuf", "application/json"
_NOT_KEPT = "thence keeps only spans"


def routes_for(intake: SpanIntake) -> list[Route]:
    """Returns the routes /v1/traces, /v1/logs and /v1/metrics."""

    async def traces(request: Request) -> Response:
        form = _form(request)

        def take(body: bytes) -> Response:
            try:
                document: Any = (
                    document_of(body) if form == _PROTOBUF else msgspec.json.decode(body)
                )
            except (DecodeError, msgspec.MsgspecError, RecursionError, ValueError) as error:
                raise InvalidEvent("could not read spans", cause=error) from error
            refused, reason = intake.take(document)
            return _answer(form, refused, reason)

        return await answered(request, app_state(request).workers, take, BODY_BYTES_MAX)

    async def others(request: Request) -> Response:
        form = _form(request)
        told, workers = _answer(form, 0, _NOT_KEPT), app_state(request).workers
        return await answered(request, workers, lambda body: told, BODY_BYTES_MAX)

    return [
        Route("/v1/traces", traces, methods=["POST"]),
        Route("/v1/logs", others, methods=["POST"]),
        Route("/v1/metrics", others, methods=["POST"]),
    ]


def _form(request: Request) -> str:
    """Returns the form of a request; a page elsewhere can send text without asking first."""
    form = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if form not in (_PROTOBUF, _JSON):
        raise HTTPException(415, f"spans are sent as {_PROTOBUF} or {_JSON}")
    return form


def _answer(form: str, refused: int, reason: str) -> Response:
    """Returns the answer; that of logs and metrics has the same form, field by field."""
    if form == _JSON:
        partial = {"rejectedSpans": str(refused), "errorMessage": reason} if reason else None
        content = {"partialSuccess": partial} if partial else {}
        return Response(msgspec.json.encode(content), media_type=_JSON)
    message = ExportTraceServiceResponse()
    if reason:
        partial_success = ExportTracePartialSuccess(rejected_spans=refused, error_message=reason)
        message = ExportTraceServiceResponse(partial_success=partial_success)
    return Response(message.SerializeToString(), media_type=_PROTOBUF)
