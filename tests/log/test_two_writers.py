"""Two processes that append to one log at once: no number twice, no gap, no glued line."""

import pytest
from tests.log.processes import lines, started

import thence
from thence.core.values.codec import numbers
from thence.log.storage.disk import OS_DISK
from thence.log.storage.segment import older_names

TEN_THOUSAND = """
import sys, thence
from thence.core.values.vocabulary import PLAIN
from thence.replica import Log
folder, name, count, limit = sys.argv[1], sys.argv[2], int(sys.argv[3]), int(sys.argv[4])
with Log(thence.open(folder).folder, PLAIN, max_file_size=limit) as log:
    print(flush=True)
    sys.stdin.readline()
    for n in range(count):
        if n % 100:
            log.emit("worked", {"who": name, "n": n})
        else:
            log.append("worked", {"who": name, "n": n})
"""


def race(folder, count, limit):
    """Let two processes append at once; return the lines they left."""
    thence.open(folder)
    writers = [started(TEN_THOUSAND, folder, name, count, limit) for name in "ab"]
    for writer in writers:
        writer.stdout.readline()
    for writer in writers:
        writer.stdin.write("\n")
        writer.stdin.flush()
    for writer in writers:
        _, problems = writer.communicate()
        assert writer.returncode == 0, problems
        assert not problems
    found = lines(folder)
    stamps = [numbers(line) for line in found]
    assert len({stamp[0] for stamp in stamps}) == 1
    assert [stamp[1] for stamp in stamps] == list(range(1, 2 * count + 1))
    assert [stamp[2] for stamp in stamps] == list(range(1, 2 * count + 1))
    assert thence.open(folder).verify().findings == ()
    told = [(event.payload["who"], event.payload["n"]) for event in thence.open(folder).read()]
    for name in "ab":
        assert [n for who, n in told if who == name] == list(range(count))
    return found


@pytest.mark.promise("W9")
@pytest.mark.xdist_group("heavy")
def test_two_processes_append_ten_thousand_times_each_without_a_gap(tmp_path):
    race(tmp_path, 10_000, 500 * 1024 * 1024)
    assert older_names(OS_DISK, tmp_path) == []


@pytest.mark.promise("W8", "W9")
@pytest.mark.xdist_group("heavy")
def test_two_processes_that_rotate_at_once_lose_and_double_nothing(tmp_path):
    limit = 20_000
    found = race(tmp_path, 1_000, limit)
    names = older_names(OS_DISK, tmp_path)
    assert len(names) >= sum(map(len, found)) // (2 * limit)
    longest = max(map(len, found)) + 1
    for name in names:
        assert limit <= (tmp_path / name).stat().st_size < limit + longest
