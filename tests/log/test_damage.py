"""The damage of a log: what a session finds of it, what is told of it, and what that excuses."""

import json
import shutil
from itertools import count

import pytest
from tests.events import NODE, OTHER_NODE, drafted, event_of, line_of, stamped
from tests.log.committers import append_notice
from tests.log.kills import appended, filled, told, unclean, zeroed

import thence
from thence.core.vocabulary import PLAIN
from thence.log.files.disk import OS_DISK, opened
from thence.log.files.identity import Identity, Own
from thence.log.files.segment import CURRENT
from thence.log.files.sessions import DurablePosition
from thence.log.open import Log, LogSettings
from thence.log.recovery.damage import (
    DamageRecord,
    Region,
    unreported,
)
from thence.log.recovery.sessions import scope

OLDER = "events_2026-01-01_00-00-00-000000.jsonl"
NEWER = "events_2026-01-02_00-00-00-000000.jsonl"
BAD = b'{"event_id":"half\n'
SELF = Own(Identity(NODE, "", 0), is_new=False)


def own(seq):
    return line_of(seq=seq, lamport_clock=seq)


def notice_line(kind, facts, seq, node_id=NODE):
    made = drafted(f"told{seq}", f"log.{kind}", {"payload": facts})
    return stamped(made, seq, seq, node_id)


@pytest.fixture
def folder(tmp_path):
    (tmp_path / ".thence").mkdir()
    (tmp_path / "events.jsonl").write_bytes(b"")
    return tmp_path


def written(folder, *lines, name="events.jsonl"):
    path = folder / name
    path.write_bytes(b"".join(lines))
    return path


def durable(path, offset):
    """Return what a session notes that knows a segment to be on the device up to an offset."""
    with opened(OS_DISK, path) as descriptor:
        (_, inode), _ = OS_DISK.file_id(descriptor)
        generation = OS_DISK.generation(descriptor)
    return DurablePosition(inode=inode, generation=generation, offset=offset)


def found_in(folder):
    regions, _ = unreported(OS_DISK, [(folder / "events.jsonl", 0)], PLAIN, SELF)
    return regions


def test_regions_of_a_segment_are_one_that_reaches_over_all_bad_lines(folder):
    lines = [own(1), BAD, b"\n", b"\0\0\0\n", own(5), BAD, own(6), BAD, own(7)]
    written(folder, *lines[:5])
    at = len(lines[0])
    first = Region("events.jsonl", at, len(BAD) + 1 + 3, "bad_line")
    assert found_in(folder) == [first]
    written(folder, *lines)
    length = sum(map(len, lines[1:8])) - 1
    assert found_in(folder) == [first._replace(length=length, regions=3)]


def test_bytes_that_no_crash_leaves_are_no_region(folder):
    joined = own(4)[:-1] + own(5)[:-1] + b" " + own(6)
    written(folder, own(1), own(2)[:-1] + b"\r\n", b"\xef\xbb\xbf" + own(3), joined)
    assert found_in(folder) == []


def test_scope_begins_where_the_session_was_durable(folder):
    older = written(folder, own(1), name=OLDER)
    newer = written(folder, own(2), own(3), name=NEWER)
    current = written(folder, own(4))
    size = current.stat().st_size

    def begins(path, offset):
        return scope(OS_DISK, folder, durable(path, offset))

    assert scope(OS_DISK, folder, DurablePosition()) == [(current, 0)]
    assert begins(older, 3) == [(older, 3), (newer, 0), (current, 0)]
    assert begins(newer, len(own(2))) == [(newer, len(own(2))), (current, 0)]
    assert begins(current, size) == [(current, size)]
    # more than there is: it is read whole
    assert begins(current, size + 1) == [(current, 0)]


def test_region_that_a_notice_behind_it_tells_of_is_not_told_again(folder):
    filler = own(2) * 9_000  # the notice stands some blocks behind what it tells of
    facts = {"file": "events.jsonl", "offset": len(own(1)), "bytes": len(BAD)}
    written(folder, own(1), BAD, filler, notice_line("torn", facts, 3), BAD, own(4))
    offsets = [region.offset for region in found_in(folder)]
    assert offsets == [(folder / "events.jsonl").read_bytes().rindex(BAD)]
    theirs = notice_line("torn", facts, 3, OTHER_NODE)
    written(folder, own(1), BAD, own(2), theirs, own(3))
    assert [region.offset for region in found_in(folder)] == [len(own(1))]


HERE = {"file": CURRENT, "offset": 100, "bytes": 20}
FURTHER = {"file": CURRENT, "offset": 300, "bytes": 5}
ANEW = {**FURTHER, "rewritten": True}
BEHIND = (CURRENT, 10_000, None)


@pytest.mark.parametrize(
    ("told", "place", "held", "lacking"),
    [
        ([HERE, FURTHER], BEHIND, [(CURRENT, 300, 5)], [(CURRENT, 200, 1), (CURRENT, 100, 205)]),
        # what is current to a notice is the segment it stands in, or the one before
        ([HERE], (NEWER, 120, OLDER), [(NEWER, 100, 20)], [(OLDER, 100, 20)]),
        ([HERE], (NEWER, 119, OLDER), [(OLDER, 100, 20)], [(NEWER, 100, 20)]),
        ([HERE], (NEWER, 0, None), [(NEWER, 100, 20)], []),
        # a segment that was written anew has what was recorded then and later
        ([HERE, ANEW], BEHIND, [(CURRENT, 300, 5)], [(CURRENT, 100, 20)]),
        ([HERE, ANEW], (NEWER, 10_000, None), [(NEWER, 300, 5)], [(NEWER, 100, 20)]),
        ([HERE, ANEW, HERE], BEHIND, [(CURRENT, 100, 20)], []),
        ([HERE, {**ANEW, "file": OLDER}], BEHIND, [(CURRENT, 100, 20)], []),
        # without a place there is no region
        ([{"file": CURRENT, "offset": 100}], BEHIND, [], [(CURRENT, 100, 1)]),
        ([{"file": CURRENT, "bytes": 20}], BEHIND, [], [(CURRENT, 100, 1)]),
        ([{"offset": 100, "bytes": 20}], BEHIND, [], [(CURRENT, 100, 1)]),
        ([{**HERE, "file": 7}], BEHIND, [], [(CURRENT, 100, 1)]),
        ([{**HERE, "offset": "100"}], BEHIND, [], [(CURRENT, 100, 1)]),
        ([{**HERE, "bytes": True}], BEHIND, [], [(CURRENT, 100, 1)]),
        ([{**HERE, "offset": 100.0}], BEHIND, [], [(CURRENT, 100, 1)]),
    ],
    ids=count(),
)
def test_regions_are_those_that_notices_tell_of(told, place, held, lacking):
    record, unknown = DamageRecord(PLAIN, (NODE,)), DamageRecord(PLAIN, ())
    for facts in told:
        record.add(event_of(notice_line("torn", facts, 5)), *place)
        unknown.add(event_of(notice_line("torn", facts, 5, OTHER_NODE)), *place)
    for region in held:  # where nobody knows who wrote the log, any node's are believed
        assert record.holds(*region)
        assert unknown.holds(*region)
    assert not any(record.holds(*region) for region in lacking)


def test_page_of_zeros_inside_is_told_once_and_no_number_there_is_lost(tmp_path):
    data = filled(tmp_path)
    zeroed(tmp_path, 4096, 4096)
    start = data.rindex(b"\n", 0, 4096) + 1
    end = data.index(b"\n", 8192)
    for _ in range(3):
        appended(tmp_path)
        unclean(tmp_path)
    (facts,) = told(tmp_path, "torn")
    assert facts == {
        "file": "events.jsonl",
        "offset": start,
        "bytes": end - start,
        "reason": "bad_line",
    }
    assert thence.open(tmp_path).verify().ok
    after = (tmp_path / "events.jsonl").read_bytes()
    assert after[: len(data)] == data[:4096] + b"\0" * 4096 + data[8192:]


@pytest.mark.parametrize("left", ["whole", "empty", "gone"])
def test_first_event_of_all_is_told_when_it_is_torn(tmp_path, left):
    appended(tmp_path)
    size = (tmp_path / "events.jsonl").stat().st_size
    zeroed(tmp_path, 0, size - 1)
    unclean(tmp_path)
    (path,) = (tmp_path / ".thence/open").iterdir()
    if left == "empty":  # a power cut may leave that of its session's file
        path.write_bytes(b"")
    elif left == "gone":
        path.unlink()
    appended(tmp_path)
    assert [(facts["offset"], facts["bytes"]) for facts in told(tmp_path, "torn")] == [
        (0, size - 1)
    ]
    assert told(tmp_path) == []


@pytest.mark.parametrize("newlines", [1, 2], ids=["before an event", "between two"])
def test_zeros_beside_whole_events_are_told_once_and_no_damage(tmp_path, newlines):
    lines = filled(tmp_path).splitlines(keepends=True)
    start, length = sum(map(len, lines[:20])), len(lines[20])  # with its own newline
    if newlines == 2:
        start, length = start - 1, length + 1
    zeroed(tmp_path, start, length)
    for _ in range(2):
        appended(tmp_path)
        unclean(tmp_path)
    (facts,) = told(tmp_path, "torn")
    assert (facts["offset"], facts["bytes"], facts["reason"]) == (start, length, "stray_bytes")
    checked = thence.open(tmp_path).verify()
    assert [finding.code for finding in checked.findings] == ["torn", "torn"]
    assert checked.ok


def test_numbers_missing_in_regions_are_not_lost(tmp_path):
    lines = filled(tmp_path).splitlines(keepends=True)
    for number in (0, 3, 4, 9, 59):
        lines[number] = b"#" + lines[number][1:]
    (tmp_path / "events.jsonl").write_bytes(b"".join(lines))
    for _ in range(2):
        appended(tmp_path)
        unclean(tmp_path)
    (facts,) = told(tmp_path, "torn")
    assert (facts["offset"], facts["bytes"]) == (0, len(b"".join(lines[:60])) - 1)
    assert facts["regions"] == 4
    checked = thence.open(tmp_path).verify()
    assert checked.ok
    assert [(f.seq, f.count) for f in checked.findings if f.seq] == [
        (1, 1),
        (4, 2),
        (10, 1),
        (60, 1),
    ]


def test_what_is_durable_is_not_read_again(tmp_path):
    data = filled(tmp_path)
    appended(tmp_path)
    half = data.index(b"\n", len(data) // 2) + 1
    unclean(tmp_path, tmp_path / "events.jsonl", half)
    zeroed(tmp_path, half - 20, 5)
    zeroed(tmp_path, half + 20, 5)
    appended(tmp_path)
    (facts,) = told(tmp_path, "torn")
    assert facts["offset"] == half


def test_newer_segments_than_the_one_known_to_be_durable_are_read_too(tmp_path):
    data = filled(tmp_path)
    older = tmp_path / "events_2026-01-01_00-00-00-000000.jsonl"
    oldest = tmp_path / "events_2025-01-01_00-00-00-000000.jsonl"
    (tmp_path / "events.jsonl").rename(older)
    for path in (oldest, tmp_path / "events.jsonl"):
        shutil.copy(older, path)
    unclean(tmp_path, older, data.index(b"\n", 9000) + 1)
    for path in (oldest, older, tmp_path / "events.jsonl"):
        spoilt = bytearray(path.read_bytes())
        spoilt[100] = spoilt[10_100] = 0
        path.write_bytes(spoilt)
    appended(tmp_path)
    found = [
        (facts["file"], facts["offset"] < 200, facts.get("regions"))
        for facts in told(tmp_path, "torn")
    ]
    assert found == [(older.name, False, None), ("events.jsonl", True, 2)]


def test_region_in_a_segment_that_is_full_is_told_under_its_new_name(tmp_path):
    lines = filled(tmp_path).splitlines(keepends=True)
    for number in range(5):
        lines[number * 2] = b"#" + lines[number * 2][1:]
    (tmp_path / "events.jsonl").write_bytes(b"".join(lines))
    size = (tmp_path / "events.jsonl").stat().st_size
    with Log(tmp_path, PLAIN, LogSettings(max_file_size=size + 600)) as log:
        log.append("next")
    regions = set()
    for path in tmp_path.glob("events*.jsonl"):
        for line in path.read_bytes().splitlines():
            if b'"log.torn"' in line:
                facts = json.loads(line)["payload"]
                file = path.name if facts["file"] == "events.jsonl" else facts["file"]
                regions.add((file, (tmp_path / file).read_bytes()[facts["offset"]]))
    assert len({file for file, _ in regions}) == 1
    assert {byte for _, byte in regions} == {ord("#")}
    unclean(tmp_path)
    appended(tmp_path)
    assert len(told(tmp_path, "torn")) == 1


def test_region_of_a_suspect_segment_is_not_told_again(tmp_path):
    data = filled(tmp_path)
    facts = {"file": "events.jsonl", "offset": 0, "bytes": 9000}
    append_notice(tmp_path, "segment_suspect", facts)
    zeroed(tmp_path, 4096, 10)
    zeroed(tmp_path, data.index(b"\n", 12_000) + 30, 10)
    unclean(tmp_path)
    appended(tmp_path)
    (facts,) = told(tmp_path, "torn")
    assert facts["offset"] > 12_000


def test_sim_log_tells_in_its_own_words(tmp_path):
    with thence.open(tmp_path, "sim") as log:
        for _ in range(3):
            log.append("t", {"text": "x" * 50}, stream="run")
    unclean(tmp_path)
    zeroed(tmp_path, 20, 10)
    for _ in range(2):
        with thence.open(tmp_path) as log:
            log.append("t", stream="run")
        unclean(tmp_path)
    found = [e for e in thence.open(tmp_path).read() if e.event_type == "SYSTEM"]
    assert [event.payload["error_type"] for event in found] == ["log_torn"]
