"""The files of a log: their names never collide and sort in order."""

import re
from datetime import UTC, datetime
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from thence.log.files.disk import OS_DISK
from thence.log.files.segment import CURRENT, older_names, rotated_name, segments

YEAR_NS = 365 * 24 * 3600 * 10**9


NAME = re.compile(r"events_\d{4}(-\d\d){2}_(\d\d-){3}\d{6}\.jsonl")


@pytest.mark.promise("W8")
@given(st.lists(st.integers(0, 100 * YEAR_NS) | st.integers(0, 10**6), max_size=20))
def test_names_ascend_and_never_collide_also_when_the_clock_is_set_back(times):
    names: list[str] = []
    for wall_ns in times:
        name = rotated_name(wall_ns, names)
        assert NAME.fullmatch(name)
        assert name not in names
        names.append(name)
        assert names == sorted(names)


def test_name_is_the_utc_time_of_the_rotation():
    moment = datetime(2026, 11, 20, 7, 13, 5, 123456, UTC)
    wall_ns = int(moment.timestamp()) * 10**9 + 123_456_789
    assert rotated_name(wall_ns, []) == "events_2026-11-20_07-13-05-123456.jsonl"


def test_name_of_a_day_that_never_was_or_of_the_last_one_stops_no_rotation():
    moments = (
        "2026-11-20_07-13-05-123456",
        "2026-99-99_99-99-99-999999",
        "9999-12-31_23-59-59-999999",
    )
    names = [f"events_{moment}.jsonl" for moment in moments]
    assert rotated_name(0, names) == "events_2026-11-20_07-13-05-123457.jsonl"


def test_segments_are_listed_oldest_first_and_nothing_else_is(tmp_path):
    old = ["events_2026-11-20_07-13-05-123456.jsonl", "events_2026-11-20_07-13-05-123457.jsonl"]
    strange = ["events_x.jsonl", "events.jsonl.bak", "events_2026-11-20.jsonl", "notes.txt"]
    for name in [CURRENT, *old, *strange]:
        (tmp_path / name).touch()
    assert older_names(OS_DISK, tmp_path) == old
    assert [path.name for path in segments(OS_DISK, tmp_path)] == [*old, CURRENT]
    (tmp_path / CURRENT).unlink()
    assert [path.name for path in segments(OS_DISK, tmp_path)] == old
    assert segments(OS_DISK, Path(tmp_path / "gone")) == []
