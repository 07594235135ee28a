"""Queries of causes and effects by an index, for logs of any size.

Each answer is of the present log. The walks follow the links between arrivals. A cause usually
arrives before its effects, but need not: lines of other tools carry no clock, may come before their
causes, and name each other in a cycle. Every walk ends all the same, because it visits an event
once.
"""

import json
import sqlite3
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from itertools import islice
from typing import Literal, NamedTuple

from thence.core.event import Event
from thence.core.json_values import is_utf8
from thence.core.order import CHAIN_EVENTS_MAX, CONE_EVENTS_MAX, closeness
from thence.core.query.why import Concurrent, Effects, Why, ends_of, told
from thence.core.vocabulary import Vocabulary
from thence.log.index.connection import Index
from thence.log.index.lookup import (
    IN_ORDER,
    arrival_of,
    event_at,
    events_at,
    in_total_order,
    lines_at,
    present,
)
from thence.log.index.rows import TOTAL_ORDER


class CausalityLines(NamedTuple):
    """An event with its causes and effects, nearest first, as stored bytes."""

    event: Event
    upstream: tuple[bytes, ...]
    downstream: tuple[bytes, ...]
    truncated: bool


def causality(
    index: Index, event_id: str, depth: int | None = None, limit: int = CONE_EVENTS_MAX
) -> CausalityLines:
    """Returns an event with both its cones, as of one moment; raises EventNotFound."""

    def work(connection: sqlite3.Connection) -> CausalityLines:
        arrival = arrival_of(index, connection, event_id)
        causes, is_cut = Walk(connection, "upstream").cone(arrival, depth, limit)
        effects, is_cut_too = Walk(connection, "downstream").cone(arrival, depth, limit)
        return CausalityLines(
            event=event_at(index, connection, arrival),
            upstream=tuple(lines_at(index, connection, causes)),
            downstream=tuple(lines_at(index, connection, effects)),
            truncated=is_cut or is_cut_too,
        )

    return index.answer(work)


def why(index: Index, event_id: str, vocabulary: Vocabulary) -> Why:
    """Finds the causes of an event; raises EventNotFound."""

    def work(connection: sqlite3.Connection) -> Why:
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

    return index.answer(work)


def effects(index: Index, event_id: str, vocabulary: Vocabulary) -> Effects:
    """Finds the effects of an event; raises EventNotFound."""

    def work(connection: sqlite3.Connection) -> Effects:
        arrival = arrival_of(index, connection, event_id)
        walk = Walk(connection, "downstream")
        distances, truncated = walk.cone(arrival, None, CONE_EVENTS_MAX)
        event, *later = events_at(index, connection, [arrival, *distances])
        near = tuple(zip(later, distances.values(), strict=True))
        return Effects(event, near, tuple(map(vocabulary.sentence, later)), truncated)

    return index.answer(work)


def concurrent(index: Index, event_id: str, limit: int = CONE_EVENTS_MAX) -> Concurrent:
    """Finds the first events that neither caused an event nor were caused by it.

    Raises EventNotFound.
    """

    def work(connection: sqlite3.Connection) -> Concurrent:
        arrival = arrival_of(index, connection, event_id)
        related = Walk(connection, "upstream").reachable([arrival]) | {arrival}
        related |= Walk(connection, "downstream").reachable([arrival])
        rows = connection.execute(f"SELECT arrival FROM {IN_ORDER} ORDER BY {TOTAL_ORDER}")
        others = [*islice((other for (other,) in rows if other not in related), limit + 1)]
        event, *beside = events_at(index, connection, [arrival, *others[:limit]])
        return Concurrent(event, tuple(beside), len(others) > limit)

    return index.answer(work)


def common_causes(index: Index, event_ids: Sequence[str]) -> tuple[Event, ...]:
    """Returns the latest common causes of some events, in total order.

    They caused no other common cause. An event counts among its own causes. Raises EventNotFound.
    """

    def work(connection: sqlite3.Connection) -> tuple[Event, ...]:
        arrivals = {arrival_of(index, connection, event_id) for event_id in event_ids}
        walk = Walk(connection, "upstream")
        pasts = [walk.reachable([one]) | {one} for one in arrivals]
        shared = set[int].intersection(*pasts)
        # what caused one of them is one of them, so that one step is enough
        latest = in_total_order(connection, shared - walk.neighbours(shared))
        return tuple(events_at(index, connection, latest))

    return index.answer(work)


def heads(
    index: Index, subject: str | Sequence[str], but: Collection[str] = ()
) -> tuple[Event, ...]:
    """Returns the events on a subject that caused no other event on it, in total order.

    A subject may have several names. Events of the types in `but` don't count as events on the
    subject, but links through them do.
    """
    subjects = (subject,) if isinstance(subject, str) else subject
    names = [*filter(is_utf8, subjects)]
    on_subject = (
        "SELECT arrival FROM events"
        " WHERE subject IN (SELECT value FROM json_each(:names))"
        " AND type NOT IN (SELECT value FROM json_each(:but))"
    )
    values = {"names": json.dumps(names), "but": json.dumps(list(but))}

    def work(connection: sqlite3.Connection) -> tuple[Event, ...]:
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

    return index.answer(work)


Direction = Literal["upstream", "downstream"]

# the columns of `causes` from which and to which a step leads
ENDS = {"upstream": ("child", "parent"), "downstream": ("parent", "child")}

# the most arrivals whose links one query reads
_TOGETHER = 500

# type and actor, then the total order
Key = tuple[str, str | None, int, str, str, str]


class Walk:
    """A walk from an event to its causes or its effects; what it has read is not read again."""

    def __init__(self, connection: sqlite3.Connection, direction: Direction) -> None:
        self._db = connection
        self._near, self._far = ENDS[direction]
        self._links: dict[int, list[int]] = {}
        self._keys: dict[int, Key] = {}

    def cone(self, arrival: int, depth: int | None, limit: int) -> tuple[dict[int, int], bool]:
        """Returns the distance of each event in a cone, nearest first, and whether it was cut off.

        At equal distance the total order decides; the plain algorithm in the tests defines the
        rest.
        """
        distances = {arrival: 0}
        layer = [arrival]
        distance = 0
        is_cut = is_wide = False
        while layer and distance != depth and not is_cut:
            distance += 1
            layer = [other for other in self.neighbours(layer) if other not in distances]
            is_wide = is_wide or len(layer) > 1
            if len(distances) + len(layer) > limit + 1:
                is_cut = True
                layer = self._in_order(layer)[: limit + 1 - len(distances)]
            distances.update(dict.fromkeys(layer, distance))
        del distances[arrival]
        if is_wide:
            distances = {other: distances[other] for other in self._in_order(distances)}
            distances = dict(sorted(distances.items(), key=lambda item: item[1]))
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
                keys = self._keys_of([arrival, *causes])
                effect_type = keys[arrival][0]
                near = {cause: closeness(effect_type, *keys[cause][:2]) for cause in causes}
                closest = [cause for cause in causes if near[cause] == max(near.values())]
                if len(closest) > 1 and effect_type == "STATE" and keys[closest[0]][0] == "ACTION":
                    # the order of names stands in the line alone
                    names = [*event_of(arrival).caused_by, *(keys[cause][-1] for cause in closest)]
                    closest = [min(closest, key=lambda cause: names.index(keys[cause][-1]))]
                causes = sorted(closest, key=lambda cause: keys[cause][2:])
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
        missing = [arrival for arrival in arrivals if arrival not in links]
        for at in range(0, len(missing), _TOGETHER):
            part = missing[at : at + _TOGETHER]
            links |= {arrival: [] for arrival in part}
            sql = f"SELECT {self._near}, {self._far} FROM causes WHERE {self._near} IN"
            for near, far in self._db.execute(f"{sql} ({', '.join('?' * len(part))})", part):
                links[near].append(far)
        return {far for arrival in arrivals for far in links[arrival]}

    def _in_order(self, arrivals: Collection[int]) -> list[int]:
        """Returns arrivals in the total order of their events."""
        keys = self._keys_of(arrivals)
        return sorted(arrivals, key=lambda arrival: keys[arrival][2:])

    def _keys_of(self, arrivals: Collection[int]) -> Mapping[int, Key]:
        missing = [arrival for arrival in arrivals if arrival not in self._keys]
        sql = f"SELECT arrival, type, actor, {TOTAL_ORDER} FROM events WHERE arrival IN"
        for at in range(0, len(missing), _TOGETHER):
            part = missing[at : at + _TOGETHER]
            for other, *key in self._db.execute(f"{sql} ({', '.join('?' * len(part))})", part):
                self._keys[other] = tuple(key)
        return self._keys
