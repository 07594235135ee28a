"""The spans of this process that logs hold, and what a log records of a tracer's span.

Needs the extra `otel`.
"""

import sys
import weakref
from collections import OrderedDict
from collections.abc import Mapping
from contextvars import ContextVar
from functools import lru_cache
from threading import RLock
from types import FrameType
from typing import Any, NamedTuple

from thence.core.json_values import Repair, text_of
from thence.core.sentences.spans import STREAM, agent_of, first_text, message_of
from thence.errors import needs_extra
from thence.log.causes import SpanScope, Words, owning_generator_frame, watch_spans
from thence.trace.causes.model_calls import SpanKey, and_ancestors
from thence.trace.causes.steps import is_cancellation

with needs_extra("otel", "thence.otel"):
    from opentelemetry import context as otel_context
    from opentelemetry.context import Context
    from opentelemetry.sdk.trace import ReadableSpan
    from opentelemetry.trace import Link, SpanContext, StatusCode, get_current_span

# of the spans that began last; an older one is no cause any more
SPANS_MAX = 100_000
TYPE_CHARACTERS_MAX = 150
_LANGCHAIN = "openinference.instrumentation.langchain"


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
        """Returns the current span, or the nearest around it: of another provider, unsampled.

        LangChain's instrumentor keeps a current span of its own. It counts where OpenTelemetry has
        none, or one that is around it.
        """
        span, scope = get_current_span(), None
        context = span.get_span_context()
        if context.is_valid and not context.is_remote:
            scope = self.of(context) or self.of(getattr(span, "parent", None))
            if scope is None:
                last = begun_here.get()
                scope = last if last is not None and last.key[0] == context.trace_id else None
        langchain = sys.modules.get(_LANGCHAIN)
        own = None if langchain is None else langchain.get_current_span()
        inner = None if own is None else self.of(own.get_span_context())
        if inner is None or scope is None:
            return inner or scope
        return inner if scope.key in and_ancestors(inner.key, self.parent_of) else scope

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
begun_here: ContextVar[SpanScope | None] = ContextVar("thence_span", default=None)
SPANS = SpanTable()
watch_spans(SPANS)


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
    span: "weakref.ref[ReadableSpan]"

    def now(self) -> tuple[str | None, str | None]:
        """Returns the agent and the stream of the span as its attributes are now."""
        span = self.span()
        attributes = (span.attributes if span is not None else None) or {}
        agent = agent_of(attributes, None if span is None else span.name)
        return agent or self.agent, first_text(attributes, STREAM) or self.words[2]


def attributes_of(span: ReadableSpan) -> dict[str, Any]:
    """Returns a span's attributes as they are now."""
    attributes: Any = span.attributes
    return attributes.copy() if hasattr(attributes, "copy") else dict(attributes or {})


def key_of(context: SpanContext | None) -> SpanKey:
    """Returns the ids of a span, zeros for no span."""
    return (0, 0) if context is None else (context.trace_id, context.span_id)


def link_facts(link: Link) -> dict[str, Any]:
    """Returns what a payload holds of a link: one to no known span, or with attributes."""
    context, attributes = link.context, dict(link.attributes or {})
    ids = {"trace_id": f"{context.trace_id:032x}", "span_id": f"{context.span_id:016x}"}
    return {**ids, "attributes": attributes} if attributes else ids


def token_of(parent: SpanContext | None) -> str:
    """Returns what `thence.carry` put into the headers that named a parent, "" for nothing."""
    if parent is None or not parent.is_remote:
        return ""
    value = parent.trace_state.get("thence")
    return f"thence={value}" if value else ""


def type_of(raw: object) -> tuple[str, tuple[Repair, ...]]:
    """Returns a span's name as the first part of an event's type, and what was changed of it.

    Types that begin with `log.` are the log's own.
    """
    if isinstance(raw, str) and (usual := _usual_type(raw)):
        return usual, ()
    text = text_of(raw)
    name = "".join(character if character.isprintable() else " " for character in text)
    name = name[:TYPE_CHARACTERS_MAX].strip() or "span"
    if f"{name}.".startswith("log."):
        name = f"span {name}"
    if isinstance(raw, str):
        return name, ()
    return name, ({"path": "event_type", "was": f"a name of type {type(raw).__name__}"},)


@lru_cache(maxsize=1_024)
def _usual_type(raw: str) -> str:
    """Returns a span's name as it is, but for spaces around; "" for one that must be changed."""
    usual = raw.strip() if raw.isprintable() and len(raw) <= TYPE_CHARACTERS_MAX else ""
    return "" if f"{usual}.".startswith("log.") else usual


def changed(since: Mapping[str, Any], before: Mapping[str, Any]) -> dict[str, Any]:
    """Returns the attributes that a span has at its end and had otherwise when it began."""
    changed = {}
    for name, value in since.items():
        old = before.get(name, before)
        if value is not old and (type(value) is not type(old) or value != old):
            changed[name] = value
    return changed


def outcome_of(
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
        message = text_of(message_of(span.status.description or "", last, kind))
        message = message or (text_of(error) if is_late else "")
        return "failed", {"error_type": kind, "error_message": message}
    if error is not None and is_cancellation(error):
        reason = text_of(error)
        return "cancelled", {"reason": reason} if reason else {}
    return "ended", {}


def frame_of_caller(frame: FrameType | None) -> FrameType | None:
    """Returns the frame of the generator that begins a span, None outside of any."""
    while frame is not None and frame.f_globals.get("__name__", "").startswith("opentelemetry."):
        frame = frame.f_back
    return owning_generator_frame(frame)


def is_in_loop() -> bool:
    """Reports whether an event loop of asyncio runs in this thread."""
    asyncio = sys.modules.get("asyncio")
    return asyncio is not None and asyncio._get_running_loop() is not None
