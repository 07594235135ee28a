"""Queries of causes and effects by an index, for logs of any size.

Each answer is of the present log. The walks follow the links between arrivals. A cause usually
arrives before its effects, but need not: lines of other tools carry no clock, may come before their
causes, and name each other in a cycle. Every walk ends all the same, because it visits an event
once.
"""

import json
from collections.abc import Callable, Collection, Iterable, Sequence
from itertools import islice
from sqlite3 import Connection
from typing import Literal, NamedTuple

from thence.core.event import Event
from thence.core.json_values import is_utf8
from thence.core.order import CHAIN_EVENTS_MAX, CONE_EVENTS_MAX, closeness
from thence.core.query.why import Concurrent, Effects, Why, ends_of, told
from thence.core.vocabulary import Vocabulary
from thence.log.index.connection import Index, answered
from thence.log.index.lookup import (
    IN_ORDER,
    arrival_of,
    event_at,
    events_at,
    in_total_order,
    lines_at,
    present,
    rows_at,
)
from thence.log.index.rows import TOTAL_ORDER


class CausalityLines(NamedTuple):
    """An event with its causes and effects, nearest first, as stored bytes."""

    event: Event
    upstream: tuple[bytes, ...]
    downstream: tuple[bytes, ...]
    truncated: bool


@answered
def causality(
    index: Index,
    connection: Connection,
    event_id: str,
    depth: int | None = None,
    limit: int = CONE_EVENTS_MAX,
) -> CausalityLines:
    """Returns an event with both its cones, as of one moment; raises EventNotFound."""
    arrival = arrival_of(index, connection, event_id)
    causes, is_cut = Walk(connection, "upstream").cone(arrival, depth, limit)
    effects, is_cut_too = Walk(connection, "downstream").cone(arrival, depth, limit)
    return CausalityLines(
        event=event_at(index, connection, arrival),
        upstream=tuple(lines_at(index, connection, causes)),
        downstream=tuple(lines_at(index, connection, effects)),
        truncated=is_cut or is_cut_too,
    )


@answered
def why(index: Index, connection: Connection, event_id: str, vocabulary: Vocabulary) -> Why:
    """Finds the causes of an event; raises EventNotFound."""
    arrival = arrival_of(index, connection, event_id)
    walk = Walk(connection, "upstream")
    distances, truncated = walk.cone(arrival, None, CONE_EVENTS_MAX)
    line = walk.chain(arrival, CHAIN_EVENTS_MAX, lambda link: event_at(index, connection, link))
    arrivals = list({**distances, **dict.fromkeys(line)})
    events = dict(zip(arrivals, events_at(index, connection, arrivals), strict=True))
    steps = tuple(events[link] for link in line)
    near = tuple((events[cause], distance) for cause, distance in distances.items())
    ends = ends_of(steps, near, lambda ids: present(connection, ids))
    by_id = {event.event_id: event for event in events.values()}
    sentences = tuple([told(step, vocabulary, by_id) for step in steps])
    return Why(steps[-1], steps, near, sentences, truncated, *ends)


@answered
def effects(index: Index, connection: Connection, event_id: str, vocabulary: Vocabulary) -> Effects:
    """Finds the effects of an event; raises EventNotFound."""
    arrival = arrival_of(index, connection, event_id)
    walk = Walk(connection, "downstream")
    distances, truncated = walk.cone(arrival, None, CONE_EVENTS_MAX)
    event, *later = events_at(index, connection, [arrival, *distances])
    near = tuple(zip(later, distances.values(), strict=True))
    return Effects(event, near, tuple(map(vocabulary.sentence, later)), truncated)


@answered
def concurrent(
    index: Index, connection: Connection, event_id: str, limit: int = CONE_EVENTS_MAX
) -> Concurrent:
    """Finds the first events that neither caused an event nor were caused by it.

    Raises EventNotFound.
    """
    arrival = arrival_of(index, connection, event_id)
    related = Walk(connection, "upstream").reachable([arrival]) | {arrival}
    related |= Walk(connection, "downstream").reachable([arrival])
    rows = connection.execute(f"SELECT arrival FROM {IN_ORDER} ORDER BY {TOTAL_ORDER}")
    others = [*islice((other for (other,) in rows if other not in related), limit + 1)]
    event, *beside = events_at(index, connection, [arrival, *others[:limit]])
    return Concurrent(event, tuple(beside), len(others) > limit)


@answered
def common_causes(
    index: Index, connection: Connection, event_ids: Sequence[str]
) -> tuple[Event, ...]:
    """Returns the latest common causes of some events, in total order.

    They caused no other common cause. An event counts among its own causes. Raises EventNotFound.
    """
    arrivals = {arrival_of(index, connection, event_id) for event_id in event_ids}
    walk = Walk(connection, "upstream")
    pasts = [walk.reachable([one]) | {one} for one in arrivals]
    shared = set[int].intersection(*pasts)
    # what caused one of them is one of them, so that one step is enough
    latest = in_total_order(connection, shared - walk.neighbours(shared))
    return tuple(events_at(index, connection, latest))


@answered
def heads(
    index: Index, connection: Connection, subjects: Sequence[str], but: Collection[str] = ()
) -> tuple[Event, ...]:
    """Returns the events on a subject that caused no other event on it, in total order.

    `subjects` are the subject's names. Events of the types in `but` don't count as events on the
    subject, but links through them do.
    """
    names = [*filter(is_utf8, subjects)]
    on_subject = (
        "SELECT arrival FROM events"
        " WHERE subject IN (SELECT value FROM json_each(:names))"
        " AND type NOT IN (SELECT value FROM json_each(:but))"
    )
    values = {"names": json.dumps(names), "but": json.dumps(list(but))}
    arrivals = [arrival for (arrival,) in connection.execute(on_subject, values)]
    walk = Walk(connection, "upstream")
    causes = walk.neighbours(arrivals)  # one step excludes most events
    undecided = [arrival for arrival in arrivals if arrival not in causes]
    backward = "SELECT 1 FROM causes WHERE parent >= child LIMIT 1"
    is_forward = connection.execute(backward).fetchone() is None
    if len(undecided) > 1 or (undecided and not is_forward):
        # where every cause arrived before its effects, none before the first undecided counts
        floor = min(undecided) if is_forward else 0
        causes |= walk.reachable([cause for cause in causes if cause > floor], floor)
    latest = [arrival for arrival in undecided if arrival not in causes]
    return tuple(events_at(index, connection, in_total_order(connection, latest)))


Direction = Literal["upstream", "downstream"]

# the columns of `causes` from which and to which a step leads
ENDS = {"upstream": ("child", "parent"), "downstream": ("parent", "child")}


class Walk:
    """A walk from an event to its causes or its effects; what it has read is not read again."""

    def __init__(self, connection: Connection, direction: Direction) -> None:
        self._db = connection
        self._near, self._far = ENDS[direction]
        self._links: dict[int, list[int]] = {}

    def cone(self, arrival: int, depth: int | None, limit: int) -> tuple[dict[int, int], bool]:
        """Returns the distance of each event in a cone, nearest first, and whether it was cut off.

        At equal distance the total order decides; the plain algorithm in the tests defines the
        rest.
        """
        distances = {arrival: 0}
        layer, distance, is_cut = [arrival], 0, False
        while layer and distance != depth and not is_cut:
            distance += 1
            layer = [*self.neighbours(layer).difference(distances)]
            if len(layer) > 1:
                layer = in_total_order(self._db, layer)
            room = limit + 1 - len(distances)
            is_cut = len(layer) > room
            distances |= dict.fromkeys(layer[:room], distance)
        del distances[arrival]
        return distances, is_cut

    def chain(self, arrival: int, limit: int, event_of: Callable[[int], Event]) -> list[int]:
        """Returns one chain of causes that ends at an event, the first cause first.

        The chain follows the closest cause (`order.closeness`), of equally close ones the latest
        in total order; of several actions the one that the change names first.
        """
        chain = {arrival: None}
        while len(chain) < limit:
            causes = [cause for cause in self.neighbours([arrival]) if cause not in chain]
            if not causes:
                break
            if len(causes) > 1:
                columns = "arrival, events.type, actor, event_id"
                rows = rows_at(self._db, columns, [arrival, *causes], TOTAL_ORDER)
                known = {at: row for at, *row in rows}
                effect_type = known.pop(arrival)[0]
                near = {at: closeness(effect_type, *row[:2]) for at, row in known.items()}
                causes = [cause for cause in near if near[cause] == max(near.values())]
                if len(causes) > 1 and effect_type == "STATE" and known[causes[0]][0] == "ACTION":
                    # the order of names stands in the line alone
                    names = [*event_of(arrival).caused_by, *(known[cause][-1] for cause in causes)]
                    causes = [min(causes, key=lambda cause: names.index(known[cause][-1]))]
            arrival = causes[-1]
            chain[arrival] = None
        return list(reversed(chain))

    def reachable(self, arrivals: Iterable[int], floor: int = 0) -> set[int]:
        """Returns all events reachable by steps from some, none that arrived before `floor`.

        A starting event is included only if a step leads back to it.
        """
        # each event once, by one query: SQLite keeps those that are to be walked on from
        step = f"JOIN causes ON causes.{self._near} = begin WHERE causes.{self._far} >= :floor"
        sql = f"""
            WITH RECURSIVE
                begins (begin) AS (SELECT value FROM json_each(:arrivals)),
                reached (begin) AS (
                    SELECT causes.{self._far} FROM begins {step}
                    UNION
                    SELECT causes.{self._far} FROM reached {step}
                )
            SELECT begin FROM reached
        """
        values = {"arrivals": json.dumps([*arrivals]), "floor": floor}
        return {arrival for (arrival,) in self._db.execute(sql, values)}

    def neighbours(self, arrivals: Collection[int]) -> set[int]:
        """Returns the events one step away from any of some events."""
        links = self._links
        if missing := [arrival for arrival in arrivals if arrival not in links]:
            links |= {arrival: [] for arrival in missing}
            among = f"{self._near} IN (SELECT value FROM json_each(?))"
            sql = f"SELECT {self._near}, {self._far} FROM causes WHERE {among}"
            for near, far in self._db.execute(sql, (json.dumps(missing),)):
                links[near].append(far)
        return {far for arrival in arrivals for far in links[arrival]}
