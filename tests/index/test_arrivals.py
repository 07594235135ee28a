"""Arrivals of an index, held to the order of the lines in the files."""

import random
from pathlib import Path

import pytest

from thence.core.values.vocabulary import PLAIN
from thence.errors import EventNotFound
from thence.index import arrivals
from thence.index.connection import Index
from thence.log.storage.disk import OS_DISK
from thence.replica import open_log


def line(event_id: str, time: int) -> bytes:
    """Another tool's line; times are what such lines are ordered by."""
    told = b'{"event_id":"%b","event_type":"a","timestamp":"2026-11-20T07:%02d:00Z"}'
    return told % (event_id.encode(), time)


@pytest.fixture(params=["at once", "bit by bit"])
def made(request: pytest.FixtureRequest, tmp_path: Path):
    """A log whose order of arrival is not the total order, with ids that came twice."""
    seed = random.randrange(2**32)
    print(f"seed {seed}")
    chance = random.Random(seed)
    ids = [f"e{number}" for number in chance.sample(range(1_000), 60)]
    times = {event_id: chance.randrange(60) for event_id in ids}
    repeated = [*ids[:20], *chance.sample(ids[:20], 5), *ids[20:], *chance.sample(ids, 9)]
    path = tmp_path / "events.jsonl"
    with Index(OS_DISK, tmp_path, PLAIN) as index, path.open("ab") as file:
        for event_id in repeated:
            file.write(line(event_id, times[event_id]) + b"\n")
            if request.param == "bit by bit" and chance.random() < 0.2:
                file.flush()
                index.refresh()
        file.flush()
        yield index, ids


def test_no_question_scans_events_or_sorts_them(made) -> None:
    index, _ = made
    asked = {"after": 3, "until": 50, "event_id": "e1"}
    for sql in (arrivals._BETWEEN, arrivals._ARRIVED, arrivals._NEWEST, arrivals._CLOCK):

        def plan(connection, sql=sql) -> list[str]:
            rows = connection.execute(f"EXPLAIN QUERY PLAN {sql}", asked)
            return [row[3] for row in rows]

        told = index.answer(plan)
        assert not any("TEMP" in step for step in told), told
        is_newest = sql == arrivals._NEWEST  # the first row of a scan from the end
        assert is_newest or not any("SCAN" in step for step in told), told


def ids_of(found: arrivals.Arrived) -> list[str]:
    return [event.event_id for event in found.events]


def test_events_between_two_are_those_that_arrived_between_them(made) -> None:
    index, ids = made
    for first in range(0, 60, 7):
        for last in range(0, 60, 9):
            found = arrivals.between(index, ids[first], ids[last])
            assert ids_of(found) == ids[first + 1 : last + 1]
            assert not found.has_more
    assert ids_of(arrivals.between(index, None, ids[-1])) == ids
    assert ids_of(arrivals.between(index, 7, ids[-1])) == ids[-7:]
    assert ids_of(arrivals.between(index, 0, ids[-1])) == []
    assert ids_of(arrivals.between(index, 700, ids[3])) == ids[:4]
    assert ids_of(arrivals.between(index, ids[0], None)) == []


@pytest.mark.parametrize(("name", "limit"), [("BATCH_EVENTS", 7), ("BATCH_BYTES", 500)])
def test_batches_follow_each_other(made, monkeypatch, name: str, limit: int) -> None:
    index, ids = made
    monkeypatch.setattr(arrivals, name, limit)
    found, after = list[str](), None
    while True:
        batch = arrivals.between(index, after, ids[-1])
        found += ids_of(batch)
        assert 1 <= len(batch.events) <= 7
        after = found[-1]
        if not batch.has_more:
            break
    assert found == ids


def test_known_ids_are_those_that_had_arrived(made) -> None:
    index, ids = made
    assert arrivals.known(index, [*ids, "none", "\ud800"], ids[30]) == set(ids[:31])
    assert arrivals.known(index, [], ids[30]) == set()


def test_id_that_holds_a_nul_is_known(tmp_path: Path) -> None:
    ids = ["a", "a\\u0000b", "c"]
    lines = [line(event_id, number) + b"\n" for number, event_id in enumerate(ids)]
    (tmp_path / "events.jsonl").write_bytes(b"".join(lines))
    with Index(OS_DISK, tmp_path, PLAIN) as index:
        assert arrivals.known(index, ["a\0b", "a\0", "c"], "a\0b") == {"a\0b"}


def test_unknown_id_is_told(made) -> None:
    index, ids = made
    for asked in (("none", ids[0]), (ids[0], "none"), ("\ud800", ids[0])):
        with pytest.raises(EventNotFound):
            arrivals.between(index, *asked)


def test_newest_is_the_event_that_arrived_last_with_the_highest_clock(made, tmp_path) -> None:
    index, ids = made
    assert arrivals.newest(index) == (ids[-1], 0)


def test_newest_of_an_empty_log_is_none(tmp_path: Path) -> None:
    with Index(OS_DISK, tmp_path, PLAIN) as index:
        assert arrivals.newest(index) == (None, 0)
    with open_log(tmp_path, PLAIN) as log:
        events = [log.append("a") for _ in range(3)]
    with Index(OS_DISK, tmp_path, PLAIN) as index:
        last = max(events, key=lambda event: event.lamport_clock)
        assert arrivals.newest(index) == (last.event_id, last.lamport_clock)
