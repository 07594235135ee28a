"""The counts of a log's events and the log's end.

A step is begun by one event and ended by another, which names the first. A process that was
killed in between leaves the step open, which shows what the process was doing.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import NamedTuple

from thence.core.event import Event


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
