"""The next numbers of a log: what was read, written and witnessed."""

import pytest
from tests.disks import Scripted
from tests.events import NODE, OTHER_NODE, drafted, line_of, new_id

import thence
from thence.core.clock import CLOCK_MAX
from thence.core.codec import Draft, numbers, stamper
from thence.log.files.disk import OS_DISK, opened
from thence.log.write.writer import Numbering, relayed

OLDEST = "events_2026-01-01_00-00-00-000000.jsonl"
OLDER = "events_2026-01-02_00-00-00-000000.jsonl"


def begun(folder, disk=OS_DISK):
    numbering = Numbering(disk, folder)
    numbering.begin(NODE)
    return numbering


def next_of(numbering):
    return [numbers(line) for line in numbering.stamp([drafted("010", "noted", {})])]


def file_of(folder, name, *lines):
    (folder / name).write_bytes(b"".join(lines))


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


def test_segment_that_was_left_is_known_while_it_ends_as_it_did(tmp_path):
    numbering = begun(tmp_path)
    file_of(tmp_path, OLDER, own_lines(1, 2))
    with opened(OS_DISK, tmp_path / OLDER) as descriptor:
        _, size = OS_DISK.file_id(descriptor)
        numbering.leave(descriptor, size)
        assert numbering.left_at(descriptor) == size
        file_of(tmp_path, OLDER, own_lines(3, 4))  # under the same inode, of the same size
        assert numbering.left_at(descriptor) == 0


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
    for clock, received in ((AHEAD, AHEAD + 1), (AHEAD + 1, 1), (CLOCK_MAX, 1)):
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
    for clock, received in ((AHEAD + 3, AHEAD + 4), (2 * AHEAD, AHEAD + 5), (5, AHEAD + 6)):
        monkeypatch.setenv("THENCE_CAUSE", f"{new_id()}@{clock}@{new_id()}")
        with thence.open(tmp_path) as log:
            assert log.append("t").lamport_clock == received
