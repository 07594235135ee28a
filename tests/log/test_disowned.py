"""Lines under a log's own node_id that came from elsewhere: kept, and never counted as its own."""

import pytest
from tests.log.test_importing import DAY_S, NOW_S, line_of, lines_of, own_line, taken

import thence
from thence.core.codec import stamper
from thence.core.vocabulary import WORK
from thence.errors import HeadsMoved
from thence.log.files import digest_files
from thence.log.files.disk import OS_DISK
from thence.log.files.identity import known_node_id
from thence.log.write.drafting import NoticeMaker

OWN_EVENTS = 3


@pytest.fixture
def log(tmp_path):
    with thence.open(tmp_path, "work") as opened:
        for number in range(OWN_EVENTS):
            opened.append("WPCreated", {}, subject=f"WP0{number}")
        yield opened


def numbers_after(log):
    """Append by another opening and return the node and number that the event got."""
    with thence.open(log.folder) as again:
        later = again.append("WPCreated", {}, subject="WP09")
    return later.node_id, later.seq


def test_line_under_our_node_that_is_not_above_our_last_number_changes_nothing(log):
    node_id = known_node_id(OS_DISK, log.folder)
    line = own_line(log, 2, 9)
    result = taken(log, [line])
    assert ([event.line for event in result.ours], result.renewed) == ([line], False)
    assert line in lines_of(log)
    (notice,) = [event for event in log.events() if event.event_type == "log.claimed"]
    facts = {"node_id": node_id, "count": 1, "first_seq": 2, "last_seq": 2}
    assert (notice.payload, notice.seq) == (facts, OWN_EVENTS + 1)
    assert numbers_after(log) == (node_id, OWN_EVENTS + 2)
    assert [each.code for each in log.verify().damage] == ["inconsistent"]


def test_line_above_our_last_number_renews_the_identity_once_a_day(log):
    first = known_node_id(OS_DISK, log.folder)
    assert taken(log, [own_line(log, 900, 9)]).renewed
    second, seq = numbers_after(log)
    assert second != first
    assert seq == 2, "the notice of the change is the first"
    far = [own_line(log, number, 20, second) for number in (800, 801)]
    result = taken(log, far[:1], NOW_S + DAY_S - 1)
    assert ([event.line for event in result.ours], result.renewed) == (far[:1], False)
    assert numbers_after(log) == (second, 4), "only the notice is counted from"
    assert taken(log, far[1:], NOW_S + DAY_S).renewed
    assert known_node_id(OS_DISK, log.folder) not in (first, second)


def test_openings_that_stand_write_as_the_new_node_behind_all_clocks(log):
    first = known_node_id(OS_DISK, log.folder)
    with thence.open(log.folder) as other:
        other.append("WPCreated", {}, subject="WP08")
        ahead = line_of(1, 50)
        assert taken(log, [ahead, own_line(log, 900, 9)]).renewed
        for number, opened in enumerate((log, other)):
            later = opened.append("WPCreated", {}, subject="WP09")
            assert later.node_id == known_node_id(OS_DISK, log.folder) != first
            assert later.seq == 2 + number, "the notice of the change is the first"
            assert later.lamport_clock > 50


def test_line_of_ours_that_was_damaged_fills_its_hole_without_another_node(log):
    lines = log.current_file.read_bytes().split(b"\n")
    log.close()
    log.current_file.write_bytes(b"\n".join([lines[0], b"x" * len(lines[1]), *lines[2:]]))
    assert "events_lost" in {each.code for each in log.verify().damage}
    result = taken(log, lines[1:2])
    assert ([event.line for event in result.ours], result.renewed) == (lines[1:2], False)
    assert {each.code for each in log.verify().damage} == {"bad_line"}


def test_guard_is_not_satisfied_by_a_line_that_only_bears_our_node(log):
    guard = thence.Unchanged(log.position(), subjects={"-/-/WP01"}, types={"WPCreated"})
    theirs = line_of(1, 20)
    taken(log, [theirs, own_line(log, 2, 9)])
    with pytest.raises(HeadsMoved):
        log.append("WPCreated", {}, subject="WP01", guard=guard)


def test_notice_that_only_bears_our_node_hides_no_damage(log):
    node_id = known_node_id(OS_DISK, log.folder)
    start = log.current_size
    with log.current_file.open("ab") as segment:
        segment.write(b"bent\n")
    facts = {"file": "events.jsonl", "offset": start, "bytes": 4, "reason": "bad_line"}
    notice = NoticeMaker(WORK, {})("torn", facts)
    taken(log, [stamper(node_id)([notice], 2, 9)[0][:-1]])
    assert "bad_line" in {each.code for each in log.verify().damage}
    log.repair()
    assert {each.code for each in log.verify().damage} == {"inconsistent"}


def test_full_record_of_such_lines_gives_the_log_another_node_once_a_day(log, monkeypatch):
    monkeypatch.setattr(digest_files, "DISOWNED_MAX", 2)
    first = known_node_id(OS_DISK, log.folder)
    lines = [own_line(log, number, 9) for number in (1, 2, 3)]
    assert not taken(log, lines[:2]).renewed
    result = taken(log, lines)
    assert (result.renewed, result.known) == (True, 2)
    second = known_node_id(OS_DISK, log.folder)
    assert second != first
    numbers_after(log)
    under = [own_line(log, number, 9, second) for number in (1, 2, 3)]
    assert not taken(log, under[:2]).renewed, "the new node has room of its own"
    result = taken(log, under, NOW_S + DAY_S - 1)
    assert ([event.line for event in result.parked], result.renewed) == (under[2:], False)
    assert under[2] not in lines_of(log)
    assert known_node_id(OS_DISK, log.folder) == second
    assert taken(log, under, NOW_S + DAY_S).renewed
    assert under[2] in lines_of(log)


def test_spoilt_record_is_no_reason_to_fail(log):
    taken(log, [own_line(log, 2, 9)])
    (log.folder / ".thence" / "disowned.json").write_bytes(b"{")
    assert digest_files.read_by_node(OS_DISK, log.folder, digest_files.DISOWNED) == {}
    assert log.append("WPCreated", {}, subject="WP01").seq == OWN_EVENTS + 2
