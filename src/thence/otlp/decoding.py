"""Spans of OTLP/JSON as begins and ends of steps, each behind what caused it.

What a file holds is not trusted: what is no span is counted by its reason, and a parent or a link
that is neither in the file nor in the log stays in the payload as the ids that were given. The
origin of an event is `otlp` with `<trace id>:<span id>`, and `:end` behind it for an end.
"""

import json
from collections import Counter
from collections.abc import Iterable, Iterator
from heapq import heapify, heappop, heappush
from typing import Any, NamedTuple

import msgspec

from thence.core.clock import timestamp_at
from thence.core.event import Event
from thence.core.values.new_event import NewEvent
from thence.core.values.payload import TYPE_CHARACTERS_MAX, printable, repair
from thence.otlp.encoding import (
    BEGUN,
    BY_END,
    ENDED,
    EVENT_ID,
    INFERRED,
    KINDS,
    LOG_ID,
    OF_END,
    STATUS_ERROR,
    TIME_END_NS,
    UNFINISHED,
    WORDS,
    Json,
    ids_of,
    tracer_ids,
)

SOURCE = "otlp"
PAYLOAD_BYTES_MAX = 900_000
CAUSES_INFERRED_MAX = 32
_DEPTH_MAX = 32
_NAME_MAX = TYPE_CHARACTERS_MAX - 50
_OWN = frozenset((BEGUN, ENDED, UNFINISHED, *(f"thence.{word}" for word in WORDS)))
_CODES = (STATUS_ERROR, "STATUS_CODE_ERROR")


class Link(NamedTuple):
    """A cause beside the parent: which span, by its end, of the end, only concluded."""

    key: str
    by_end: bool
    of_end: bool
    is_inferred: bool


class ReadSpan(NamedTuple):
    """A span as it was read; without `end` it is a single event or has not ended."""

    key: str
    parent: str
    links: tuple[Link, ...]
    begun_ns: int
    ended_ns: int
    begin: NewEvent
    end: NewEvent | None


class SpanReader:
    """Reads spans, and counts in `refused` what it can't take, by the reason.

    `log_id` is that of the log which takes them: its own spans are there already.
    """

    def __init__(self, log_id: str | None) -> None:
        self._log_id = log_id
        self.refused: Counter[str] = Counter()
        self.own_count = 0

    def spans(self, data: bytes) -> dict[str, ReadSpan]:
        """Returns the spans of a file, by trace and span id: a trace a line, or one document."""
        documents = [
            value for line in data.splitlines() if line.strip() for value in self._of(line)
        ]
        if data.strip() and not any(isinstance(value, dict) for value in documents):
            whole = self._of(data)
            if isinstance(next(iter(whole), None), dict):
                self.refused.clear()
                documents = whole
        spans: dict[str, ReadSpan] = {}
        for document in documents:
            for raw, resource, scope in self._listed(document):
                span = self._span(raw, resource, scope)
                if isinstance(span, str):
                    self.refused[span] += 1
                elif span.key in spans:
                    self.refused["a span that is in the file twice"] += 1
                else:
                    spans[span.key] = span
        return spans

    def _of(self, line: bytes) -> list[Any]:
        try:
            return [json.loads(line)]  # takes NaN and halves of characters too, for `repair`
        except (ValueError, RecursionError):
            self.refused["a line that is no JSON"] += 1
            return []

    def _listed(self, document: Any) -> Iterator[tuple[Any, Json, str]]:
        """Yields what stands where spans are, with its resource and its scope's name."""
        if not isinstance(document, dict) or "resourceSpans" not in document:
            self.refused["a line without resourceSpans"] += 1
            return
        for group in self._maps(document["resourceSpans"]):
            resource = self._attributes(_map(group.get("resource")).get("attributes"))
            spans = [
                (span, _text(_map(scoped.get("scope")).get("name")))
                for scoped in self._maps(group.get("scopeSpans"))
                for span in _items(scoped.get("spans"))
            ]
            if self._log_id is not None and resource.get(LOG_ID) == self._log_id:
                self.own_count += len(spans)
                continue
            for span, scope in spans:
                yield span, resource, scope

    def _maps(self, values: Any) -> Iterator[Json]:
        for value in _items(values):
            if isinstance(value, dict):
                yield value
            else:
                self.refused["a group of spans that is no map"] += 1

    def _span(self, raw: Any, resource: Json, scope: str) -> ReadSpan | str:
        """Returns a span, or why it is none."""
        if not isinstance(raw, dict):
            return "a span that is no map"
        key = _key(raw)
        begun_ns, ended_ns = _ns(raw.get("startTimeUnixNano")), _ns(raw.get("endTimeUnixNano"))
        if not key:
            return "a span without ids in hex"
        if not begun_ns:
            return "a span without a start"
        attributes = self._attributes(raw.get("attributes"))
        is_ours = EVENT_ID in attributes
        name = printable(_text(raw.get("name")))[:_NAME_MAX].strip() or "span"
        kind = _kind(raw.get("kind"))
        trace_id, span_id = key.split(":")
        kept = {name: value for name, value in attributes.items() if name not in _OWN}
        first: Json = {"attributes": kept, "kind": kind, "trace_id": trace_id, "span_id": span_id}
        first["start_time_unix_nano"] = begun_ns
        if scope and not is_ours:
            first["scope"] = scope
        if others := {k: v for k, v in resource.items() if k not in (LOG_ID, "service.name")}:
            first["resource"] = others
        last = self._ended(raw, begun_ns, ended_ns)
        is_point = is_ours and BEGUN not in attributes
        if is_point:
            first |= last
        if len(msgspec.json.encode((first, last))) > PAYLOAD_BYTES_MAX:
            return f"a span of more than {PAYLOAD_BYTES_MAX:,} bytes"
        words = {word: _word(attributes.get(f"thence.{word}")) for word in WORDS}
        if not is_ours:
            words["actor"] = _word(resource.get("service.name"))
        failed = _map(raw.get("status")).get("code") in _CODES
        begin_type = name if is_point else _type(attributes.get(BEGUN), f"{name}.begun")
        end_type = _type(attributes.get(ENDED), f"{name}.{'failed' if failed else 'ended'}")
        has_end = ended_ns and not is_point and UNFINISHED not in attributes
        parent = _hex(raw.get("parentSpanId"), 16)
        begin = _new(_type(begin_type, "span"), first, words, begun_ns, key)
        begin = msgspec.structs.replace(begin, begins=not is_point)
        end = _new(end_type, last, words, ended_ns, f"{key}:end") if has_end else None
        links = tuple(self._links(raw.get("links")))
        place = f"{trace_id}:{parent}" if parent else ""
        return ReadSpan(key, place, links, begun_ns, max(begun_ns, ended_ns), begin, end)

    def _ended(self, raw: Json, begun_ns: int, ended_ns: int) -> Json:
        """Returns the payload of a span's end."""
        payload: Json = {}
        if ended_ns:
            payload["end_time_unix_nano"] = ended_ns
            payload["duration_s"] = max(ended_ns - begun_ns, 0) // 1_000 / 1_000_000
        events = [
            {
                "name": printable(_text(event.get("name"))) or "event",
                "attributes": self._attributes(event.get("attributes")),
                "time_unix_nano": _ns(event.get("timeUnixNano")),
            }
            for event in _items(raw.get("events"))
            if isinstance(event, dict)
        ]
        if events:
            payload["events"] = events
        status = _map(raw.get("status"))
        if status.get("code") in _CODES:
            exceptions = [one["attributes"] for one in events if one["name"] == "exception"]
            facts = _map(exceptions[-1] if exceptions else None)
            payload["error_type"] = str(facts.get("exception.type") or "error")
            payload["error_message"] = _text(status.get("message"))
        return payload

    def _links(self, values: Any) -> Iterator[Link]:
        for value in _items(values):
            key = _key(value) if isinstance(value, dict) else ""
            if not key:
                self.refused["a link without ids in hex"] += 1
                continue
            facts = self._attributes(value.get("attributes"))
            yield Link(key, *(facts.get(name) is True for name in (BY_END, OF_END, INFERRED)))

    def _attributes(self, pairs: Any) -> Json:
        """Returns attributes as a map; of a name that stands twice the last value is kept."""
        attributes: Json = {}
        for pair in _items(pairs):
            if isinstance(pair, dict) and isinstance(pair.get("key"), str):
                attributes[pair["key"]] = _value(pair.get("value"))
            else:
                self.refused["an attribute without a name"] += 1
        repaired: Json = repair(attributes)[0]
        return repaired


class Recorded:
    """The events of a log that spans name: those of spans, and steps that gave a token away."""

    def __init__(self, events: Iterable[Event], spans: dict[str, ReadSpan]) -> None:
        self.begins: dict[str, str] = {}
        self.ends: dict[str, str] = {}
        named = {key for span in spans.values() for key in _named(span)}
        by_span = {key.partition(":")[2]: key for key in named.difference(spans)}
        steps: dict[str, str] = {}
        for event in events:
            key, is_end = self._key(event, by_span, steps)
            if key:
                (self.ends if is_end else self.begins).setdefault(key, event.event_id)
                if event.begins:
                    steps[event.event_id] = key

    def _key(
        self, event: Event, by_span: dict[str, str], steps: dict[str, str]
    ) -> tuple[str, bool]:
        header = event.header
        if header.source == SOURCE and header.source_id:
            return header.source_id.removesuffix(":end"), header.source_id.endswith(":end")
        if event.ends in steps:
            return steps[event.ends], True
        ids = tracer_ids(event) if event.begins else None
        if ids is not None:
            return f"{ids.trace:032x}:{ids.span:016x}", False
        # the trace of a step is that of its outermost one; its own 64 bits name it
        return by_span.get(f"{ids_of(event.event_id).span:016x}", "") if by_span else "", False


class Arrivals:
    """The events of spans that a log lacks, in an order in which causes come first.

    `unknown` counts the spans whose parent is neither in the file nor in the log, `circular` the
    causes that are left out because spans name each other in a circle.
    """

    def __init__(self, spans: dict[str, ReadSpan], recorded: Recorded) -> None:
        self._spans = spans
        self._begins, self._ends = recorded.begins, recorded.ends
        self.already = sum(
            key in self._begins and (span.end is None or key in self._ends)
            for key, span in spans.items()
        )
        self.unknown = self.circular = 0

    def events(self, new_id: Any) -> Iterator[NewEvent]:
        """Yields each event with its causes; `new_id` makes the ids."""
        for key, is_end in _ordered(self._spans):
            span, ids = self._spans[key], self._ends if is_end else self._begins
            if key in ids:
                continue
            event = self._end(span) if is_end else self._begin(span)
            ids[key] = event_id = new_id()
            yield msgspec.structs.replace(event, event_id=event_id)

    def _begin(self, span: ReadSpan) -> NewEvent:
        payload = dict(span.begin.payload or {})
        causes = []
        if span.parent in self._begins:
            causes.append(self._begins[span.parent])
        elif span.parent:
            payload["parent_span_id"] = span.parent.partition(":")[2]
            self._count_missing(span.parent)
            self.unknown += span.parent not in self._spans
        links = [link for link in span.links if not (link.of_end and span.end)]
        named = [(link, self._cause(link)) for link in links]
        if outside := [link.key for link, cause in named if not cause]:
            payload["links"] = [dict(zip(_IDS, key.split(":"), strict=True)) for key in outside]
        causes += [cause for link, cause in named if cause and not link.is_inferred]
        inferred = [cause for link, cause in named if cause and link.is_inferred]
        return msgspec.structs.replace(
            span.begin,
            payload=payload,
            caused_by=tuple(causes),
            inferred_causes=tuple(inferred[:CAUSES_INFERRED_MAX]),
        )

    def _end(self, span: ReadSpan) -> NewEvent:
        assert span.end is not None, "only ends are ordered"
        begin_id = self._begins[span.key]
        causes = [self._cause(link) for link in span.links if link.of_end]
        caused_by = (begin_id, *filter(None, causes))
        return msgspec.structs.replace(span.end, ends=begin_id, caused_by=caused_by)

    def _cause(self, link: Link) -> str:
        """Returns the event that a link names, "" if it is nowhere."""
        by_end = self._ends.get(link.key, "") if link.by_end else ""
        cause = by_end or self._begins.get(link.key, "")
        if not cause:
            self._count_missing(link.key)
        return cause

    def _count_missing(self, key: str) -> None:
        self.circular += key in self._spans


_IDS = ("trace_id", "span_id")
_Node = tuple[int, bool, str]  # time, whether an end, span


def _ordered(spans: dict[str, ReadSpan]) -> Iterator[tuple[str, bool]]:
    """Yields begins and ends, causes first, else by time; a circle is cut at its earliest."""
    nodes: dict[tuple[str, bool], _Node] = {}
    for key, span in spans.items():
        nodes[key, False] = (span.begun_ns, False, key)
        if span.end is not None:
            nodes[key, True] = (span.ended_ns, True, key)
    effects: dict[tuple[str, bool], list[tuple[str, bool]]] = {node: [] for node in nodes}
    waits = dict.fromkeys(nodes, 0)
    for node in nodes:
        for cause in _causes_of(spans[node[0]], node[1]):
            cause = cause if cause in nodes else (cause[0], False)
            if cause in nodes and cause != node:
                effects[cause].append(node)
                waits[node] += 1
    by_time = iter(sorted(nodes.values()))
    ready = [nodes[node] for node, count in waits.items() if not count]
    heapify(ready)
    done: set[tuple[str, bool]] = set()
    while len(done) < len(nodes):
        _, is_end, key = heappop(ready) if ready else next(by_time)
        if (key, is_end) in done:
            continue
        done.add((key, is_end))
        yield key, is_end
        for effect in effects[key, is_end]:
            waits[effect] -= 1
            if not waits[effect]:
                heappush(ready, nodes[effect])


def _causes_of(span: ReadSpan, is_end: bool) -> Iterator[tuple[str, bool]]:
    if is_end:
        yield span.key, False
    elif span.parent:
        yield span.parent, False
    for link in span.links:
        if (link.of_end and span.end is not None) == is_end:
            yield link.key, link.by_end


def _named(span: ReadSpan) -> Iterator[str]:
    if span.parent:
        yield span.parent
    yield from (link.key for link in span.links)


def _new(
    event_type: str,
    payload: Json,
    words: dict[str, str | None],
    at_ns: int,
    source_id: str,
) -> NewEvent:
    return NewEvent(
        event_type,
        repair(payload)[0],
        words["subject"],
        words["actor"],
        words["stream"],
        timestamp=timestamp_at(at_ns // 1_000),
        source=SOURCE,
        source_id=source_id,
    )


def _key(ids: Json) -> str:
    trace, span = _hex(ids.get("traceId"), 32), _hex(ids.get("spanId"), 16)
    return f"{trace}:{span}" if trace and span else ""


def _hex(value: Any, digits: int) -> str:
    """Returns an id in lower case, "" for what is none; zero is none."""
    text = value.lower() if isinstance(value, str) else ""
    is_hex = len(text) == digits and not set(text).difference("0123456789abcdef")
    return text if is_hex and text.strip("0") else ""


def _ns(value: Any) -> int:
    """Returns a time in nanoseconds, 0 for what is none."""
    if isinstance(value, str) and value.isascii() and value.isdigit() and len(value) <= 20:
        value = int(value)
    is_time = isinstance(value, int) and not isinstance(value, bool) and 0 < value < TIME_END_NS
    return value if is_time else 0


def _kind(value: Any) -> str:
    if isinstance(value, int) and 0 < value < len(KINDS):
        return KINDS[value]
    name = value.removeprefix("SPAN_KIND_").lower() if isinstance(value, str) else ""
    return name if name in KINDS[1:] else "internal"


def _type(value: Any, other: str) -> str:
    """Returns the type of an event; those of the log's own notices stay its own."""
    name = value if isinstance(value, str) and 0 < len(value) <= TYPE_CHARACTERS_MAX else other
    name = name if name.isprintable() else other
    return f"span {name}"[:TYPE_CHARACTERS_MAX] if name.startswith("log.") else name


def _word(value: Any) -> str | None:
    return repair(value)[0] if isinstance(value, str) and value else None


def _text(value: Any) -> str:
    return repair(value)[0] if isinstance(value, str) else ""


def _map(value: Any) -> Json:
    return value if isinstance(value, dict) else {}


def _items(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []


def _value(value: Any, depth: int = 0) -> Any:
    """Returns a value of OTLP as JSON has it; what can't be read is null."""
    if not isinstance(value, dict) or depth > _DEPTH_MAX:
        return None
    for form, item in value.items():
        if form in ("stringValue", "boolValue", "bytesValue", "doubleValue"):
            return item if isinstance(item, str | bool | int | float) else None
        if form == "intValue":
            return _integer(item)
        if form == "arrayValue":
            return [_value(one, depth + 1) for one in _items(_map(item).get("values"))]
        if form == "kvlistValue":
            pairs = [pair for pair in _items(_map(item).get("values")) if isinstance(pair, dict)]
            return {_text(pair.get("key")): _value(pair.get("value"), depth + 1) for pair in pairs}
    return None


def _integer(value: Any) -> Any:
    """Returns an integer, which JSON has as text; another text stays as it is."""
    if isinstance(value, str) and len(value) <= 20:
        try:
            return int(value)
        except ValueError:
            return value
    return value if isinstance(value, int | float | str) else None
