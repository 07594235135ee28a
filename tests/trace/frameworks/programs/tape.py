"""Keeps what a tracer sends to a span processor, in its order, line by line: a kill loses none."""

import json
import os
import time
from pathlib import Path
from typing import Any

from opentelemetry.sdk.trace import ReadableSpan, Span, SpanProcessor
from opentelemetry.trace import SpanContext


def _of(context: SpanContext | None) -> dict[str, Any] | None:
    if context is None:
        return None
    entry: dict[str, Any] = {
        "trace_id": f"{context.trace_id:032x}",
        "span_id": f"{context.span_id:016x}",
    }
    if context.is_remote:
        entry["is_remote"] = True
    if state := context.trace_state.to_header() if context.trace_state else "":
        entry["trace_state"] = state
    return entry


class Tape(SpanProcessor):
    """Writes spans-<process>.jsonl in the working folder."""

    def on_start(self, span: Span, parent_context: object = None) -> None:
        self._write(
            at="start",
            name=span.name,
            span=_of(span.get_span_context()),
            parent=_of(span.parent),
            kind=span.kind.name,
            scope=span.instrumentation_scope and span.instrumentation_scope.name,
            service=span.resource.attributes.get("service.name"),
            links=[_of(link.context) for link in span.links],
            attributes=dict(span.attributes or {}),
        )

    def on_end(self, span: ReadableSpan) -> None:
        self._write(
            at="end",
            name=span.name,
            span=_of(span.get_span_context()),
            attributes=dict(span.attributes or {}),
            events=[
                {"name": one.name, "attributes": dict(one.attributes or {})} for one in span.events
            ],
            status=[span.status.status_code.name, span.status.description],
        )

    def _write(self, **entry: Any) -> None:
        line = json.dumps({"time": time.time_ns(), **entry}, default=repr) + "\n"
        with Path(f"spans-{os.getpid()}.jsonl").open("a") as file:
            file.write(line)  # the interpreter's buffer is gone at the end of the block
