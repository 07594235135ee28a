"""Spans of OpenTelemetry as steps of a log: what a tracer loses in a kill is there.

An exporter sends a span when it has ended; of a process that is killed it sends nothing that was in
flight. Here a span is a begun step when it starts. Needs the extra `otel`.
"""

from collections import OrderedDict
from collections.abc import Mapping
from threading import Lock
from typing import TYPE_CHECKING, Any

from msgspec import structs

from thence.core.event import Event
from thence.core.json_values import Repair, repair, text_of
from thence.core.new_event import HostEvent
from thence.errors import EventTooLarge, InvalidEvent, ThenceError, WriterClosed, needs_extra
from thence.log.files.process_state import stays_here
from thence.log.write.drafting import warn
from thence.tracing.context import record
from thence.tracing.propagation import TRACESTATE, carried

with needs_extra("otel", "thence.otel"):
    from opentelemetry.context import Context
    from opentelemetry.sdk.trace import ReadableSpan, Span
    from opentelemetry.sdk.trace import SpanProcessor as SdkSpanProcessor
    from opentelemetry.trace import SpanContext, StatusCode

if TYPE_CHECKING:
    from thence.open_log.log import Log

__all__ = ["SpanProcessor"]

# of the spans that began last; the end of an older one names no begin
SPANS_MAX = 100_000
TYPE_CHARACTERS_MAX = 150
REASON_CHARACTERS_MAX = 500
# what an event of a span says without the values of its program
_OF_SPAN = frozenset(("kind", "trace_id", "span_id", "parent_span_id", "links", "duration_s"))


class SpanProcessor(SdkSpanProcessor):
    """Records each span that starts and ends, as `<name>.begun` and `.ended` or `.failed`.

    `provider.add_span_processor(thence.otel.SpanProcessor(log))`. The payload has `trace_id` and
    `span_id` in hex, `kind`, and the span's `attributes` under their own names, such as `gen_ai.*`;
    the end has those that came since, its `events`, `status` and `duration_s`. A span is caused by
    its parent, its links and what is around it; a parent in another process that sent the headers
    of `thence.carry` is named with its log.

    A value that JSON has no form for, as NaN or an integer of more than 64 bits, is recorded as its
    text and named in `repairs`; where the log refuses a payload, the event is recorded without.

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
            "attributes": dict(span.attributes or {}),
            "kind": text_of(getattr(span.kind, "name", span.kind)).lower(),
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
        new = self._new(span, "begun", payload, caused_by=causes, begins=True)
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
        since = dict(span.attributes or {})
        if changed := _changed(since, begin):
            payload["attributes"] = changed
        if events := [
            {
                "name": one.name,
                "attributes": dict(one.attributes or {}),
                "time_unix_nano": one.timestamp,
            }
            for one in span.events
        ]:
            payload["events"] = events
        if is_failed:
            payload["error_type"] = text_of(since.get("error.type") or _exception(span) or "error")
            payload["error_message"] = text_of(span.status.description or "")
        if span.end_time is not None and span.start_time is not None:
            payload["duration_s"] = (span.end_time - span.start_time) // 1_000 / 1_000_000
        begin_id = None if begin is None else begin.event_id
        outcome = "failed" if is_failed else "ended"
        self._appended(self._new(span, outcome, payload, caused_by=begin_id, ends=begin_id))

    def _new(
        self, span: ReadableSpan, outcome: str, payload: dict[str, Any], **members: Any
    ) -> HostEvent:
        """Returns an event of a span, with what JSON has no form for as text."""
        payload, repairs = repair(payload, "payload", self._log.plain)
        name, renamed = _type(span)
        if listed := (*renamed, *repairs):
            members["members"] = {"repairs": listed}
        return HostEvent(f"{name}.{outcome}", payload, **members)

    def _appended(self, new: HostEvent) -> Event:
        """Appends an event of a span; without its payload, where the log refuses that."""
        try:
            return record(self._log, new, self._is_durable)
        except (EventTooLarge, InvalidEvent) as error:
            kept = {key: value for key, value in (new.payload or {}).items() if key in _OF_SPAN}
            was = f"a payload that the log refused: {error.cause}"[:REASON_CHARACTERS_MAX]
            listed = {"repairs": ({"path": "payload", "was": text_of(was)},)}
            new = structs.replace(new, payload=kept, members=listed)
            return record(self._log, new, self._is_durable)

    def _begin_of(self, context: SpanContext | None) -> Event | None:
        """Returns the event that began a span of this process, if it is known."""
        if context is None:
            return None
        with self._lock:
            return self._begins.get((context.trace_id, context.span_id))

    def _drop(self, span: ReadableSpan, error: Exception) -> None:
        self.dropped += 1
        if self.dropped == 1:
            warn("span_dropped", {"name": text_of(span.name), "error": error})


def _type(span: ReadableSpan) -> tuple[str, tuple[Repair, ...]]:
    """Returns a span's name as the first part of an event's type, and what was changed of it.

    Types that begin with `log.` are the log's own.
    """
    raw: object = span.name
    text = text_of(raw)
    name = "".join(character if character.isprintable() else " " for character in text)
    name = name[:TYPE_CHARACTERS_MAX].strip() or "span"
    if name.startswith("log."):
        name = f"span {name}"
    if isinstance(raw, str):
        return name, ()
    return name, ({"path": "event_type", "was": f"a name of type {type(raw).__name__}"},)


def _changed(since: Mapping[str, Any], begin: Event | None) -> dict[str, Any]:
    """Returns the attributes that a span has at its end and had otherwise when it began."""
    try:
        before = begin.payload.get("attributes", {}) if begin else {}
    except ThenceError:  # a large one of a queued begin is not in the log yet
        before = {}
    return {key: value for key, value in since.items() if repair(value)[0] != before.get(key)}


def _exception(span: ReadableSpan) -> Any:
    """Returns the type of the last exception that was recorded on a span."""
    types = [(one.attributes or {}).get("exception.type") for one in span.events]
    return next((kind for kind in reversed(types) if kind), None)
