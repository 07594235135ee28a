"""The counts of a log's events and the log's end, which one pass over all events can find.

A step is begun by one event and ended by another, which names the first. A process that was
killed in between leaves the step open, which shows what the process was doing.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import NamedTuple

from thence.core.event import Event
from thence.core.ids import NOISE_CHARACTERS
from thence.core.order import total_order_key


@dataclass(frozen=True, slots=True)
class Tally:
    """The number of events of each type, actor and node, the most frequent first.

    Events without an actor are in no `by_actor`, unverified ones in no `nodes`. `first` and
    `last` are those of the total order, None where there are no events. `groups` are those that
    were asked for, by time, then the most frequent first.
    """

    events: int
    unverified: int
    by_type: Mapping[str, int]
    by_actor: Mapping[str, int]
    nodes: Mapping[str, int]
    first: Event | None
    last: Event | None
    groups: "tuple[Group, ...]" = ()


class Group(NamedTuple):
    """The number of events with one name, within one span of time.

    `name` is None for events without one, and where names are not told apart. `begin_us` is the
    first microsecond of the span since 1970 UTC, None for events without a time, and where times
    are not told apart.
    """

    name: str | None
    begin_us: int | None
    events: int


def descending(counts: Mapping[str, int]) -> dict[str, int]:
    """Returns counts with the largest first, equal ones by name."""
    return dict(sorted(counts.items(), key=lambda item: (-item[1], item[0])))


class LogEnd(NamedTuple):
    """The last event, None in an empty log, and the open steps' begins, both in total order.

    `seen_last` maps the noise in the ids of these begins, which stands for the process that made
    them, to the time of the last event of that process.
    """

    last: Event | None
    still_open: tuple[Event, ...]
    seen_last: Mapping[str, str] = MappingProxyType({})


# so many processes are kept beyond those that left a step open
_PROCESSES_MAX = 1_000


def find_end(events: Iterable[Event]) -> LogEnd:
    """Reads events once, in arrival order, and returns their end.

    An event is open if it begins a step that no event ends. Only the open events are kept in
    memory, with the ids that were ended but not begun so far.
    """
    last: Event | None = None
    begins: dict[str, Event] = {}
    ended_early: set[str] = set()
    seen_last: dict[str, str] = {}
    for event in events:
        if last is None or total_order_key(event) > total_order_key(last):
            last = event
        noise = event.event_id[-NOISE_CHARACTERS:]
        if event.begins and event.event_id not in ended_early:
            begins[event.event_id] = event
            seen_last[noise] = event.timestamp
            if len(seen_last) > 2 * len(begins) + _PROCESSES_MAX:
                seen_last = _of_open(begins, seen_last)
        elif noise in seen_last:
            seen_last[noise] = event.timestamp
        if event.ends is not None and begins.pop(event.ends, None) is None:
            ended_early.add(event.ends)
    still_open = tuple(sorted(begins.values(), key=total_order_key))
    return LogEnd(last, still_open, _of_open(begins, seen_last))


def _of_open(begins: Iterable[str], seen_last: Mapping[str, str]) -> dict[str, str]:
    return {
        event_id[-NOISE_CHARACTERS:]: seen_last[event_id[-NOISE_CHARACTERS:]] for event_id in begins
    }
