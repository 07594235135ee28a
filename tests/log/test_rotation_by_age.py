"""A segment that began long ago is closed by the next append, whatever its size."""

from datetime import timedelta

import pytest
from tests.events import OTHER_NODE, line_of

import thence
from thence.errors import InvalidEvent
from thence.log.files.disk import OS_DISK
from thence.log.files.segment import segments
from thence.log.write import writer

DAY_NS = 24 * 3600 * 10**9


@pytest.fixture
def clock(monkeypatch):
    """The wall clock of rotations, which the test sets."""

    class Clock:
        now_ns = writer.wall_ns()

        def __call__(self):
            return self.now_ns

    clock = Clock()
    monkeypatch.setattr(writer, "wall_ns", clock)
    return clock


def counts(folder):
    return [len(path.read_bytes().splitlines()) for path in segments(OS_DISK, folder)]


@pytest.mark.parametrize("age", ["1d", 86_400, 86_400.0, timedelta(days=1)])
def test_segment_older_than_its_age_is_closed_by_the_next_append(tmp_path, clock, age):
    with thence.open(tmp_path, rotate_after=age) as log:
        log.append("noted")
        clock.now_ns += DAY_NS - 10**10
        log.append("noted")
        clock.now_ns += 2 * 10**10
        log.append("noted")
        log.append("noted")
        assert counts(tmp_path) == [2, 2]
        clock.now_ns += DAY_NS // 2
    with thence.open(tmp_path, rotate_after=age) as log:
        log.append("noted")
        assert counts(tmp_path) == [2, 3]
        clock.now_ns += DAY_NS
        log.append_many([{"event_type": "noted"}] * 3)
        assert counts(tmp_path) == [2, 3, 3]
        assert [event.seq for event in log.read()] == [*range(1, 9)]


def test_clock_that_is_set_back_closes_nothing(tmp_path, clock):
    with thence.open(tmp_path, rotate_after="1h") as log:
        for _ in range(3):
            log.append("noted")
            clock.now_ns -= 10 * DAY_NS
        assert counts(tmp_path) == [3]


def test_old_line_of_another_log_at_a_segments_begin_makes_no_segment_old(tmp_path, clock):
    lines = [line_of(node_id=OTHER_NODE, seq=seq, lamport_clock=seq).rstrip() for seq in (1, 2)]
    with thence.open(tmp_path, rotate_after="1d") as log:
        log.append("noted")
        clock.now_ns += 2 * DAY_NS
        log.append("noted")
        (tmp_path / "events.jsonl").write_bytes(b"\n".join([*lines, b""]))
    with thence.open(tmp_path, rotate_after="1d") as log:
        log.append("noted")
        log.append("noted")
        assert counts(tmp_path)[0] == 1
        assert len(counts(tmp_path)) == 2


def test_line_without_a_time_counts_from_when_it_was_seen(tmp_path, clock):
    (tmp_path / "events.jsonl").write_bytes(b'{"event_id":"a","event_type":"t"}\n')
    with thence.open(tmp_path, rotate_after="1d") as log:
        log.append("noted")
        clock.now_ns += 2 * DAY_NS
        log.append("noted")
        assert counts(tmp_path) == [2, 1]


@pytest.mark.parametrize("age", ["soon", "", 0, -1, timedelta(0), float("inf"), float("nan"), []])
def test_age_that_is_none_is_refused(tmp_path, age):
    with pytest.raises(InvalidEvent) as refused:
        thence.open(tmp_path, rotate_after=age)
    assert "rotate_after" in refused.value.cause
