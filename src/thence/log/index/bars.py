"""The bars of a picture: what lasted, in rows by what it is a part of.

A bar is a step, or a prompt with the work of its turn; a place on an axis is as in `tiles`.
"""

import json
from collections import defaultdict
from collections.abc import Iterator
from math import inf
from typing import Any, Literal, NamedTuple

from thence.core.event import Event
from thence.core.sentences.events import agent_sentence, clipped
from thence.core.sentences.events import line as in_line
from thence.core.vocabulary import PLAIN
from thence.log.index.lookup import events_at
from thence.log.index.tiles import STEPS_MAX, TileView, window_of

# a window of more arrivals is drawn without bars
ARRIVALS_MAX = 50_000
BARS_MAX = 2_000
# bars whose words are told, the longest ones
WORDS_MAX = 400
WORD_CHARACTERS_MAX = 80
# what lies deeper lies in the last row
ROWS_MAX = 24

_STEPS = """
    SELECT begin, end, begun.lane, begun.time, ended.time, coalesce(ended.failed, begun.failed)
    FROM (
        SELECT begin, end FROM steps WHERE begin BETWEEN :low AND :high
        UNION ALL
        SELECT * FROM (
            SELECT begin, end FROM steps WHERE begin < :low AND (end IS NULL OR end >= :low)
            ORDER BY begin DESC LIMIT :limit
        )
    )
    CROSS JOIN events AS begun ON begun.arrival = begin
    LEFT JOIN events AS ended ON ended.arrival = end
"""
_TURNS = """
    SELECT type, lane, arrival, time FROM events
    WHERE type IN ('prompt', 'turn.ended') AND arrival BETWEEN :low AND :high ORDER BY arrival
"""
_PARENTS = """
    SELECT child, parent FROM causes
    WHERE child IN (SELECT value FROM json_each(:begins)) ORDER BY child, parent
"""


class _Bar(NamedTuple):
    """What lasted: its arrivals and its places; while it is open they end with 0 and `inf`."""

    begin: int
    end: int
    first: float
    last: float
    lane: int
    failed: int


def bars(view: TileView, axis: Literal["order", "time"], first: int, end: int) -> dict[str, Any]:
    """Returns the longest bars between two positions, in rows; none of a window of many events.

    A bar lies below what caused it, and in the first row of its lane that is free all the while.
    Steps that began before the window are the latest `STEPS_MAX` of those.
    """
    window = window_of(view, axis, first, end)
    if window.high - window.low >= ARRIVALS_MAX:
        return {"bars": [], "rows": {}, "words": {}, "total": None}
    found = [
        bar
        for bar in _bars(view, axis, window.low, window.high)
        if bar.first < end and bar.last > first
    ]
    longest = sorted(found, key=lambda bar: (bar.first - bar.last, bar.begin))[:BARS_MAX]
    begins = {bar.begin for bar in longest}
    values = {"begins": json.dumps([*begins])}
    parents = {
        child: parent
        for child, parent in view.connection.execute(_PARENTS, values)
        if parent in begins
    }
    of_begin: dict[int, tuple[int, int]] = {}  # the lane and the row of a begin
    taken = defaultdict[int, list[float]](list)  # by lane: until where each row is
    numbers = list[int]()
    for bar in sorted(longest, key=lambda bar: (bar.first, bar.begin)):
        parent, rows = parents.get(bar.begin, 0), taken[bar.lane]
        lane, above = of_begin.get(parent, (None, 0))
        row = above + 1 if lane == bar.lane else 0
        while row < len(rows) and rows[row] > bar.first and row < ROWS_MAX - 1:
            row += 1
        row = min(row, ROWS_MAX - 1)
        rows += [-inf] * (row + 1 - len(rows))
        rows[row] = max(rows[row], bar.last)
        of_begin[bar.begin] = bar.lane, row
        last = -1 if bar.last == inf else int(bar.last)
        numbers += (bar.begin, bar.end, int(bar.first), last, bar.lane, row, bar.failed, parent)
    told = sorted(longest[:WORDS_MAX])
    events = events_at(view.of, view.connection, [bar.begin for bar in told])
    ends = sorted(bar.end for bar in told if bar.end)
    ended = dict(zip(ends, events_at(view.of, view.connection, ends), strict=True))
    return {
        "bars": numbers,
        "rows": {str(lane): len(rows) for lane, rows in taken.items()},
        "words": {
            str(bar.begin): _words(view, event, ended.get(bar.end), bar.failed)
            for bar, event in zip(told, events, strict=True)
        },
        "total": len(found),
    }


def _bars(view: TileView, axis: Literal["order", "time"], low: int, high: int) -> Iterator[_Bar]:
    """Yields what lasted between two arrivals; by time, what has one."""
    bounds = {"low": low, "high": high, "limit": STEPS_MAX}
    rows = view.connection.execute(_STEPS, bounds).fetchall()
    if view.of.vocabulary.name == PLAIN.name:
        rows += _turns(view, bounds)
    for begin, end, lane, begun_us, ended_us, failed in rows:
        if axis == "order":
            yield _Bar(begin, end or 0, begin - 1, end - 1 if end else inf, lane, failed)
        elif begun_us is not None and (end is None or ended_us is not None):
            yield _Bar(begin, end or 0, begun_us, inf if end is None else ended_us, lane, failed)


def _words(view: TileView, begin: Event, end: Event | None, failed: int) -> str:
    """Returns what lasted, without who; of a span or a failure as its end tells it."""
    is_told_by_end = end is not None and (failed or "span_id" in begin.cut_payload)
    words = in_line(view.of.vocabulary.summary(end if end and is_told_by_end else begin))
    actor = in_line(begin.actor or "")
    return clipped(words.removeprefix(actor).removeprefix(": ").strip(), WORD_CHARACTERS_MAX)


def _turns(view: TileView, bounds: dict[str, int]) -> list[tuple[Any, ...]]:
    """Returns the prompts of coding agents, each until its turn ended or the next prompt came."""
    turns = list[tuple[Any, ...]]()
    open_: dict[int, tuple[int, int | None]] = {}  # by lane
    for type_, lane, arrival, us in view.connection.execute(_TURNS, bounds):
        if lane in open_:
            begin, begun_us = open_.pop(lane)
            turns.append((begin, arrival, lane, begun_us, us, 0))
        if type_ == "prompt":
            open_[lane] = arrival, us
    turns += ((begin, None, lane, us, None, 0) for lane, (begin, us) in open_.items())
    begins = sorted(turn[0] for turn in turns)
    events = dict(zip(begins, events_at(view.of, view.connection, begins), strict=True))
    return [turn for turn in turns if agent_sentence(events[turn[0]])]
