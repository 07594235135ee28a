"""A segment that is full to the byte takes no more, whoever filled it, and its rotation is told."""

import pytest

from thence.core.values.vocabulary import PLAIN
from thence.log.storage.disk import OS_DISK
from thence.log.storage.segment import older_names
from thence.replica import Log


@pytest.mark.promise("W8")
def test_segment_that_is_exactly_full_takes_no_more_from_a_lone_append(tmp_path):
    told = []
    with Log(tmp_path, PLAIN) as log:
        size = sum(len(log.append("t", {"n": 0}).line) + 1 for _ in range(3))
    limit = size + len(line_of_next(tmp_path))
    with Log(tmp_path, PLAIN, max_file_size=limit, report=lambda *fact: told.append(fact)) as log:
        log.append("t", {"n": 0})
        assert (log.current_size, told) == (limit, [])
        log.append("t", {"n": 0})
        (name,) = older_names(OS_DISK, tmp_path)
        assert (tmp_path / name).stat().st_size == limit
        assert told == [("rotated", {"file": name})]


@pytest.mark.promise("W8")
def test_segment_that_another_writer_filled_exactly_takes_no_more(tmp_path):
    with Log(tmp_path, PLAIN) as log:
        size = sum(len(log.append("t", {"n": 0}).line) + 1 for _ in range(3))
    limit = size + 2 * len(line_of_next(tmp_path))
    with Log(tmp_path, PLAIN, max_file_size=limit) as log:
        log.append("t", {"n": 0})
        with Log(tmp_path, PLAIN, max_file_size=limit) as other:
            other.append("t", {"n": 0})
            assert other.current_size == limit
        log.append("t", {"n": 0})
        (name,) = older_names(OS_DISK, tmp_path)
        assert (tmp_path / name).stat().st_size == limit


def line_of_next(folder):
    """Return a line as long as the next one will be: all numbers have one digit."""
    return (folder / "events.jsonl").read_bytes().splitlines(keepends=True)[-1]
