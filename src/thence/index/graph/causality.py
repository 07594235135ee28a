"""Queries of causes and effects by an index, for logs of any size.

Each answer is of the present log. Tests compare the answers with a slow reference.
"""

import json
import sqlite3
from collections.abc import Collection, Sequence
from typing import NamedTuple

from thence.core.event import Event
from thence.core.order import CHAIN_EVENTS_MAX, CONE_EVENTS_MAX, MILESTONE
from thence.core.query.answer import Concurrent, Effects, Why, ends_of
from thence.core.values.payload import is_utf8
from thence.core.values.vocabulary import Vocabulary
from thence.index.file.database import Index
from thence.index.file.lookup import (
    arrival_of,
    event_at,
    events_at,
    ids_at,
    lines_at,
    present,
)
from thence.index.graph import links


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
        causes, is_cut = links.cone(connection, arrival, "upstream", depth, limit)
        effects, is_cut_too = links.cone(connection, arrival, "downstream", depth, limit)
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
        line = links.chain(connection, arrival, MILESTONE, CHAIN_EVENTS_MAX)
        distances, truncated = links.cone(connection, arrival, "upstream", None, CONE_EVENTS_MAX)
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
        line = links.chain(connection, arrival, MILESTONE, CHAIN_EVENTS_MAX)
        distances, truncated = links.cone(connection, arrival, "upstream", None, CONE_EVENTS_MAX)
        causes = zip(ids_at(connection, distances), distances.values(), strict=True)
        steps = tuple(events_at(index, connection, line))
        sentences = tuple(map(vocabulary.sentence, steps))
        return NamedCauses(steps, tuple(causes), sentences, truncated)

    return index.answer(work)


def effects(index: Index, event_id: str, vocabulary: Vocabulary) -> Effects:
    """Finds the effects of an event; raises EventNotFound."""

    def work(connection: sqlite3.Connection) -> Effects:
        arrival = arrival_of(index, connection, event_id)
        distances, truncated = links.cone(connection, arrival, "downstream", None, CONE_EVENTS_MAX)
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
        others = links.unrelated(connection, arrival, limit + 1)
        event, *unrelated = events_at(index, connection, [arrival, *others[:limit]])
        return Concurrent(event, tuple(unrelated), len(others) > limit)

    return index.answer(work)


def common_causes(index: Index, event_ids: Sequence[str]) -> tuple[Event, ...]:
    """Returns the latest common causes of some events, in total order.

    Raises EventNotFound.
    """

    def work(connection: sqlite3.Connection) -> tuple[Event, ...]:
        arrivals = [arrival_of(index, connection, event_id) for event_id in event_ids]
        return tuple(events_at(index, connection, links.latest_shared(connection, arrivals)))

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
        " WHERE subject IN"
        " (SELECT names.id FROM json_each(:names) CROSS JOIN names ON text = value)"
        " AND type NOT IN (SELECT names.id FROM json_each(:but) CROSS JOIN names ON text = value)"
    )
    values = {"names": json.dumps(names), "but": json.dumps(list(but))}

    def work(connection: sqlite3.Connection) -> tuple[Event, ...]:
        arrivals = [arrival for (arrival,) in connection.execute(on_subject, values)]
        return tuple(events_at(index, connection, links.maximal(connection, arrivals)))

    return index.answer(work)


def _names(subject: str | Sequence[str]) -> Sequence[str]:
    return (subject,) if isinstance(subject, str) else subject
