"""Spans of OpenTelemetry as steps of a log: what a tracer loses in a kill is there.

An exporter sends a span when it has ended; of a process that is killed it sends nothing that was in
flight. Here a span is a begun step when it starts, and a cause of what happens inside it. Needs
the extra `otel`.
"""

import sys
import weakref
from collections import OrderedDict
from contextlib import nullcontext
from threading import RLock
from types import FrameType
from typing import TYPE_CHECKING, Any

from msgspec import structs

from thence.core.event import Event
from thence.core.json_values import repair, text_of
from thence.core.new_event import HostEvent, PassedCause
from thence.core.sentences.spans import STREAM, agent_of, first_text, said_again
from thence.errors import EventTooLarge, InvalidEvent, WriterClosed, needs_extra
from thence.log.causes import (
    CauseScope,
    SpanScope,
    Words,
    current_causes,
    current_passed,
    current_step,
    record,
    remember_end,
    span_around,
)
from thence.log.files.disk import process_id
from thence.log.files.process_state import stays_here
from thence.log.write.drafting import warn
from thence.trace.causes.losses import Losses
from thence.trace.causes.model_calls import ModelCalls, SpanFacts, SpanKey
from thence.trace.causes.propagation import TRACESTATE, carried
from thence.trace.causes.spans import (
    SPANS,
    SPANS_MAX,
    BegunSpan,
    attributes_of,
    begun_here,
    changed,
    frame_of_caller,
    is_in_loop,
    key_of,
    link_facts,
    outcome_of,
    token_of,
    type_of,
)
from thence.trace.causes.steps import MESSAGE_CHARACTERS_MAX

with needs_extra("otel", "thence.otel"):
    from opentelemetry.context import Context
    from opentelemetry.sdk.trace import ReadableSpan, Span
    from opentelemetry.sdk.trace import SpanProcessor as SdkSpanProcessor
    from opentelemetry.trace import SpanContext, SpanKind

if TYPE_CHECKING:
    from thence.log.open import Log

__all__ = ["SpanProcessor"]

# behind so many parents that the log does not hold none is looked up: it is a foreign tracer's
MISSED_MAX = 50
REASON_CHARACTERS_MAX = 500
# what an event of a span says where the log refuses its payload
_OF_SPAN = frozenset(
    (
        *("kind", "trace_id", "span_id", "parent_span_id", "links", "duration_s"),
        *("error_type", "error_message", "reason"),
    )
)
_KINDS = {kind: kind.name.lower() for kind in SpanKind}
_SERVICE = "service.name"


class SpanProcessor(SdkSpanProcessor):
    """Records each span that starts and ends: `<name>.begun`, `.ended`, `.failed`, `.cancelled`.

    `provider.add_span_processor(thence.otel.SpanProcessor(log))`. The payload has `trace_id` and
    `span_id` in hex, `kind`, `scope`, `resource`, and the span's `attributes` under their own
    names, such as `gen_ai.*`; the end has those that came since, its `events` and `duration_s`.
    The actor is the agent, or the service, the stream is the conversation or session.

    A span is caused by its parent, its links and what is around it; a tool's by the end of the
    model call that asked for it, as far as `gen_ai.*` say so. A failure is caused by those of the
    spans that its error has left before. What is appended inside a span has its begin as cause. A
    parent in another process is looked up in the log; one that sent the headers of `thence.carry`
    is named with its log.

    A value that JSON has no form for, as NaN or an integer of more than 64 bits, is recorded as its
    text and named in `repairs`; where the log refuses a payload, the event is recorded without.

    A span's begin is durable before its body runs. In a running event loop it is written, so that
    a kill keeps it, and synced soon after. With `durable=True` it is durable there too,
    with `durable=False` all is queued. It never raises: what could not be recorded is counted in
    `dropped`, and reported once.
    """

    __reduce__ = stays_here

    def __init__(self, log: "Log", *, durable: bool | None = None) -> None:
        self._log = log
        self._durable = durable
        self._lock = RLock()
        self._open: OrderedDict[SpanKey, BegunSpan] = OrderedDict()
        self._calls = ModelCalls(SPANS.parent_of)
        self._facts: tuple[object, object, dict[str, Any]] = (None, None, {})
        self._losses = Losses(log)
        self._missed = 0  # remote parents in a row that the log does not hold

    @property
    def dropped(self) -> int:
        """The number of begins and ends that could not be recorded."""
        return self._losses.count

    def on_start(self, span: Span, parent_context: Context | None = None) -> None:
        """Records the start of a span."""
        try:
            self._begin(span, frame_of_caller(sys._getframe(1)))
        except Exception as error:  # boundary: a tracer must not stop the program that it watches
            self._drop(span, error)

    def on_end(self, span: ReadableSpan) -> None:
        """Records the end of a span."""
        try:
            self._end(span)
        except Exception as error:  # boundary: a tracer must not stop the program that it watches
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
        except Exception as error:  # boundary: a tracer must not stop the program that it watches
            warn("spans_not_flushed", {"error": error})
            return False
        return True

    def _begin(self, span: Span, frame: FrameType | None) -> None:
        key, parent = key_of(span.get_span_context()), span.parent
        parent_key = None if parent is None else key_of(parent)
        before = SPANS.of(parent) or self._looked_up(parent)
        links = [(link, SPANS.of(link.context)) for link in span.links if link.context]
        attributes = attributes_of(span)
        payload: dict[str, Any] = {
            "attributes": attributes,
            "kind": _KINDS.get(span.kind) or text_of(span.kind),
            "trace_id": f"{key[0]:032x}",
            "span_id": f"{key[1]:016x}",
        }
        if parent is not None and (before is None or self._is_elsewhere(before)):
            payload["parent_span_id"] = f"{parent.span_id:016x}"
        if kept := [link for link, scope in links if scope is None or link.attributes]:
            payload["links"] = list(map(link_facts, kept))
        payload |= self._origin(span)
        agent, stream = agent_of(attributes, span.name), first_text(attributes, STREAM)
        outer_span = self._open.get(parent_key) if parent_key is not None else None
        if outer_span is not None and (agent is None or stream is None):
            # many tracers set them once the span has begun
            outer_agent, outer_stream = outer_span.now()
            agent, stream = agent or outer_agent, stream or outer_stream
        step = current_step()
        subject, by = step.words[:2] if step is not None and step.log is self._log else (None, None)
        actor = agent or by or text_of(self._origin(span).get("resource", {}).get(_SERVICE, ""))
        words: Words = (subject, actor or None, stream)
        scopes = [scope for scope in (before, *(scope for _, scope in links)) if scope is not None]
        ids = [scope.begin_id for scope in scopes]
        facts = SpanFacts(key, parent_key, span.name, attributes)
        with self._lock:
            asked = self._calls.asked(facts)
        ids += asked.causes
        passed = [one.cause for one in scopes if one.cause and self._is_elsewhere(one)]
        members = {"caused_by": ids, "begins": True, "inferred_causes": asked.inferred}
        new = self._new(span, "begun", payload, words, **members)
        outer = span_around()
        token, block = token_of(parent), None
        if passed and not token:  # causes in other logs are named with these
            block = CauseScope(current_causes(), passed=(*passed, *current_passed()))
        try:
            with carried({TRACESTATE: token}) if token else nullcontext():
                event = self._appended(new)
        finally:
            if block is not None:
                block.leave()
        trace = (payload["trace_id"], "")
        begin_id, log_id = event.event_id, self._log.log_id
        cause = PassedCause(begin_id, event.lamport_clock, log_id) if log_id else None
        scope = SpanScope(key, begin_id, cause, trace, parent_key, outer, frame, words[1])
        opened = BegunSpan(
            scope, attributes, words, agent, sys.exception(), process_id(), weakref.ref(span)
        )
        SPANS.add(scope)
        begun_here.set(scope)
        with self._lock:
            self._calls.begin(facts, begin_id)
            self._open[key] = opened
            if len(self._open) > SPANS_MAX:
                self._open.popitem(last=False)

    def _end(self, span: ReadableSpan) -> None:
        key = key_of(span.get_span_context())
        with self._lock:
            opened = self._open.pop(key, None)
        if opened is not None and opened.process != process_id():
            return  # the process that this one was forked from ends it
        since = attributes_of(span)
        before = {} if opened is None else opened.attributes
        error = sys.exception()
        error = None if opened is None or error is opened.error else error
        outcome, payload = outcome_of(span, since, error)
        payload["span_id"] = f"{key[1]:016x}"
        if said := said_again(since) | changed(since, before):
            payload["attributes"] = said
        events: list[dict[str, Any]] = [
            {"name": e.name, "attributes": dict(e.attributes or {}), "time_unix_nano": e.timestamp}
            for e in span.events
        ]
        if events:
            payload["events"] = events
        if span.end_time is not None and span.start_time is not None:
            payload["duration_s"] = (span.end_time - span.start_time) // 1_000 / 1_000_000
        scope = SPANS.of(span.get_span_context()) if opened is None else opened.scope
        begin_id = None if scope is None else scope.begin_id
        parent = None if scope is None else scope.parent
        words: Words = (None, None, None) if opened is None else opened.words
        words = (
            words[0],
            agent_of(since, span.name) or words[1],
            first_text(since, STREAM) or words[2],
        )
        # what runs at the end need not be around the span: where no begin is held the parent is
        around = SPANS.of(span.parent) if scope is None else scope
        begins = () if around is None else (around.begin_id,)
        messages = tuple([(one["name"], one["attributes"]) for one in events])
        facts = SpanFacts(key, parent, span.name, since, messages)
        with self._lock:
            asked = self._calls.asked_late(facts, begin_id)
        causes = (*begins, *asked.causes)
        members = {"inferred_causes": asked.inferred, "ends": begin_id, "is_alone": True}
        new = self._new(span, outcome, payload, words, caused_by=causes, **members)
        try:
            event = self._appended(new)
        finally:
            if scope is not None:
                scope.end()
        if error is not None and (log_id := self._log.log_id):
            end = PassedCause(event.event_id, event.lamport_clock, log_id)
            remember_end(error, error.__traceback__, end)
        with self._lock:
            self._calls.end(facts, event.event_id)

    def _origin(self, span: ReadableSpan) -> dict[str, Any]:
        """Returns what the tracer's provider and its instrumentation say of themselves."""
        resource, scope = span.resource, span.instrumentation_scope
        of, in_scope, facts = self._facts
        if resource is not of or scope is not in_scope:
            of_resource = {
                name: value
                for name, value in resource.attributes.items()
                if not name.startswith("telemetry.sdk.")
                and not (name == _SERVICE and str(value).startswith("unknown_service"))
            }
            facts = {"resource": of_resource} if of_resource else {}
            if scope is not None and scope.name:
                facts["scope"] = scope.name
            self._facts = (resource, scope, facts)
        return facts

    def _looked_up(self, parent: SpanContext | None) -> SpanScope | None:
        """Returns a span of another process, by what the log holds of it."""
        if parent is None or not parent.is_remote or token_of(parent) or self._missed > MISSED_MAX:
            return None
        event = self._log.span_begin(f"{parent.trace_id:032x}", f"{parent.span_id:016x}")
        self._missed = 0 if event is not None else self._missed + 1
        if event is None:
            return None
        trace = (f"{parent.trace_id:032x}", "")
        scope = SpanScope(key_of(parent), event.event_id, self._log.handed_on(event), trace)
        scope.end()  # it is around nothing here
        SPANS.add(scope)
        return scope

    def _is_elsewhere(self, scope: SpanScope) -> bool:
        """Reports whether a span's begin lies in another log."""
        return scope.cause is not None and scope.cause.log_id != self._log.log_id

    def _new(
        self,
        span: ReadableSpan,
        outcome: str,
        payload: dict[str, Any],
        words: Words,
        **members: Any,
    ) -> HostEvent:
        """Returns an event of a span."""
        name, repairs = type_of(span.name)
        if repairs:
            members["members"] = {"repairs": repairs}
        return HostEvent(f"{name}.{outcome}", payload, *words, **members)

    def _appended(self, new: HostEvent) -> Event:
        """Appends an event of a span, with what JSON has no form for as text.

        Where the log refuses its payload, it is appended without.
        """
        try:
            return self._recorded(new)
        except InvalidEvent:
            payload, repairs = repair(new.payload, "payload", self._log.plain)
            listed = (*(new.members or {}).get("repairs", ()), *repairs)
            return self._cut(structs.replace(new, payload=payload, members={"repairs": listed}))
        except EventTooLarge:
            return self._cut(new)

    def _cut(self, new: HostEvent) -> Event:
        """Appends an event of a span that was refused, the second time without its payload."""
        try:
            return self._recorded(new)
        except (EventTooLarge, InvalidEvent) as error:
            kept = {
                key: value[:MESSAGE_CHARACTERS_MAX] if isinstance(value, str) else value
                for key, value in (new.payload or {}).items()
                if key in _OF_SPAN
            }
            was = f"a payload that the log refused: {error.cause}"[:REASON_CHARACTERS_MAX]
            listed = {"repairs": ({"path": "payload", "was": text_of(was)},)}
            return self._recorded(structs.replace(new, payload=kept, members=listed))

    def _recorded(self, new: HostEvent) -> Event:
        if self._durable is None and is_in_loop():
            return self._log._host_append((new,), is_synced=False)[0]
        return record(self._log, new, self._durable is not False)

    def _drop(self, span: ReadableSpan, error: Exception) -> None:
        self._losses.add(error)
        if self.dropped == 1:
            warn("span_dropped", {"name": text_of(span.name), "error": error})
