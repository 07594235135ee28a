"""The next numbers of a log: what was read, written and heard from elsewhere."""

import pytest
from tests.events import NODE, OTHER_NODE, drafted, line_of

from thence.core.values.codec import LINE_BYTES_MAX, Draft, numbers
from thence.log.storage.disk import OS_DISK, Disk
from thence.log.storage.numbering import CLOCK_AHEAD_MAX, Numbering, relayed

OLDEST = "events_2026-01-01_00-00-00-000000.jsonl"
OLDER = "events_2026-01-02_00-00-00-000000.jsonl"


def begun(folder, node_id=NODE, previous_node="", disk=OS_DISK):
    numbering = Numbering(disk, folder)
    numbering.begin(node_id, previous_node)
    return numbering


def next_of(numbering, count=1):
    made = [drafted(f"01{n}", "noted", {}) for n in range(count)]
    return [numbers(line) for line in numbering.stamp(made)]


def file_of(folder, name, *lines):
    (folder / name).write_bytes(b"".join(lines))


def read(numbering, path):
    descriptor = OS_DISK.open_read(path)
    try:
        return numbering.read(descriptor, 0, path.stat().st_size)
    finally:
        OS_DISK.close(descriptor)


def test_numbers_begin_at_one_and_are_given_again_until_they_are_counted(tmp_path):
    numbering = begun(tmp_path)
    assert (numbering.seq, numbering.node_id, numbering.previous_node) == (0, NODE, "")
    assert next_of(numbering, 2) == [(NODE, 1, 1), (NODE, 2, 2)]
    assert next_of(numbering) == [(NODE, 1, 1)]
    numbering.count(2)
    assert numbering.seq == 2
    assert next_of(numbering) == [(NODE, 3, 3)]
    numbering.count(1)
    assert next_of(numbering) == [(NODE, 4, 4)]


def test_new_node_numbers_anew_and_keeps_the_clock(tmp_path):
    numbering = begun(tmp_path)
    numbering.count(7)
    numbering.begin(OTHER_NODE, NODE)
    assert (numbering.node_id, numbering.previous_node) == (OTHER_NODE, NODE)
    assert next_of(numbering) == [(OTHER_NODE, 1, 8)]
    numbering.begin(OTHER_NODE)
    assert numbering.previous_node == ""


def test_clock_from_elsewhere_is_passed(tmp_path):
    numbering = begun(tmp_path)
    numbering.count(3)
    numbering.witness(2)
    assert next_of(numbering) == [(NODE, 4, 4)]
    for clock in (9, 40, 12):
        numbering.witness(clock)
    assert next_of(numbering) == [(NODE, 4, 41)]
    assert next_of(numbering) == [(NODE, 4, 41)]
    assert numbering.rejected_clocks == []


def test_clock_too_far_ahead_is_not_believed(tmp_path):
    numbering = begun(tmp_path)
    numbering.count(3)
    numbering.witness(3 + CLOCK_AHEAD_MAX + 1)
    assert next_of(numbering) == [(NODE, 4, 4)]
    assert numbering.rejected_clocks == [3 + CLOCK_AHEAD_MAX + 1]
    numbering.witness(3 + CLOCK_AHEAD_MAX)
    assert next_of(numbering) == [(NODE, 4, 4 + CLOCK_AHEAD_MAX)]


def test_each_clock_is_measured_by_the_own_one_alone(tmp_path):
    numbering = begun(tmp_path)
    numbering.witness(CLOCK_AHEAD_MAX + 5)
    numbering.witness(CLOCK_AHEAD_MAX)
    assert next_of(numbering) == [(NODE, 1, CLOCK_AHEAD_MAX + 1)]
    assert numbering.rejected_clocks == [CLOCK_AHEAD_MAX + 5]


def test_numbers_that_were_read_are_gone_on_from(tmp_path):
    numbering = begun(tmp_path)
    path = tmp_path / "a"
    file_of(tmp_path, "a", line_of(seq=6, lamport_clock=9), line_of(seq=7, lamport_clock=11))
    assert read(numbering, path) is True
    assert next_of(numbering) == [(NODE, 8, 12)]
    numbering.count(10)
    assert read(numbering, path) is True  # never back
    assert next_of(numbering) == [(NODE, 18, 22)]


def test_first_event_of_a_node_is_one_of_it(tmp_path):
    numbering = begun(tmp_path)
    file_of(tmp_path, "a", line_of())
    assert read(numbering, tmp_path / "a") is True


def test_numbering_that_has_not_begun_has_no_node_and_no_number(tmp_path):
    numbering = Numbering(OS_DISK, tmp_path)
    assert (numbering.node_id, numbering.previous_node, numbering.seq) == ("", "", 0)


def test_lines_of_another_node_give_the_clock_alone(tmp_path):
    numbering = begun(tmp_path)
    file_of(tmp_path, "a", line_of(seq=6, lamport_clock=9, node_id=OTHER_NODE))
    assert read(numbering, tmp_path / "a") is False
    assert next_of(numbering) == [(NODE, 1, 10)]
    file_of(tmp_path, "a")
    assert read(numbering, tmp_path / "a") is False
    assert next_of(numbering) == [(NODE, 1, 10)]


def test_lines_of_a_forerunner_give_the_clock_alone(tmp_path):
    numbering = begun(tmp_path, OTHER_NODE, NODE)
    file_of(tmp_path, "a", line_of(seq=6, lamport_clock=9))
    assert read(numbering, tmp_path / "a") is True
    assert next_of(numbering) == [(OTHER_NODE, 1, 10)]


class Counting(Disk):
    """Notes the files that are opened, and closed."""

    def __init__(self):
        self.opened, self.read = [], []
        self.closed = 0

    def open_read(self, path):
        self.opened.append(path.name)
        return super().open_read(path)

    def close(self, descriptor):
        self.closed += 1
        super().close(descriptor)

    def read_at(self, descriptor, offset, size):
        self.read.append((offset, size))
        return super().read_at(descriptor, offset, size)


def test_older_segments_are_read_back_to_the_last_event_of_the_node(tmp_path):
    file_of(tmp_path, OLDEST, line_of(seq=3, lamport_clock=90))
    file_of(tmp_path, OLDER, line_of(seq=4, lamport_clock=5), line_of(seq=5, lamport_clock=6))
    disk = Counting()
    numbering = begun(tmp_path, disk=disk)
    numbering.read_older(is_known=False)
    assert disk.opened == [OLDER]
    assert next_of(numbering) == [(NODE, 6, 7)]
    assert disk.closed == 1


def test_older_segments_without_an_event_of_the_node_are_passed(tmp_path):
    file_of(tmp_path, OLDEST, line_of(seq=3, lamport_clock=4))
    file_of(tmp_path, OLDER, line_of(seq=4, lamport_clock=5, node_id=OTHER_NODE))
    disk = Counting()
    numbering = begun(tmp_path, disk=disk)
    numbering.read_older(is_known=False)
    assert disk.opened == [OLDER, OLDEST]
    assert next_of(numbering) == [(NODE, 4, 6)]
    assert disk.closed == 2


def test_of_a_known_node_only_the_newest_older_segment_is_read(tmp_path):
    file_of(tmp_path, OLDEST, line_of(seq=3, lamport_clock=90))
    file_of(tmp_path, OLDER, line_of(seq=4, lamport_clock=5, node_id=OTHER_NODE))
    disk = Counting()
    numbering = begun(tmp_path, disk=disk)
    numbering.read_older(is_known=True)
    assert disk.opened == [OLDER]
    assert next_of(numbering) == [(NODE, 1, 6)]
    assert disk.closed == 1


@pytest.mark.parametrize("is_known", [True, False])
def test_only_the_end_is_read_where_the_node_is_known(tmp_path, is_known):
    text = {"text": "x" * 900_000}
    others = [line_of(text, seq=n, lamport_clock=n, node_id=OTHER_NODE) for n in range(10, 14)]
    file_of(tmp_path, OLDER, line_of(seq=7, lamport_clock=77), *others)
    disk = Counting()
    numbering = begun(tmp_path, disk=disk)
    numbering.read_older(is_known)
    size = (tmp_path / OLDER).stat().st_size
    assert min(offset for offset, _ in disk.read) == (size - 2 * LINE_BYTES_MAX) * is_known
    ((_, seq, clock),) = next_of(numbering)
    assert clock == 78 if not is_known else 14 <= clock < 77
    assert seq == 8 if not is_known else seq < 7


def test_nothing_older_is_nothing(tmp_path):
    numbering = begun(tmp_path)
    numbering.read_older(is_known=False)
    assert next_of(numbering) == [(NODE, 1, 1)]


def test_lines_that_are_relayed_keep_their_numbers_and_give_the_clock_alone(tmp_path):
    numbering = begun(tmp_path)
    numbering.relay()
    theirs = line_of(node_id=OTHER_NODE, seq=70, lamport_clock=40)
    made = [drafted("01a", "noted", {}), relayed(theirs), drafted("01b", "noted", {})]
    own, passed, later = numbering.stamp(made)
    assert passed == theirs
    assert [numbers(line) for line in (own, later)] == [(NODE, 1, 1), (NODE, 2, 41)]
    numbering.count(1)  # the rest could not be written
    assert next_of(numbering) == [(NODE, 2, 2)]
    numbering.stamp(made)
    numbering.count(3)
    assert numbering.seq == 3
    assert next_of(numbering) == [(NODE, 4, 42)]


def test_line_that_is_relayed_without_numbers_counts_for_none(tmp_path):
    numbering = begun(tmp_path)
    numbering.relay()
    foreign = relayed(b"{}\n")
    assert foreign == Draft("", b"", b"{}\n")
    assert numbering.stamp([foreign, foreign]) == [b"{}\n"] * 2
    numbering.count(2)
    assert next_of(numbering) == [(NODE, 1, 2)]
