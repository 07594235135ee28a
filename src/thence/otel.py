"""Spans of OpenTelemetry as steps of a log: what a tracer loses in a kill is there.

An exporter sends a span when it has ended; of a process that is killed it sends nothing that was in
flight. Here a span is a begun step when it starts. Needs the extra `otel`.
"""

from collections import OrderedDict
from collections.abc import Mapping
from threading import Lock
from typing import TYPE_CHECKING, Any

from thence.core.event import Event
from thence.core.values.new_event import NewEvent
from thence.errors import WriterClosed, needs_extra
from thence.log.storage.process_state import stays_here
from thence.log.write.drafting import warn
from thence.propagation import TRACESTATE, carried

with needs_extra("otel", "thence.otel"):
    from opentelemetry.context import Context
    from opentelemetry.sdk.trace import ReadableSpan, Span
    from opentelemetry.sdk.trace import SpanProcessor as SdkSpanProcessor
    from opentelemetry.trace import SpanContext, SpanKind, StatusCode

if TYPE_CHECKING:
    from thence.replica import Log

__all__ = ["SpanProcessor"]

# of the spans that began last; the end of an older one names no begin
SPANS_MAX = 100_000
TYPE_CHARACTERS_MAX = 150


class SpanProcessor(SdkSpanProcessor):
    """Records each span that starts and ends, as `<name>.begun` and `.ended` or `.failed`.

    `provider.add_span_processor(thence.otel.SpanProcessor(log))`. The payload has `trace_id` and
    `span_id` in hex, `kind`, and the span's `attributes` under their own names, such as `gen_ai.*`;
    the end has those that came since, its `events`, `status` and `duration_s`. A span is caused by
    its parent, its links and what is around it; a parent in another process that sent the headers
    of `thence.carry` is named with its log.

    With `durable` a span's begin is durable before its body runs; without, both are queued. It
    never raises: what could not be recorded is counted in `dropped`, and reported once.
    """

    __reduce__ = stays_here

    def __init__(self, log: "Log", *, durable: bool = True) -> None:
        self._log = log
        self._is_durable = durable
        self._lock = Lock()
        self._begins: OrderedDict[tuple[int, int], Event] = OrderedDict()
        self.dropped = 0

    def on_start(self, span: Span, parent_context: Context | None = None) -> None:
        """Records the start of a span."""
        try:
            self._begin(span)
        except Exception as error:  # door: a tracer must not stop the program that it watches
            self._drop(span, error)

    def on_end(self, span: ReadableSpan) -> None:
        """Records the end of a span."""
        try:
            self._end(span)
        except Exception as error:  # door: a tracer must not stop the program that it watches
            self._drop(span, error)

    def shutdown(self) -> None:
        """Waits until what was queued is durable; the log stays open."""
        self.force_flush()

    def force_flush(self, timeout_millis: int = 30_000) -> bool:
        """Waits until what was queued is durable; reports whether it is."""
        try:
            self._log.flush(timeout_millis / 1_000)
        except WriterClosed:  # closing it wrote all
            return True
        except Exception as error:  # door: a tracer must not stop the program that it watches
            warn("spans_not_flushed", {"error": error})
            return False
        return True

    def _begin(self, span: Span) -> None:
        context = span.get_span_context()
        parent, links = span.parent, [link.context for link in span.links]
        causes = [begin.event_id for begin in map(self._begin_of, (parent, *links)) if begin]
        payload: dict[str, Any] = {
            "attributes": _attributes(span.attributes),
            "kind": SpanKind(span.kind).name.lower(),
            "trace_id": f"{context.trace_id:032x}",
            "span_id": f"{context.span_id:016x}",
        }
        outside = [other for other in links if other and not self._begin_of(other)]
        if parent is not None and not self._begin_of(parent):
            payload["parent_span_id"] = f"{parent.span_id:016x}"
        if outside:
            payload["links"] = [
                {"trace_id": f"{one.trace_id:032x}", "span_id": f"{one.span_id:016x}"}
                for one in outside
            ]
        new = NewEvent(f"{_type(span)}.begun", payload, caused_by=causes, begins=True)
        state = (
            parent.trace_state.get("thence") if parent is not None and parent.is_remote else None
        )
        if state:
            with carried({TRACESTATE: f"thence={state}"}):
                event = self._appended(new)
        else:
            event = self._appended(new)
        with self._lock:
            self._begins[context.trace_id, context.span_id] = event
            if len(self._begins) > SPANS_MAX:
                self._begins.popitem(last=False)

    def _end(self, span: ReadableSpan) -> None:
        begin = self._begin_of(span.get_span_context())
        is_failed = span.status.status_code is StatusCode.ERROR
        payload: dict[str, Any] = {}
        before = begin.payload["attributes"] if begin else {}
        since = _attributes(span.attributes)
        if changed := {key: value for key, value in since.items() if before.get(key) != value}:
            payload["attributes"] = changed
        if events := [
            {
                "name": one.name,
                "attributes": _attributes(one.attributes),
                "time_unix_nano": one.timestamp,
            }
            for one in span.events
        ]:
            payload["events"] = events
        if is_failed:
            payload["error_type"] = str(since.get("error.type") or _exception(span) or "error")
            payload["error_message"] = span.status.description or ""
        if span.end_time is not None and span.start_time is not None:
            payload["duration_s"] = (span.end_time - span.start_time) // 1_000 / 1_000_000
        new = NewEvent(
            f"{_type(span)}.{'failed' if is_failed else 'ended'}",
            payload,
            caused_by=None if begin is None else begin.event_id,
            ends=None if begin is None else begin.event_id,
        )
        self._appended(new)

    def _appended(self, new: NewEvent) -> Event:
        event = None if self._is_durable else self._log.emit_event(new)
        return self._log.append_event(new) if event is None else event

    def _begin_of(self, context: SpanContext | None) -> Event | None:
        """Returns the event that began a span of this process, if it is known."""
        if context is None:
            return None
        with self._lock:
            return self._begins.get((context.trace_id, context.span_id))

    def _drop(self, span: ReadableSpan, error: Exception) -> None:
        self.dropped += 1
        if self.dropped == 1:
            warn("span_dropped", {"name": span.name, "error": error})


def _type(span: ReadableSpan) -> str:
    """Returns a span's name as the first part of an event's type."""
    name = "".join(character if character.isprintable() else " " for character in span.name)
    return name[:TYPE_CHARACTERS_MAX].strip() or "span"


def _attributes(attributes: Mapping[str, Any] | None) -> dict[str, Any]:
    return {
        str(key): list(value) if isinstance(value, tuple) else value
        for key, value in (attributes or {}).items()
    }


def _exception(span: ReadableSpan) -> Any:
    """Returns the type of the last exception that was recorded on a span."""
    types = [(one.attributes or {}).get("exception.type") for one in span.events]
    return next((kind for kind in reversed(types) if kind), None)
