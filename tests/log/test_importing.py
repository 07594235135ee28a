"""Events of other nodes enter a log as they stand, once, and nothing else with them."""

import json
import random

import pytest
from tests.disks import Scripted
from tests.events import drafted, new_id

import thence
from thence.core.codec import stamper
from thence.core.order import total_order_key
from thence.core.vocabulary import WORK
from thence.log.blobs.blob_files import Bodies
from thence.log.files.disk import OS_DISK
from thence.log.open import Log, LogSettings
from thence.log.write import importing
from thence.log.write.drafting import NoticeMaker
from thence.log.write.importing import Relay

OTHER = "0123456789ab"


def lines_of(log):
    return [event.line for event in log.read()]


def taken(log, lines):
    relay = Relay(OS_DISK, log.folder, WORK, NoticeMaker(WORK, {}), lambda word, facts: None)
    return relay.take(lines, log.held)


def line_of(seq, clock, event_id=None, event_type="WPCreated"):
    made = drafted(event_id or new_id(), event_type, {"aggregate_id": "WP01", "payload": {}})
    return stamper(OTHER)([made], seq, clock)[0][:-1]


@pytest.fixture
def log(tmp_path):
    with thence.open(tmp_path, "work") as opened:
        opened.append("WPCreated", {}, subject="WP01")
        yield opened


def test_line_of_another_node_is_kept_byte_for_byte_and_its_clock_is_witnessed(log):
    line = line_of(7, 41)
    result = taken(log, [line])
    assert [event.line for event in result.taken] == [line]
    assert lines_of(log)[-1] == line
    later = log.append("WPCreated", {}, subject="WP02")
    assert (later.seq, later.lamport_clock) == (2, 42)
    assert log.verify().ok


def own_line(log, seq, clock, node_id=None):
    own = next(iter(log.read()))
    made = drafted(new_id(), "WPCreated", {"aggregate_id": "WP01", "payload": {}})
    return stamper(node_id or own.node_id)([made], seq, clock)[0][:-1]


def test_lines_of_our_own_that_the_log_lost_come_back_in_order_under_another_node(log):
    lines = [own_line(log, 3, 3), own_line(log, 2, 2), line_of(1, 9)]
    result = taken(log, [*lines, lines[0]])
    assert [event.line for event in result.ours] == [lines[0], lines[1]]
    assert [line for line in lines_of(log) if line in lines] == [lines[2], lines[1], lines[0]]
    with thence.open(log.folder) as opened:
        later = opened.append("WPCreated", {}, subject="WP02")
    assert later.node_id not in {event.node_id for event in result.taken}
    assert later.lamport_clock > 9
    again = taken(log, lines)
    assert (again.taken, again.ours, again.known) == ((), (), 3)
    assert log.verify().ok


def test_foreign_line_is_taken_as_unverified_and_its_clock_is_witnessed(log):
    line = b'{"event_id":"x1","event_type":"WPCreated","entity_id":"WP03","lamport_clock":90}'
    assert taken(log, [line]).taken[0].is_foreign
    assert log.append("WPCreated", {}, subject="WP01").lamport_clock == 91
    late = line.replace(b"x1", b"x2").replace(b"90", b"120")
    with log.current_file.open("ab") as segment:
        segment.write(late + b"\n")
    with thence.open(log.folder) as again:
        assert again.append("WPCreated", {}, subject="WP01").lamport_clock == 121
    assert log.verify().ok


@pytest.mark.promise("L2")
@pytest.mark.parametrize("order", [(0, 1), (1, 0)])
@pytest.mark.parametrize("at_once", [True, False])
def test_verified_line_wins_over_a_foreign_one_of_its_id_whichever_came_first(log, order, at_once):
    ours = line_of(1, 3, "0" * 26)
    lines = [ours, json.dumps({"event_id": "0" * 26, "event_type": "WPCreated"}).encode()]
    for some in [[lines[n] for n in order]] if at_once else [[lines[n]] for n in order]:
        taken(log, some)
    assert ours in lines_of(log)
    assert [line for line in lines_of(log) if b"0" * 26 in line] == [ours]
    log.rebuild()
    assert log.get("0" * 26).line == ours
    found = taken(log, lines)
    assert (found.taken, found.known) == ((), 2)


def test_lines_are_taken_behind_what_a_killed_writer_left(log):
    log.close()
    with log.current_file.open("ab") as segment:
        segment.write(b'{"event_id":"torn')
    line = line_of(1, 5)
    with thence.open(log.folder) as again:
        taken(again, [line])
        kinds = [event.event_type for event in again.read()]
        numbers = [event.seq for event in again.read() if event.node_id != OTHER]
        assert kinds == ["WPCreated", "log.recovered", "WPCreated"]
        assert numbers == [1, 2]
        assert again.verify().ok


def test_lines_that_do_not_fit_into_a_segment_go_into_the_next(tmp_path):
    seed = random.randrange(2**32)
    chance = random.Random(seed)
    lines = [line_of(number, number * 2) for number in range(1, 40)]
    chance.shuffle(lines)
    with Log(tmp_path, WORK, LogSettings(max_file_size=900)) as log:
        log.append("WPCreated", {}, subject="WP01")
        taken(log, lines[:20])
        log.append("WPCreated", {}, subject="WP01")
        taken(log, lines[20:])
        last = log.append("WPCreated", {}, subject="WP01")
        events = list(log.read())
        assert sorted(event.line for event in events if event.node_id == OTHER) == sorted(lines)
        clocks = [event.lamport_clock for event in events if event.event_id != last.event_id]
        assert (last.seq, last.lamport_clock) == (3, max(clocks) + 1), f"seed {seed}"
        assert max(events, key=total_order_key).event_id == last.event_id
        assert log.verify().ok


def test_lines_with_many_bytes_of_values_are_relayed_in_parts(tmp_path, monkeypatch):
    monkeypatch.setattr(importing, "PAYLOAD_BYTES_MAX", 10_000)
    write, sizes = importing._write_all, []

    def noted(writer, drafts, *rest):
        sizes.append(sum(len(body.data) for draft in drafts for body in draft.bodies))
        write(writer, drafts, *rest)

    monkeypatch.setattr(importing, "_write_all", noted)
    with thence.open(tmp_path / "a") as log, thence.open(tmp_path / "b") as other:
        events = [log.append("told", {"text": f"{n} " * 2_000}) for n in range(9)]
        relayed = other.relay([event.line for event in events], Bodies(OS_DISK, log.folder))
        assert relayed.taken == tuple(events)
        assert [event.payload for event in other.read()] == [event.payload for event in events]
    assert len(sizes) >= 4
    assert max(sizes) < 10_000 + 4_000


@pytest.mark.parametrize("has_own", [True, False])
def test_what_was_relayed_before_is_not_read_again(tmp_path, has_own):
    disk = Scripted()
    read = []

    def counted(call, *where):
        read.append(call(*where))
        return read[-1]

    disk.instead["read_at"] = counted
    pages = [[line_of(n, n) for n in range(at, at + 50)] for at in range(1, 1_000, 50)]
    with Log(tmp_path, WORK, LogSettings(), disk=disk) as log:
        if has_own:
            log.append("WPCreated", {}, subject="WP01")
        log.rebuild()
        costs = []
        for page in pages:
            read.clear()
            assert len(log.relay(page).taken) == len(page)
            costs.append(sum(map(len, read)))
        assert max(costs[1:]) < 4 * sum(map(len, pages[0]))
        own = log.append("WPCreated", {}, subject="WP02")
        assert (own.seq, own.lamport_clock) == (1 + has_own, 1_001)
        assert log.verify().ok
