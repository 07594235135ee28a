"""The counts that a picture of a log is drawn from: an overview, lanes, tiles, marks and paths.

A position on an axis is by order the arrival less one, by turn the turn, by time the microseconds
since 1970. Positions begin at 0 and are below 2^53; an event without one is not on the axis. A
bucket of level n has 2^n positions, a tile 256 buckets. All answers are numbers in flat lists, in
the shapes of `server/routes/look.py`; with a filter they are of the events that match it.
"""

import json
import sqlite3
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from heapq import nsmallest
from typing import Any, Literal, NamedTuple

import msgspec

from thence.core.query.filter import Filter
from thence.core.sentences.events import duration
from thence.core.sentences.events import line as in_line
from thence.core.vocabulary import SIM
from thence.log.index.causality import Walk
from thence.log.index.connection import Index
from thence.log.index.lookup import (
    arrival_of,
    event_count,
    events_at,
    ids_at,
    lines_at,
    rows_at,
    subjects_of,
)
from thence.log.index.overview import gathered, level_of
from thence.log.index.query import ALL, Within, matching, scan_of
from thence.log.index.zones import ZONE_BITS, bounds_of

Axis = Literal["order", "turn", "time"]
Sort = Literal["failures", "events", "first"]

TILE_BITS = 8
POSITION_MAX = 2**53 - 1
TYPES_MAX = 100
LANES_MAX = 200
NAME_CHARACTERS_MAX = 200
OVERVIEW_BUCKETS_MAX = 600
# bars of one window that began before it
STEPS_MAX = 2_000
# of fewer arrivals the rows are read; of more the index of lanes, which is a fifth as large
_ROWS_MAX = 100_000
_OVERVIEW_ROWS_MAX = 150_000
SERIES_LANES_MAX = 200
SERIES_LINES_MAX = 15_000
# of more values, of all lanes, the index of lanes is searched by turn
_BY_SUBJECT_MAX = 60_000

_COLUMNS: Mapping[Axis, str] = {"order": "arrival - 1", "turn": "turn", "time": "time"}
_decode = msgspec.json.Decoder().decode

# what the index of lanes holds, of which so many rows are walked; other events are looked up
_HELD = frozenset(("type", "failed", "turn", "time"))
_HELD_MAX = 1_000_000
# events that are looked up at most, or whose lines are read
CHOSEN_MAX = 20_000
_LOOKED_UP = "arrival IN (SELECT value FROM json_each(:chosen))"

# a filter, and among what it chooses
Question = tuple[Filter, Within]
EVERYTHING: Question = (Filter(), ALL)
# counts of a whole axis by what they are of: as of which generation (and level), of how many events
Counts = dict[tuple[Axis, str], tuple[tuple[int, int], int, Counter[Any]]]


class Chosen(NamedTuple):
    """The events that pictures show: their condition in SQL with values, and what was counted.

    `state` is the generation of the index and how many events it had.
    """

    question: Question
    state: tuple[int, int]
    counts: Counts
    sql: str
    values: Mapping[str, object]


# what pictures of a log keep for the next answer: of all events, and of those of the latest filter
Kept = dict[bool, Chosen]


class TileView(NamedTuple):
    """What one answer reads: a state of the index, and of which events.

    Types are numbered from 1 as they came; those behind the first `TYPES_MAX` are 0.
    """

    of: Index
    connection: sqlite3.Connection
    chosen: Chosen
    types: Mapping[str, int]
    events: int
    generation: int

    def type(self, name: str) -> int:
        """Returns the number of a type."""
        return self.types.get(name, 0)

    @property
    def is_of_all(self) -> bool:
        """True if no event is left out."""
        return self.chosen.sql == "TRUE"

    def rows(self, sql: str) -> sqlite3.Cursor:
        """Returns the rows of a query of the source of a window."""
        return self.connection.execute(sql, self.chosen.values)


class Window(NamedTuple):
    """Events between two positions: their source in SQL, and the arrivals between which they lie.

    The source `is_short` where its events are read by their rows, else by the index of lanes.
    """

    source: str
    is_short: bool
    low: int
    high: int


def window_of(
    view: TileView, axis: Axis, first: int = 0, end: int = POSITION_MAX + 1, after: int = 0
) -> Window:
    """Returns the events from a position until before another that arrived behind an arrival."""
    low, high, conditions = 1, view.events, [view.chosen.sql]
    if axis == "order":
        low, high = first + 1, min(end, high)
    else:
        conditions.append(f"{axis} >= {first} AND {axis} < {end}")
        if (first, end) != (0, POSITION_MAX + 1):
            bounds = bounds_of(view.connection, {axis: (first, end - 1)})
            low, high = (bounds.arrival_first, bounds.arrival_last) if bounds else (1, 0)
    low, high = max(low, after + 1), min(high, view.events)
    is_short = high - low < min(_ROWS_MAX, view.events - 1) or view.chosen.sql == _LOOKED_UP
    # to compare each arrival takes a fifth of the time in which a whole log is counted
    if (low, high) != (1, view.events):
        plus = "+" * (view.chosen.sql == _LOOKED_UP)  # these arrivals are fewer
        conditions.append(f"{plus}arrival BETWEEN {low} AND {high}")
    by = "NOT INDEXED" if is_short else "INDEXED BY lanes"
    return Window(f"events {by} WHERE {' AND '.join(conditions)}", is_short, low, high)


def _whole(
    view: TileView, axis: Axis, of: str, level: int, count: Callable[[Window], Counter[Any]]
) -> Counter[Any]:
    """Returns what is counted of all events on an axis; of the last time's only what came since."""
    kept = view.chosen.counts
    mark, events, counts = kept.get((axis, of), ((0, 0), 0, Counter[Any]()))
    if mark != (view.generation, level) or events > view.events:
        events, counts = 0, Counter[Any]()
    if events < view.events:
        counts = counts + count(window_of(view, axis, after=events))
        kept[axis, of] = (view.generation, level), view.events, counts
    return counts


def read(
    index: Index,
    kept: Kept,
    work: Callable[[TileView], dict[str, Any]],
    question: Question = EVERYTHING,
) -> dict[str, Any]:
    """Returns an answer of one state of the index, with its `generation`.

    It is of the events that match a filter, of all where that is too wide. Raises `read_failed`,
    and what the work raises.
    """
    filter, within = question
    is_all = question == EVERYTHING

    def choose(connection: sqlite3.Connection) -> tuple[str, Mapping[str, object]]:
        scan = None if is_all else scan_of(index, connection, filter, within=within)
        if scan is None:
            return "TRUE" if is_all else "FALSE", {}
        is_short = event_count(connection) <= _HELD_MAX
        if is_short and not filter.where and _HELD.issuperset(scan.conditions):
            return " AND ".join(scan.conditions.values()) or "TRUE", scan.values
        sql = f"SELECT arrival FROM {scan.source()} LIMIT {CHOSEN_MAX + 1}"
        arrivals = [arrival for (arrival,) in connection.execute(sql, scan.values)]
        if len(arrivals) > CHOSEN_MAX:
            return "TRUE", {}
        if filter.where:
            arrivals = [*matching(index, connection, scan, filter)]
        return _LOOKED_UP, {"chosen": json.dumps(arrivals)}

    def answer(connection: sqlite3.Connection) -> dict[str, Any]:
        meta = dict(connection.execute("SELECT key, value FROM meta").fetchall())
        sql = f"SELECT type FROM zone_types GROUP BY type ORDER BY min(rowid) LIMIT {TYPES_MAX}"
        types = {name: id for id, (name,) in enumerate(connection.execute(sql), 1)}
        state = meta["generation"], meta["events"]
        chosen = kept.get(is_all)
        if chosen is None or (chosen.question, chosen.state) != (question, state):
            sql, values = choose(connection)
            # what is looked up may be other events now
            is_more = chosen and chosen.question == question and sql != _LOOKED_UP
            counts = chosen.counts if chosen and is_more else {}
            chosen = kept[is_all] = Chosen(question, state, counts, sql, values)
        view = TileView(index, connection, chosen, types, meta["events"], meta["generation"])
        return {"generation": view.generation, **work(view)}

    return index.answer(answer)


def look(view: TileView) -> dict[str, Any]:
    """Returns what is known of a log at once: how much there is, on which axes, of which types."""
    sums: Counter[int] = Counter()
    failed = 0
    sql = "SELECT type, sum(events), sum(failures) FROM zone_types GROUP BY type"
    zones = view.connection.execute(sql)
    for name, count, failures in zones if view.is_of_all else _summed(view, "order", "type"):
        sums[view.type(name)] += count
        failed += failures
    types: list[Any] = [
        [id, name[:NAME_CHARACTERS_MAX], sums[id]] for name, id in view.types.items()
    ]
    types.sort(key=lambda row: -row[2])
    ends = {axis: ends for axis in _COLUMNS if (ends := _ends(view, axis)) is not None}
    return {
        "events": view.events,
        "shown": sum(sums.values()),
        "is_wide": view.is_of_all and view.chosen.question != EVERYTHING,
        "failures": failed,
        "types": types + ([[0, "", sums[0]]] if sums[0] else []),
        "axes": list(ends),
        "ends": ends,
    }


def _ends(view: TileView, axis: Axis) -> tuple[int, int] | None:
    """Returns the first position of an axis, and the one behind its last; None if it has none."""
    if axis == "order":
        return 0, view.events
    sql = f"SELECT min({axis}_first), max({axis}_last) FROM zones"
    first, last = view.connection.execute(sql).fetchone()
    if first is not None and (first < 0 or last > POSITION_MAX):
        source = f"events INDEXED BY lanes WHERE {axis} BETWEEN 0 AND {POSITION_MAX}"
        sql = f"SELECT min({axis}), max({axis}) FROM {source}"
        first, last = view.connection.execute(sql).fetchone()
    return None if first is None else (first, last + 1)


def overview(view: TileView, axis: Axis) -> dict[str, Any]:
    """Returns the counts of all of a log on an axis, in at most `OVERVIEW_BUCKETS_MAX` buckets.

    By order a long log has buckets of whole zones, which costs no look at events.
    """
    first, end = _ends(view, axis) or (0, 0)
    level = level_of(first, end - 1, OVERVIEW_BUCKETS_MAX)
    counts = Counter[tuple[int, ...]]()
    if axis == "order" and view.events > _OVERVIEW_ROWS_MAX and view.is_of_all:
        level = max(level, ZONE_BITS)
        sql = "SELECT number >> ?, type, sum(events), sum(failures) FROM zone_types GROUP BY 1, 2"
        for bucket, name, events, failures in view.connection.execute(sql, (level - ZONE_BITS,)):
            counts[bucket, view.type(name), 0] += events - failures
            counts[bucket, view.type(name), 1] += failures
    else:

        def count(window: Window) -> Counter[tuple[int, ...]]:
            # by lane, as the index has it: a list by lane costs half of an order by type
            sql = (
                f"SELECT type, failed, json_group_array(({_COLUMNS[axis]}) >> {level})"
                f" FROM {window.source} GROUP BY lane, type, failed"
            )
            buckets = defaultdict[tuple[int, int], list[int]](list)
            for name, failed, numbers in view.rows(sql):
                buckets[view.type(name), failed] += gathered(numbers)
            return Counter(
                {
                    (bucket, *key): n
                    for key in buckets
                    for bucket, n in Counter(buckets[key]).items()
                }
            )

        counts = _whole(view, axis, "buckets", level, count)
    base = first >> level
    return {
        "first": base << level,
        "level": level,
        "buckets": ((end - 1) >> level) - base + 1 if end > first else 0,
        **_flat((bucket - base, *rest, count) for (bucket, *rest), count in counts.items()),
    }


def _flat(counts: Iterable[tuple[int, ...]]) -> dict[str, list[int]]:
    """Returns rows of bucket, type, failed and number as the flat lists of an answer."""
    sums, failures = Counter[tuple[int, int]](), Counter[int]()
    for bucket, type_, failed, number in counts:
        if number:
            sums[bucket, type_] += number
            failures[bucket] += number * failed
    return {
        "counts": [n for key, number in sorted(sums.items()) for n in (*key, number)],
        "failures": [n for row in sorted(failures.items()) if row[1] for n in row],
    }


def lanes(
    view: TileView, axis: Axis, span: tuple[int, int], sort: Sort, find: str
) -> dict[str, Any]:
    """Returns the first `LANES_MAX` lanes with events between two positions."""
    names = dict(view.connection.execute("SELECT number, name FROM lane_names").fetchall())
    word, rows = find.casefold(), list[tuple[int, str, int, int]]()
    for lane, events, failures in _summed(view, axis, "lane", span):
        name = names[lane][:NAME_CHARACTERS_MAX]
        if word in name.casefold():
            rows.append((lane, name, events, failures))
    keys: Mapping[Sort, Callable[[tuple[int, str, int, int]], Any]] = {
        "failures": lambda row: (-row[3], -row[2], row[0]),
        "events": lambda row: (-row[2], row[0]),
        "first": lambda row: row[0],
    }
    ends_of = {}
    if axis == "order":
        ends_of["ends"] = ids_at(view.connection, window_of(view, axis, span[0], span[1])[-2:])
    return {"lanes": nsmallest(LANES_MAX, rows, key=keys[sort]), **ends_of}


def _summed(
    view: TileView, axis: Axis, column: str, span: tuple[int, int] = (0, POSITION_MAX + 1)
) -> Iterator[tuple[Any, int, int]]:
    """Yields each value of a column between two positions, with its events and failures."""

    def count(window: Window) -> Counter[tuple[Any, int]]:
        sql = f"SELECT {column}, count(*), sum(failed) FROM {window.source} GROUP BY {column}"
        rows = view.rows(sql).fetchall()
        return Counter({(row[0], of): row[1 + of] for row in rows for of in (0, 1)})

    ends = _ends(view, axis) or (0, 0)
    if span[0] <= ends[0] and span[1] >= ends[1]:
        counts = _whole(view, axis, column, 0, count)
    else:
        counts = count(window_of(view, axis, span[0], span[1]))
    return ((value, counts[value, 0], counts[value, 1]) for value, of in counts if not of)


def tile(
    view: TileView, axis: Axis, level: int, number: int, lanes: Sequence[int]
) -> dict[str, Any]:
    """Returns the counts of some lanes in the 256 buckets of a tile."""
    first = min(number << (level + TILE_BITS), POSITION_MAX + 1)
    end = min(first + (1 << (level + TILE_BITS)), POSITION_MAX + 1)
    window = window_of(view, axis, first, end)
    sql = (
        f"SELECT lane, type, failed, json_group_array(({_COLUMNS[axis]} - {first}) >> {level})"
        f" FROM {window.source} AND {'+' * window.is_short}lane IN ({', '.join(map(str, lanes))})"
        " GROUP BY lane, type, failed"
    )
    rows = defaultdict[str, list[tuple[int, ...]]](list)
    for lane, name, failed, buckets in view.rows(sql):
        for bucket, count in Counter(gathered(buckets)).items():
            rows[str(lane)].append((bucket, view.type(name), failed, count))
    parts = {lane: _flat(counts) for lane, counts in rows.items()}
    return {
        "lanes": {lane: part["counts"] for lane, part in parts.items()},
        "failures": {lane: part["failures"] for lane, part in parts.items() if part["failures"]},
    }


_LASTED = """
    SELECT steps.begin, steps.end, ended.time - steps.time
    FROM steps JOIN events AS ended ON ended.arrival = steps.end
    WHERE steps.begin > :first AND steps.begin <= :end
        OR steps.end > :first AND steps.end <= :end
"""


def marks(view: TileView, first: int, end: int, with_ids: bool) -> dict[str, Any]:
    """Returns the events between two positions by order.

    With ids also what happened in words, with how long it lasted, whatever the filter.
    """
    one, type_ = view.connection.execute, view.type
    bounds: dict[str, object] = {"first": first, "end": end}
    within = "arrival > :first AND arrival <= :end"
    if not with_ids:
        within, bounds = f"{within} AND {view.chosen.sql}", {**bounds, **view.chosen.values}
    sql = f"SELECT arrival, lane, type, time, failed FROM events NOT INDEXED WHERE {within}"
    events = one(f"{sql} ORDER BY arrival", bounds).fetchall()
    answer: dict[str, Any] = {
        "marks": [n for at, lane, kind, us, _ in events for n in (at, lane, type_(kind), us)],
        "failures": [row[0] for row in events if row[4]],
    }
    if with_ids:
        arrivals = [row[0] for row in events]
        answer["ids"] = ids_at(view.connection, arrivals)
        lasted: dict[int, str] = {}
        for begin, ended, us in one(_LASTED, bounds):
            if us is not None:  # both have a time
                lasted |= dict.fromkeys((begin, ended), f" ({duration(us / 1e6)})")
        answer["words"] = [
            in_line(view.of.vocabulary.summary(event)) + lasted.get(at, "")
            for at, event in zip(
                arrivals, events_at(view.of, view.connection, arrivals), strict=True
            )
        ]
    return answer


_CHANGED = """
    SELECT max(1, min(at)) FROM (
        SELECT :last AS at
        UNION ALL SELECT min(begin) FROM steps INDEXED BY step_ends WHERE end > :last
        UNION ALL SELECT min(child) FROM causes INDEXED BY effects
        WHERE parent > :last AND child <= :last
    )
"""


def growth(view: TileView, since: tuple[int, int] | None) -> dict[str, Any]:
    """Returns how much a log holds, and the lowest arrival whose picture changed as `from`.

    Changed since a generation and its number of events: the last row of then, begins that got
    their end, effects that got their cause. Without them, or for another generation, it is 1.
    """
    changed = 1
    if since is not None and since[0] == view.generation:
        (changed,) = view.connection.execute(_CHANGED, {"last": since[1]}).fetchone()
    return {"events": view.events, "from": changed}


def path(view: TileView, event_id: str, is_effects: bool, limit: int) -> dict[str, Any]:
    """Returns an event and its causes, or its effects, nearest first; raises EventNotFound."""
    arrival = arrival_of(view.of, view.connection, event_id)
    walk = Walk(view.connection, "downstream" if is_effects else "upstream")
    distances, truncated = walk.cone(arrival, None, limit)
    depths = {arrival: 0} | distances
    values = {"arrivals": json.dumps([*depths])}
    among = "SELECT value FROM json_each(:arrivals)"
    columns = "arrival, lane, events.type, turn, time"
    rows = {at: row for at, *row in rows_at(view.connection, columns, depths)}
    links = f"SELECT child, parent FROM causes WHERE child IN ({among}) AND parent IN ({among})"
    path: list[int] = []
    for at, depth in depths.items():
        lane, type_, *_ = rows[at]
        path += (at, lane, view.type(type_), depth)
    return {
        "arrival": arrival,
        "path": path,
        "causes": [n for row in view.connection.execute(links, values) for n in row],
        "places": {
            axis: [
                n for at, row in rows.items() if row[column] is not None for n in (at, row[column])
            ]
            for axis, column in (("turn", 2), ("time", 3))
        },
        "truncated": truncated,
    }


def failure(view: TileView, arrival: int, is_behind: bool) -> dict[str, Any]:
    """Returns the next failed event behind an arrival, or the last one before it."""
    order, sign = ("ASC", ">") if is_behind else ("DESC", "<")
    within = f"failures WHERE failed = 1 AND arrival {sign} {arrival}"
    return _first(view, within, f"arrival {order}")


def in_turn(view: TileView, lane: int, turn: int) -> dict[str, Any]:
    """Returns the event of a lane in a turn that says most: a failure, or what is no state."""
    within = f"lanes WHERE lane = {lane} AND turn = {turn}"
    return _first(view, within, "failed DESC, type = 'MILESTONE' DESC, type = 'STATE', arrival")


def _first(view: TileView, within: str, order: str) -> dict[str, Any]:
    source = f"events INDEXED BY {within} AND {view.chosen.sql}"
    row = view.rows(f"SELECT arrival, event_id, lane FROM {source} ORDER BY {order} LIMIT 1")
    names = ("arrival", "event_id", "lane")
    return dict(zip(names, row.fetchone() or (None, None, None), strict=True))


def series(view: TileView, variable: str) -> dict[str, Any]:
    """Returns the values of a variable by turn and lane, of the first `SERIES_LANES_MAX` lanes.

    It is what a simulation's STATE events set, in other logs a number at the top of the payload. Of
    more lines than `SERIES_LINES_MAX` those of every k-th turn are read.
    """
    is_sim = view.of.vocabulary.name == SIM.name
    first, end = _ends(view, "turn") or (0, 0)
    values: dict[str, Any] = {"first": first, "end": end, "limit": SERIES_LINES_MAX}
    source, within = "lanes", "turn >= :first AND turn < :end"
    counted = f"lanes WHERE {within}"
    if is_sim:
        values["names"] = json.dumps(subjects_of(view.connection, -1, f"/{variable}"))
        of_names = "subject IN (SELECT value FROM json_each(:names)) AND subject IS NOT NULL"
        counted = f"subjects WHERE {of_names}"
    sql = f"SELECT count(*) FROM events INDEXED BY {counted}"
    (count,) = view.connection.execute(sql, values).fetchone()
    if is_sim and count <= _BY_SUBJECT_MAX:
        source, within = "subjects", f"{of_names} AND {within}"
    elif is_sim:  # only events of this type have subjects
        within = f"type = 'STATE' AND +{of_names} AND {within}"
    values["every"] = every = max(1, -(-count // SERIES_LINES_MAX))
    sql = (
        f"SELECT arrival, turn, lane FROM events INDEXED BY {source} WHERE {within}"
        " AND (turn - :first) % :every = 0 ORDER BY turn, arrival LIMIT :limit"
    )
    rows = view.connection.execute(sql, values).fetchall()
    lines = lines_at(view.of, view.connection, [row[0] for row in rows])
    key = (SIM.payload_key, "new_value") if is_sim else (view.of.vocabulary.payload_key, variable)
    by_lane = defaultdict[int, list[Any]](list)
    for (arrival, turn, lane), line in zip(rows, lines, strict=True):
        value = _value(line, *key)
        if value is not None and (lane in by_lane or len(by_lane) < SERIES_LANES_MAX):
            by_lane[lane] += (turn, value, arrival)
    sql = "SELECT number, name FROM lane_names WHERE number IN (SELECT value FROM json_each(?))"
    names = view.connection.execute(sql, (json.dumps([*by_lane]),))
    return {
        "every": every,
        "lanes": {str(lane): points for lane, points in by_lane.items()},
        "names": {str(lane): name[:NAME_CHARACTERS_MAX] for lane, name in names},
    }


def _value(line: bytes, member: str, key: str) -> float | None:
    """Returns a number of an event's payload; None where there is none that JavaScript reads."""
    try:
        value = _decode(line)[member][key]
    except (msgspec.MsgspecError, KeyError, TypeError, UnicodeError):
        return None
    is_number = type(value) in (int, float) and abs(value) < 1e300
    return (value if abs(value) <= POSITION_MAX else float(value)) if is_number else None
