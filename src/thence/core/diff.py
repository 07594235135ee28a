"""Two logs compared: what is in both, what changed, and where they part.

Where both logs have steps, events that have one are *partners* when it is the same. All other
events are partners by their place and their name, which is type and subject. The place of the end
of a step is the step; of an event inside a step it is the step that it names as a cause; of any
other it is all its causes. Of several events alike in this those of one content pair first, then
the n-th with the n-th. So the result depends on no order of the input.
Notices of the log are left out; what they caused is put down to what caused them. Causes that a log
lacks are passed over. Events of other tools may name each other in a circle: of such a circle the
causes that close it are passed over, walking back from its first event.

An event's *content* leaves out what must differ between two runs: ids, times, node, numbers, names
of runs and streams, the causes themselves and members that nobody here knows; latency and cost in
the details of a simulation, ids and durations in what steps and tracers record. In a tracer's spans
it leaves out what names a process, a machine, a session or a call, ports of this machine's own
addresses and tracebacks too, but nothing of a tool's arguments. JSON values are the same when they
are after sorting the keys of their maps: 1 is not 1.0.

An event *differs* if it has no partner, or one with another content. A *root* of the difference is
an event that differs and that nothing different led to, in neither log. Roots are ordered by the
number of same events before them in their own log, A before B; the first is the first divergence.
All functions are pure.
"""

import re
from bisect import bisect_left
from collections import defaultdict, deque
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from itertools import chain, zip_longest
from operator import attrgetter
from typing import Any, NamedTuple, TypeAlias

import msgspec
from msgspec.structs import asdict

from thence.core.event import Event, decoded, raw_members
from thence.core.order import behind_causes, totally_ordered
from thence.core.sentences.spans import ARGUMENTS, SPAN_SIGN, is_of_tool
from thence.core.vocabulary import Vocabulary

ALONE = -1
_Stored: TypeAlias = tuple[tuple[Any, ...], str, msgspec.Raw]


class LogSide(NamedTuple):
    """One log laid out for a comparison, without its `notices`, which are counted.

    The events stand in total order, but each behind its causes. `causes` are the places of what
    each event names.
    """

    events: Sequence[Event]
    causes: Sequence[Sequence[int]]
    notices: int

    def event(self, place: int) -> Event | None:
        """Returns the event at a place, None for ALONE."""
        return None if place == ALONE else self.events[place]


def side(events: Iterable[Event]) -> LogSide:
    """Returns the side of a log from its events, given in any order."""
    ordered = totally_ordered(events)
    notices = {
        event.event_id: event.caused_by
        for event in ordered
        if isinstance(event.vocabulary, Vocabulary) and event.vocabulary.notice_kind(event)
    }
    kept: list[tuple[Event, Sequence[str]]] = []
    for event in ordered:
        named = event.header.caused_by
        if event.event_id in notices:
            continue
        if not notices.keys().isdisjoint(named):
            # in the place of a notice stands what it names
            reached: dict[str, None] = {}
            stack = list(named)
            while stack:
                cause = stack.pop()
                if cause not in reached:
                    reached[cause] = None
                    stack += notices.get(cause, ())
            named = tuple(cause for cause in reached if cause not in notices)
        kept.append((event, named))
    return LogSide(*behind_causes(kept), len(notices))


def aligned(a: LogSide, b: LogSide) -> list[int]:
    """Returns for each event of A the place of its partner in B, ALONE for one without."""
    by_step = all(any(event.header.step is not None for event in of.events) for of in (a, b))
    partners = [ALONE] * len(a.events)
    # an event of B has the number of its partner, by which their effects are at one place
    numbers_b = [~y for y in range(len(b.events))]
    numbers: tuple[Sequence[int], ...] = range(len(a.events)), numbers_b
    for levels in zip_longest(_levels(a, by_step), _levels(b, by_step), fillvalue=()):
        groups: dict[Any, tuple[list[int], list[int]]] = {}
        for half, level in enumerate(levels):
            number_of = numbers[half].__getitem__
            for at, name, near in level:
                key = (name, frozenset(map(number_of, near))) if near else name
                group = groups.get(key)
                if group is None:
                    group = groups[key] = ([], [])
                group[half].append(at)
        for alike in groups.values():
            in_a, in_b = alike
            pairs: list[tuple[int, int]] = []
            if in_a and in_b and len(in_a) + len(in_b) > 2:  # those of one content pair first
                waiting: defaultdict[Any, deque[int]] = defaultdict(deque)
                for y in in_b:
                    waiting[_content(_stored(b.events[y]))].append(y)
                rest: list[int] = []
                for x in in_a:
                    if queue := waiting[_content(_stored(a.events[x]))]:
                        pairs.append((x, queue.popleft()))
                    else:
                        rest.append(x)
                in_a, in_b = rest, sorted(chain.from_iterable(waiting.values()))
            for x, y in (*pairs, *zip(in_a, in_b, strict=False)):
                partners[x], numbers_b[y] = y, x
    return partners


# the place of an event, its name, the places of what it is found by
_Named = tuple[int, Any, Sequence[int]]


def _levels(of: LogSide, by_step: bool) -> list[list[_Named]]:
    """Returns the events so that each is on a later level than what it is found by."""
    levels: list[list[_Named]] = [[]]
    level_of: list[int] = []
    headers = [event.header for event in of.events]
    begins = {at for at, header in enumerate(headers) if header.begins}
    for at, (header, causes) in enumerate(zip(headers, of.causes, strict=True)):
        name: Any = header.step
        near: Sequence[int] = ()
        if name is None or not by_step:
            name = (_type(of.events[at]), header.subject)
            near = causes if begins.isdisjoint(causes) else [c for c in causes if c in begins]
            if header.ends is not None:
                step = [at for at in causes if headers[at].event_id == header.ends]
                name, near = ("end", step) if step else (name, near)
        level = 1 + max(map(level_of.__getitem__, near)) if near else 0
        level_of.append(level)
        if level == len(levels):
            levels.append([])
        levels[level].append((at, name, near))
    return levels


# members of `details` about a model's performance, not about the event
VOLATILE = frozenset(("latency", "latency_s", "latency_ms", "cost", "cost_usd"))
# ids and durations in payloads of steps and tracers, under the names that tracers use
_UNIQUE = re.compile(
    r"(?:^|[._])(?:call|conversation|response|session|span|trace)[._]id$|^parent_span_id$"
    r"|^retry_of$|^tool_use_id$|^duration_s$|^time_unix_nano$"
)
_UNIQUE_IN_BYTES = re.compile(rb'[._]id"|"retry_of"|"duration_s"|"time_unix_nano"')
# the same in the resource and the attributes of spans: what runs, where, when and for whom
_OF_RUN = re.compile(
    r"^(?:process|host|k8s)\.|^service\.instance\.id$|\.stacktrace$|(?:^|_)checkpoint_(?:id|ns)$"
    r"|(?:^|[._])(?:created_at|start_time|end_time|duration|time_to_first_token)$"
    r"|\.(?:hostname|reply_to)$"
    r"|(?:^|[._])(?:checkpoint|container|crew|cycle|event|invocation|message|process|request)[._]id$"
    r"|(?:^|[._])(?:run|task|thread)[._]id$"
)
_UUID = r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}|[0-9a-f]{32}"
_IS_ID = re.compile(rf"(?:[\w-]+-)?(?:{_UUID})(?:-\d+)?|[0-9a-f]{{16}}")
# a random id as part of a name, the place of an object in memory, a port of loopback
_RANDOM = re.compile(
    rf"(?<=[\w(-])(?:{_UUID})(?:/(?:{_UUID}))?(?![0-9a-f])|(?<=id=['\"])(?:{_UUID})"
    r"|(?<=\bat 0x)[0-9a-f]{6,}|(?<=_time=)[0-9.]+|(?<=\bduration=)[0-9.]+"
    r"|(?<=\b127\.0\.0\.1:)\d+|(?<=\blocalhost:)\d+|(?<=\[::1\]:)\d+"
)
_LOOPBACK = ("127.0.0.1", "::1", "localhost")
# members that hold what a tool is called with
_CALLED_WITH = re.compile(r"(?:^|[._])(?:arguments|args)$")
# the types of parts of a message whose member `id` is the id of a tool call
_CALLS = ("function", "tool_call", "tool_call_response", "tool_use")


class DifferingMember(msgspec.Struct, frozen=True):
    """One place in an event where two differ: `path` such as "details.new_value".

    Names of members and indices of lists are joined by dots. UNSET stands for a place that
    an event lacks.
    """

    path: str
    a: Any
    b: Any


_MEMBERS = (
    *("event_version", "turn_number", "agent_id"),
    *("subject", "actor", "description", "begins"),
)
_members = attrgetter(*_MEMBERS)
_NOTHING = msgspec.Raw(b"{}")
_in_order = msgspec.json.Encoder(order="sorted").encode


def is_same(a: Event, b: Event) -> bool:
    """Reports whether the contents of two events are the same."""
    x, y = _stored(a), _stored(b)
    return x == y or _content(x) == _content(y)  # equal as stored is found faster


def contrast(a: Event, b: Event) -> tuple[DifferingMember, ...]:
    """Returns each place where two events differ, in the order of their members."""
    x, y = _said(a), _said(b)
    return tuple(
        place
        for name in ("event_type", *_MEMBERS, "details", "payload")
        for place in _apart(name, x.get(name, msgspec.UNSET), y.get(name, msgspec.UNSET))
    )


def _stored(event: Event) -> _Stored:
    """Returns what is compared: the type and other members, the payload's name and its bytes."""
    members = raw_members(event.whole_line)
    name = "details" if "details" in members else "payload"
    return (_type(event), *_members(event.header)), name, members.get(name, _NOTHING)


def _content(stored: _Stored) -> tuple[tuple[Any, ...], bytes]:
    """Returns what is equal for two events whose contents are the same."""
    return stored[0], _in_order(_payloads(stored))


def _said(event: Event) -> dict[str, Any]:
    """Returns what is compared, by names, without what differs in each run."""
    stored = _stored(event)
    pairs = zip(("event_type", *_MEMBERS), stored[0], strict=True)
    said = {key: item for key, item in pairs if item is not None}
    return {**said, **_payloads(stored)}


def _payloads(stored: _Stored) -> dict[str, Any]:
    """Returns a payload by its name, without its volatile members; the other name has nothing."""
    _, name, body = stored
    value = decoded(body)
    if name == "details" and isinstance(value, dict):
        value = {key: item for key, item in value.items() if key not in VOLATILE}
    elif _UNIQUE_IN_BYTES.search(body):
        value = _lasting(value, is_of_span=isinstance(value, dict) and "span_id" in value)
    return {"details": {}, "payload": {}, name: value}


def _type(event: Event) -> str:
    """Returns a type, that of a span without the random ids in its name."""
    return _RANDOM.sub("…", event.event_type) if SPAN_SIGN in event.line else event.event_type


def _apart(path: str, a: object, b: object) -> Iterator[DifferingMember]:
    """Yields the places where two JSON values differ, as deep as possible."""
    if isinstance(a, dict) and isinstance(b, dict):
        for key in a | b:
            yield from _apart(f"{path}.{key}", a.get(key, msgspec.UNSET), b.get(key, msgspec.UNSET))
    elif isinstance(a, list) and isinstance(b, list):
        for index in range(max(len(a), len(b))):
            x, y = (of[index] if index < len(of) else msgspec.UNSET for of in (a, b))
            yield from _apart(f"{path}.{index}", x, y)
    elif type(a) is not type(b) or a != b:  # in JSON true is not 1
        yield DifferingMember(path, a, b)


def _lasting(value: Any, *, is_of_span: bool) -> Any:
    """Returns a payload without what differs in each run, also in texts that are JSON."""
    if isinstance(value, dict):
        is_call = value.get("type") in _CALLS
        given = ARGUMENTS if is_of_span and is_of_tool(value) else ("input",) if is_call else ()
        lasting = {}
        for key, item in value.items():
            is_volatile = bool(_UNIQUE.search(key)) or (is_call and key == "id")
            if key in given or _CALLED_WITH.search(key):
                lasting[key] = item
                continue
            if is_of_span and not is_volatile:
                if key.endswith(".port"):
                    is_volatile = value.get(f"{key.removesuffix('port')}address") in _LOOPBACK
                elif (key == "id" or key.startswith("graph.node.")) and isinstance(item, str):
                    is_volatile = _IS_ID.fullmatch(item) is not None
                else:
                    is_volatile = _OF_RUN.search(key) is not None
            if not is_volatile:
                lasting[key] = _lasting(item, is_of_span=is_of_span)
        return lasting
    if isinstance(value, list):
        return [_lasting(item, is_of_span=is_of_span) for item in value]
    if isinstance(value, str) and value[:1] in ("[", "{"):
        with suppress(ValueError, RecursionError):
            return _lasting(msgspec.json.decode(value), is_of_span=is_of_span)
    return _RANDOM.sub("…", value) if is_of_span and isinstance(value, str) else value


# the most differences of each kind in the JSON, the earliest ones
DIFFERENCES_MAX = 1_000


class FirstDifference(msgspec.Struct, frozen=True):
    """The first divergence of two logs: the event on each side, None where a log has none.

    `differs` are the places in which the two differ; `follow_a` and `follow_b` count all later
    events that follow from each.
    """

    a: Event | None
    b: Event | None
    differs: tuple[DifferingMember, ...]
    follow_a: int
    follow_b: int


class Difference(NamedTuple):
    """The common and the differing events of two logs, as places in A and B, in total order.

    `aligned` are all pairs, `changed` those of them whose contents differ,
    `only_a` and `only_b` the events without a partner. `roots` are the events of A and B that
    nothing different led to, ALONE where a log has none; `first` is the first of them, None where
    the logs have the same content.
    """

    a: LogSide
    b: LogSide
    aligned: Sequence[tuple[int, int]]
    changed: Sequence[tuple[int, int]]
    only_a: Sequence[int]
    only_b: Sequence[int]
    roots: Sequence[tuple[int, int]]
    first: FirstDifference | None

    def sides(self, x: int, y: int) -> tuple[Event | None, Event | None]:
        """Returns the events at a place in A and at one in B, None for ALONE."""
        return self.a.event(x), self.b.event(y)


def difference(a: LogSide, b: LogSide) -> Difference:
    """Compares two logs."""
    of_a = {x: y for x, y in enumerate(aligned(a, b)) if y != ALONE}
    of_b = {y: x for x, y in of_a.items()}
    changed = [(x, y) for x, y in of_a.items() if not is_same(a.events[x], b.events[y])]
    only_a, only_b = (
        [place for place in range(len(of.events)) if place not in partners]
        for of, partners in ((a, of_a), (b, of_b))
    )
    differing = [*changed, *((x, ALONE) for x in only_a), *((ALONE, y) for y in only_b)]
    in_a, in_b = (sorted({pair[half] for pair in differing} - {ALONE}) for half in (0, 1))
    after_a, after_b = _effects(a, in_a), _effects(b, in_b)

    def rank(pair: tuple[int, int]) -> tuple[int, int, int]:
        halves = enumerate(zip(pair, (in_a, in_b), strict=True))
        return min(
            (at - bisect_left(places, at), half, at) for half, (at, places) in halves if at != ALONE
        )

    roots = [(x, y) for x, y in differing if x not in after_a and y not in after_b]
    # there are none where each difference follows from one in the other log
    roots = sorted(roots or differing[:1], key=rank)
    first = None
    if roots:
        x, y = roots[0]
        event_a, event_b = a.event(x), b.event(y)
        first = FirstDifference(
            a=event_a,
            b=event_b,
            differs=contrast(event_a, event_b) if event_a and event_b else (),
            follow_a=len(_effects(a, (x,))),
            follow_b=len(_effects(b, (y,))),
        )
    return Difference(a, b, list(of_a.items()), changed, only_a, only_b, roots, first)


def as_json(result: Difference, limit: int = DIFFERENCES_MAX) -> dict[str, object]:
    """Returns a difference as an object for JSON, its events as the lines that are stored.

    The JSON holds the number of events of each kind; at most `limit` of each kind are listed,
    and `truncated` reports that there are more.
    """
    a, b, first = result.a, result.b, result.first
    kinds = (result.roots, result.changed, result.only_a, result.only_b)
    return {
        "same": len(result.aligned) - len(result.changed),
        "changed": len(result.changed),
        "only_a": len(result.only_a),
        "only_b": len(result.only_b),
        "notices_a": a.notices,
        "notices_b": b.notices,
        "roots": len(result.roots),
        "first": first
        and asdict(first) | {"a": first.a and _line(first.a), "b": first.b and _line(first.b)},
        "root_events": [_pair_as_json(result, x, y) for x, y in result.roots[:limit]],
        "changed_events": [_pair_as_json(result, x, y) for x, y in result.changed[:limit]],
        "only_a_events": [_line(a.events[place]) for place in result.only_a[:limit]],
        "only_b_events": [_line(b.events[place]) for place in result.only_b[:limit]],
        "truncated": any(len(kind) > limit for kind in kinds),
    }


def _effects(of: LogSide, places: Iterable[int]) -> set[int]:
    """Returns the places of all effects of some events, direct and indirect."""
    reached, effects = set(places), set()
    is_apart = reached.isdisjoint
    for place, causes in enumerate(of.causes):
        if not is_apart(causes):
            reached.add(place)
            effects.add(place)
    return effects


def _pair_as_json(result: Difference, x: int, y: int) -> dict[str, object]:
    a, b = result.sides(x, y)
    differs = contrast(a, b) if a and b else ()
    return {"a": a and _line(a), "b": b and _line(b), "differs": differs}


def _line(event: Event) -> msgspec.Raw:
    return msgspec.Raw(event.line)
