"""Spans of OTLP/JSON as begins and ends of steps, each behind what caused it.

What a file holds is not trusted: what is no span is counted by its reason, and a parent or a link
that is neither in the file nor in the log stays in the payload as the ids that were given. The
origin of an event is `otlp` with `<trace id>:<span id>`, and `:end` behind it for an end.
"""

import json
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator
from contextlib import suppress
from heapq import heappop, heappush
from itertools import islice
from typing import Any, NamedTuple

import msgspec

from thence.core.bodies import PAYLOAD_BYTES_MAX
from thence.core.clock import timestamp_at
from thence.core.codec import line_bytes
from thence.core.event import Event
from thence.core.json_values import TYPE_CHARACTERS_MAX, printable, repair
from thence.core.new_event import HostEvent
from thence.core.sentences.spans import (
    OF_END_ALONE,
    STREAM,
    agent_of,
    first_text,
    message_of,
    said_again,
)
from thence.trace.causes.model_calls import Asked, ModelCalls, SpanFacts, SpanKey
from thence.trace.otlp.encoding import (
    BEGUN,
    BY_END,
    ENDED,
    EVENT_ID,
    INFERRED,
    KINDS,
    LOG_ID,
    OF_END,
    RELATION,
    STATUS_ERROR,
    TIME_END_NS,
    UNFINISHED,
    WORDS,
    WRITING,
    Json,
    hex_id,
    ids_of,
    tracer_ids,
)

SOURCE = "otlp"
# what may stay of a span in its line, of 1 MiB, when its large values lie beside it
SPAN_LINE_BYTES_MAX = 900_000
CAUSES_INFERRED_MAX = 32
_DEPTH_MAX = 32
_NAME_MAX = TYPE_CHARACTERS_MAX - 50
_OWN = frozenset((BEGUN, ENDED, UNFINISHED, WRITING, *(f"thence.{word}" for word in WORDS)))
_CODES = (STATUS_ERROR, "STATUS_CODE_ERROR")


class Link(NamedTuple):
    """A cause beside the parent: which span, by its end, of the end, only concluded.

    `attributes` are those that a tracer gave it.
    """

    key: str
    by_end: bool
    of_end: bool
    is_inferred: bool
    attributes: Json


class ReadSpan(NamedTuple):
    """A span as it was read; without `end` it is a single event or has not ended.

    `is_ours` is one that thence exported: its links say which model call asked for it.
    """

    key: str
    parent: str
    links: tuple[Link, ...]
    begun_ns: int
    ended_ns: int
    begin: HostEvent
    end: HostEvent | None
    is_ours: bool

    @property
    def facts(self) -> SpanFacts:
        """What the span says, as model calls are found by it."""
        first, last = self.begin.payload or {}, (self.end and self.end.payload) or {}
        events = last.get("events") or first.get("events") or ()
        return SpanFacts(
            _numbers(self.key),
            _numbers(self.parent) if self.parent else None,
            self.begin.event_type.removesuffix(".begun"),
            {**first.get("attributes", {}), **last.get("attributes", {})},
            tuple((one["name"], one["attributes"]) for one in events),
        )


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
        documents = [_document(line) for line in data.splitlines() if line.strip()]
        if not any(isinstance(value, dict) for value in documents):
            whole = _document(data)
            documents = [whole] if isinstance(whole, dict) else documents
            documents = whole if isinstance(whole, list) and whole else documents
        return self.read(documents)

    def read(self, documents: Iterable[Any]) -> dict[str, ReadSpan]:
        """Returns the spans of documents of OTLP/JSON, by trace and span id."""
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

    def _listed(self, document: Any) -> Iterator[tuple[Any, Json, str]]:
        """Yields what stands where spans are, with its resource and its scope's name."""
        if not isinstance(document, dict) or "resourceSpans" not in document:
            why = "without resourceSpans" if document is not _NO_JSON else "that is not JSON"
            if isinstance(document, dict) and "resource_spans" in document:
                why = "with resource_spans, as protobuf names it: OTLP/JSON has resourceSpans"
            self.refused[f"a line {why}"] += 1
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
            else:
                yield from ((span, resource, scope) for span, scope in spans)

    def _maps(self, values: Any) -> Iterator[Json]:
        for value in _items(values):
            if isinstance(value, dict):
                yield value
            else:
                self.refused["a group of spans that is not a map"] += 1

    def _span(self, raw: Any, resource: Json, scope: str) -> ReadSpan | str:
        """Returns a span, or why it is none."""
        if not isinstance(raw, dict):
            return "a span that is not a map"
        key = _key(raw)
        begun_ns, ended_ns = _ns(raw.get("startTimeUnixNano")), _ns(raw.get("endTimeUnixNano"))
        if not key or not begun_ns:
            return "a span without a start" if key else "a span without ids in hex"
        attributes = self._attributes(raw.get("attributes"))
        is_ours = EVENT_ID in attributes
        characters = (one if one.isprintable() else " " for one in _text(raw.get("name")))
        name = "".join(characters)[:_NAME_MAX].strip() or "span"  # as it is recorded live
        kind = raw.get("kind")
        if isinstance(kind, int) and 0 < kind < len(KINDS):
            kind = KINDS[kind]
        kind = kind.removeprefix("SPAN_KIND_").lower() if isinstance(kind, str) else ""
        kind = kind if kind in KINDS[1:] else "internal"
        trace_id, span_id = key.split(":")
        kept = {name: value for name, value in attributes.items() if name not in _OWN}
        first: Json = {"attributes": kept, "kind": kind, "trace_id": trace_id, "span_id": span_id}
        first["start_time_unix_nano"] = begun_ns
        is_tracers = scope not in ("", "thence") or not is_ours
        if scope and is_tracers:
            first["scope"] = scope
        agent = agent_of(attributes, name)
        # the service of others is the actor, unless that is an agent
        placed = (LOG_ID,) if is_tracers and (is_ours or agent) else (LOG_ID, "service.name")
        if others := {k: v for k, v in resource.items() if k not in placed}:
            first["resource"] = others
        last = self._ended(raw, begun_ns, ended_ns)
        is_point = is_ours and BEGUN not in attributes
        has_end = bool(ended_ns) and not is_point and UNFINISHED not in attributes
        if is_point:
            first |= last
        elif has_end and is_tracers:
            # of the end is what only the end can know
            late = {name: value for name, value in kept.items() if name in OF_END_ALONE}
            first["attributes"] = {name: kept[name] for name in kept if name not in late}
            late = said_again(kept) | late
            last |= {"span_id": span_id, **({"attributes": late} if late else {})}
        first, last = repair(first)[0], repair(last)[0]
        for payload in (first, last):
            size = len(msgspec.json.encode(payload))
            if size > PAYLOAD_BYTES_MAX:
                return f"a span of more than {PAYLOAD_BYTES_MAX:,} bytes"
            if size > SPAN_LINE_BYTES_MAX and line_bytes(payload) > SPAN_LINE_BYTES_MAX:
                return f"a span of more than {SPAN_LINE_BYTES_MAX:,} bytes of small values"
        words: Json = {word: _text(attributes.get(f"thence.{word}")) or None for word in WORDS}
        if not is_ours:
            words["actor"] = agent or _text(resource.get("service.name")) or None
            words["stream"] = first_text(attributes, STREAM)
        failed = _map(raw.get("status")).get("code") in _CODES
        begin_type = name if is_point else _type(attributes.get(BEGUN), f"{name}.begun")
        origin: Json = {"source": SOURCE, "source_id": key, "begins": not is_point}
        # the time between the event that began a step and its body
        writing_s, writing_ns = attributes.get(WRITING) if is_ours else 0, 0
        if isinstance(writing_s, int | float) and 0 <= writing_s < TIME_END_NS / 1e9:
            writing_ns = round(writing_s * 1e9)
        origin["timestamp"] = timestamp_at(max(begun_ns - writing_ns, 0) // 1_000)
        begin = HostEvent(_type(begin_type, "span"), first, **words, **origin)
        end = None
        if has_end:
            end_type = _type(attributes.get(ENDED), f"{name}.{'failed' if failed else 'ended'}")
            origin = {"source": SOURCE, "source_id": f"{key}:end"}
            origin["timestamp"] = timestamp_at(ended_ns // 1_000)
            end = HostEvent(end_type, last, **words, **origin)
        links = tuple(self._links(raw.get("links"), is_ours=is_ours))
        parent = hex_id(raw.get("parentSpanId"), 16)
        place = f"{trace_id}:{parent}" if parent else ""
        return ReadSpan(key, place, links, begun_ns, max(begun_ns, ended_ns), begin, end, is_ours)

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
            kind = str(facts.get("exception.type") or "error")
            payload["error_type"] = kind
            payload["error_message"] = message_of(_text(status.get("message")), facts, kind)
        return payload

    def _links(self, values: Any, *, is_ours: bool) -> Iterator[Link]:
        for value in _items(values):
            key = _key(value)
            if not key:
                self.refused["a link without ids in hex"] += 1
                continue
            facts = self._attributes(value.get("attributes"))
            by_end, of_end = facts.pop(BY_END, None) is True, facts.pop(OF_END, None) is True
            if is_ours:
                facts.pop(RELATION, None)
            yield Link(key, by_end, of_end, facts.pop(INFERRED, None) is True, facts)

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


class Arrivals:
    """The events of spans that a log lacks, in an order in which causes come first.

    `unknown` counts the spans whose parent is neither in the file nor in the log, `circular` the
    causes that are left out because spans name each other in a circle.
    """

    def __init__(self, spans: dict[str, ReadSpan], recorded: Iterable[Event]) -> None:
        """Takes spans, and the events of the log in its order."""
        self._spans = spans
        self._calls = ModelCalls(lambda key: self._parents.get(key))
        self._begins: dict[str, str] = {}
        self._ends: dict[str, str] = {}
        self._parents: dict[SpanKey, SpanKey] = {}
        # what spans name: events of spans, and steps that gave a token away
        named = {link.key for span in self._spans.values() for link in span.links}
        named |= {span.parent for span in self._spans.values()}
        # the trace of a step is that of its outermost one; its own 64 bits name it
        self._by_span = {key.partition(":")[2]: key for key in named.difference(self._spans, {""})}
        self._steps: dict[str, str] = {}
        for event in recorded:
            self.note(event)
        self.already = sum(map(self.has_all_of, spans.values()))
        self.unknown = self.circular = 0
        self.add(spans)

    def note(self, event: Event) -> None:
        """Notes an event of the log, if a span names it or is it."""
        source_id, is_end = event.header.source_id, event.ends in self._steps
        if event.header.source == SOURCE and source_id:
            key, is_end = source_id.removesuffix(":end"), source_id.endswith(":end")
        elif is_end:
            key = self._steps[event.ends or ""]
        elif event.begins and (ids := tracer_ids(event)):
            key = f"{ids.trace}:{ids.span}"
        else:
            key = self._by_span.get(ids_of(event.event_id).span, "") if self._by_span else ""
        if key:
            (self._ends if is_end else self._begins).setdefault(key, event.event_id)
            if event.begins:
                self._steps[event.event_id] = key

    def add(self, spans: dict[str, ReadSpan]) -> None:
        """Takes the spans of which `events` yields events from now on."""
        self._spans = spans
        pairs = ((span.facts.key, span.facts.parent) for span in spans.values())
        self._parents |= {key: parent for key, parent in pairs if parent is not None}

    def forget(self, kept_max: int) -> None:
        """Forgets the oldest spans but so many; the log still has them."""
        memories: list[dict[Any, Any]] = [self._begins, self._ends, self._steps, self._parents]
        for memory in memories:
            for key in [*islice(memory, max(len(memory) - kept_max, 0))]:
                del memory[key]

    def holds(self, key: str) -> bool:
        """Reports whether the log has the event that began a span."""
        return key in self._begins

    def has_all_of(self, span: ReadSpan) -> bool:
        """Reports whether the log has the begin and the end of a span."""
        return span.key in self._begins and (span.end is None or span.key in self._ends)

    def events(self, new_id: Any) -> Iterator[HostEvent]:
        """Yields each event with its causes; `new_id` makes the ids."""
        for key, is_end in _ordered(self._spans):
            span, ids = self._spans[key], self._ends if is_end else self._begins
            if key in ids:
                continue
            if is_end:
                assert span.end is not None, "only ends are ordered"
                begin_id = self._begins[key]
                asked = Asked() if span.is_ours else self._calls.asked_late(span.facts, begin_id)
                causes, inferred = [begin_id, *asked.causes], [*asked.inferred]
                for link in filter(lambda link: link.of_end, span.links):
                    if cause := self._cause(link):
                        (inferred if link.is_inferred else causes).append(cause)
                event = msgspec.structs.replace(
                    span.end,
                    ends=begin_id,
                    caused_by=tuple(dict.fromkeys(causes)),
                    inferred_causes=tuple(inferred[:CAUSES_INFERRED_MAX]),
                )
            else:
                event = self._begin(span)
            ids[key] = event_id = new_id()
            if is_end:
                self._calls.end(span.facts, event_id)
            else:
                self._calls.begin(span.facts, event_id)
            yield msgspec.structs.replace(event, event_id=event_id)

    def _begin(self, span: ReadSpan) -> HostEvent:
        payload = dict(span.begin.payload or {})
        causes = []
        if span.parent in self._begins:
            causes.append(self._begins[span.parent])
        elif span.parent:
            payload["parent_span_id"] = span.parent.partition(":")[2]
            self.circular += span.parent in self._spans
            self.unknown += span.parent not in self._spans
        links = [link for link in span.links if not (link.of_end and span.end)]
        named = [(link, self._cause(link)) for link in links]
        if kept := [link for link, cause in named if link.attributes or not cause]:
            payload["links"] = []
            for link in kept:
                trace_id, span_id = link.key.split(":")
                attributes = {"attributes": link.attributes} if link.attributes else {}
                payload["links"].append({"trace_id": trace_id, "span_id": span_id, **attributes})
        causes += [cause for link, cause in named if cause and not link.is_inferred]
        inferred = [cause for link, cause in named if cause and link.is_inferred]
        asked = Asked() if span.is_ours else self._calls.asked(span.facts)
        causes += [cause for cause in asked.causes if cause not in causes]
        inferred += [cause for cause in asked.inferred if cause not in (*causes, *inferred)]
        return msgspec.structs.replace(
            span.begin,
            payload=payload,
            caused_by=tuple(causes),
            inferred_causes=tuple(inferred[:CAUSES_INFERRED_MAX]),
        )

    def _cause(self, link: Link) -> str:
        """Returns the event that a link names, "" if it is nowhere."""
        by_end = self._ends.get(link.key, "") if link.by_end else ""
        cause = by_end or self._begins.get(link.key, "")
        self.circular += not cause and link.key in self._spans
        return cause


def _ordered(spans: dict[str, ReadSpan]) -> Iterator[tuple[str, bool]]:
    """Yields begins and ends, causes first, else by time; a circle is cut at its earliest."""
    times = {(key, False): span.begun_ns for key, span in spans.items()}
    times |= {(key, True): span.ended_ns for key, span in spans.items() if span.end}
    effects = defaultdict[tuple[str, bool], list[tuple[str, bool]]](list)
    waits = dict.fromkeys(times, 0)
    for node in times:
        for key, is_end in _causes_of(spans[node[0]], node[1]):
            cause = key, is_end and (key, True) in times
            if cause in times and cause != node:
                effects[cause].append(node)
                waits[node] += 1
    by_time = sorted((at_ns, is_end, key) for (key, is_end), at_ns in times.items())
    ready = [entry for entry in by_time if not waits[entry[2], entry[1]]]
    remaining = iter(by_time)
    while waits:
        _, is_end, key = heappop(ready) if ready else next(remaining)
        if waits.pop((key, is_end), None) is None:
            continue
        yield key, is_end
        for effect in filter(waits.__contains__, effects[key, is_end]):
            waits[effect] -= 1
            if not waits[effect]:
                heappush(ready, (times[effect], effect[1], effect[0]))


_NO_JSON = object()


def _document(data: bytes) -> Any:
    try:
        return json.loads(data)  # takes NaN and halves of characters too, for `repair`
    except (ValueError, RecursionError):
        return _NO_JSON


def _causes_of(span: ReadSpan, is_end: bool) -> Iterator[tuple[str, bool]]:
    if is_end:
        yield span.key, False
    elif span.parent:
        yield span.parent, False
    for link in span.links:
        if (link.of_end and span.end is not None) == is_end:
            yield link.key, link.by_end


def _key(ids: Any) -> str:
    trace, span = hex_id(_map(ids).get("traceId"), 32), hex_id(_map(ids).get("spanId"), 16)
    return f"{trace}:{span}" if trace and span else ""


def _numbers(key: str) -> SpanKey:
    trace_id, span_id = key.split(":")
    return int(trace_id, 16), int(span_id, 16)


def _ns(value: Any) -> int:
    """Returns a time in nanoseconds, 0 for what is none."""
    if isinstance(value, str) and value.isascii() and value.isdigit() and len(value) <= 20:
        value = int(value)
    return value if type(value) is int and 0 < value < TIME_END_NS else 0


def _type(value: Any, other: str) -> str:
    """Returns the type of an event; those of the log's own notices stay its own."""
    is_type = isinstance(value, str) and 0 < len(value) <= TYPE_CHARACTERS_MAX
    name = value if is_type and value.isprintable() else other
    return f"span {name}"[:TYPE_CHARACTERS_MAX] if name.startswith("log.") else name


def _text(value: Any) -> str:
    return repair(value)[0] if isinstance(value, str) else ""


def _map(value: Any) -> Json:
    return value if isinstance(value, dict) else {}


def _items(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []


def _value(value: Any, depth: int = 0) -> Any:
    """Returns a value of OTLP as JSON has it; what can't be read is null."""
    form, item = next(iter(_map(value).items()), ("", None)) if depth <= _DEPTH_MAX else ("", None)
    if form == "intValue" and isinstance(item, str) and len(item) <= 20:
        with suppress(ValueError):  # JSON has it as text; another text stays as it is
            return int(item)
    if form.removesuffix("Value") in ("string", "bool", "bytes", "double", "int"):
        return item if isinstance(item, str | bool | int | float) else None
    items = _items(_map(item).get("values"))
    if form == "arrayValue":
        return [_value(one, depth + 1) for one in items]
    if form == "kvlistValue":
        pairs = [pair for pair in items if isinstance(pair, dict)]
        return {_text(pair.get("key")): _value(pair.get("value"), depth + 1) for pair in pairs}
    return None
