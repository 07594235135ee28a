"""What attributes of spans say of causes that no parent names: who asked for a tool, who read it.

A model's answer asks for tools by ids, which the tools' spans repeat, and the next request holds
their answers under these ids. The names are those of OpenTelemetry's conventions for generative
AI; tools whose spans have no id are tied to nothing. Ids repeat: a test model gives the same in
each run. So they count within a trace, among the spans below one parent, and the newest does.
"""

from collections import OrderedDict
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from typing import Any, NamedTuple

import msgspec

from thence.core.ready import ready

CALLS_MAX = 10_000
_DEPTH_MAX = 1_000
_SAME_NAME_MAX = 100
_CALL_ID = "gen_ai.tool.call.id"
_ANSWER, _REQUEST = "gen_ai.output.messages", "gen_ai.input.messages"
_HANDED_OVER_BY = "graph.node.parent_id"
# attributes of spans that may hand over
_KINDS = (("openinference.span.kind", "AGENT"), ("gen_ai.operation.name", "invoke_agent"))

# the ids of a trace and of a span in it
SpanKey = tuple[int, int]


class _Part(msgspec.Struct):
    type: str = ""
    id: Any = None


class _Message(msgspec.Struct):
    role: str = ""
    parts: list[_Part] = []


_messages = msgspec.json.Decoder(ready(list[_Message])).decode


class _Named(NamedTuple):
    """An event of a span that has a name or an id for others, with the key of its parent."""

    event_id: str
    parent: SpanKey | None


class _Newest:
    """The newest events under each name within a trace; the names used last are kept."""

    def __init__(self) -> None:
        self._events: OrderedDict[tuple[int, str], list[_Named]] = OrderedDict()

    def add(self, trace_id: int, name: str, event: _Named) -> None:
        events = self._events.setdefault((trace_id, name), [])
        events.append(event)
        del events[:-_SAME_NAME_MAX]
        self._events.move_to_end((trace_id, name))
        if len(self._events) > CALLS_MAX:
            self._events.popitem(last=False)

    def under(self, trace_id: int, name: str) -> Iterator[_Named]:
        """Yields the events of a name, the newest first."""
        yield from reversed(self._events.get((trace_id, name), ()))


class ModelCalls:
    """The model calls, tools and agents of traces, as far as their spans name each other.

    `parent_of` returns the key of a span's parent, None where it is not known.
    """

    def __init__(self, parent_of: Callable[[SpanKey], SpanKey | None]) -> None:
        self._parent_of = parent_of
        self._askers, self._tools, self._names = _Newest(), _Newest(), _Newest()

    def asker(
        self, key: SpanKey, parent: SpanKey | None, attributes: Mapping[str, Any]
    ) -> tuple[str, ...]:
        """Returns the end of the model call that asked for a tool, whose span begins."""
        call_id = attributes.get(_CALL_ID)
        if not isinstance(call_id, str) or parent is None:
            return ()
        around = self._and_ancestors(parent)
        for end in self._askers.under(key[0], call_id):
            if end.parent in around:
                return (end.event_id,)
        return ()

    def begin(
        self,
        key: SpanKey,
        parent: SpanKey | None,
        name: str,
        attributes: Mapping[str, Any],
        event_id: str,
    ) -> None:
        """Notes the event that began a span, of an agent."""
        if any(attributes.get(of) == kind for of, kind in _KINDS):
            self._names.add(key[0], name, _Named(event_id, parent))

    def before_end(
        self,
        key: SpanKey,
        parent: SpanKey | None,
        attributes: Mapping[str, Any],
        begin_id: str | None,
    ) -> tuple[str, ...]:
        """Returns the ends of tools that a model call has read, or the agent that handed over."""
        causes: list[str] = []
        for call_id in _ids(attributes.get(_REQUEST), "tool_call_response"):
            for end in self._tools.under(key[0], call_id):
                if end.parent is not None and parent in self._and_ancestors(end.parent):
                    causes.append(end.event_id)
                    break
        by = attributes.get(_HANDED_OVER_BY)
        if isinstance(by, str):
            events = (one for one in self._names.under(key[0], by) if one.parent == parent)
            causes += [one.event_id for one in events if one.event_id != begin_id][:1]
        return tuple(causes)

    def end(
        self,
        key: SpanKey,
        parent: SpanKey | None,
        name: str,
        attributes: Mapping[str, Any],
        event_id: str,
    ) -> None:
        """Notes what a span that has ended says, and the event that ended it."""
        end = _Named(event_id, parent)
        for call_id in _ids(attributes.get(_ANSWER), "tool_call"):
            self._askers.add(key[0], call_id, end)
        answers = attributes.get(_CALL_ID)
        if isinstance(answers, str):
            self._tools.add(key[0], answers, end)
        self.begin(key, parent, name, attributes, event_id)

    def _and_ancestors(self, key: SpanKey) -> set[SpanKey]:
        """Returns a span with those around it that are known."""
        keys: set[SpanKey] = set()
        above: SpanKey | None = key
        while above is not None and above not in keys and len(keys) < _DEPTH_MAX:
            keys.add(above)
            above = self._parent_of(above)
        return keys


def _ids(text: Any, kind: str) -> list[str]:
    """Returns the ids of a kind of part in messages, behind the last one of the assistant.

    Of an answer, which is the assistant's, all count.
    """
    if not isinstance(text, str) or kind not in text:
        return []
    ids: list[str] = []
    with suppress(msgspec.MsgspecError, ValueError, RecursionError):
        for message in _messages(text):
            if kind == "tool_call_response" and message.role == "assistant":
                ids.clear()
            ids += [
                part.id for part in message.parts if part.type == kind and isinstance(part.id, str)
            ]
    return list(dict.fromkeys(ids))
