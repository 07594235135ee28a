"""What a picture of a log counts is a plain count of its lines, on every axis and level."""

import json
import random
from collections import Counter
from collections.abc import Callable, Sequence
from itertools import permutations
from pathlib import Path
from typing import Any

import pytest
from tests.events import drafted, stamped
from tests.log.index.logs import add, index_of, read
from tests.tiers import examples

from thence.core.clock import microseconds, timestamp_at
from thence.core.event import Event
from thence.core.failures import is_failure
from thence.core.query.filter import Filter
from thence.core.redaction import redacted
from thence.core.vocabulary import PLAIN
from thence.errors import EventNotFound
from thence.log.index import causality, tiles, zones
from thence.log.index.bars import ROWS_MAX, bars
from thence.log.index.query import ALL
from thence.log.index.tiles import POSITION_MAX, Axis, Kept, TileView

AXES: tuple[Axis, ...] = ("order", "turn", "time")
NODES = ("1" * 12, "2" * 12)
HOSTILE = (
    "<script>alert(1)</script>",
    "'; DROP TABLE events; --",
    "\u202eabc\x00",
    "x" * 3_000,
    "x" * 3_001,
    "-",
    "a,b",
    "50%",
)
TYPES = ("noted", "order.failed", "moved", "a\nb", "<b>")
ASKED: tuple[dict[str, Any], ...] = (
    {"type": ["noted", "o*"]},
    {"failed": True},
    {"failed": False, "turn": "3..20"},
    {"actor": "ada"},
    {"subject": "order/7", "where": "status = success"},
    {"type": "nothing"},
    {"since": "1900-01-01", "until": "2100-01-01"},
)


class Drawn:
    """A log of random lines, thence's own and other tools', and a picture of it."""

    def __init__(self, folder: Path, chance: random.Random) -> None:
        self.folder, self.chance = folder, chance
        self.ids: list[str] = []
        self.open: list[str] = []
        self.seqs = dict.fromkeys(NODES, 0)
        self.index = index_of(folder)
        self.kept: Kept = {}
        self.filter = Filter()

    def line(self, event_id: str, **members: Any) -> bytes:
        chance = self.chance
        told: dict[str, Any] = {"payload": {"status": chance.choice(["failure", "success", 7])}}
        told |= {"actor": chance.choice([*HOSTILE, "ada", "ben"])} if chance.random() < 0.8 else {}
        told |= {"turn_number": chance.randrange(40)} if chance.random() < 0.7 else {}
        told |= {"stream": "night"} if chance.random() < 0.2 else {}
        told |= {"subject": "order/7"} if chance.random() < 0.5 else {}
        told |= members
        causes = chance.sample(self.ids, min(len(self.ids), chance.randrange(3)))
        moment = timestamp_at(
            1_795_600_000_000_000 + chance.randrange(10 ** chance.randrange(3, 13))
        )
        kind = chance.choice(TYPES)
        if chance.random() < 0.7:
            node = chance.choice(NODES)
            self.seqs[node] += 1
            item = drafted(event_id, kind, told, causes, moment)
            return stamped(item, self.seqs[node], self.seqs[node], node)
        moment = chance.choice([moment, "", "1066-10-14T09:00:00Z"])
        said = {"event_id": event_id, "event_type": kind, "timestamp": moment, "caused_by": causes}
        return json.dumps(said | told).encode() + b"\n"

    def grow(self, count: int) -> None:
        lines = []
        for _ in range(count):
            event_id = f"01M8DDJZWX{len(self.ids):016}"
            members: dict[str, Any] = {}
            if self.chance.random() < 0.3:
                members["begins"] = True
                self.open.append(event_id)
            elif self.open and self.chance.random() < 0.3:
                members["ends"] = self.open.pop(self.chance.randrange(len(self.open)))
            lines.append(self.line(event_id, **members))
            self.ids.append(event_id)
        add(self.folder, lines)

    def ask(self, work: Callable[[TileView], dict[str, Any]]) -> dict[str, Any]:
        return tiles.read(self.index, self.kept, work, (self.filter, ALL))

    def shown(self) -> list[tuple[int, Event]]:
        """The events that pictures show, with their arrivals."""
        events = enumerate(read(self.folder), 1)
        return [(at, event) for at, event in events if self.filter.matches(event)]

    def lanes(self) -> dict[str, int]:
        sql = "SELECT name, number FROM lane_names"
        return self.index.answer(lambda connection: dict(connection.execute(sql).fetchall()))


def lane_of(event: Event) -> str:
    if event.stream and event.actor:
        return f"{event.stream}/{event.actor}"
    return event.actor or event.stream or (event.subject or "").split("/")[0] or "-"


def position(axis: Axis, arrival: int, event: Event) -> int | None:
    if axis == "order":
        return arrival - 1
    value = event.turn_number if axis == "turn" else microseconds(event.timestamp)
    return value if value is not None and 0 <= value <= POSITION_MAX else None


def triples(flat: Sequence[int], of: int) -> list[tuple[int, ...]]:
    return list(zip(*(flat[at::of] for at in range(of)), strict=True))


def fits(log: Drawn) -> None:
    """Asserts that overview, lanes and tiles are a plain count of the lines that are shown."""
    every, events = list(enumerate(read(log.folder), 1)), log.shown()
    facts = log.ask(tiles.look)
    assert (facts["events"], facts["shown"]) == (len(every), len(events))
    assert facts["failures"] == sum(is_failure(event) for _, event in events)
    assert not facts["is_wide"]
    types = {name: id for id, name, _ in facts["types"]}
    assert [row[1:] for row in facts["types"] if row[2]] == [
        [name, count]
        for name, count in sorted(
            Counter(event.event_type for _, event in events).items(),
            key=lambda item: (-item[1], types[item[0]]),
        )
    ]
    numbers = log.lanes()
    assert numbers.keys() >= {lane_of(event) for _, event in every}
    for axis in AXES:
        places = [position(axis, arrival, event) for arrival, event in every]
        known = [at for at in places if at is not None]
        assert (axis in facts["ends"]) == bool(known or axis == "order")
        placed = [
            (places[arrival - 1], arrival, event)
            for arrival, event in events
            if places[arrival - 1] is not None
        ]
        if not placed:
            continue
        first, end = facts["ends"][axis]
        assert (first, end) == (0 if axis == "order" else min(known), max(known) + 1)
        if log.filter == Filter():
            levels_fit(log, axis, placed)
        overview_fits(log, axis, placed, types)
        lanes_fit(log, axis, placed, numbers, (0, POSITION_MAX))
        for _ in range(3):
            span = tuple(sorted(log.chance.choices(range(first, end + 1), k=2)))
            lanes_fit(log, axis, placed, numbers, span)
        for level in {0, 1, 5, log.chance.randrange(44), (end - first).bit_length()}:
            tile_fits(log, axis, placed, types, numbers, level)


def overview_fits(log: Drawn, axis: Axis, placed: list[Any], types: dict[str, int]) -> None:
    for buckets in (600, 7, 1):
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(tiles, "OVERVIEW_BUCKETS_MAX", buckets)
            told = log.ask(lambda view: tiles.overview(view, axis))
        assert told["buckets"] <= buckets
        counts = Counter(
            ((at - told["first"]) >> told["level"], types[event.event_type])
            for at, _, event in placed
        )
        assert {row[:2]: row[2] for row in triples(told["counts"], 3)} == counts
        failed = Counter(
            (at - told["first"]) >> told["level"] for at, _, event in placed if is_failure(event)
        )
        assert dict(triples(told["failures"], 2)) == failed
        assert all(0 <= bucket < told["buckets"] for bucket, _ in counts)


def levels_fit(log: Drawn, axis: Axis, placed: list[Any]) -> None:
    """Asserts that an overview is as fine as its buckets allow."""
    told = log.ask(lambda view: tiles.overview(view, axis))
    finer = [(at >> told["level"] - 1) for at, *_ in placed] if told["level"] else [0]
    if axis == "order" and told["level"] == tiles.ZONE_BITS:
        return  # whole zones, however few
    assert not told["level"] or max(finer) - min(finer) >= tiles.OVERVIEW_BUCKETS_MAX


def lanes_fit(
    log: Drawn, axis: Axis, placed: list[Any], numbers: dict[str, int], span: Any
) -> None:
    lanes: dict[str, list[Any]] = {}
    for at, _, event in placed:
        if span[0] <= at < span[1]:
            name = lane_of(event)
            row = lanes.setdefault(name, [numbers[name], name[:200], 0, 0])
            row[2] += 1
            row[3] += is_failure(event)
    rows = sorted(lanes.values(), key=lambda row: (-row[3], -row[2], row[0]))
    told = log.ask(lambda view: tiles.lanes(view, axis, span, "failures", ""))
    assert [[*row] for row in told["lanes"]] == rows
    told = log.ask(lambda view: tiles.lanes(view, axis, span, "events", "A"))
    rows = sorted(rows, key=lambda row: (-row[2], row[0]))
    assert [[*row] for row in told["lanes"]] == [row for row in rows if "a" in row[1].casefold()]
    told = log.ask(lambda view: tiles.lanes(view, axis, span, "first", ""))
    assert [row[0] for row in told["lanes"]] == sorted(row[0] for row in rows)


def tile_fits(
    log: Drawn,
    axis: Axis,
    placed: list[Any],
    types: dict[str, int],
    numbers: dict[str, int],
    level: int,
) -> None:
    at = log.chance.choice(placed)[0]
    tile = at >> (level + 8)
    lanes = log.chance.sample(sorted(numbers.values()), min(4, len(numbers)))
    told = log.ask(lambda view: tiles.tile(view, axis, level, tile, lanes))
    counts: dict[str, Counter[Any]] = {}
    failures: dict[str, Counter[int]] = {}
    for at, _, event in placed:
        lane, bucket = numbers[lane_of(event)], (at >> level) - (tile << 8)
        if lane in lanes and 0 <= bucket < 256:
            counts.setdefault(str(lane), Counter())[bucket, types[event.event_type]] += 1
            if is_failure(event):
                failures.setdefault(str(lane), Counter())[bucket] += 1
    assert {
        lane: {row[:2]: row[2] for row in triples(flat, 3)} for lane, flat in told["lanes"].items()
    } == counts
    assert {lane: dict(triples(flat, 2)) for lane, flat in told["failures"].items()} == failures


def causes_fit(log: Drawn) -> None:
    """Asserts that paths name the causes that `why` names."""
    events = read(log.folder)
    arrivals = {event.event_id: arrival for arrival, event in enumerate(events, 1)}
    first = log.chance.randrange(len(events))
    end = first + log.chance.randrange(1, 30)
    told = log.ask(lambda view: tiles.marks(view, first, end, with_ids=True))
    inside = events[first:end]
    assert told["ids"] == [event.event_id for event in inside]
    marks = triples(told["marks"], 4)
    assert [mark[0] for mark in marks] == [arrivals[event_id] for event_id in told["ids"]]
    assert [mark[3] for mark in marks] == [microseconds(event.timestamp) for event in inside]
    assert told["failures"] == [arrivals[one.event_id] for one in inside if is_failure(one)]
    for event in inside:
        arrival = arrivals[event.event_id]
        why = causality.why(log.index, event.event_id, PLAIN)
        path = log.ask(lambda view, it=event: tiles.path(view, it.event_id, False, 200))
        rows = [(row[0], row[3]) for row in triples(path["path"], 4)]
        assert rows == [(arrival, 0)] + [(arrivals[one.event_id], at) for one, at in why.cone]
        assert path["arrival"] == arrival
        assert not path["truncated"]
    bars_fit(log, events, arrivals, first, end)
    marks_fit(log, first, end)


def marks_fit(log: Drawn, first: int, end: int) -> None:
    """Asserts that marks without ids and the walk over failures are of what is shown."""
    told = log.ask(lambda view: tiles.marks(view, first, end, with_ids=False))
    inside = [(at, event) for at, event in log.shown() if first < at <= end]
    assert told["marks"][::4] == [at for at, _ in inside]
    assert told["failures"] == [at for at, event in inside if is_failure(event)]
    failed = [at for at, event in log.shown() if is_failure(event)]
    for walked, is_behind in ((failed, True), (failed[::-1], False)):
        told = log.ask(lambda view, to=is_behind: tiles.failure(view, first, to))
        rest = (at for at in walked if (at > first if is_behind else at < first))
        assert told["arrival"] == next(rest, None)


def bars_fit(
    log: Drawn, events: list[Event], arrivals: dict[str, int], first: int, end: int
) -> None:
    """Asserts that the bars of a window are its steps, and that none covers another."""
    ends = {event.ends: arrivals[event.event_id] for event in reversed(events) if event.ends}
    steps, shown = {}, {arrival for arrival, _ in log.shown()}
    for event in events:
        begin, last = arrivals[event.event_id], ends.get(event.event_id)
        if event.begins and begin <= end and (last is None or last > first + 1):
            failed = is_failure(events[last - 1]) if last else is_failure(event)
            if shown.isdisjoint((begin, last)):
                continue
            steps[begin] = (last or 0, failed)
    told = log.ask(lambda view: bars(view, "order", first, end))
    found = triples(told["bars"], 8)
    assert {row[0]: (row[1], row[6]) for row in found} == steps
    assert told["total"] == len(steps)
    assert {row[2:4] for row in found} == {
        (begin - 1, last - 1 if last else -1) for begin, (last, _) in steps.items()
    }
    for (_, _, start, stop, *place), (_, _, other, *_, lane, row, _, _) in permutations(found, 2):
        if place[:2] == [lane, row] and start <= other:
            assert -1 < stop <= other or row == ROWS_MAX - 1


@pytest.fixture
def log(tmp_path: Path) -> Drawn:
    seed = random.randrange(2**32)
    print(f"seed {seed}")
    return Drawn(tmp_path / "log", random.Random(seed))


@pytest.mark.parametrize("way", ["rows", "index", "zones"])
@pytest.mark.whole
def test_counts_are_a_plain_count_of_the_lines(log, monkeypatch, way):
    monkeypatch.setattr(tiles, "_ROWS_MAX", 10**9 if way == "rows" else 0)
    if way == "zones":  # by which a long log is counted
        monkeypatch.setattr(tiles, "_OVERVIEW_ROWS_MAX", 0)
        for module in (zones, tiles):
            monkeypatch.setattr(module, "ZONE_BITS", 2)
    for _ in range(examples(12)):
        log.grow(log.chance.choice([1, 3, 50, 200]))
        fits(log)
        causes_fit(log)


@pytest.mark.parametrize("held_max", [0, 10**6])
def test_with_a_filter_all_counts_are_of_what_matches(log, monkeypatch, held_max):
    monkeypatch.setattr(tiles, "_HELD_MAX", held_max)
    for asked in log.chance.sample(ASKED, len(ASKED)):
        log.filter = Filter.of(**asked)
        for _ in range(2):  # the second time of what was kept, and of what came since
            log.grow(log.chance.choice([3, 50]))
            fits(log)
            causes_fit(log)
    monkeypatch.setattr(tiles, "CHOSEN_MAX", 1)
    log.filter = Filter.of(subject="order/7")
    facts = log.ask(tiles.look)
    assert facts["is_wide"]
    assert facts["shown"] == facts["events"]


@pytest.mark.whole
def test_counts_fit_after_a_merge_a_redaction_and_a_rebuild(log: Drawn) -> None:
    for _ in range(examples(6)):
        log.grow(60)
        fits(log)
        own = [event for event in read(log.folder) if not event.is_foreign]
        before = log.ask(tiles.look)["generation"]
        other = log.line(log.chance.choice(own).event_id)
        add(log.folder, [other, redacted(log.chance.choice(own).line) + b"\n"])  # a merge
        fits(log)
        path = log.folder / "events.jsonl"
        line = next(one.line for one in own if redacted(one.line) != one.line)
        path.write_bytes(path.read_bytes().replace(line, redacted(line)))  # a redaction
        fits(log)
        after = log.ask(tiles.look)["generation"]
        assert after != before
        log.index.rebuild()
        fits(log)
        assert log.ask(tiles.look)["generation"] not in (before, after)


def test_numbers_of_lanes_and_types_are_the_same_after_a_restart(log: Drawn) -> None:
    seen: dict[str, Any] = {}
    for _ in range(5):
        log.grow(20)
        log.index = index_of(log.folder) if log.chance.random() < 0.5 else log.index
        types = {name: id for id, name, _ in log.ask(tiles.look)["types"]}
        assert types | seen == types
        seen = types
    assert sorted(seen.values()) == list(range(1, len(seen) + 1))


def test_types_beyond_the_bound_are_summed_and_lanes_left_out(log, monkeypatch):
    monkeypatch.setattr(tiles, "TYPES_MAX", 2)
    monkeypatch.setattr(tiles, "LANES_MAX", 3)
    log.grow(300)
    facts = log.ask(tiles.look)
    assert sum(row[2] for row in facts["types"]) == 300
    assert facts["types"][-1][:2] == [0, ""]
    assert len(facts["types"]) == 3
    span = (0, POSITION_MAX)
    assert len(log.ask(lambda view: tiles.lanes(view, "order", span, "first", ""))["lanes"]) == 3
    told = log.ask(lambda view: tiles.overview(view, "order"))
    assert sum(told["counts"][2::3]) == 300


def test_growth_names_the_lowest_arrival_whose_picture_changed(log: Drawn) -> None:
    def line(number: int, **members: Any) -> bytes:
        said = {"event_id": f"other-{number}", "event_type": "noted", **members}
        return json.dumps(said).encode() + b"\n"

    def growth() -> tuple[int, int]:
        nonlocal since
        told = log.ask(lambda view: tiles.growth(view, since))
        since = (told["generation"], told["events"])
        return told["events"], told["from"]

    since: tuple[int, int] | None = None
    add(log.folder, [line(1), line(2, begins=True), line(3, caused_by=["other-6"]), line(4)])
    assert growth() == (4, 1)
    add(log.folder, [line(5)])
    assert growth() == (5, 4)
    add(log.folder, [line(6)])
    assert growth() == (6, 3)
    add(log.folder, [line(7, ends="other-2")])
    assert growth() == (7, 2)
    log.index.rebuild()
    assert growth() == (7, 1)


@pytest.mark.parametrize("count", [0, 1])
def test_an_empty_log_and_one_event_have_pictures(log: Drawn, count: int) -> None:
    log.folder.mkdir()
    add(log.folder, [])
    log.grow(count)
    facts = log.ask(tiles.look)
    assert (facts["events"], facts["ends"]["order"]) == (count, (0, count))
    for axis in AXES:
        told = log.ask(lambda view, axis=axis: tiles.overview(view, axis))
        assert told["buckets"] in (0, 1)
        log.ask(lambda view, axis=axis: tiles.lanes(view, axis, (0, 9), "first", ""))
        log.ask(lambda view, axis=axis: tiles.tile(view, axis, 44, 0, [1, 7, 2**60]))
        far = log.ask(lambda view, axis=axis: tiles.tile(view, axis, 44, POSITION_MAX, [1]))
        assert far["lanes"] == {}, "beyond the axis"
    told = log.ask(lambda view: tiles.marks(view, 0, 2_000, with_ids=False))
    assert len(told["marks"]) == 4 * count
    assert len(log.ask(lambda view: bars(view, "time", 0, POSITION_MAX))["bars"]) in (0, 8 * count)
    with pytest.raises(EventNotFound):
        log.ask(lambda view: tiles.path(view, "nobody", False, 200))


def test_turns_and_times_beyond_the_axis_are_left_out(tmp_path: Path) -> None:
    log = Drawn(tmp_path, random.Random(1))
    for number, (turn, when) in enumerate(
        [(-3, "0001-01-01T00:00:00Z"), (2**70, "9999-12-31T23:59:59Z"), (2**53 - 1, ""), (4, "x")]
    ):
        said = {
            "event_id": f"e-{number}",
            "event_type": "n",
            "turn_number": turn,
            "timestamp": when,
        }
        add(log.folder, [json.dumps(said).encode() + b"\n"])
    facts = log.ask(tiles.look)
    assert facts["events"] == 4
    for axis in AXES:
        if axis in facts["ends"]:
            told = log.ask(lambda view, axis=axis: tiles.overview(view, axis))
            assert told["buckets"] <= 600
            assert sum(told["counts"][2::3]) == {"order": 4, "turn": 2, "time": 0}[axis]
