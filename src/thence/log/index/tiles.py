"""The counts that a picture of a log is drawn from: an overview, lanes, tiles, marks and paths.

A position on an axis is by order the arrival less one, by turn the turn, by time the microseconds
since 1970. Positions begin at 0 and are below 2^53; an event without one is not on the axis. A
bucket of level n has 2^n positions, a tile 256 buckets. All answers are numbers in flat lists, in
the shapes of `server/routes/look.py`.
"""

import json
import sqlite3
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from hashlib import blake2b
from heapq import nsmallest
from threading import RLock
from typing import Any, Literal, NamedTuple

import msgspec

from thence.core.query.filter import Filter
from thence.core.sentences.events import agent_sentence, clipped
from thence.core.sentences.events import line as in_line
from thence.core.vocabulary import PLAIN, SIM
from thence.log.files.disk import monotonic_ns
from thence.log.index.causality import Walk
from thence.log.index.connection import Index
from thence.log.index.lookup import arrival_of, events_at, ids_at, lines_at, subjects_of
from thence.log.index.zones import ZONE_BITS, bounds_of, zone_arrivals, zone_of

Axis = Literal["order", "turn", "time"]
Sort = Literal["failures", "events", "first"]
# number and name of a lane, its events, failures, first arrival
_Row = tuple[int, str, int, int, int]

TILE_BITS = 8
POSITION_MAX = 2**53 - 1
TYPES_MAX = 100
LANES_MAX = 100_000
NAME_CHARACTERS_MAX = 200
OVERVIEW_BUCKETS_MAX = 600
# crossing bars of one window, and the latest open steps that are counted by lane
STEPS_MAX = 2_000
_OPEN_COUNTED_MAX = 10_000
FLAGS_MAX = 100
FLAG_CHARACTERS_MAX = 80
_PROMPT = "prompt"
# of fewer arrivals the rows are read; of more the index of lanes, which is a fifth as large
_ROWS_MAX = 100_000
_OVERVIEW_ROWS_MAX = 150_000
_REFRESH_S = 0.1
_COUNTING_NS = 150_000_000
_DIGEST_BYTES = 16
SERIES_LANES_MAX = 200
SERIES_LINES_MAX = 15_000
# of more values, of all lanes, the index of lanes is searched by turn
_BY_SUBJECT_MAX = 60_000
_QUANTILES = (0.0, 0.1, 0.5, 0.9, 1.0)

_COLUMNS: Mapping[Axis, str] = {"order": "arrival - 1", "turn": "turn", "time": "time"}
_WHOLE = (0, POSITION_MAX + 1, 1, POSITION_MAX)  # a window of all positions and arrivals
_numbers = msgspec.json.Decoder(list[int]).decode
_decode = msgspec.json.Decoder().decode


class _Lane:
    """What a lane has on an axis; its number is its first arrival."""

    __slots__ = ("events", "failures", "name", "number")

    def __init__(self, name: str, number: int) -> None:
        self.name, self.number = name, number
        self.events = self.failures = 0


_Counts = Counter[tuple[int, int, int]]  # by bucket, type, failed


class _Strip:
    """The counts of an axis in buckets of a level, of the first so many events."""

    def __init__(self) -> None:
        self.level = self.events = 0
        self.counts = _Counts()


class Names:
    """The numbers of a log's lanes and types, kept while its generation stays. Safe from threads.

    Types are numbered from 1 by their first arrival; those behind the first `TYPES_MAX` are 0, and
    so are lanes behind `LANES_MAX`. A restart gives the same numbers.
    """

    def __init__(self) -> None:
        self.mutex = RLock()
        self._clear(None)

    def _clear(self, generation: int | None) -> None:
        self._generation = generation
        self._typed = 0  # how many events had their types taken in
        self.events: Counter[Axis] = Counter()  # how many were taken in, of each axis
        self.lanes: dict[Axis, dict[str, _Lane]] = {axis: {} for axis in _COLUMNS}
        self.types: dict[str, int] = {}
        self.strips: defaultdict[Axis, _Strip] = defaultdict(_Strip)

    def take_types(self, connection: sqlite3.Connection, generation: int, events: int) -> None:
        """Takes in the types of the events that came."""
        with self.mutex:
            if generation != self._generation:
                self._clear(generation)
            if events <= self._typed:
                return
            sql = "SELECT type, min(number) FROM zone_types WHERE number >= ? GROUP BY type"
            rows = connection.execute(sql, (zone_of(self._typed + 1),))
            zones = sorted({number for name, number in rows if name not in self.types})
            sql = (
                "SELECT type FROM events WHERE arrival BETWEEN ? AND ?"
                " GROUP BY 1 ORDER BY min(arrival)"
            )
            for zone in zones:
                if len(self.types) >= TYPES_MAX:
                    break
                for (name,) in connection.execute(sql, zone_arrivals(zone)):
                    if len(self.types) < TYPES_MAX:
                        self.types.setdefault(name, len(self.types) + 1)
            self._typed = events

    def take_lanes(self, view: "TileView", axis: Axis = "order") -> bool:
        """Takes in what the lanes have of the events that came, on an axis.

        Reports whether that is all of what the view sees, and no more.
        """
        with self.mutex:
            lanes, seen = self.lanes[axis], self.events[axis]
            if view.generation == self._generation and view.events > seen:
                span = (0, POSITION_MAX + 1, seen + 1, view.events) if seen else _WHOLE
                rows = _by_lane(view.connection, _Window(axis, *span))
                for name, count, failures, first in rows:
                    lane = lanes.get(_key(name))
                    if lane is None and len(lanes) < LANES_MAX:
                        lane = lanes[_key(name)] = _Lane(name[:NAME_CHARACTERS_MAX], first)
                    if lane is not None:
                        lane.events += count
                        lane.failures += failures
                self.events[axis] = view.events
            return view.generation == self._generation and view.events == self.events[axis]

    def lane(self, name: str) -> int:
        """Returns the number of a lane."""
        lane = self.lanes["order"].get(_key(name))
        return 0 if lane is None else lane.number

    def type(self, name: str) -> int:
        """Returns the number of a type."""
        return self.types.get(name, 0)


def _key(name: str) -> str:
    """Returns a name, of a long one its start and digest; a key is its own key."""
    if len(name) <= NAME_CHARACTERS_MAX + 2 * _DIGEST_BYTES:
        return name
    return (
        name[:NAME_CHARACTERS_MAX] + blake2b(name.encode(), digest_size=_DIGEST_BYTES).hexdigest()
    )


class TileView(NamedTuple):
    """What one answer reads: a state of the index, and the names as of then."""

    of: Index
    connection: sqlite3.Connection
    names: Names
    events: int
    generation: int

    def lane(self, name: str) -> int:
        """Returns the number of a lane; the first time all names are read, which takes a while."""
        self.names.take_lanes(self)
        return self.names.lane(name)


class _Window(NamedTuple):
    """Positions from `first` until before `end`, and the arrivals between which they all lie."""

    axis: Axis
    first: int
    end: int
    low: int
    high: int

    @property
    def is_short(self) -> bool:
        """True if its events are read by their rows, else by the index of lanes."""
        return self.high - self.low < _ROWS_MAX

    @property
    def within(self) -> str:
        """The condition of its events in SQL."""
        # to compare each arrival takes a fifth of the time in which a whole log is counted
        arrivals = "arrival BETWEEN :low AND :high" if self[1:] != _WHOLE else "TRUE"
        if self.axis == "order":
            return arrivals
        return f"{arrivals} AND {self.axis} >= :first AND {self.axis} < :end"

    @property
    def source(self) -> str:
        """Its events in SQL."""
        return (
            f"events {'NOT INDEXED' if self.is_short else 'INDEXED BY lanes'} WHERE {self.within}"
        )


def _window(view: TileView, axis: Axis, first: int, end: int) -> _Window:
    if axis == "order":
        return _Window(axis, first, end, first + 1, min(end, view.events))
    bounds = bounds_of(view.connection, [(axis, (first, end - 1))])
    low, high = (bounds.arrival_first, bounds.arrival_last) if bounds else (1, 0)
    return _Window(axis, first, end, low, min(high, view.events))


def _by_lane(
    connection: sqlite3.Connection, window: _Window
) -> Iterable[tuple[str, int, int, int]]:
    counts = "count(*), count(*) FILTER (WHERE failed), min(arrival)"
    sql = f"SELECT lane, {counts} FROM {window.source} GROUP BY lane"
    return connection.execute(sql, window._asdict())


def read(
    index: Index, names: Names, size_bytes: int, work: Callable[[TileView], dict[str, Any]]
) -> dict[str, Any]:
    """Returns an answer of one state of the index, with `generation` and `behind`.

    New events are taken in for 100 ms before; `behind` is about how many are still missing.
    `size_bytes` is the size of the log. Raises `read_failed`, and what the work raises.
    """

    def answer(connection: sqlite3.Connection, is_whole: bool) -> dict[str, Any]:
        meta = dict(connection.execute("SELECT key, value FROM meta").fetchall())
        events, generation = meta["events"], meta["generation"]
        names.take_types(connection, generation, events)
        behind = 0
        if not is_whole:
            sql = "SELECT total(read_bytes) FROM segments"
            (read_bytes,) = connection.execute(sql).fetchone()
            missing = size_bytes - read_bytes
            if missing > 0 and read_bytes:
                behind = max(1, round(missing * events / read_bytes))
        content = work(TileView(index, connection, names, events, generation))
        return {"generation": generation, "behind": behind + content.pop("behind", 0), **content}

    return index.answer_soon(answer, _REFRESH_S)


def _totals(view: TileView) -> dict[str, Any]:
    (failures,) = view.connection.execute("SELECT total(failures) FROM zone_types").fetchone()
    sql = "SELECT count(*) FROM steps WHERE end IS NULL"
    (still_open,) = view.connection.execute(sql).fetchone()
    return {"events": view.events, "failures": int(failures), "open": still_open}


def look(view: TileView) -> dict[str, Any]:
    """Returns what is known of a log at once: how much there is, on which axes, of which types."""
    sums: Counter[int] = Counter()
    sql = "SELECT type, sum(events) FROM zone_types GROUP BY type"
    for name, count in view.connection.execute(sql):
        sums[view.names.type(name)] += count
    types: list[Any] = [
        [id, name[:NAME_CHARACTERS_MAX], sums[id]] for name, id in view.names.types.items()
    ]
    types.sort(key=lambda row: -row[2])
    ends = {axis: ends for axis in _COLUMNS if (ends := _ends(view, axis)) is not None}
    if view.names.events["order"]:
        view.names.take_lanes(view)
        lanes = len(view.names.lanes["order"])
    else:  # a quarter of the time that their names take
        source = f"SELECT DISTINCT lane FROM events INDEXED BY lanes LIMIT {LANES_MAX}"
        (lanes,) = view.connection.execute(f"SELECT count(*) FROM ({source})").fetchone()
    return {
        **_totals(view),
        "lanes": lanes,
        "turns": ends["turn"][1] - 1 if "turn" in ends else 0,
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


def overview(view: TileView, axis: Axis, buckets: int) -> dict[str, Any]:
    """Returns the counts of all of a log on an axis, in at most `buckets` buckets.

    By order a long log has buckets of whole zones, which costs no look at events. By turn and
    time a part of a long log is counted at each call: `behind` grows by what is missing.
    """
    first, end = _ends(view, axis) or (0, 0)
    level, behind = _level(first, end, buckets), 0
    if axis == "order" and view.events > _OVERVIEW_ROWS_MAX:
        level = max(level, ZONE_BITS)
        counts = _Counts()
        sql = "SELECT number >> ?, type, sum(events), sum(failures) FROM zone_types GROUP BY 1, 2"
        for bucket, name, events, failures in view.connection.execute(sql, (level - ZONE_BITS,)):
            counts[bucket, view.names.type(name), 0] += events - failures
            counts[bucket, view.names.type(name), 1] += failures
    else:
        with view.names.mutex:
            strip = view.names.strips[axis]
            finest = max(strip.level, _level(first, end, OVERVIEW_BUCKETS_MAX))
            strip.counts = _coarser(strip.counts, finest - strip.level)
            strip.level = finest
            column, until_ns = _COLUMNS[axis], monotonic_ns() + _COUNTING_NS
            sql = (
                f"SELECT ({column}) >> :level, type, failed, count(*) FROM events NOT INDEXED"
                f" WHERE arrival BETWEEN :low AND :high AND {column} BETWEEN 0 AND {POSITION_MAX}"
                " GROUP BY 1, 2, 3"
            )
            while strip.events < view.events:
                high = min(view.events, zone_arrivals(zone_of(strip.events + 1))[1])
                bounds = {"level": finest, "low": strip.events + 1, "high": high}
                for bucket, name, failed, count in view.connection.execute(sql, bounds):
                    strip.counts[bucket, view.names.type(name), failed] += count
                strip.events = high
                if monotonic_ns() >= until_ns:
                    break
            behind = max(0, view.events - strip.events)
            level = max(level, finest)
            counts = _coarser(strip.counts, level - finest)
    base = first >> level
    return {
        "behind": behind,
        "first": base << level,
        "level": level,
        "buckets": ((end - 1) >> level) - base + 1 if end > first else 0,
        **_flat((bucket - base, *rest, count) for (bucket, *rest), count in counts.items()),
    }


def _level(first: int, end: int, buckets: int) -> int:
    """Returns the least level at which some positions take at most so many buckets."""
    level = 0
    while ((end - 1) >> level) - (first >> level) >= buckets:
        level += 1
    return level


def _coarser(counts: _Counts, bits: int) -> _Counts:
    coarse = _Counts()
    for (bucket, type_, failed), count in counts.items():
        coarse[bucket >> bits, type_, failed] += count
    return coarse


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
    view: TileView, axis: Axis, span: tuple[int, int], sort: Sort, find: str, page: tuple[int, int]
) -> dict[str, Any]:
    """Returns the lanes with events between two positions, a page of them by offset and limit."""
    names, word, (offset, limit) = view.names, find.casefold(), page
    window, ends = _window(view, axis, *span), _ends(view, axis) or (0, 0)
    rows: list[_Row] = []
    with names.mutex:
        names.take_lanes(view)
        is_whole = span[0] <= ends[0] and span[1] >= ends[1]
        counts = (
            ((key, it.events, it.failures, it.number) for key, it in names.lanes[axis].items())
            if is_whole and names.take_lanes(view, axis)
            else _by_lane(view.connection, window)
        )
        for name, events, failures, arrival in counts:
            lane = names.lanes["order"].get(_key(name))
            if lane is not None and word in lane.name.casefold():
                rows.append((lane.number, lane.name, events, failures, arrival))
    keys: Mapping[Sort, Callable[[_Row], Any]] = {
        "failures": lambda row: (-row[3], -row[2], row[4]),
        "events": lambda row: (-row[2], row[4]),
        "first": lambda row: row[4],
    }
    chosen = nsmallest(offset + limit, rows, key=keys[sort])[offset:]
    sql = (
        "SELECT lane, count(*) FROM (SELECT begin FROM steps WHERE end IS NULL"
        " AND begin BETWEEN :low AND :high ORDER BY begin DESC LIMIT :limit)"
        f" CROSS JOIN events ON arrival = begin WHERE {window.within} GROUP BY lane"
    )
    values = window._asdict() | {"limit": _OPEN_COUNTED_MAX if chosen else 0}
    still_open = {names.lane(name): n for name, n in view.connection.execute(sql, values)}
    ends_of = {"ends": ids_at(view.connection, window[-2:])} if axis == "order" else {}
    return {
        "total": len(rows),
        "lanes": [[*row, still_open.get(row[0], 0)] for row in chosen],
        **ends_of,
    }


def tile(
    view: TileView, axis: Axis, level: int, number: int, lanes: Sequence[int]
) -> dict[str, Any]:
    """Returns the counts of some lanes in the 256 buckets of a tile."""
    first = min(number << (level + TILE_BITS), POSITION_MAX + 1)
    window = _window(view, axis, first, min(first + (1 << (level + TILE_BITS)), POSITION_MAX + 1))
    sql = "SELECT lane, arrival FROM events WHERE arrival IN (SELECT value FROM json_each(?))"
    texts = dict(view.connection.execute(sql, (json.dumps(lanes),)).fetchall())
    # bound one by one: SQLite cuts a text of JSON at a zero
    values: dict[str, Any] = {f"lane{at}": text for at, text in enumerate(texts)}
    among = f"{'+' * window.is_short}lane IN (:{', :'.join(values)})" if values else "FALSE"
    values["level"] = level
    sql = (
        f"SELECT lane, type, failed, json_group_array(({_COLUMNS[axis]} - :first) >> :level)"
        f" FROM {window.source} AND {among} GROUP BY lane, type, failed"
    )
    rows: defaultdict[int, list[tuple[int, ...]]] = defaultdict(list)
    for text, name, failed, buckets in view.connection.execute(sql, window._asdict() | values):
        type_ = view.names.type(name)
        for bucket, count in Counter(_numbers(buckets)).items():
            rows[texts[text]].append((bucket, type_, failed, count))
    parts = {str(lane): _flat(counts) for lane, counts in rows.items()}
    return {
        "lanes": {lane: part["counts"] for lane, part in parts.items()},
        "failures": {lane: part["failures"] for lane, part in parts.items() if part["failures"]},
    }


_STEPS = """
    SELECT begin, end, lane, failed FROM (
        SELECT begin, end FROM steps WHERE begin > :first AND begin <= :end
        UNION ALL
        SELECT * FROM (
            SELECT begin, end FROM steps WHERE begin <= :first AND (end IS NULL OR end > :first)
            ORDER BY begin DESC LIMIT :limit
        )
    ) CROSS JOIN (SELECT arrival, lane FROM events) AS one ON one.arrival = begin
    LEFT JOIN (SELECT arrival, failed FROM events) AS other ON other.arrival = end
    ORDER BY begin
"""


def marks(view: TileView, first: int, end: int, with_ids: bool) -> dict[str, Any]:
    """Returns the events between two positions by order, with their steps and causes.

    Steps that lie across the window are among them, the latest `STEPS_MAX` of those.
    """
    one, lane, type_ = view.connection.execute, view.lane, view.names.type
    bounds = {"first": first, "end": end, "limit": STEPS_MAX}
    within = "arrival > :first AND arrival <= :end ORDER BY arrival"
    rows = one(f"SELECT arrival, lane, type, time, failed FROM events WHERE {within}", bounds)
    events = rows.fetchall()
    steps = one(_STEPS, bounds).fetchall()
    causes = one("SELECT child, parent FROM causes WHERE child > :first AND child <= :end", bounds)
    flags: list[Any] = []
    if view.of.vocabulary.name == PLAIN.name:
        prompts = {at: lane(name) for at, name, kind, *_ in events if kind == _PROMPT}
        first_prompts = [*prompts][:FLAGS_MAX]
        prompt_events = events_at(view.of, view.connection, first_prompts)
        for at, event in zip(first_prompts, prompt_events, strict=True):
            text = event.cut_payload.get("prompt")
            if agent_sentence(event) and isinstance(text, str):
                flags += (at, prompts[at], clipped(in_line(text), FLAG_CHARACTERS_MAX))
    answer: dict[str, Any] = {
        "marks": [n for at, name, kind, us, _ in events for n in (at, lane(name), type_(kind), us)],
        "failures": [row[0] for row in events if row[4]],
        "steps": [n for at, to, name, _ in steps for n in (at, to or 0, lane(name))],
        "failed_steps": [row[0] for row in steps if row[3]],
        "causes": [n for row in causes for n in row],
        "flags": flags,
    }
    if with_ids:
        answer["ids"] = ids_at(view.connection, [row[0] for row in events])
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
    return {**_totals(view), "from": changed}


def path(view: TileView, event_id: str, is_effects: bool, limit: int) -> dict[str, Any]:
    """Returns an event and its causes, or its effects, nearest first; raises EventNotFound."""
    arrival = arrival_of(view.of, view.connection, event_id)
    walk = Walk(view.connection, "downstream" if is_effects else "upstream")
    distances, truncated = walk.cone(arrival, None, limit)
    depths = {arrival: 0} | distances
    values = {"arrivals": json.dumps([*depths])}
    among = "SELECT value FROM json_each(:arrivals)"
    sql = f"SELECT arrival, lane, type FROM events WHERE arrival IN ({among})"
    names = {at: names for at, *names in view.connection.execute(sql, values)}
    links = f"SELECT child, parent FROM causes WHERE child IN ({among}) AND parent IN ({among})"
    path: list[int] = []
    for at, depth in depths.items():
        lane, type_ = names[at]
        path += (at, view.lane(lane), view.names.type(type_), depth)
    causes = [n for row in view.connection.execute(links, values) for n in row]
    return {"arrival": arrival, "path": path, "causes": causes, "truncated": truncated}


def failure(view: TileView, arrival: int, is_behind: bool) -> dict[str, Any]:
    """Returns the next failed event behind an arrival, or the last one before it."""
    end, sign = ("min", ">") if is_behind else ("max", "<")
    failed = "events INDEXED BY failures WHERE failed = 1"
    sql = (
        "SELECT arrival, event_id, lane FROM events WHERE arrival ="
        f" (SELECT {end}(arrival) FROM {failed} AND arrival {sign} ?)"
    )
    for number, event_id, lane in view.connection.execute(sql, (arrival,)):
        return {"arrival": number, "event_id": event_id, "lane": view.lane(lane)}
    return {"arrival": None, "event_id": None, "lane": None}


def series(
    view: TileView, variable: str, turns: Filter, by: Literal["lane", "quantiles"]
) -> dict[str, Any]:
    """Returns the values of a variable by turn: of each lane, of many lanes their quantiles.

    It is what a simulation's STATE events set, in other logs a number at the top of the payload. Of
    more lines than `SERIES_LINES_MAX` those of every k-th turn are read.
    """
    first, end = _ends(view, "turn") or (0, 0)
    first, last = max(first, turns.turn_first or 0), min(end - 1, turns.turn_last or end)
    is_sim = view.of.vocabulary.name == SIM.name
    values: dict[str, Any] = {"first": first, "last": last, "limit": SERIES_LINES_MAX}
    source, within = "lanes", "turn BETWEEN :first AND :last"
    if is_sim:
        values["names"] = json.dumps(subjects_of(view.connection, -1, f"/{variable}"))
        of_names = "subject IN (SELECT value FROM json_each(:names)) AND subject IS NOT NULL"
        sql = f"SELECT count(*) FROM events INDEXED BY subjects WHERE {of_names}"
        (count,) = view.connection.execute(sql, values).fetchone()
        # only events of this type have subjects
        source, within = (
            ("subjects", f"{of_names} AND {within}")
            if count <= _BY_SUBJECT_MAX
            else ("lanes", f"type = 'STATE' AND +{of_names} AND {within}")
        )
        count = count * (last - first + 1) // max(1, end)
    else:
        sql = f"SELECT count(*) FROM events INDEXED BY lanes WHERE {within}"
        (count,) = view.connection.execute(sql, values).fetchone()
    values["every"] = every = max(1, -(-count // SERIES_LINES_MAX))
    sql = (
        f"SELECT arrival, turn, lane FROM events INDEXED BY {source} WHERE {within}"
        " AND (turn - :first) % :every = 0 ORDER BY turn, arrival LIMIT :limit"
    )
    rows = view.connection.execute(sql, values).fetchall()
    lines = lines_at(view.of, view.connection, [row[0] for row in rows])
    key = (SIM.payload_key, "new_value") if is_sim else (view.of.vocabulary.payload_key, variable)
    by_lane: defaultdict[str, list[Any]] = defaultdict(list)
    by_turn: defaultdict[int, list[float]] = defaultdict(list)
    for (arrival, turn, lane), line in zip(rows, lines, strict=True):
        value = _value(line, *key)
        if value is not None:
            by_lane[lane] += (turn, value, arrival)
            by_turn[turn].append(value)
    if by == "lane" and len(by_lane) <= SERIES_LANES_MAX:
        named = {view.lane(name): name for name in by_lane}
        return {
            "every": every,
            "lanes": {str(id): by_lane[name] for id, name in named.items()},
            "names": {str(id): name[:NAME_CHARACTERS_MAX] for id, name in named.items()},
        }
    quantiles: list[float] = []
    for turn, numbers in by_turn.items():
        numbers.sort()
        quantiles += (turn, *(numbers[round(q * (len(numbers) - 1))] for q in _QUANTILES))
        quantiles.append(len(numbers))
    return {"every": every, "quantiles": quantiles}


def _value(line: bytes, member: str, key: str) -> float | None:
    """Returns a number of an event's payload; None where there is none that JavaScript reads."""
    try:
        value = _decode(line)[member][key]
    except (msgspec.MsgspecError, KeyError, TypeError, UnicodeError):
        return None
    is_number = type(value) in (int, float) and abs(value) < 1e300
    return (value if abs(value) <= POSITION_MAX else float(value)) if is_number else None
