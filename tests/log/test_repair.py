"""A repaired log: every event is there byte for byte, every other byte is in quarantine."""

import random
import shutil

import pytest
from tests.disks import FULL, Scripted
from tests.events import OTHER_NODE, line_of
from tests.log.committers import append_notice
from tests.log.processes import descriptors

import thence
from thence.core.codec import event_id_of
from thence.core.vocabulary import PLAIN
from thence.errors import LogBusy, LogFull, OutcomeUnknown, ThenceError
from thence.log.check.rewriting import repair
from thence.log.files.disk import OS_DISK, AppendLock, DiskError
from thence.log.open import Log, LogSettings
from thence.log.write.drafting import NoticeMaker, warn
from thence.log.write.writer import SegmentWriter

MARK = b"\xef\xbb\xbf"


def made(folder, count=6):
    """Make a log and return its lines."""
    with thence.open(folder) as log:
        last = []
        for n in range(count):
            last = [log.append("noted", {"n": n, "text": "é\n" * n}, caused_by=last)]
    return (folder / "events.jsonl").read_bytes().splitlines(keepends=True)


def rewritten(folder, *parts, name="events.jsonl"):
    (folder / name).write_bytes(b"".join(parts))


def quarantined(folder):
    return [path.read_bytes() for path in sorted(folder.glob(".thence/quarantine/*.torn"))]


def kept(folder):
    """Return the lines of the log without the notices of the repair."""
    data = (folder / "events.jsonl").read_bytes()
    return [line for line in data.splitlines(keepends=True) if b'"log.recovered"' not in line]


def repaired(folder, disk=OS_DISK):
    with Log(folder, PLAIN, disk=disk) as log:
        return log.repair()


def test_bad_bytes_go_to_quarantine_and_one_notice_names_their_numbers(tmp_path):
    lines = made(tmp_path)
    bad = lines[1].replace(b"noted", b"nited"), b"garbage\n", b"\0" * 99 + b"\n"
    rewritten(tmp_path, lines[0], bad[0], bad[1], lines[2], lines[3], bad[2], *lines[4:])
    found = repaired(tmp_path)
    assert found.ok
    assert [(f.code, f.seq) for f in found.findings] == [
        ("cause_missing", None),
        ("torn", 2),
    ]
    assert kept(tmp_path) == [lines[0], *lines[2:]]
    assert quarantined(tmp_path) == [b"".join(bad)]
    (facts,) = (e.payload for e in thence.open(tmp_path).read() if e.event_type == "log.recovered")
    node_id = thence.open(tmp_path).get(event_id_of(lines[0]).decode()).node_id
    bytes_ = len(b"".join(bad)) - 3  # without their newlines
    assert facts == {
        "rewritten": True,
        "places": 3,
        "bytes": bytes_,
        "missing": 1,
        "numbers": {node_id: [[2, 2]]},
    }


def test_number_of_a_last_event_that_was_damaged_is_not_given_again(tmp_path):
    lines = made(tmp_path)
    rewritten(tmp_path, *lines[:-1], lines[-1].replace(b"noted", b"nited"))
    found = repaired(tmp_path)
    assert [(f.code, f.seq) for f in found.findings] == [("torn", 6)]
    with thence.open(tmp_path) as log:
        assert log.append("next").seq > 7
        assert log.verify().ok


def test_rest_behind_an_event_is_moved_and_the_event_keeps_its_newline(tmp_path):
    lines = made(tmp_path)
    rewritten(tmp_path, lines[0], lines[1][:-1], b"garbage\n", *lines[2:])
    assert repaired(tmp_path).findings == ()
    assert kept(tmp_path) == lines
    assert quarantined(tmp_path) == [b"garbage\n"]


def test_older_segments_are_repaired_and_get_their_newline_back(tmp_path):
    with Log(tmp_path, PLAIN, LogSettings(max_file_size=300)) as log:
        for _ in range(8):
            log.append("t")
    older = sorted(tmp_path.glob("events_*.jsonl"))
    before = [path.read_bytes() for path in older]
    assert len(older) > 2
    older[0].write_bytes(before[0][:-1])
    older[1].write_bytes(before[1][:-1] + b"\r")
    older[2].write_bytes(before[2] + b"half a li")
    log = thence.open(tmp_path)
    assert len(list(log.read())) == 8
    assert [f.code for f in log.verify().findings] == [
        "stray_bytes",
        "stray_bytes",
        "stray_bytes",
        "bad_line",
    ]
    assert repaired(tmp_path).findings == ()
    assert [path.read_bytes() for path in older] == before
    assert quarantined(tmp_path) == [b"\r", b"half a li"]


def test_whole_log_is_left_as_it_is(tmp_path):
    made(tmp_path)
    path = tmp_path / "events.jsonl"
    before = path.read_bytes(), path.stat().st_ino
    assert repaired(tmp_path).findings == ()
    assert (path.read_bytes(), path.stat().st_ino) == before


def test_lines_of_other_tools_blank_lines_and_what_is_told_stay(tmp_path):
    lines = made(tmp_path)
    foreign = b'{"event_id":"theirs"}\r\n'
    rewritten(tmp_path, lines[0], b"\n", foreign, lines[1], b"bad\n", *lines[2:])
    assert repaired(tmp_path).ok
    assert kept(tmp_path) == [lines[0], b"\n", foreign, *lines[1:]]


@pytest.mark.parametrize("bad", [b"bad\n", b"\0" * 40], ids=["a line", "beside an event"])
def test_region_that_a_notice_tells_of_makes_no_repair_and_goes_with_others(tmp_path, bad):
    lines = made(tmp_path)
    facts = {"file": "events.jsonl", "offset": len(lines[0]), "bytes": len(bad)}
    rewritten(tmp_path, lines[0], bad, *lines[1:])
    with thence.open(tmp_path) as log:
        append_notice(tmp_path, "torn", facts)
        before = (tmp_path / "events.jsonl").read_bytes()
        assert [f.code for f in log.repair().findings] == ["torn"]
        assert (tmp_path / "events.jsonl").read_bytes() == before
        with (tmp_path / "events.jsonl").open("ab") as file:
            file.write(b"more\n")
        assert log.repair().findings == ()
    assert quarantined(tmp_path) == [bad + b"more\n"]
    assert kept(tmp_path)[: len(lines)] == lines
    # the region's place holds other bytes now: it excuses them no more
    data = bytearray((tmp_path / "events.jsonl").read_bytes())
    data[len(lines[0]) : len(lines[0]) + 4] = b"bad\n"
    rewritten(tmp_path, bytes(data))
    assert not thence.open(tmp_path).verify().ok


def test_what_no_repair_can_know_is_left(tmp_path):
    event_id = "0" * 26
    lines = [line_of({"n": n}, event_id=event_id, node_id=OTHER_NODE, seq=n) for n in (1, 2)]
    rewritten(tmp_path, *lines)
    found = repaired(tmp_path)
    assert [f.code for f in found.damage] == ["inconsistent"]
    assert kept(tmp_path) == lines


def test_overlong_line_is_moved_whole(tmp_path):
    lines = made(tmp_path)
    bulk = b"x" * 5_000_000 + b"\n"
    rewritten(tmp_path, *lines[:3], bulk, *lines[3:])
    assert repaired(tmp_path).findings == ()
    assert quarantined(tmp_path) == [bulk]
    assert kept(tmp_path) == lines


def test_access_to_a_segment_stays_as_it_was(tmp_path):
    lines = made(tmp_path)
    rewritten(tmp_path, *lines, b"bad\n")
    (tmp_path / "events.jsonl").chmod(0o640)
    repaired(tmp_path)
    assert (tmp_path / "events.jsonl").stat().st_mode & 0o777 == 0o640


def test_writer_that_is_open_meanwhile_goes_on_in_the_repaired_segment(tmp_path):
    lines = made(tmp_path)
    with thence.open(tmp_path) as other:
        other.append("before")
        with (tmp_path / "events.jsonl").open("ab") as file:
            file.write(b"bad\n")
        repaired(tmp_path)
        other.append("after")
        events = list(other.read())
        assert [e.event_type for e in events][-3:] != []
        assert {"before", "after"} <= {e.event_type for e in events}
        assert other.verify().findings == ()
    assert kept(tmp_path)[: len(lines)] == lines


def test_lock_that_is_held_refuses_and_changes_nothing(tmp_path):
    made(tmp_path)
    rewritten(tmp_path, b"bad\n")
    lock = AppendLock(OS_DISK, tmp_path / ".thence/lock")
    lock.acquire()
    log = thence.open(tmp_path)
    with pytest.raises(LogBusy, match=r"for 0\.01 s"):
        log.repair(timeout_s=0.01)
    lock.release()
    assert (tmp_path / "events.jsonl").read_bytes() == b"bad\n"


CHANGING = ("write", "sync_data", "sync_folder", "rename", "unlink", "open_append", "truncate")


def dying(last):
    """Returns a disk that fails from one of the calls on that change something."""

    def step(*_):
        if len(disk.order(*CHANGING)) > last:
            raise FULL

    disk = Scripted()
    disk.before = dict.fromkeys(CHANGING, step)
    return disk


def test_repair_that_ends_at_any_step_loses_nothing_and_the_next_one_finishes_it(tmp_path):
    seed = random.randrange(10**9)
    print("seed", seed)
    last = 0
    while True:
        folder = tmp_path / str(last)
        lines = made(folder)
        spoilt = lines[2].replace(b"noted", b"nited")
        rewritten(folder, MARK, *lines[:2], spoilt, lines[3][:-1] + b"\r\n", *lines[4:])
        disk = dying(last)
        try:
            repaired(folder, disk)
            is_done = True
        except (LogFull, OutcomeUnknown):
            is_done = False
        found = [event.line + b"\n" for event in thence.open(folder).read()]
        assert [line for line in found if b'"log.recovered"' not in line] == [
            *lines[:2],
            *lines[3:],
        ]
        held = (folder / "events.jsonl").read_bytes() + b"".join(
            path.read_bytes() for path in folder.glob(".thence/quarantine/*")
        )
        assert spoilt in held
        assert repaired(folder).ok
        found = [line for line in kept(folder) if b"log.torn" not in line]
        assert found == [*lines[:2], *lines[3:]]  # one that was killed may have left damage
        assert any(spoilt in data for data in quarantined(folder))
        assert not list(folder.glob(".thence/*.repair"))
        if is_done:
            break
        last += 1
    assert last > 12


def test_disk_that_refuses_leaves_every_byte_where_it_was(tmp_path):
    lines = made(tmp_path)
    rewritten(tmp_path, *lines, b"bad\n")
    before = (tmp_path / "events.jsonl").read_bytes()
    full = Scripted(rename=DiskError(13, "Permission denied"))
    with pytest.raises(ThenceError) as caught:
        repaired(tmp_path, full)
    assert caught.value.code == "log_read_only"
    assert (tmp_path / "events.jsonl").read_bytes().startswith(before)
    assert not thence.open(tmp_path).verify().ok


CURRENT = "events.jsonl"
BAD = b"bad\n"


def notices_of_repair(folder):
    """Repair a log; return the facts of the notices about it, in order."""
    with thence.open(folder) as log:
        log.repair()
        return [dict(event.payload) for event in log.read() if event.event_type == "log.recovered"]


def moving(bytes_, places):
    facts = {"rewritten": True, "places": places, "bytes": bytes_}
    return {**facts, "missing": 0, "numbers": {}}


@pytest.mark.parametrize(
    ("spoil", "bytes_", "places"),
    [
        (lambda lines: [MARK, *lines], 3, 1),
        (lambda lines: [line[:-1] + b"\r\n" for line in lines], 8, 8),
        (lambda lines: [lines[0], b"\0" * 4000, *lines[1:]], 4000, 1),
        (lambda lines: [lines[0], lines[1][:-1], *lines[2:]], 0, 1),
        (lambda lines: [lines[0], lines[1][:-1], b"\x0b", *lines[2:]], 1, 1),
        (lambda lines: [b"".join(line[:-1] for line in lines), b"\n"], 0, 7),
        (lambda lines: [MARK, lines[0][:-1], lines[1][:-1] + b"\r\n", *lines[2:]], 4, 3),
    ],
    ids=["mark", "crlf", "zeros", "joined", "changed newline", "one line", "all"],
)
def test_events_beside_other_bytes_stay_byte_for_byte_on_lines_of_their_own(
    tmp_path, spoil, bytes_, places
):
    lines = made(tmp_path, 8)
    rewritten(tmp_path, *spoil(lines))
    assert not thence.open(tmp_path).verify().ok
    assert notices_of_repair(tmp_path) == [moving(bytes_, places)]
    assert thence.open(tmp_path).verify().findings == ()
    assert kept(tmp_path) == lines
    assert sum(map(len, quarantined(tmp_path))) == bytes_


def test_all_that_goes_from_a_segment_is_one_file_in_order_and_added_up(tmp_path):
    lines = made(tmp_path, 8)
    rewritten(tmp_path, MARK, lines[0], BAD, BAD, lines[1], BAD, *lines[2:])
    assert notices_of_repair(tmp_path) == [moving(3 * (len(BAD) - 1) + 3, 4)]
    assert quarantined(tmp_path) == [MARK + 3 * BAD]


def test_each_segment_with_bad_bytes_is_repaired_and_no_other_is_touched(tmp_path):
    with Log(tmp_path, PLAIN, LogSettings(max_file_size=300)) as log:
        for _ in range(8):
            log.append("t")
    older = sorted(tmp_path.glob("events_*.jsonl"))
    untouched = [older[1].stat().st_ino, (tmp_path / CURRENT).stat().st_ino]
    before = [path.read_bytes() for path in older]
    for path in (older[0], older[2]):
        path.write_bytes(MARK + path.read_bytes())
    assert notices_of_repair(tmp_path) == [moving(6, 2)]
    assert [path.read_bytes() for path in older] == before
    assert quarantined(tmp_path) == [MARK, MARK]
    assert older[1].stat().st_ino == untouched[0]


def named_numbers(folder):
    """Repair a log; return the numbers that the notice names, of the one node that it has."""
    (facts,) = (facts for facts in notices_of_repair(folder) if "rewritten" in facts)
    assert facts["missing"] == sum(b - a + 1 for own in facts["numbers"].values() for a, b in own)
    return [tuple(span) for own in facts["numbers"].values() for span in own]


STRANGE = [line_of(seq=seq, node_id=OTHER_NODE, lamport_clock=30 + seq) for seq in (1, 9)]
FOREIGN = b'{"event_id":"theirs"}\n'


@pytest.mark.parametrize(
    ("spoil", "numbers"),
    [
        (lambda a: [a[0], b"first\n", a[3], BAD, *a[4:6], b"third\n", a[7]], [(2, 3), (7, 7)]),
        (lambda a: [a[0], b"first\n", FOREIGN, b"longer\n", *a[4:]], [(2, 4)]),
        (lambda a: [*a[:2], *a[4:6], BAD, *a[6:]], []),
        (lambda a: [*a[:2], STRANGE[0], BAD, STRANGE[1], *a[2:]], []),
        (lambda a: [*a[:5], a[1], BAD, *a[5:]], []),
    ],
    ids=["missing", "two lines in a hole", "no bytes in a hole", "of another node", "again"],
)
def test_numbers_that_are_missing_at_bad_lines_are_named(tmp_path, spoil, numbers):
    rewritten(tmp_path, *spoil(made(tmp_path, 8)))
    assert named_numbers(tmp_path) == numbers


def test_region_in_an_older_segment_has_the_numbers_that_go_on_in_the_next(tmp_path):
    with Log(tmp_path, PLAIN, LogSettings(max_file_size=500)) as log:
        for _ in range(8):
            log.append("t")
    older = sorted(tmp_path.glob("events_*.jsonl"))
    lines = older[0].read_bytes().splitlines(keepends=True)
    rewritten(tmp_path, *lines[:-1], lines[-1].replace(b'"t"', b'"x"'), name=older[0].name)
    assert named_numbers(tmp_path) == [(len(lines), len(lines))]


def test_told_region_of_a_segment_that_was_rotated_since_makes_no_work(tmp_path):
    with Log(tmp_path, PLAIN, LogSettings(max_file_size=2_000)) as log:
        log.append("first")
        begin = (tmp_path / CURRENT).stat().st_size
        with (tmp_path / CURRENT).open("ab") as file:
            file.write(BAD)
        while not list(tmp_path.glob("events_*.jsonl")):
            log.append("noted")
        facts = {"file": CURRENT, "offset": begin, "bytes": len(BAD)}
        append_notice(tmp_path, "torn", facts)
    (older,) = tmp_path.glob("events_*.jsonl")
    before = older.read_bytes()
    assert [f.code for f in thence.open(tmp_path).verify().findings] == ["torn"]
    assert notices_of_repair(tmp_path) == []
    assert older.read_bytes() == before


def test_drafts_of_a_killed_repair_go_with_the_next_one(tmp_path):
    lines = made(tmp_path, 8)
    left, other = tmp_path / ".thence/events.jsonl-01A.repair", tmp_path / ".thence/mine.txt"
    for path in (left, other):
        path.write_bytes(b"half")
    rewritten(tmp_path, MARK, *lines)
    notices_of_repair(tmp_path)
    assert not left.exists()
    assert other.read_bytes() == b"half"


def test_bytes_behind_the_last_newline_are_recovered_as_by_an_append(tmp_path):
    lines = made(tmp_path, 8)
    rewritten(tmp_path, *lines, b'{"event_id":"ha')
    (facts,) = notices_of_repair(tmp_path)
    assert (facts["offset"], facts["bytes"]) == (len(b"".join(lines)), 15)
    assert "rewritten" not in facts


def test_lock_and_files_are_free_after_a_repair(tmp_path):
    lines = made(tmp_path, 8)
    rewritten(tmp_path, MARK, *lines)
    notice = NoticeMaker(PLAIN, {})
    writer = SegmentWriter(OS_DISK, tmp_path, PLAIN, notice, warn, 10**9)
    repair(OS_DISK, tmp_path, PLAIN, writer, notice)
    assert descriptors(tmp_path) == []
    lock = AppendLock(OS_DISK, tmp_path / ".thence/lock")
    lock.acquire(0)
    lock.close()
    assert (tmp_path / CURRENT).read_bytes().startswith(b"".join(lines))


def test_numbers_of_the_node_before_a_copy_are_named_with_that_node(tmp_path):
    lines = made(tmp_path / "first")
    shutil.copytree(tmp_path / "first", tmp_path / "copy")
    with thence.open(tmp_path / "copy") as log:
        node_id = log.append("after").node_id
        current = tmp_path / "copy" / CURRENT
        current.write_bytes(current.read_bytes().replace(lines[2], BAD).replace(lines[5], BAD))
        verification = log.repair()
    assert verification.ok
    (facts,) = (e.payload for e in thence.open(tmp_path / "copy").read() if "places" in e.payload)
    (earlier,) = facts["numbers"]
    assert earlier != node_id
    assert facts["numbers"] == {earlier: [[3, 3]]}
    assert [(f.code, f.node_id, f.seq) for f in verification.findings if f.seq] == [
        ("torn", earlier, 3)
    ]


def test_numbers_in_more_ranges_than_a_notice_names_are_joined(tmp_path, monkeypatch):
    monkeypatch.setattr("thence.log.check.rewriting.RANGES_MAX", 2)
    lines = made(tmp_path, 9)
    rewritten(tmp_path, *[line if n % 2 else BAD for n, line in enumerate(lines)])
    assert named_numbers(tmp_path) == [(1, 1), (3, 7)]  # log.shrunk names the last
    assert thence.open(tmp_path).verify().ok


def test_numbers_that_stand_elsewhere_are_not_named_as_missing(tmp_path):
    lines = made(tmp_path, 8)
    rewritten(tmp_path, lines[0], BAD, lines[5], lines[6], lines[1], lines[3], lines[4], lines[7])
    assert named_numbers(tmp_path) == [(3, 3)]
