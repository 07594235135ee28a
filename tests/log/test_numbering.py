"""The next numbers of a log: what was read, written and witnessed."""

import pytest
from tests.disks import Scripted
from tests.events import NODE, OTHER_NODE, drafted, event_of, line_of, new_id

import thence
from thence.core.clock import CLOCK_AHEAD_MAX, CLOCK_MAX
from thence.core.codec import Draft, numbers, stamper
from thence.core.vocabulary import PLAIN
from thence.log.files.disk import OS_DISK
from thence.log.read.opening import prepare
from thence.log.write.drafting import NoticeMaker
from thence.log.write.writer import Numbering, SegmentWriter, relayed

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


THEIRS = line_of(seq=4, lamport_clock=5, node_id=OTHER_NODE)


def own_lines(*seqs):
    return b"".join([line_of(seq=seq, lamport_clock=seq + 1) for seq in seqs])


@pytest.mark.parametrize(
    ("newest", "newer", "names", "numbers"),
    [
        (6, own_lines(4, 5), [OLDER], (NODE, 6, 7)),
        (2, own_lines(1, 2), [OLDER, OLDEST], (NODE, 4, 91)),
        (0, own_lines(4, 5), [OLDER, OLDEST], (NODE, 6, 91)),
        (0, THEIRS, [OLDER, OLDEST], (NODE, 4, 91)),
        (0, b"", [OLDER, OLDEST], (NODE, 4, 91)),
    ],
    ids=["a smaller number", "no smaller one", "its last event", "none of its events", "nothing"],
)
def test_older_segments_are_read_back_to_a_smaller_number_of_a_node(
    tmp_path, newest, newer, names, numbers
):
    file_of(tmp_path, OLDEST, line_of(seq=3, lamport_clock=90))
    file_of(tmp_path, OLDER, newer)
    disk = Scripted()
    numbering = begun(tmp_path, disk=disk)
    numbering.read_older(newest)
    assert [call[1].name for call in disk.calls if call[0] == "open_read"] == names
    assert disk.count("close") == len(names)
    assert next_of(numbering) == [numbers]


def test_lines_that_are_relayed_keep_their_numbers_and_give_the_clock_alone(tmp_path):
    numbering = begun(tmp_path)
    theirs = line_of(node_id=OTHER_NODE, seq=70, lamport_clock=40)
    foreign = b"{}\n"
    assert relayed(foreign) == Draft("", b"", foreign)
    lines = numbering.stamp([relayed(foreign), relayed(theirs)])
    assert lines == [foreign, theirs]
    numbering.count(lines[:1])  # the rest could not be written
    assert next_of(numbering) == [(NODE, 1, 1)]
    numbering.count(numbering.stamp([relayed(theirs)]))
    assert numbering.seq == 0
    assert next_of(numbering) == [(NODE, 1, 41)]


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


OTHER = "0123456789ab"
AHEAD = 2**40


def test_received_clocks_move_a_log_on_by_its_events_however_often_they_come(tmp_path):
    with thence.open(tmp_path) as log:
        log.append("a")
        made = drafted(new_id(), "b", {})
        near, far = (stamper(OTHER)([made], 1, AHEAD + n)[0][:-1] for n in (2, 3))
        first = log.relay([far])
        assert [event.line for event in first.parked] == [far]
        second = log.relay([near])
        assert [event.line for event in second.taken] == [near]
        assert log.append("c").lamport_clock == AHEAD + 3
        # once more by as much: the log's own clock is no measure
        further = stamper(OTHER)([drafted(new_id(), "d", {})], 2, 2 * AHEAD)[0][:-1]
        third = log.relay([further])
        assert [event.line for event in third.parked] == [further]


def test_events_that_are_taken_in_count_and_a_parked_line_is_taken_later(tmp_path):
    lines = [
        stamper(OTHER)([drafted(new_id(), "t", {})], n, clock)[0][:-1]
        for n, clock in enumerate((AHEAD + 1, AHEAD + 2, AHEAD + 4), 1)
    ]
    with thence.open(tmp_path) as log:
        log.append("a")
        assert len(log.relay(lines).taken) == 3
        late = stamper(OTHER)([drafted(new_id(), "t", {})], 9, AHEAD + 7)[0][:-1]
        assert log.relay([late]).parked
        log.append_many([{"event_type": "t"}] * 2)
        assert log.relay([late]).taken


def test_cause_from_elsewhere_beyond_the_bound_is_named_and_not_witnessed(tmp_path, monkeypatch):
    for clock, received in ((AHEAD, AHEAD + 1), (CLOCK_MAX, 1)):
        cause = new_id()
        monkeypatch.setenv("THENCE_CAUSE", f"{cause}@{clock}@{new_id()}")
        with thence.open(tmp_path / str(clock)) as log:
            event = log.append("t")
        assert event.caused_by == (cause,)
        assert len(event.external_causes) == 1
        assert event.lamport_clock == received


def test_cause_from_elsewhere_may_be_ahead_by_the_events_of_the_log_not_by_its_clock(
    tmp_path, monkeypatch
):
    with thence.open(tmp_path) as log:
        log.append_many([{"event_type": "t"}] * 3)
    for clock, received in ((AHEAD + 3, AHEAD + 4), (2 * AHEAD, AHEAD + 5)):
        monkeypatch.setenv("THENCE_CAUSE", f"{new_id()}@{clock}@{new_id()}")
        with thence.open(tmp_path) as log:
            assert log.append("t").lamport_clock == received
