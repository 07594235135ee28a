"""Queries of causes and effects by an index, for logs of any size.

Each answer is of the present log. The walks follow the links between arrivals. A cause usually
arrives before its effects, but need not: lines of other tools carry no clock, may come before their
causes, and name each other in a cycle. Every walk ends all the same, because it visits an event
once. A long chain of causes leads from one event to the next, usually a near one: one query for
each link takes longer than reading a hundred links at once.
"""

import json
import sqlite3
from collections.abc import Collection, Iterable, Sequence
from itertools import islice
from typing import Literal, NamedTuple

from thence.core.event import Event
from thence.core.json_values import is_utf8
from thence.core.order import CHAIN_EVENTS_MAX, CONE_EVENTS_MAX, MILESTONE
from thence.core.query.why import Concurrent, Effects, Why, ends_of
from thence.core.vocabulary import Vocabulary
from thence.index.connection import Index
from thence.index.lookup import (
    IN_ORDER,
    arrival_of,
    event_at,
    events_at,
    ids_at,
    in_total_order,
    lines_at,
    present,
)
from thence.index.rows import TOTAL_ORDER, TOTAL_ORDER_DESCENDING


class CausalityLines(NamedTuple):
    """An event with its causes and effects, nearest first, as stored bytes."""

    event: Event
    upstream: tuple[bytes, ...]
    downstream: tuple[bytes, ...]
    truncated: bool


class NamedCauses(NamedTuple):
    """The content of `core.query.answer.Why` with ids of causes and distances, nearest first."""

    chain: tuple[Event, ...]
    causes: tuple[tuple[str, int], ...]
    sentences: tuple[str, ...]
    truncated: bool


def causality(
    index: Index, event_id: str, depth: int | None = None, limit: int = CONE_EVENTS_MAX
) -> CausalityLines:
    """Returns an event with both its cones, as of one moment; raises EventNotFound."""

    def work(connection: sqlite3.Connection) -> CausalityLines:
        arrival = arrival_of(index, connection, event_id)
        causes, is_cut = cone(connection, arrival, "upstream", depth, limit)
        effects, is_cut_too = cone(connection, arrival, "downstream", depth, limit)
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
        line = chain(connection, arrival, MILESTONE, CHAIN_EVENTS_MAX)
        distances, truncated = cone(connection, arrival, "upstream", None, CONE_EVENTS_MAX)
        arrivals = list({**distances, **dict.fromkeys(line)})
        events = dict(zip(arrivals, events_at(index, connection, arrivals), strict=True))
        steps = tuple(events[link] for link in line)
        near = tuple((events[cause], distance) for cause, distance in distances.items())
        ends = ends_of(steps, near, lambda ids: present(connection, ids))
        return Why(steps[-1], steps, near, tuple(map(vocabulary.sentence, steps)), truncated, *ends)

    return index.answer(work)


def named_causes(index: Index, event_id: str, vocabulary: Vocabulary) -> NamedCauses:
    """Finds the causes like `why`, but reads only the events of the chain.

    Raises EventNotFound.
    """

    def work(connection: sqlite3.Connection) -> NamedCauses:
        arrival = arrival_of(index, connection, event_id)
        line = chain(connection, arrival, MILESTONE, CHAIN_EVENTS_MAX)
        distances, truncated = cone(connection, arrival, "upstream", None, CONE_EVENTS_MAX)
        causes = zip(ids_at(connection, distances), distances.values(), strict=True)
        steps = tuple(events_at(index, connection, line))
        sentences = tuple(map(vocabulary.sentence, steps))
        return NamedCauses(steps, tuple(causes), sentences, truncated)

    return index.answer(work)


def effects(index: Index, event_id: str, vocabulary: Vocabulary) -> Effects:
    """Finds the effects of an event; raises EventNotFound."""

    def work(connection: sqlite3.Connection) -> Effects:
        arrival = arrival_of(index, connection, event_id)
        distances, truncated = cone(connection, arrival, "downstream", None, CONE_EVENTS_MAX)
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
        related = reachable(connection, [arrival], "upstream") | {arrival}
        related |= reachable(connection, [arrival], "downstream")
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
        pasts = [reachable(connection, [one], "upstream") | {one} for one in arrivals]
        shared = set[int].intersection(*pasts)
        # what caused one of them is one of them, so that one step is enough
        latest = in_total_order(connection, shared - neighbours(connection, shared, "upstream"))
        return tuple(events_at(index, connection, latest))

    return index.answer(work)


def heads(
    index: Index, subject: str | Sequence[str], but: Collection[str] = ()
) -> tuple[Event, ...]:
    """Returns the events on a subject that caused no other event on it, in total order.

    A subject may have several names. Events of the types in `but` don't count as events on the
    subject, but links through them do.
    """
    names = [name for name in _names(subject) if is_utf8(name)]
    on_subject = (
        "SELECT arrival FROM events"
        " WHERE subject IN (SELECT value FROM json_each(:names))"
        " AND type NOT IN (SELECT value FROM json_each(:but))"
    )
    values = {"names": json.dumps(names), "but": json.dumps(list(but))}

    def work(connection: sqlite3.Connection) -> tuple[Event, ...]:
        arrivals = [arrival for (arrival,) in connection.execute(on_subject, values)]
        return tuple(events_at(index, connection, maximal(connection, arrivals)))

    return index.answer(work)


def _names(subject: str | Sequence[str]) -> Sequence[str]:
    return (subject,) if isinstance(subject, str) else subject


Direction = Literal["upstream", "downstream"]

# the columns of `causes` from which and to which a step leads
ENDS = {"upstream": ("child", "parent"), "downstream": ("parent", "child")}

# the arrivals whose links one query reads: few sizes, so that each statement is prepared once
_TOGETHER = (1, 16, 500)
_PLACES = {size: ", ".join("?" * size) for size in _TOGETHER}


def neighbours(
    connection: sqlite3.Connection, arrivals: Collection[int], direction: Direction
) -> set[int]:
    """Returns the events one step away from any of some events."""
    near, far = ENDS[direction]
    rest = list(arrivals)
    reached: set[int] = set()
    while rest:
        room = next((size for size in _TOGETHER if size >= len(rest)), _TOGETHER[-1])
        part, rest = rest[:room], rest[room:]
        part += part[:1] * (room - len(part))
        sql = f"SELECT {far} FROM causes WHERE {near} IN ({_PLACES[room]})"
        reached.update(arrival for (arrival,) in connection.execute(sql, part))
    return reached


def cone(
    connection: sqlite3.Connection,
    arrival: int,
    direction: Direction,
    depth: int | None,
    limit: int,
) -> tuple[dict[int, int], bool]:
    """Returns the distance of each event in a cone, nearest first, and whether it was cut off.

    At equal distance the total order decides; the plain algorithm in the tests defines the rest.
    """
    distances = {arrival: 0}
    layer: Collection[int] = [arrival]
    distance = 0
    is_cut = is_wide = False
    while layer and distance != depth and not is_cut:
        distance += 1
        layer = neighbours(connection, layer, direction) - distances.keys()
        is_wide = is_wide or len(layer) > 1
        if len(distances) + len(layer) > limit + 1:
            is_cut = True
            layer = in_total_order(connection, layer)[: limit + 1 - len(distances)]
        distances.update(dict.fromkeys(layer, distance))
    del distances[arrival]
    if is_wide:
        distances = {other: distances[other] for other in in_total_order(connection, distances)}
        distances = dict(sorted(distances.items(), key=lambda item: item[1]))
    return distances, is_cut


def reachable(
    connection: sqlite3.Connection, arrivals: Iterable[int], direction: Direction, floor: int = 0
) -> set[int]:
    """Returns all events reachable by steps from some events, none that arrived before `floor`.

    A starting event is included only if a step leads back to it.
    """
    reached: set[int] = set()
    layer = set(arrivals)
    while layer:
        layer = {one for one in neighbours(connection, layer, direction) if one >= floor} - reached
        reached |= layer
    return reached


def _is_forward(connection: sqlite3.Connection) -> bool:
    """Reports whether every cause arrived before its effects."""
    backward = "SELECT 1 FROM causes WHERE parent >= child LIMIT 1"
    return connection.execute(backward).fetchone() is None


def maximal(connection: sqlite3.Connection, arrivals: Collection[int]) -> list[int]:
    """Returns those of some events that are causes of none of the others, in total order.

    One step excludes most events. Where every cause arrived before its effects, the rest of the
    search ends at the first undecided event.
    """
    causes = neighbours(connection, arrivals, "upstream")
    undecided = [arrival for arrival in arrivals if arrival not in causes]
    if len(undecided) > 1 or (undecided and not _is_forward(connection)):
        floor = min(undecided) if _is_forward(connection) else 0
        later = [cause for cause in causes if cause > floor]
        causes |= reachable(connection, later, "upstream", floor)
    return in_total_order(connection, [arrival for arrival in undecided if arrival not in causes])


def chain(connection: sqlite3.Connection, arrival: int, avoided_type: str, limit: int) -> list[int]:
    """Returns one chain of causes that ends at an event, the first cause first.

    The chain follows the cause that is latest in total order, through an event of the avoided
    type only where no other cause is named.
    """
    back = (
        "SELECT parent FROM causes JOIN events ON arrival = parent WHERE child = :child"
        " ORDER BY type = :avoided,"
        f" {TOTAL_ORDER_DESCENDING}"
    )
    links = {arrival: None}
    while len(links) < limit:
        causes = connection.execute(back, {"child": arrival, "avoided": avoided_type})
        before = next((cause for (cause,) in causes if cause not in links), None)
        if before is None:
            break
        links[before] = None
        arrival = before
    return list(reversed(links))
