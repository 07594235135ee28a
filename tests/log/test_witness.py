"""Clocks that come from elsewhere: what is written after them is larger, unless they can't be."""

import pytest
from tests.events import drafted, event_of, new_id

from thence.core.clock import CLOCK_MAX
from thence.core.values.vocabulary import PLAIN
from thence.log.read.opening import prepare
from thence.log.storage.disk import OS_DISK
from thence.log.storage.numbering import CLOCK_AHEAD_MAX
from thence.log.write.drafting import NoticeMaker
from thence.log.write.writer import SegmentWriter


@pytest.fixture
def told():
    return []


@pytest.fixture
def writer(tmp_path, told):
    prepare(OS_DISK, tmp_path, PLAIN)

    def tell(word, facts):
        told.append((word, dict(facts)))

    made = SegmentWriter(OS_DISK, tmp_path, PLAIN, NoticeMaker(PLAIN, {}), tell)
    yield made
    made.close()


def clocks(writer, count=2):
    lines, error = writer.write([drafted(new_id(), "t", {}) for _ in range(count)])
    assert error is None
    return [event_of(line).lamport_clock for line in lines]


@pytest.mark.promise("L5")
def test_what_is_written_has_a_larger_clock_than_what_was_witnessed(writer, told):
    assert clocks(writer) == [1, 2]
    for clock in (7, 40, 9):
        writer.numbers.witness(clock)
    assert clocks(writer) == [41, 42]
    writer.numbers.witness(5)
    assert clocks(writer) == [43, 44]
    assert told == []


def test_witnessed_before_the_first_event_and_kept_by_the_next_opening(writer, tmp_path):
    writer.numbers.witness(10)
    assert clocks(writer, 1) == [11]
    other = SegmentWriter(OS_DISK, tmp_path, PLAIN, NoticeMaker(PLAIN, {}), lambda *_: None)
    assert clocks(other, 1) == [12]
    other.close()
    assert clocks(writer, 1) == [13]


@pytest.mark.parametrize("clock", [CLOCK_AHEAD_MAX + 4, CLOCK_MAX])
def test_clock_that_is_too_far_ahead_is_told_and_left_aside(writer, told, clock):
    clocks(writer)
    writer.numbers.witness(clock)
    writer.numbers.witness(6)
    assert clocks(writer, 1) == [7]
    assert told == [("clock_ignored", {"lamport_clock": clock})]
    writer.numbers.witness(CLOCK_AHEAD_MAX + 3)  # three events stand there
    assert clocks(writer, 1) == [CLOCK_AHEAD_MAX + 4]
