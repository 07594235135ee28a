"""Spans of OpenTelemetry as steps of a log: what a tracer loses in a kill is there.

An exporter sends a span when it has ended; of a process that is killed it sends nothing that was in
flight. Here a span is a begun step when it starts, and a cause of what happens inside it. Needs
the extra `otel`.
"""

import sys
from collections import OrderedDict
from collections.abc import Mapping
from contextvars import ContextVar
from threading import RLock
from types import FrameType
from typing import TYPE_CHECKING, Any, NamedTuple

from msgspec import structs

from thence.core.event import Event
from thence.core.json_values import Repair, repair, text_of
from thence.core.new_event import HostEvent, PassedCause
from thence.core.sentences.spans import AGENT, STREAM, first_text, said_again
from thence.errors import EventTooLarge, InvalidEvent, WriterClosed, needs_extra
from thence.log.causes import (
    CauseScope,
    SpanScope,
    Words,
    current_causes,
    current_passed,
    current_step,
    generator_around,
    record,
    remember_end,
    span_around,
    watch_spans,
)
from thence.log.files.disk import process_id
from thence.log.files.process_state import stays_here
from thence.log.write.drafting import warn
from thence.trace.causes.losses import Losses
from thence.trace.causes.model_calls import ModelCalls, SpanKey
from thence.trace.causes.propagation import TRACESTATE, carried
from thence.trace.causes.steps import MESSAGE_CHARACTERS_MAX, is_cancellation

with needs_extra("otel", "thence.otel"):
    from opentelemetry import context as otel_context
    from opentelemetry.context import Context
    from opentelemetry.sdk.trace import ReadableSpan, Span
    from opentelemetry.sdk.trace import SpanProcessor as SdkSpanProcessor
    from opentelemetry.trace import Link, SpanContext, SpanKind, StatusCode, get_current_span

if TYPE_CHECKING:
    from thence.log.open import Log

__all__ = ["SpanProcessor"]

# of the spans that began last; an older one is no cause any more
SPANS_MAX = 100_000
# behind so many parents that the log does not hold none is looked up: it is a foreign tracer's
MISSED_MAX = 50
TYPE_CHARACTERS_MAX = 150
REASON_CHARACTERS_MAX = 500
# what an event of a span says where the log refuses its payload
_OF_SPAN = frozenset(
    (
        *("kind", "trace_id", "span_id", "parent_span_id", "links", "duration_s"),
        *("error_type", "error_message", "reason"),
    )
)
_KINDS = {kind: kind.name.lower() for kind in SpanKind}
_KIND, _SERVICE = "openinference.span.kind", "service.name"


class SpanTable:
    """The spans of this process that some log holds, by their ids: the last 100,000 that began."""

    def __init__(self) -> None:
        self._lock = RLock()
        self._scopes: OrderedDict[SpanKey, SpanScope] = OrderedDict()

    def add(self, scope: SpanScope) -> None:
        """Takes a span; of a span in two logs the first one that took it stays."""
        with self._lock:
            self._scopes.setdefault(scope.key, scope)
            if len(self._scopes) > SPANS_MAX:
                self._scopes.popitem(last=False)

    def of(self, context: SpanContext | None) -> SpanScope | None:
        """Returns the span of some ids, None for one that no log of this process holds."""
        return None if context is None else self._scopes.get((context.trace_id, context.span_id))

    def parent_of(self, key: SpanKey) -> SpanKey | None:
        """Returns the ids of a span's parent, None where they are not known."""
        scope = self._scopes.get(key)
        return None if scope is None else scope.parent

    def current(self) -> SpanScope | None:
        """Returns the current span, or the nearest around it: of another provider, unsampled."""
        span = get_current_span()
        context = span.get_span_context()
        if not context.is_valid or context.is_remote:
            return None
        scope = self.of(context) or self.of(getattr(span, "parent", None))
        if scope is None:
            last = _begun_here.get()
            scope = last if last is not None and last.key[0] == context.trace_id else None
        return scope

    def context(self) -> object:
        """Returns OpenTelemetry's context."""
        return otel_context.get_current()

    def attach(self, context: object) -> object:
        """Makes a context the current one, None for an empty one."""
        return otel_context.attach(context if isinstance(context, Context) else Context())

    def detach(self, token: Any) -> None:
        """Makes the context current again that was before."""
        otel_context.detach(token)


# the last span that was begun in a context: around an unknown one of the same trace
_begun_here: ContextVar[SpanScope | None] = ContextVar("thence_span", default=None)
_SPANS = SpanTable()
watch_spans(_SPANS)


class BegunSpan(NamedTuple):
    """A span that has begun: what its end is compared with, and what spans inside it inherit.

    `words` are its subject, actor and stream, `error` is what was handled when it began.
    """

    scope: SpanScope
    attributes: Mapping[str, Any]
    words: Words
    agent: str | None
    error: BaseException | None
    process: int


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
        self._calls = ModelCalls(_SPANS.parent_of)
        self._resource: tuple[object, dict[str, Any]] = (None, {})
        self._losses = Losses(log)
        self._missed = 0  # remote parents in a row that the log does not hold

    @property
    def dropped(self) -> int:
        """The number of begins and ends that could not be recorded."""
        return self._losses.count

    def on_start(self, span: Span, parent_context: Context | None = None) -> None:
        """Records the start of a span."""
        try:
            self._begin(span, _caller(sys._getframe(1)))
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

    def _begin(self, span: Span, frame: FrameType | None) -> None:
        key, parent = _key(span.get_span_context()), span.parent
        parent_key = None if parent is None else _key(parent)
        before = _SPANS.of(parent) or self._looked_up(parent)
        links = [(link, _SPANS.of(link.context)) for link in span.links if link.context]
        attributes = _attributes(span)
        payload: dict[str, Any] = {
            "attributes": attributes,
            "kind": _KINDS.get(span.kind) or text_of(span.kind),
            "trace_id": f"{key[0]:032x}",
            "span_id": f"{key[1]:016x}",
        }
        if parent is not None and (before is None or self._is_elsewhere(before)):
            payload["parent_span_id"] = f"{parent.span_id:016x}"
        if kept := [link for link, scope in links if scope is None or link.attributes]:
            payload["links"] = list(map(_link, kept))
        payload |= self._origin(span)
        words, agent = self._words(span, attributes, parent_key)
        scopes = [scope for scope in (before, *(scope for _, scope in links)) if scope is not None]
        ids = [scope.begin_id for scope in scopes]
        ids += self._calls.asker(key, parent_key, attributes)
        passed = [one.cause for one in scopes if one.cause and self._is_elsewhere(one)]
        new = self._new(span, "begun", payload, words, caused_by=ids, begins=True)
        outer = span_around()
        event = self._under(_token(parent), passed, new)
        trace = (payload["trace_id"], "")
        begin_id, log_id = event.event_id, self._log.log_id
        cause = PassedCause(begin_id, event.lamport_clock, log_id) if log_id else None
        scope = SpanScope(key, begin_id, cause, trace, parent_key, outer, frame)
        opened = BegunSpan(scope, attributes, words, agent, sys.exception(), process_id())
        _SPANS.add(scope)
        _begun_here.set(scope)
        with self._lock:
            self._calls.begin(key, parent_key, span.name, attributes, begin_id)
            self._open[key] = opened
            if len(self._open) > SPANS_MAX:
                self._open.popitem(last=False)

    def _under(self, token: str, passed: list[PassedCause], new: HostEvent) -> Event:
        """Appends the begin of a span; causes in other logs are named with these."""
        if token:
            with carried({TRACESTATE: token}):
                return self._appended(new)
        if not passed:
            return self._appended(new)
        block = CauseScope(current_causes(), passed=(*passed, *current_passed()))
        try:
            return self._appended(new)
        finally:
            block.leave()

    def _end(self, span: ReadableSpan) -> None:
        key = _key(span.get_span_context())
        with self._lock:
            opened = self._open.pop(key, None)
        if opened is not None and opened.process != process_id():
            return  # the process that this one was forked from ends it
        since = _attributes(span)
        before = {} if opened is None else opened.attributes
        error = sys.exception()
        error = None if opened is None or error is opened.error else error
        outcome, payload = _outcome(span, since, error)
        payload["span_id"] = f"{key[1]:016x}"
        if said := said_again(since) | _changed(since, before):
            payload["attributes"] = said
        if events := [
            {"name": e.name, "attributes": dict(e.attributes or {}), "time_unix_nano": e.timestamp}
            for e in span.events
        ]:
            payload["events"] = events
        if span.end_time is not None and span.start_time is not None:
            payload["duration_s"] = (span.end_time - span.start_time) // 1_000 / 1_000_000
        scope = _SPANS.of(span.get_span_context()) if opened is None else opened.scope
        begin_id = None if scope is None else scope.begin_id
        parent = None if scope is None else scope.parent
        words: Words = (None, None, None) if opened is None else opened.words
        words = (
            words[0],
            first_text(since, AGENT) or words[1],
            first_text(since, STREAM) or words[2],
        )
        begins = () if begin_id is None else (begin_id,)
        causes = (*begins, *self._calls.before_end(key, parent, since, begin_id))
        members = {"caused_by": causes, "ends": begin_id, "is_alone": bool(begins)}
        new = self._new(span, outcome, payload, words, **members)
        try:
            event = self._appended(new)
        finally:
            if scope is not None:
                scope.end()
        if error is not None and (log_id := self._log.log_id):
            end = PassedCause(event.event_id, event.lamport_clock, log_id)
            remember_end(error, error.__traceback__, end)
        with self._lock:
            self._calls.end(key, parent, span.name, since, event.event_id)

    def _words(
        self, span: Span, attributes: Mapping[str, Any], parent: SpanKey | None
    ) -> tuple[Words, str | None]:
        """Returns subject, actor and stream of a span that begins, and the agent whose it is."""
        outer = self._open.get(parent) if parent is not None else None
        step = current_step()
        subject, by, _ = (None, None, None)
        if step is not None and step.log is self._log:
            subject, by, _ = step.words
        agent = first_text(attributes, AGENT)
        if agent is None and attributes.get(_KIND) == "AGENT" and isinstance(span.name, str):
            agent = span.name
        if agent is None and outer is not None:
            agent = outer.agent
        stream = first_text(attributes, STREAM)
        if stream is None and outer is not None:
            stream = outer.words[2]
        actor = agent or by or text_of(self._origin(span).get("resource", {}).get(_SERVICE, ""))
        return (subject, actor or None, stream), agent

    def _origin(self, span: ReadableSpan) -> dict[str, Any]:
        """Returns what the tracer's provider and its instrumentation say of themselves."""
        resource, facts = self._resource
        if span.resource is not resource:
            of_resource = {
                name: value
                for name, value in span.resource.attributes.items()
                if not name.startswith("telemetry.sdk.")
                and not (name == _SERVICE and str(value).startswith("unknown_service"))
            }
            facts = {"resource": of_resource} if of_resource else {}
            self._resource = (span.resource, facts)
        scope = span.instrumentation_scope
        return {**facts, "scope": scope.name} if scope is not None and scope.name else facts

    def _looked_up(self, parent: SpanContext | None) -> SpanScope | None:
        """Returns a span of another process, by what the log holds of it."""
        if parent is None or not parent.is_remote or _token(parent) or self._missed > MISSED_MAX:
            return None
        event = self._log.span_begin(f"{parent.trace_id:032x}", f"{parent.span_id:016x}")
        self._missed = 0 if event is not None else self._missed + 1
        if event is None:
            return None
        trace = (f"{parent.trace_id:032x}", "")
        scope = SpanScope(_key(parent), event.event_id, self._log.handed_on(event), trace)
        scope.end()  # it is around nothing here
        _SPANS.add(scope)
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
        name, repairs = _type(span.name)
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
        if self._durable is None and _is_in_loop():
            return self._log._host_append((new,), is_synced=False)[0]
        return record(self._log, new, self._durable is not False)

    def _drop(self, span: ReadableSpan, error: Exception) -> None:
        self._losses.add(error)
        if self.dropped == 1:
            warn("span_dropped", {"name": text_of(span.name), "error": error})


def _attributes(span: ReadableSpan) -> dict[str, Any]:
    """Returns a span's attributes as they are now."""
    attributes: Any = span.attributes
    return attributes.copy() if hasattr(attributes, "copy") else dict(attributes or {})


def _key(context: SpanContext | None) -> SpanKey:
    return (0, 0) if context is None else (context.trace_id, context.span_id)


def _caller(frame: FrameType | None) -> FrameType | None:
    """Returns the frame of the generator that begins a span, None outside of any."""
    while frame is not None and frame.f_globals.get("__name__", "").startswith("opentelemetry."):
        frame = frame.f_back
    return generator_around(frame)


def _is_in_loop() -> bool:
    """Reports whether an event loop of asyncio runs in this thread."""
    asyncio = sys.modules.get("asyncio")
    return asyncio is not None and asyncio._get_running_loop() is not None


def _link(link: Link) -> dict[str, Any]:
    """Returns what a payload holds of a link: one to no known span, or with attributes."""
    context, attributes = link.context, dict(link.attributes or {})
    ids = {"trace_id": f"{context.trace_id:032x}", "span_id": f"{context.span_id:016x}"}
    return {**ids, "attributes": attributes} if attributes else ids


def _token(parent: SpanContext | None) -> str:
    """Returns what `thence.carry` put into the headers that named a parent, "" for nothing."""
    if parent is None or not parent.is_remote:
        return ""
    value = parent.trace_state.get("thence")
    return f"thence={value}" if value else ""


def _type(raw: object) -> tuple[str, tuple[Repair, ...]]:
    """Returns a span's name as the first part of an event's type, and what was changed of it.

    Types that begin with `log.` are the log's own.
    """
    if isinstance(raw, str) and raw.isprintable() and len(raw) <= TYPE_CHARACTERS_MAX:
        usual = raw.strip()
        if usual and not f"{usual}.".startswith("log."):
            return usual, ()
    text = text_of(raw)
    name = "".join(character if character.isprintable() else " " for character in text)
    name = name[:TYPE_CHARACTERS_MAX].strip() or "span"
    if f"{name}.".startswith("log."):
        name = f"span {name}"
    if isinstance(raw, str):
        return name, ()
    return name, ({"path": "event_type", "was": f"a name of type {type(raw).__name__}"},)


def _changed(since: Mapping[str, Any], before: Mapping[str, Any]) -> dict[str, Any]:
    """Returns the attributes that a span has at its end and had otherwise when it began."""
    changed = {}
    for name, value in since.items():
        old = before.get(name, before)
        if value is not old and (type(value) is not type(old) or value != old):
            changed[name] = value
    return changed


def _outcome(
    span: ReadableSpan, since: Mapping[str, Any], error: BaseException | None
) -> tuple[str, dict[str, Any]]:
    """Returns how a span ended, and why; `error` is what is handled at its end and began inside.

    Tracers give a span that was cancelled no status, nor one that timed out where they were told
    not to. Other errors that are handled at its end may be the end of what it reads.
    """
    exceptions = [one.attributes or {} for one in span.events if one.name == "exception"]
    last = exceptions[-1] if exceptions else {}
    is_late = isinstance(error, TimeoutError)
    if span.status.status_code is StatusCode.ERROR or is_late:
        kind = since.get("error.type") or last.get("exception.type")
        kind = text_of(kind or (type(error).__name__ if is_late else "error"))
        message = text_of(span.status.description or last.get("exception.message") or "")
        message = message or (text_of(error) if is_late else "")
        short = kind.rpartition(".")[2]
        return "failed", {"error_type": kind, "error_message": message.removeprefix(f"{short}: ")}
    if error is not None and is_cancellation(error):
        reason = text_of(error)
        return "cancelled", {"reason": reason} if reason else {}
    return "ended", {}
