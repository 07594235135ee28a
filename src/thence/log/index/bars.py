"""The bars of a picture: what lasted, in rows by what it is a part of.

A bar is a step, or a prompt with the work of its turn; a place on an axis is as in `tiles`.
"""

import json
from collections import defaultdict
from math import inf
from typing import Any, Literal, NamedTuple

from thence.core.sentences.events import agent_sentence, clipped
from thence.core.sentences.events import line as in_line
from thence.core.vocabulary import PLAIN
from thence.log.index.lookup import events_at
from thence.log.index.tiles import STEPS_MAX, TileView, window_of

# a window of more arrivals is drawn without bars
ARRIVALS_MAX = 50_000
BARS_MAX = 4_000
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
# prompts of coding agents, each until its turn ended or the next one came
_TURNS = """
    SELECT begin, end, lane, us, ended_us, 0 FROM (
        SELECT
            type, lane, arrival AS begin, time AS us,
            lead(arrival) OVER turns AS end, lead(time) OVER turns AS ended_us
        FROM events
        WHERE type IN ('prompt', 'turn.ended') AND arrival BETWEEN :low AND :high
        WINDOW turns AS (PARTITION BY lane ORDER BY arrival)
    ) WHERE type = 'prompt' ORDER BY begin
"""
_ENDS = "arrival IN (SELECT value FROM json_each(:ends))"
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

    Of a filter they are those whose begin or end matches it. A bar lies below what caused it, and
    in the first row of its lane that is free all the while. Steps that began before the window are
    the latest `STEPS_MAX` of those. Words are without who; of spans and of what failed they are
    those of the end.
    """
    window = window_of(view, axis, first, end)
    if window.high - window.low >= ARRIVALS_MAX:
        return {"bars": [], "rows": {}, "words": {}, "total": None}
    bounds = {"low": window.low, "high": window.high, "limit": STEPS_MAX}
    lasting = view.connection.execute(_STEPS, bounds).fetchall()
    if view.of.vocabulary.name == PLAIN.name:
        turns = view.connection.execute(_TURNS, bounds).fetchall()
        prompts = events_at(view.of, view.connection, [turn[0] for turn in turns])
        lasting += [turn for turn, at in zip(turns, prompts, strict=True) if agent_sentence(at)]
    if not view.is_of_all:
        ends = {"ends": json.dumps([at for row in lasting for at in row[:2]]), **view.chosen.values}
        sql = f"SELECT arrival FROM events WHERE {_ENDS} AND {view.chosen.sql}"
        shown = {arrival for (arrival,) in view.connection.execute(sql, ends)}
        lasting = [row for row in lasting if not shown.isdisjoint(row[:2])]
    found = list[_Bar]()
    for begin, last, lane, begun_us, ended_us, failed in lasting:
        places = (begin - 1, last and last - 1) if axis == "order" else (begun_us, ended_us)
        if places[0] is not None and (last is None or places[1] is not None):
            bar = _Bar(begin, last or 0, places[0], places[1] if last else inf, lane, failed)
            if bar.first < end and bar.last > first:
                found.append(bar)
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
        until = -1 if bar.last == inf else int(bar.last)
        numbers += (bar.begin, bar.end, int(bar.first), until, bar.lane, row, bar.failed, parent)
    told = longest[:WORDS_MAX]
    arrivals = sorted({at for bar in told for at in (bar.begin, bar.end) if at})
    events = dict(zip(arrivals, events_at(view.of, view.connection, arrivals), strict=True))
    words = {}
    for bar in told:
        begun = events[bar.begin]
        is_told_by_end = bar.end and (bar.failed or "span_id" in begun.cut_payload)
        summary = view.of.vocabulary.summary(events[bar.end] if is_told_by_end else begun)
        text = in_line(summary).removeprefix(in_line(begun.actor or "")).removeprefix(": ")
        words[str(bar.begin)] = clipped(text.strip(), WORD_CHARACTERS_MAX)
    return {
        "bars": numbers,
        "rows": {str(lane): len(rows) for lane, rows in taken.items()},
        "words": words,
        "total": len(found),
    }
