"""An event before it is appended, as its host describes it, with its causes and its guard.

A guard names the position of its reader: per node the numbers of the events read, and the ids of
foreign ones. Numbers stay valid when segments rotate, and when another node's events arrive out of
order, where offsets in a file don't.
"""

import re
from bisect import bisect_left, bisect_right
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from itertools import islice
from math import inf
from operator import itemgetter
from typing import Any, NamedTuple, cast

import msgspec
from msgspec.structs import astuple

from thence.core.clock import CLOCK_MAX
from thence.core.event import Cause, Event, id_of
from thence.core.ids import is_ulid
from thence.core.nearest import did_you_mean
from thence.errors import InvalidEvent

Range = tuple[int, int]
Intervals = tuple[Range, ...]


class Position(msgspec.Struct, frozen=True):
    """A set of events: `intervals` are (first, last) seqs per node, in order, apart.

    The empty position is before the first event. `msgspec.json` encodes and decodes it.
    """

    intervals: Mapping[str, Intervals] = {}
    foreign: frozenset[str] = frozenset()

    def holds(self, event: Event) -> bool:
        """Reports whether an event is among those read."""
        if event.is_foreign:
            return event.event_id in self.foreign
        return is_within(self.intervals.get(event.node_id, ()), event.seq)

    def after(self, events: Iterable[Event]) -> "Position":
        """Returns the position of a reader of these events too, in any order."""
        by_node: dict[str, list[tuple[int, int]]] = {
            node_id: list(ranges) for node_id, ranges in self.intervals.items()
        }
        foreign = set(self.foreign)
        for event in events:
            if event.is_foreign:
                foreign.add(event.event_id)
            else:
                by_node.setdefault(event.node_id, []).append((event.seq, event.seq))
        joined = {node_id: joined_ranges(ranges) for node_id, ranges in by_node.items()}
        return Position(joined, frozenset(foreign))


def joined_ranges(ranges: Iterable[Range]) -> Intervals:
    """Returns ranges of numbers in order, those that touch as one."""
    joined: list[tuple[int, int]] = []
    for first, last in sorted(ranges):
        if joined and first <= joined[-1][1] + 1:
            joined[-1] = (joined[-1][0], max(joined[-1][1], last))
        else:
            joined.append((first, last))
    return tuple(joined)


def is_within(ranges: Sequence[Range], number: int) -> bool:
    """Reports whether a number is in one of some ranges, which are in order and apart."""
    at = bisect_right(ranges, (number, inf)) - 1
    return at >= 0 and number <= ranges[at][1]


def subtract(whole: Range, ranges: Sequence[Range]) -> Iterator[Range]:
    """Yields the parts of a range of numbers outside of all of some, in order and apart."""
    first, last = whole
    for begin, end in islice(ranges, bisect_left(ranges, first, key=itemgetter(1)), None):
        if begin > last:
            break
        if begin > first:
            yield first, begin - 1
        first = end + 1
    if first <= last:
        yield first, last


class Unchanged(msgspec.Struct, frozen=True):
    """A guard, which holds as long as no event after a position is about certain subjects.

    `since` is the position that the caller has read, up to its last event in arrival order.
    `subjects` are compared with the event's subject; `types`, when given, limit the guard to
    events of these types. A guard is data: the log checks it under the append lock, against the
    file and against the events written just before in the same batch.
    """

    since: Position
    subjects: Collection[str]
    types: Collection[str] = ()

    def __post_init__(self) -> None:
        for name in ("subjects", "types"):
            if isinstance(getattr(self, name), str):
                raise InvalidEvent(
                    "could not guard the append",
                    place=f"field {name}",
                    cause="a string is not a collection of strings",
                    hint=f"pass {name}={{{getattr(self, name)!r}}}",
                )

    def is_broken_by(self, event: Event) -> bool:
        """Reports whether an event is after the position and breaks the guard."""
        if event.subject not in self.subjects or (
            self.types and event.event_type not in self.types
        ):
            return False
        return not self.since.holds(event)

    def reaches_back_to(self, event: Event, node_id: str) -> bool:
        """Reports whether all events before an event in a node's file are certainly held.

        That is so for an event of this node that is held along with all numbers below it.
        """
        held = self.since.intervals.get(node_id, ())
        is_own = event.node_id == node_id and event.seq > 0
        return is_own and bool(held) and held[0][0] == 1 and held[0][1] >= event.seq


CAUSE_VARIABLE = "THENCE_CAUSE"
_FORM = re.compile(
    r"(?P<event_id>[0-9A-Za-z_.:-]{1,128})@(?P<clock>\d{1,16})@(?P<log_id>[0-9A-Z]{26})", re.ASCII
)


Causes = Cause | Iterable[Cause] | None


def cause_ids(causes: Causes, holds: Callable[[str], bool] | None = None) -> tuple[str, ...]:
    """Returns the ids of the named causes, in their order.

    An event is taken by its id. A bare text must be a ULID, or an id that the log `holds`:
    a misspelt cause would stay in the log for ever. A ULID is not looked up. Raises
    InvalidEvent, which names the invalid cause.
    """
    if causes is None:
        return ()
    if isinstance(causes, str) or hasattr(causes, "event_id"):
        return (_checked(cast(Cause, causes), holds),)
    if not isinstance(causes, Iterable):
        raise _refused(f"{causes!r:.80} is neither an event, an id, nor several of these")
    return tuple([_checked(cause, holds) for cause in causes])


def _checked(cause: Cause, holds: Callable[[str], bool] | None) -> str:
    try:
        event_id = id_of(cause)
    except InvalidEvent as error:
        raise _refused(error.cause) from None
    if cause is event_id and not is_ulid(event_id) and not (holds and holds(event_id)):
        where = "the id of an event in this log" if holds else "an event"
        raise _refused(f"the text {event_id!r:.80} is neither a ULID nor {where}")
    return event_id


def _refused(cause: str) -> InvalidEvent:
    return InvalidEvent(
        "could not name a cause",
        place="field caused_by",
        cause=cause,
        hint="pass what append, emit or get returned",
    )


class PassedCause(NamedTuple):
    """An event of some log, with the clock that its effects must exceed."""

    event_id: str
    lamport_clock: int
    log_id: str

    @property
    def text(self) -> str:
        """The text form of the cause."""
        return f"{self.event_id}@{self.lamport_clock}@{self.log_id}"


def parse_cause(text: str) -> PassedCause | None:
    """Reads a cause from its text; None if the text is no cause."""
    match = _FORM.fullmatch(text)
    if match is None or int(match["clock"]) > CLOCK_MAX:
        return None
    return PassedCause(match["event_id"], int(match["clock"]), match["log_id"])


class NewEvent(msgspec.Struct, frozen=True, gc=False):
    """One event to append, as `Log.append_many` takes it.

    `event_type` is a name such as order.placed; `payload` what `thence docs event` lists;
    `subject` what the event is about, `actor` who did it, `stream` what groups it with others.
    `caused_by` takes an event, an id, several of these or None. An `event_id` is one made
    beforehand, of no other event, so that another one of the same append can name it.
    """

    event_type: str
    payload: Mapping[str, Any] | None = None
    subject: str | None = None
    actor: str | None = None
    stream: str | None = None
    caused_by: Causes = None
    event_id: str | None = None


class HostEvent(NewEvent, frozen=True, gc=False):
    """A new event with what only a host sets: what the log itself drafts.

    `timestamp` is the time of an imported event. `begins` means that the event begins a step;
    `ends` is the id of the event that began the step ended here, and becomes a cause. `members`
    are further members of the host's form. `aliases` are other names of the subject: an event that
    names the heads of its subject names theirs too. `source` and `source_id` name where an imported
    event comes from; a pair stands for one event. `inferred_causes` are ids of causes that were
    only concluded; nothing follows from them. `is_alone` means that no event around is a cause.
    """

    timestamp: str | None = None
    begins: bool = False
    ends: str | None = None
    members: Mapping[str, Any] | None = None
    aliases: tuple[str, ...] = ()
    source: str | None = None
    source_id: str | None = None
    inferred_causes: tuple[str, ...] = ()
    is_alone: bool = False

    @classmethod
    def of(cls, event: NewEvent | Mapping[str, Any]) -> "HostEvent":
        """Reads one event of many, which may be a mapping of what append takes.

        Raises InvalidEvent that names what is wrong.
        """
        if isinstance(event, cls):
            return event
        if isinstance(event, NewEvent):
            return cls(*astuple(event))
        if isinstance(event, Mapping) and "event_type" in event and event.keys() <= _KEYS:
            return cls(**event)
        cause = "it is not a mapping of event_type and what else append takes"
        for key in event if isinstance(event, Mapping) else ():
            if key not in _KEYS:
                cause = f"append takes no {key!s:.80}{did_you_mean(str(key), _KEYS)}"
                break
        raise InvalidEvent(
            "could not store one event of many",
            place=f"{event!r:.80}",
            cause=cause,
            hint=f"pass mappings with the keys {', '.join(sorted(_KEYS))}",
        )


_KEYS = frozenset(("event_type", "payload", "subject", "actor", "stream", "caused_by"))
