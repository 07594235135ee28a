"""What a repair says that it did, to which segments, and which numbers it misses where."""

import pytest
from tests.events import OTHER_NODE, line_of
from tests.log.committers import append_notice
from tests.log.processes import descriptors

import thence
from thence.core.values.vocabulary import PLAIN
from thence.errors import LogBusy
from thence.log.check.repair import repair
from thence.log.storage.append_lock import AppendLock
from thence.log.storage.disk import OS_DISK
from thence.log.write.drafting import NoticeMaker, warn
from thence.log.write.writer import SegmentWriter
from thence.replica import Log

CURRENT = "events.jsonl"
MARK = b"\xef\xbb\xbf"
BAD = b"bad\n"


def made(folder, count=8):
    """Make a log and return its lines."""
    with thence.open(folder) as log:
        for n in range(count):
            log.append("noted", {"n": n})
    return (folder / CURRENT).read_bytes().splitlines(keepends=True)


def rewritten(folder, *parts, name=CURRENT):
    (folder / name).write_bytes(b"".join(parts))


def repaired(folder):
    """Repair a log; return the facts of the notices about it, in order."""
    with thence.open(folder) as log:
        log.repair()
        return [dict(event.payload) for event in log.read() if event.event_type == "log.recovered"]


def healing(bytes_, healed, file=CURRENT):
    return {"file": file, "offset": 0, "bytes": bytes_, "healed": healed, "rewritten": True}


@pytest.mark.parametrize(
    ("spoil", "bytes_", "healed"),
    [
        (lambda lines: [MARK, *lines], 3, 1),
        (lambda lines: [line[:-1] + b"\r\n" for line in lines], 8, 8),
        (lambda lines: [lines[0], b"\0" * 4000, *lines[1:]], 4000, 1),
        (lambda lines: [lines[0][:-1], *lines[1:]], 0, 1),
        (lambda lines: [MARK, lines[0][:-1], lines[1][:-1] + b"\r\n", *lines[2:]], 4, 3),
    ],
    ids=["mark", "crlf", "zeros", "joined", "all"],
)
def test_what_was_healed_is_counted_in_places_and_bytes(tmp_path, spoil, bytes_, healed):
    lines = made(tmp_path)
    rewritten(tmp_path, *spoil(lines))
    assert repaired(tmp_path) == [healing(bytes_, healed)]


def test_moved_and_healed_bytes_are_added_up_and_regions_told_apart(tmp_path):
    lines = made(tmp_path)
    rewritten(tmp_path, MARK, lines[0], BAD, BAD, lines[1], BAD, *lines[2:])
    first, *told = repaired(tmp_path)
    whole = [facts for facts in [first, *told] if "rewritten" in facts]
    assert whole == [healing(3 * len(BAD) + 3, 1)]
    regions = [facts for facts in [first, *told] if "rewritten" not in facts]
    begin = len(MARK + lines[0])
    places = [(facts["file"], facts["offset"], facts["bytes"]) for facts in regions]
    second = begin + 2 * len(BAD) + len(lines[1])
    assert places == [(CURRENT, begin, 2 * len(BAD)), (CURRENT, second, len(BAD))]
    assert all("first_seq" not in facts for facts in regions)
    held = [(tmp_path / facts["quarantine"]).read_bytes() for facts in regions]
    assert held == [BAD + BAD, BAD]


def test_each_segment_that_had_work_is_told_in_order_and_no_other(tmp_path):
    with Log(tmp_path, PLAIN, max_file_size=300) as log:
        for _ in range(8):
            log.append("t")
    older = sorted(tmp_path.glob("events_*.jsonl"))
    untouched = [older[1].stat().st_ino, (tmp_path / CURRENT).stat().st_ino]
    for path in (older[0], older[2]):
        path.write_bytes(MARK + path.read_bytes())
    assert repaired(tmp_path) == [healing(3, 1, older[0].name), healing(3, 1, older[2].name)]
    assert [older[1].stat().st_ino, (tmp_path / CURRENT).stat().st_ino] == untouched


def named_numbers(folder):
    """Return the regions set aside with the numbers that their notices tell."""
    return [
        (facts["bytes"], facts.get("first_seq"), facts.get("last_seq"))
        for facts in repaired(folder)
        if "rewritten" not in facts
    ]


def test_missing_numbers_belong_to_the_first_bad_region_among_them(tmp_path):
    lines = made(tmp_path)
    rewritten(
        tmp_path, lines[0], b"first\n", lines[3], b"other\n", *lines[4:6], b"third\n", lines[7]
    )
    assert named_numbers(tmp_path) == [(6, 2, 3), (6, None, None), (6, 7, 7)]


def test_two_regions_in_one_hole_are_told_with_it_once(tmp_path):
    lines = made(tmp_path)
    foreign = b'{"event_id":"theirs"}\n'
    rewritten(tmp_path, lines[0], b"first\n", foreign, b"longer\n", *lines[4:])
    assert named_numbers(tmp_path) == [(6, 2, 4), (7, None, None)]


def test_hole_without_bad_bytes_is_given_to_none(tmp_path):
    lines = made(tmp_path)
    rewritten(tmp_path, *lines[:2], *lines[4:6], BAD, *lines[6:])
    assert named_numbers(tmp_path) == [(4, None, None)]


def test_numbers_of_another_node_are_not_looked_at(tmp_path):
    lines = made(tmp_path)
    strange = [line_of(seq=seq, node_id=OTHER_NODE, lamport_clock=30 + seq) for seq in (1, 9)]
    rewritten(tmp_path, *lines[:2], strange[0], BAD, strange[1], *lines[2:])
    assert named_numbers(tmp_path) == [(4, None, None)]


def test_lines_that_stand_again_behind_later_ones_open_no_hole(tmp_path):
    lines = made(tmp_path)
    rewritten(tmp_path, *lines[:5], lines[1], BAD, *lines[5:])
    assert named_numbers(tmp_path) == [(4, None, None)]


def test_region_in_an_older_segment_has_the_numbers_that_go_on_in_the_next(tmp_path):
    with Log(tmp_path, PLAIN, max_file_size=500) as log:
        for _ in range(8):
            log.append("t")
    older = sorted(tmp_path.glob("events_*.jsonl"))
    lines = older[0].read_bytes().splitlines(keepends=True)
    rewritten(tmp_path, *lines[:-1], lines[-1].replace(b'"t"', b'"x"'), name=older[0].name)
    assert named_numbers(tmp_path) == [(len(lines[-1]), len(lines), len(lines))]


def test_told_region_of_a_segment_that_was_rotated_since_makes_no_work(tmp_path):
    with Log(tmp_path, PLAIN, max_file_size=2_000) as log:
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
    assert [f.code for f in thence.open(tmp_path).verify().findings] == ["region_told"]
    assert repaired(tmp_path) == []
    assert older.read_bytes() == before


def test_drafts_of_a_killed_repair_go_with_the_next_one(tmp_path):
    lines = made(tmp_path)
    left, other = tmp_path / ".thence/events.jsonl-01A.repair", tmp_path / ".thence/mine.txt"
    for path in (left, other):
        path.write_bytes(b"half")
    rewritten(tmp_path, MARK, *lines)
    repaired(tmp_path)
    assert not left.exists()
    assert other.read_bytes() == b"half"


def test_bytes_behind_the_last_newline_are_recovered_as_by_an_append(tmp_path):
    lines = made(tmp_path)
    rewritten(tmp_path, *lines, b'{"event_id":"ha')
    (facts,) = repaired(tmp_path)
    assert (facts["offset"], facts["bytes"]) == (len(b"".join(lines)), 15)
    assert "rewritten" not in facts


def test_wait_for_the_lock_is_the_callers(tmp_path):
    made(tmp_path)
    held = AppendLock(OS_DISK, tmp_path / ".thence/lock")
    held.acquire()
    log = thence.open(tmp_path)
    with pytest.raises(LogBusy, match=r"for 0\.02 s"):
        log.repair(timeout_s=0.02)
    held.release()
    held.close()


def test_lock_and_files_are_free_after_a_repair(tmp_path):
    lines = made(tmp_path)
    rewritten(tmp_path, MARK, *lines)
    notice = NoticeMaker(PLAIN, {})
    writer = SegmentWriter(OS_DISK, tmp_path, PLAIN, notice, warn, 10**9)
    repair(OS_DISK, tmp_path, PLAIN, writer, notice)
    assert descriptors(tmp_path) == []
    lock = AppendLock(OS_DISK, tmp_path / ".thence/lock")
    lock.acquire(0)
    lock.close()
    assert (tmp_path / CURRENT).read_bytes().startswith(b"".join(lines))
