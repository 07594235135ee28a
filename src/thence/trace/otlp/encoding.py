"""Steps and other events of a log as spans of OTLP/JSON.

The form is that of https://opentelemetry.io/docs/specs/otlp/#json-protobuf-encoding: ids in hex,
integers of 64 bits as text. A step is a span from its begin to its end, any other event one of no
length, so that it has an id by which others link to it. A step's time is its body's; the writing
of its begin, before the body, is an attribute. The ids are those that `thence.carry` gives
away. All is pure.
"""

from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

import msgspec

from thence.core.clock import microseconds
from thence.core.event import Event
from thence.core.failures import is_failure
from thence.core.json_values import storable
from thence.core.sentences.events import duration_s_of
from thence.core.sentences.spans import SPAN_SIGN, is_of_model_call, is_of_tool
from thence.trace.causes.propagation import number_of

Json = dict[str, Any]
# attributes of a span: what the log says of it beside its payload
EVENT_ID, BEGUN, ENDED = "thence.event_id", "thence.begun", "thence.ended"
UNFINISHED, LOG_ID, UNREADABLE = "thence.unfinished", "thence.log_id", "thence.unreadable"
# the seconds between the event that began a step and its body: the writing of that event
WRITING = "thence.writing_s"
WORDS = ("subject", "actor", "stream")
# attributes of a link: a cause of the span's end, by the end of the other one, a concluded cause
OF_END, BY_END, INFERRED = "thence.of_end", "thence.by_end", "thence.inferred"
# what a link is, as OpenTelemetry's group for generative AI proposes: by the span, and the linked
RELATION, RETRY = "gen_ai.link.type", "retry_of"
_RELATIONS = {("tool", "model"): "caused_by_generation", ("model", "tool"): "informed_by"}
KINDS = ("unspecified", "internal", "server", "client", "producer", "consumer")
STATUS_ERROR = 2
# events whose ids of a trace are held for those that they cause: 100 MB at most
HELD_EVENTS_MAX = 500_000
# notices that name causes for an event behind them: one that names 300,000 needs as many
JOINS_MAX = 10_000
_JOINED = "log.joined"
_OUTCOMES = (".ended", ".failed", ".cancelled")
# members of an end that have a place of their own in OTLP
_OF_END = frozenset(("events", "error_type", "error_message", "duration_s"))
_INT_END = 2**63
TIME_END_NS = 2**64
# members that a span of a tracer has in a payload, and that have a place of their own in OTLP
_PLACED = frozenset(
    (
        *("trace_id", "span_id", "parent_span_id", "kind", "attributes", "links", "events"),
        *("start_time_unix_nano", "end_time_unix_nano", "error_type", "error_message"),
        *("resource", "scope"),
    )
)


class SpanIds(NamedTuple):
    """The ids of an event's span in hex; `is_end` if it is the event that ended the span.

    `role` is "model" for a call of a model, "tool" for one of a tool.
    """

    trace: str
    span: str
    is_end: bool = False
    role: str = ""


class _OpenSpan(NamedTuple):
    """A span whose end has not come."""

    begin: Event
    ids: SpanIds
    parent: str
    links: list[Json]
    is_chosen: bool


class LogSpans:
    """The spans of a log, of which all events are taken in total order.

    Memory holds the steps that are open, and the ids of the last events. A cause further back than
    `HELD_EVENTS_MAX` of them, or of no known log, gets no link and is counted in `unlinked`. A
    notice `log.joined` is no span: what it names is linked from the events that name it.
    """

    def __init__(self) -> None:
        self._open: dict[str, _OpenSpan] = {}
        # of open steps, the time of the first event that each caused
        self._inside_ns: dict[str, int] = {}
        self._joins: dict[str, tuple[str, ...]] = {}
        self._newer: dict[str, SpanIds] = {}
        self._older: dict[str, SpanIds] = {}
        self._last_ns = 0
        self.unlinked = 0

    @property
    def is_awaiting(self) -> bool:
        """True if a begin was asked for whose end has not come."""
        return any(span.is_chosen for span in self._open.values())

    def take(self, event: Event, is_chosen: bool) -> Json | None:
        """Takes the next event, and returns the span that it completes, if that was asked for.

        A step is asked for where its begin or its end is.
        """
        time_ns = self._time_ns(event)
        named = self._named(event)
        if event.event_type == _JOINED:
            self._joins[event.event_id] = tuple(named)
            if len(self._joins) > JOINS_MAX:
                del self._joins[next(iter(self._joins))]
            return None
        for cause in self._open.keys() & named.keys():
            self._inside_ns.setdefault(cause, time_ns)
        span = self._open.pop(event.ends, None) if event.ends else None
        if span is not None:
            role = _role(event) or span.ids.role
            self._note(event.event_id, span.ids._replace(is_end=True, role=role))
            own, causes = (span.ids.span, span.parent), self._causes(event).values()
            links = [_link(ids, role, {OF_END: True}) for ids in causes if ids.span not in own]
            span.links.extend((*links, *self._inferred(event, role, {OF_END: True})))
            return self._span(span, event) if is_chosen or span.is_chosen else None
        span = self._placed(event, is_chosen)
        self._note(event.event_id, span.ids)
        if event.begins:
            self._open[event.event_id] = span
            return None
        return self._span(span, event) if is_chosen else None

    def unfinished(self) -> Iterator[Json]:
        """Yields what was asked for and has no end, up to the last time that the log has."""
        chosen = (span for span in self._open.values() if span.is_chosen)
        yield from (self._span(span, None) for span in chosen)

    def _named(self, event: Event) -> dict[str, None]:
        """Returns the causes of an event, those that a notice joined in the place of the notice."""
        causes = event.caused_by
        if self._joins:
            causes = tuple(one for cause in causes for one in self._joins.get(cause, (cause,)))
        return dict.fromkeys(causes)

    def _time_ns(self, event: Event) -> int:
        """Returns the time of an event; of a line without one, the last that was read."""
        micros = microseconds(event.timestamp)
        if micros is None or not 0 <= micros * 1_000 < TIME_END_NS:
            return self._last_ns
        self._last_ns = max(self._last_ns, micros * 1_000)
        return micros * 1_000

    def _note(self, event_id: str, ids: SpanIds) -> None:
        self._newer[event_id] = ids
        if len(self._newer) > HELD_EVENTS_MAX // 2:
            self._older, self._newer = self._newer, {}

    def _ids(self, event_id: str) -> SpanIds | None:
        span = self._open.get(event_id)
        return span.ids if span else self._newer.get(event_id) or self._older.get(event_id)

    def _causes(self, event: Event) -> dict[str, SpanIds]:
        """Returns the causes of an event whose spans are known; of another log by their own ids."""
        elsewhere = {text.partition("@")[0] for text in event.external_causes}
        causes = {}
        for cause in self._named(event):
            if cause == event.ends:
                continue  # it is the same span
            ids = self._ids(cause) or (ids_of(cause) if cause in elsewhere else None)
            if ids is None:
                self.unlinked += 1
            else:
                causes[cause] = ids
        return causes

    def _placed(self, event: Event, is_chosen: bool) -> _OpenSpan:
        """Returns the span that begins by an event, with its parent and its links.

        The parent is the first cause that is an open step, without one the first that ended no
        step, for an ended step encloses nothing. A span of a tracer stays in its trace.
        """
        causes = self._causes(event)
        own = tracer_ids(event)
        enclosing = [ids for cause, ids in causes.items() if cause in self._open]
        enclosing += [ids for ids in causes.values() if not ids.is_end]
        if own is not None:
            enclosing = [ids for ids in enclosing if ids.trace == own.trace]
        elif enclosing:
            own = ids_of(event.event_id)._replace(trace=enclosing[0].trace)
        else:
            own = ids_of(event.event_id)
        outer, before = map(event.cut_payload.get, ("parent_span_id", RETRY))
        retried = self._ids(str(before))
        parent = enclosing[0].span if enclosing else hex_id(outer, 16)
        own = own._replace(role=_role(event))
        links = [
            _link(ids, own.role, {RELATION: RETRY} if retried and ids.span == retried.span else {})
            for ids in causes.values()
            if ids.is_end or ids.span != parent
        ]
        links += self._inferred(event, own.role, {})
        return _OpenSpan(event, own, parent, links, is_chosen)

    def _inferred(self, event: Event, role: str, facts: Json) -> list[Json]:
        """Returns links to what an event was concluded to be caused by."""
        known = filter(None, map(self._ids, event.header.inferred_causes))
        return [_link(ids, role, {**facts, INFERRED: True}) for ids in known]

    def _span(self, span: _OpenSpan, last: Event | None) -> Json:
        """Returns a span in OTLP; `last` ended it, is its only event, or has not come."""
        begin, ids = span.begin, span.ids
        first, unreadable = begin.readable_payload
        is_point = last is begin
        end: Json = {}
        if last is not None and not is_point:
            end, others = last.readable_payload
            unreadable += others
        begin_ns = _ns(first, "start_time_unix_nano", self._time_ns(begin))
        end_ns = self._last_ns if last is None else self._time_ns(last)
        end_ns = max(begin_ns, _ns(end or first, "end_time_unix_nano", end_ns))
        body_ns, seconds = begin_ns, duration_s_of(end)
        inside_ns = self._inside_ns.pop(begin.event_id, end_ns)
        if seconds is not None and "start_time_unix_nano" not in first:
            # as long before the end as that says; nothing inside is earlier
            body_ns = max(begin_ns, min(end_ns - round(seconds * 1e6) * 1_000, inside_ns))
        facts = end or first
        events = [  # one whose time was not kept stands at the end
            {
                "timeUnixNano": str(_ns(event, "time_unix_nano", end_ns)),
                "name": storable(event["name"]),
                "attributes": _pairs(_attributes({"attributes": event.get("attributes")})),
            }
            for event in _maps(facts.get("events"))
            if isinstance(event.get("name"), str)
        ]
        rest = {key: value for key, value in end.items() if key not in _OF_END}
        listed = end.get("events", [])
        if end and not (isinstance(listed, list) and len(listed) == len(events)):
            rest["events"] = listed  # those of a host, which are none of a span
        attributes = {**_attributes(first), **_attributes(rest), EVENT_ID: begin.event_id}
        attributes |= {
            f"thence.{word}": text for word in WORDS if (text := getattr(begin, word)) is not None
        }
        if unreadable:
            attributes[UNREADABLE] = unreadable
        if not is_point:
            attributes[BEGUN] = begin.event_type
        if body_ns > begin_ns:
            attributes[WRITING] = (body_ns - begin_ns) / 1e9
        if last is None:
            attributes[UNFINISHED] = True
        elif not is_point:
            attributes[ENDED] = last.event_type
        kind = first.get("kind") if tracer_ids(begin) else None
        links = _merged(span.links, _maps(first.get("links")))
        name = begin.event_type.removesuffix(".begun")
        if last is not None and last is not begin and name != begin.event_type:
            ended = (last.event_type.removesuffix(word) for word in _OUTCOMES)
            name = next((one for one in ended if one != last.event_type), name)
        encoded: Json = {
            "traceId": ids.trace,
            "spanId": ids.span,
            "name": storable(name),
            "kind": KINDS.index(kind) if kind in KINDS else 1,
            "startTimeUnixNano": str(body_ns),
            "endTimeUnixNano": str(end_ns),
            "attributes": _pairs(attributes),
            "links": links,
            "events": events,
        }
        if span.parent:
            encoded["parentSpanId"] = span.parent
        if tracer_ids(begin):
            encoded |= {name: first[name] for name in ("resource", "scope") if first.get(name)}
        message = str(facts.get("error_message") or "")
        is_failed = last is not None and is_failure(last)
        if is_failed:
            encoded["status"] = {"code": STATUS_ERROR, "message": storable(message)}
        if (is_failed or "error_type" in end) and all(one["name"] != "exception" for one in events):
            error = {"exception.type": str(facts.get("error_type") or "error")}
            pairs = _pairs(error | {"exception.message": message})
            events.append({"timeUnixNano": str(end_ns), "name": "exception", "attributes": pairs})
        return encoded


def ids_of(event_id: str) -> SpanIds:
    """Returns the ids of an event that begins a trace."""
    number = number_of(event_id)
    return SpanIds(f"{number:032x}", f"{number % 2**64 or 1:016x}")


def trace_of(spans: list[Json], resource: Mapping[str, Any], version: str) -> Json:
    """Returns spans as what an endpoint takes, and a line of a file holds.

    Those of a tracer are of its own resource and scope.
    """
    groups: dict[bytes, Json] = {}
    for span in spans:
        own, name = span.pop("resource", None), span.pop("scope", None)
        scope = {"name": storable(str(name))} if name else {"name": "thence", "version": version}
        described = {**resource, **(own if isinstance(own, dict) else {})}
        described = {"attributes": _pairs(_attributes({"attributes": described}))}
        key = msgspec.json.encode((scope, described))
        place = {"resource": described, "scopeSpans": [{"scope": scope, "spans": []}]}
        groups.setdefault(key, place)["scopeSpans"][0]["spans"].append(span)
    return {"resourceSpans": [*groups.values()]}


def tracer_ids(event: Event) -> SpanIds | None:
    """Returns the ids that a tracer gave to the span that an event begins."""
    if SPAN_SIGN not in event.line:
        return None
    return _given_ids(event.cut_payload)


def _given_ids(members: Json) -> SpanIds | None:
    trace, span = hex_id(members.get("trace_id"), 32), hex_id(members.get("span_id"), 16)
    return SpanIds(trace, span) if trace and span else None


def hex_id(value: object, digits: int) -> str:
    """Returns an id in lower case, "" for what is none; zero is none."""
    text = value.lower() if isinstance(value, str) else ""
    is_hex = len(text) == digits and not set(text).difference("0123456789abcdef")
    return text if is_hex and text.strip("0") else ""


def _ns(payload: Json, key: str, other: int) -> int:
    value = payload.get(key)
    return value if type(value) is int and 0 <= value < TIME_END_NS else other


def _role(event: Event) -> str:
    """Returns the role of a span by what its begin or its end says."""
    attributes = event.cut_payload.get("attributes") if SPAN_SIGN in event.line else None
    if not isinstance(attributes, dict):
        return ""
    return "tool" if is_of_tool(attributes) else "model" * is_of_model_call(attributes)


def _link(ids: SpanIds, role: str, facts: Json) -> Json:
    """Returns a link of a span that has a role."""
    link: Json = {"traceId": ids.trace, "spanId": ids.span}
    if ids.is_end:
        relation = _RELATIONS.get((role, ids.role))
        facts = ({RELATION: relation} if relation else {}) | facts | {BY_END: True}
    return link | ({"attributes": _pairs(facts)} if facts else {})


def _merged(links: list[Json], tracers: list[Json]) -> list[Json]:
    """Returns links with the attributes that a tracer gave them, then those to spans elsewhere."""
    by_ids = {(link["traceId"], link["spanId"]): link for link in reversed(links)}
    merged = [*links]
    for facts in tracers:
        if (ids := _given_ids(facts)) is None:
            continue
        link = by_ids.get((ids.trace, ids.span))
        if link is None:
            merged.append(link := _link(ids, "", {}))
        own = facts.get("attributes")
        if isinstance(own, dict) and own:
            pairs = _pairs(_attributes({"attributes": own}))
            given = {pair["key"] for pair in pairs}
            others = [pair for pair in link.get("attributes", ()) if pair["key"] not in given]
            link["attributes"] = [*pairs, *others]
    return merged


def _maps(values: object) -> list[Json]:
    return [one for one in values if isinstance(one, dict)] if isinstance(values, list) else []


def _attributes(payload: Json) -> Json:
    """Returns a payload without levels: keys joined by dots, those of a tracer as they were."""
    own, flat = payload.get("attributes"), Json()
    if isinstance(own, dict):
        payload = {key: value for key, value in payload.items() if key not in _PLACED}
        _flatten(own, "", flat)
    _flatten(payload, "", flat)
    return flat


def _flatten(mapping: Json, before: str, flat: Json) -> None:
    for key, value in mapping.items():
        name = f"{before}{key}"
        if isinstance(value, dict) and value:
            _flatten(value, f"{name}.", flat)
            continue
        while name in flat:
            name += "_"  # another key has this name: both are kept
        flat[name] = value


def _pairs(attributes: Mapping[str, Any]) -> list[Json]:
    return [{"key": storable(k), "value": _value(value)} for k, value in attributes.items() if k]


def _value(value: Any) -> Json:
    """Returns a value as OTLP has it: what is neither a scalar nor a list of some as JSON text."""
    if isinstance(value, bool):
        return {"boolValue": value}
    if isinstance(value, int):
        is_small = -_INT_END <= value < _INT_END
        return {"intValue" if is_small else "stringValue": str(value)}
    if isinstance(value, float):
        return {"doubleValue": value}
    if isinstance(value, str):
        return {"stringValue": storable(value)}
    if isinstance(value, list) and all(isinstance(one, str | int | float) for one in value):
        return {"arrayValue": {"values": [_value(one) for one in value]}}
    return {"stringValue": msgspec.json.encode(value).decode()} if value is not None else {}
