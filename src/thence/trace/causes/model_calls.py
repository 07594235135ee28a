"""What spans say of causes that no parent names: who asked for a tool, who read its answer.

A model's answer asks for tools by ids, which the tools' spans repeat, and the next request holds
their answers under these ids. Ids repeat: a test model gives the same in each run. So they count
within a trace: the newest call below a span that is around the tool, else the only one. A tool
without an id is tied by its name and arguments, if the open calls of one model call alone fit;
that is a conclusion.

Messages are read from attributes and from a span's events: those of OpenTelemetry's conventions for
generative AI, old and new, of OpenInference, and what Bedrock, Anthropic and LangChain put there.
"""

import ast
import re
from collections import OrderedDict, defaultdict
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from typing import TYPE_CHECKING, Any, NamedTuple

import msgspec

from thence.core.event import Event
from thence.core.query.why import Why
from thence.core.sentences.spans import (
    ANSWER,
    ARGUMENTS,
    CALL_ID,
    REQUEST,
    SPAN_SIGN,
    arguments_of,
    called_in,
    calls_in,
    first,
    from_json,
    is_model_answer,
    is_of_model_call,
    is_of_tool,
    maps_in,
    tool_of,
)

if TYPE_CHECKING:
    from thence.log.log_reader import Reader

CALLS_MAX = 10_000
_DEPTH_MAX = 1_000
_SAME_NAME_MAX = 100
# the tools nearest to an event whose model calls are looked for
_TOOLS_MAX = 3
# JSON that may hold the id of the call that a tool answers
_ANSWERS = ("output.value", "traceloop.entity.output")
_HANDED_OVER_BY = "graph.node.parent_id"
# attributes of spans that may hand over
_KINDS = (("openinference.span.kind", "AGENT"), ("gen_ai.operation.name", "invoke_agent"))
# attributes that hold a message in pieces
_PIECE = re.compile(
    r"llm\.output_messages\.(?P<at>\d+\.message\.tool_calls\.\d+)\.tool_call\."
    r"(?:function\.)?(?P<what>id|name|arguments)"
    r"|gen_ai\.completion\.(?P<old>\d+\.tool_calls\.\d+)\.(?P<part>id|name|arguments)"
)
_READ = re.compile(r"llm\.input_messages\.(?P<at>\d+)\.message\.(?P<what>role|tool_call_id)")
# span events that hold what a model was told and answered
_CHOICE, _FORMER_ANSWER = "gen_ai.choice", "gen_ai.assistant.message"
_TOLD = ("gen_ai.tool.message", "gen_ai.user.message")
_encode = msgspec.json.Encoder(order="sorted").encode

# the ids of a trace and of a span in it
SpanKey = tuple[int, int]


class SpanFacts(NamedTuple):
    """A span as it is now; `events` are the names and attributes of its span events."""

    key: SpanKey
    parent: SpanKey | None
    name: str
    attributes: Mapping[str, Any]
    events: tuple[tuple[str, Mapping[str, Any]], ...] = ()


class Asked(NamedTuple):
    """The ids of events that a span's event is caused by, and of those that is concluded of."""

    causes: tuple[str, ...] = ()
    inferred: tuple[str, ...] = ()


_NOTHING = Asked()


class _Named(NamedTuple):
    """An event of a span that has a name or an id for others, with the key of its parent.

    `call` is what the id stands for: the name of a tool with its arguments.
    """

    event_id: str
    parent: SpanKey | None
    call: str = ""


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

    def remove(self, trace_id: int, name: str, event_id: str) -> None:
        events = self._events.get((trace_id, name), [])
        place = next((at for at, one in enumerate(events) if one.event_id == event_id), None)
        if place is not None:
            del events[place]

    def under(self, trace_id: int, name: str) -> Iterator[_Named]:
        """Yields the events of a name, the newest first."""
        yield from reversed(self._events.get((trace_id, name), ()))

    def fitting(
        self,
        trace_id: int,
        name: str,
        is_near: Callable[[_Named], bool],
        is_earlier: Callable[[_Named], bool] = lambda event: True,
    ) -> list[_Named]:
        """Returns the newest event that is near, else the only one of the trace, in a list."""
        if (trace_id, name) not in self._events:
            return []
        events = list(filter(is_earlier, self.under(trace_id, name)))
        near = list(filter(is_near, events))
        if not near and len({one.event_id for one in events}) == 1:
            near = events
        return near[:1]


class ModelCalls:
    """The model calls, tools and agents of traces, as far as their spans name each other.

    `parent_of` returns the key of a span's parent, None where it is not known. Of each span
    `asked` or `asked_late` are called before its events are appended, `begin` and `end` after.
    """

    def __init__(self, parent_of: Callable[[SpanKey], SpanKey | None]) -> None:
        self._parent_of = parent_of
        self._askers, self._tools, self._names = _Newest(), _Newest(), _Newest()
        # by name and arguments the calls that no tool has taken
        self._open = _Newest()
        # the tools whose id, or name with arguments, was known at their begin
        self._sought: OrderedDict[SpanKey, None] = OrderedDict()

    def asked(self, span: SpanFacts, begin_id: str | None = None) -> Asked:
        """Returns the end of the model call that asked for a tool, whose span begins.

        With a `begin_id` the span has begun by that event, and only earlier ones count.
        """
        if span.parent is None or not is_of_tool(span.attributes):
            return _NOTHING
        trace_id = span.key[0]
        call_id = _call_id(span.attributes)
        arguments = None if call_id else first(span.attributes, ARGUMENTS)
        call = ""
        if arguments is not None:
            call = _call(tool_of(span.attributes, span.name), arguments)
        if not call_id and not call:
            return _NOTHING
        self._sought[span.key] = None
        if len(self._sought) > CALLS_MAX:
            self._sought.popitem(last=False)

        def is_earlier(end: _Named) -> bool:
            return begin_id is None or end.event_id < begin_id

        def is_around(end: _Named) -> bool:
            return end.parent in and_ancestors(span.parent or span.key, self._parent_of)

        certain: list[_Named] = []
        inferred: list[_Named] = []
        if call_id:
            certain = self._askers.fitting(trace_id, call_id, is_around, is_earlier)
        else:
            inferred = self._open.fitting(trace_id, call, lambda end: False, is_earlier)
        for end in (*certain, *inferred):
            self._open.remove(trace_id, end.call, end.event_id)
        return Asked(*(tuple(end.event_id for end in ends) for ends in (certain, inferred)))

    def begin(self, span: SpanFacts, event_id: str) -> None:
        """Notes the event that began a span, of an agent."""
        for of, kind in _KINDS:
            if span.attributes.get(of) == kind:
                self._names.add(span.key[0], span.name, _Named(event_id, span.parent))
                return

    def asked_late(self, span: SpanFacts, begin_id: str | None) -> Asked:
        """Returns the causes of a span's end beside the event that began it.

        They are the model call that asked for a tool, if only now the span says so, the ends of
        tools that a model call has read, or the agent that handed over.
        """
        asked = _NOTHING
        if is_of_tool(span.attributes):
            if span.key not in self._sought:
                asked = self.asked(span, begin_id)
        elif is_of_model_call(span.attributes):

            def is_below(end: _Named) -> bool:
                return end.parent is not None and span.parent in and_ancestors(
                    end.parent, self._parent_of
                )

            read = [
                end.event_id
                for call_id in read_calls(span)
                for end in self._tools.fitting(span.key[0], call_id, is_below)
            ]
            asked = Asked(tuple(read))
        by = span.attributes.get(_HANDED_OVER_BY)
        if not isinstance(by, str):
            return asked
        same = (one for one in self._names.under(span.key[0], by) if one.parent == span.parent)
        givers = [one.event_id for one in same if one.event_id != begin_id][:1]
        return Asked((*asked.causes, *givers), asked.inferred)

    def end(self, span: SpanFacts, event_id: str) -> None:
        """Notes what a span that has ended says, and the event that ended it."""
        end, trace_id = _Named(event_id, span.parent), span.key[0]
        if is_of_tool(span.attributes):
            if answers := _call_id(span.attributes):
                self._tools.add(trace_id, answers, end)
        elif is_of_model_call(span.attributes):
            for call_id, call in wanted_calls(span):
                end = _Named(event_id, span.parent, call)
                if call_id:
                    self._askers.add(trace_id, call_id, end)
                self._open.add(trace_id, call, end)
        self.begin(span, event_id)


class AskedCall(NamedTuple):
    """A tool's last event, the one that ended the model call that asked; `words` introduce it."""

    tool: Event
    call: Event
    is_inferred: bool
    words: str


def asked_calls(log: "Reader", answer: Why) -> Iterator[AskedCall]:
    """Yields the model calls that asked for tools of a chain, where they are no causes in it."""
    chain = {event.event_id for event in answer.chain}
    tools = [event for event in answer.chain if event.begins and SPAN_SIGN in event.line]
    for begin in tools[-_TOOLS_MAX:]:
        effects = (answer.event, *(event for event, _ in log.effects(begin).cone))
        end = next((event for event in effects if event.ends == begin.event_id), begin)
        causes = {*begin.caused_by, *end.caused_by}
        inferred = {*begin.header.inferred_causes, *end.header.inferred_causes}
        for event_id in sorted((causes | inferred) - chain):
            call = log.held([event_id]).events.get(event_id)
            if call is not None and is_model_answer(call):
                is_sure, only = event_id in causes, f"the only call that asked for {called_in(end)}"
                yield AskedCall(end, call, not is_sure, "asked by" if is_sure else only)


def and_ancestors(key: SpanKey, parent_of: Callable[[SpanKey], SpanKey | None]) -> set[SpanKey]:
    """Returns a span with those around it that are known."""
    keys: set[SpanKey] = set()
    above: SpanKey | None = key
    while above is not None and above not in keys and len(keys) < _DEPTH_MAX:
        keys.add(above)
        above = parent_of(above)
    return keys


def _call_id(attributes: Mapping[str, Any]) -> str:
    """Returns the id of the call that a tool answers, "" where its span has none."""
    call_id = attributes.get(CALL_ID[0]) or first(attributes, CALL_ID)
    if isinstance(call_id, str):
        return "" if call_id.startswith("<") else call_id  # ADK's "<not specified>"
    for name in _ANSWERS:
        text = attributes.get(name)
        if isinstance(text, str) and "tool_call_id" in text and (ids := _answered(from_json(text))):
            return ids[0]
    return ""


def _call(name: object, arguments: Any) -> str:
    """Returns a name with arguments in one form, as models and tools write them."""
    value = from_json(arguments)
    if isinstance(value, str) and value.startswith("{"):
        with suppress(ValueError, SyntaxError, MemoryError, RecursionError):
            value = ast.literal_eval(value)  # as LangChain writes them
    by_name = arguments_of(value)[1] if isinstance(value, Mapping) else value
    with suppress(TypeError, ValueError, OverflowError, RecursionError):
        return f"{name} {_encode(by_name or {}).decode()}"
    return ""


def wanted_calls(span: SpanFacts) -> Iterator[tuple[str, str]]:
    """Yields the calls that a model's answer asks for: the id, the name with its arguments."""
    pieces: dict[str, dict[str, Any]] = defaultdict(dict)
    for key, value in span.attributes.items():
        if piece := _PIECE.fullmatch(key):
            pieces[piece["at"] or piece["old"]][piece["what"] or piece["part"]] = value
    calls = [*pieces.values()]
    texts = [span.attributes.get(ANSWER)]
    for name, attributes in span.events:
        texts.append(attributes.get(ANSWER))
        if name == _CHOICE:
            texts += attributes.values()
    for text in texts:
        calls += calls_in(from_json(text))
    seen = set()
    for call in calls:
        call_id = call.get("id")
        fits = str(call_id or ""), _call(call.get("name"), call.get("arguments"))
        if fits not in seen or not call_id:
            seen.add(fits)
            yield fits


def read_calls(span: SpanFacts) -> list[str]:
    """Returns the ids of the tools' answers in a request, behind the assistant's last message."""
    messages: dict[int, dict[str, Any]] = defaultdict(dict)
    for key, value in span.attributes.items():
        if piece := _READ.fullmatch(key):
            messages[int(piece["at"])][piece["what"]] = value
    requests = [
        [messages[at] for at in sorted(messages)],
        from_json(span.attributes.get(REQUEST)),
    ]
    told: list[Any] = []
    for name, attributes in span.events:
        requests.append(from_json(attributes.get(REQUEST)))
        if name in _TOLD:
            told.append({"tool_call_id": attributes.get("id")})
            told += map(from_json, attributes.values())
        elif name == _FORMER_ANSWER:
            told.append({"role": "assistant"})
    ids: list[str] = []
    for request in (*requests, told):
        since: list[Any] = []
        for message in request if isinstance(request, list) else ():
            is_models = isinstance(message, Mapping) and message.get("role") == "assistant"
            since = [] if is_models else [*since, message]
        ids += _answered(since)
    return list(dict.fromkeys(ids))


def _answered(value: Any) -> list[str]:
    """Returns the ids of calls whose answers are in messages."""
    ids: list[Any] = []
    for part in maps_in(value):
        bedrock = part.get("toolResult")
        if isinstance(bedrock, Mapping):
            ids.append(bedrock.get("toolUseId"))
        elif part.get("type") == "tool_call_response":
            ids.append(part.get("id"))
        else:
            ids += [part.get("tool_call_id"), part.get("tool_use_id")]
    return [one for one in ids if one and isinstance(one, str)]
