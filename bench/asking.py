"""How long single questions to an index of 1,000,000 events take."""

import random
import sqlite3
import statistics
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import NamedTuple

from bench.indexing import Growing
from thence.core.codec import draft, stamper
from thence.core.event import EventFields
from thence.core.query.filter import Filter
from thence.core.vocabulary import PLAIN
from thence.log.files.disk import OS_DISK
from thence.log.files.process_state import new_id, now
from thence.log.files.segment import current_path
from thence.log.index import causality
from thence.log.index.causality import common_causes, concurrent
from thence.log.index.connection import Index
from thence.log.index.lookup import arrival_of, events_at, get, lines_at
from thence.log.index.overview import latest_steps
from thence.log.index.query import count, page

EVENTS = 1_000_000
EVENTS_A_TURN = 1_000
PAGE_EVENTS = 100
CONE_EVENTS = 10_000
ASKED = 200
SEED = 20261120
_TYPES = ("trade", "order", "note")
_STREAMS = ("a", "b", "c", "d", "e")
_ACTORS, _SUBJECTS = 7, 1_000
_TOGETHER = 10_000  # events written at once

Question = Callable[[Index, random.Random], object]


class Times(NamedTuple):
    """How long a question took that was asked again and again, in ms."""

    p50: float
    p99: float
    longest: float


def _said(at: int) -> dict[str, str | int]:
    return {
        "event_type": _TYPES[at % len(_TYPES)],
        "stream": _STREAMS[at % len(_STREAMS)],
        "subject": f"order/{at % _SUBJECTS}",
        "actor": f"ada{at % _ACTORS}",
        "turn_number": at // EVENTS_A_TURN,
    }


@contextmanager
def asked(folder: Path) -> Iterator[Index]:
    """Writes the log and gives its index, made and up to date."""
    Growing(folder, _said).grow(EVENTS)
    with Index(OS_DISK, folder, PLAIN) as index:
        index.refresh()
        yield index


@contextmanager
def stepped(folder: Path) -> Iterator[Index]:
    """Writes a log of 500,000 spans, each a begin and an end, and gives its index."""
    stamp = stamper("3f9ac1d2e4b5")
    with current_path(folder).open("wb") as file:
        for first in range(0, EVENTS, _TOGETHER):
            drafts = []
            for at in range(first, first + _TOGETHER, 2):
                begin, end = new_id(), new_id()
                payload = {"name": f"tool {at % 7}", "span_id": f"{at:016x}"}
                actor = {"actor": f"ada{at % _ACTORS}"}
                begun = EventFields(
                    begin, "tool.begun", 1, now(), (), begins=True, payload=payload, **actor
                )
                ended = EventFields(end, "tool.ended", 1, now(), (begin,), ends=begin, **actor)
                drafts += [draft(begun), draft(ended)]
            file.write(b"".join(stamp(drafts, first + 1, first + 1)))
    with Index(OS_DISK, folder, PLAIN) as index:
        index.refresh()
        yield index


def steps() -> dict[str, tuple[Question, int]]:
    """Returns questions to a log of steps, each with its target in ms."""
    by_span = "SELECT arrival FROM spans WHERE span_id = ?"

    def latest(index: Index, chance: random.Random) -> object:
        return latest_steps(index, Filter(), 50)

    def span(index: Index, chance: random.Random) -> object:
        name = (f"{chance.randrange(0, EVENTS, 2):016x}",)
        return index.answer(lambda db: db.execute(by_span, name).fetchone()[0])

    return {
        "the last 50 steps": (latest, 50),
        "a step by its span": (span, 1),
    }


def times(index: Index, question: Question, count: int = ASKED) -> Times:
    """Asks a question so many times, each time about something else."""
    chance = random.Random(SEED)
    found = []
    for _ in range(count):
        start = time.perf_counter()
        question(index, chance)
        found.append((time.perf_counter() - start) * 1e3)
    found.sort()
    return Times(found[count // 2], found[count * 99 // 100], found[-1])


def pages(index: Index) -> dict[str, Question]:
    """Returns questions for a page of 100, by the words in which they are asked."""
    moments = _column(index, "time")
    cursors = _cursors(index)
    anywhere = _page(lambda _: Filter(), EVENTS)

    def by_cursor(index: Index, chance: random.Random) -> object:
        return page(index, Filter(), limit=PAGE_EVENTS, cursor=chance.choice(cursors))

    def since_until(chance: random.Random) -> Filter:
        first, last = sorted(chance.sample(moments, 2))
        return Filter(since=first, until=last)

    def of_turns(chance: random.Random) -> Filter:
        first, last = sorted(chance.sample(range(EVENTS // EVENTS_A_TURN), 2))
        return Filter(turn_first=first, turn_last=last)

    def of_type(chance: random.Random) -> Filter:
        return Filter(types=(chance.choice(_TYPES),))

    def of_stream(chance: random.Random) -> Filter:
        return Filter(streams=(chance.choice(_STREAMS),))

    def of_actor(chance: random.Random) -> Filter:
        return Filter(actors=(f"ada{chance.randrange(_ACTORS)}",))

    def of_subject(chance: random.Random) -> Filter:
        return Filter(subjects=(f"order/{chance.randrange(_SUBJECTS)}",))

    return {
        "anywhere": anywhere,
        "by cursor": by_cursor,
        "of a type": _page(of_type, EVENTS // len(_TYPES)),
        "of an actor": _page(of_actor, EVENTS // _ACTORS),
        "of a stream": _page(of_stream, EVENTS // len(_STREAMS)),
        "of a subject": _page(of_subject, EVENTS // _SUBJECTS),
        "of a span of turns": _page(of_turns, EVENTS_A_TURN),
        "of a span of time": _page(since_until, EVENTS_A_TURN),
    }


def where(index: Index) -> tuple[float, float]:
    """Asks for a page whose candidates, all events of an actor, have to be read; for another.

    Returns the seconds of the one and the milliseconds of the other.
    """
    asked = Filter.of(actor="ada3", where="amount > 2")
    seconds = []
    cursor = None
    for _ in range(2):
        start = time.perf_counter()
        cursor = page(index, asked, limit=PAGE_EVENTS, cursor=cursor).next_cursor
        seconds.append(time.perf_counter() - start)
    return seconds[0], seconds[1] * 1e3


def one_event(index: Index) -> Question:
    """Returns the question for the event of an id."""
    ids = _column(index, "event_id")
    return lambda index, chance: get(index, chance.choice(ids))


def cones(index: Index) -> dict[str, Question]:
    """Returns questions for cones of 10,000 events, by what is made of them."""
    ids = _column(index, "event_id")
    middle = ids[len(ids) // 4 : -len(ids) // 4]

    def cone(read: Callable[..., object], index: Index, chance: random.Random) -> object:
        def work(connection: sqlite3.Connection) -> object:
            arrival = arrival_of(index, connection, chance.choice(middle))
            distances, _ = causality.Walk(connection, "upstream").cone(arrival, None, CONE_EVENTS)
            return read(index, connection, distances)

        return index.answer(work)

    return {"as stored lines": partial(cone, lines_at), "as events": partial(cone, events_at)}


def cone_parts_ms(index: Index) -> dict[str, float]:
    """Returns where the time of cones of 10,000 goes, in ms, medians."""
    middle = _column(index, "event_id")
    chance = random.Random(SEED)
    rounds = []
    for _ in range(ASKED // 4):
        event_id = chance.choice(middle[len(middle) // 4 : -len(middle) // 4])
        rounds.append(index.answer(partial(_cone_parts, index, event_id)))
    return {name: statistics.median(each[name] for each in rounds) * 1e3 for name in rounds[0]}


def _cone_parts(index: Index, event_id: str, connection: sqlite3.Connection) -> dict[str, float]:
    """Takes the steps of one cone; in s."""
    start = time.perf_counter()
    arrival = arrival_of(index, connection, event_id)
    distances, _ = causality.Walk(connection, "upstream").cone(arrival, None, CONE_EVENTS)
    walked = time.perf_counter()
    lines_at(index, connection, distances)
    found = time.perf_counter()
    events_at(index, connection, distances)
    decoded = time.perf_counter()
    return {
        "the walk": walked - start,
        "lines found, read and checked": found - walked,
        "made Event objects beside that": decoded - found - (found - walked),
    }


def totals(index: Index) -> dict[str, float]:
    """Returns what totals take, in ms of processor time, by what is counted."""
    last = EVENTS // EVENTS_A_TURN
    asked = {
        "a span of turns": Filter(turn_first=last // 10, turn_last=last * 9 // 10),
        "a type in a stream": Filter(types=_TYPES[:1], streams=_STREAMS[:1]),
        "an actor in a stream": Filter(actors=("ada1",), streams=_STREAMS[:1]),
        "a type on a subject": Filter(types=_TYPES[:1], subjects=("order/1",)),
    }
    return {
        name: _processor_ms(lambda filter=filter: count(index, filter), 9)
        for name, filter in asked.items()
    }


def everything(index: Index) -> dict[str, float]:
    """Returns what questions take whose answer rests on all links, in ms of processor time."""
    ids = _column(index, "event_id")
    first, middle, last = ids[0], ids[len(ids) // 2], ids[-1]
    asked: dict[str, Callable[[], object]] = {
        "what an event shares with one 500,000 earlier": lambda: common_causes(
            index, [last, middle]
        ),
        "what the last shares with one of the first": lambda: common_causes(index, [last, first]),
        "what is concurrent with one in the middle": lambda: concurrent(index, middle),
    }
    return {name: _processor_ms(ask, 3) for name, ask in asked.items()}


def _processor_ms(ask: Callable[[], object], times_asked: int) -> float:
    """Returns the median of what an answer takes of the processor, in ms."""
    found = []
    for _ in range(times_asked):
        start = time.process_time()
        ask()
        found.append((time.process_time() - start) * 1e3)
    return statistics.median(found)


def _page(filter: Callable[[random.Random], Filter], most: int) -> Question:
    """Returns the question for a page behind fewer events than `most`."""

    def question(index: Index, chance: random.Random) -> object:
        asked, offset = filter(chance), chance.randrange(most - PAGE_EVENTS)
        return page(index, asked, limit=PAGE_EVENTS, offset=offset)

    return question


def _column(index: Index, column: str) -> list[str]:
    """Returns a column of every hundredth event."""
    sql = f"SELECT {column} FROM events WHERE arrival % 100 = 0 ORDER BY arrival"
    return [value for (value,) in index.answer(lambda db: db.execute(sql).fetchall())]


def _cursors(index: Index) -> list[str]:
    """Returns what leads to the pages behind some events anywhere in the log."""
    offsets = range(0, EVENTS - 2 * PAGE_EVENTS, EVENTS // 100)
    found = [page(index, Filter(), limit=PAGE_EVENTS, offset=offset) for offset in offsets]
    return [each.next_cursor for each in found if each.next_cursor]
