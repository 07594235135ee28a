"""Bad bytes with events behind them, found after an unclean end, are told once and stay."""

import json
import shutil

from tests.log.committers import append_notice
from tests.log.kills import appended, filled, told, unclean, zeroed

import thence
from thence.core.values.vocabulary import PLAIN
from thence.log.crash.unclean import TORN_NOTICES_MAX, lines_from
from thence.log.storage.disk import OS_DISK
from thence.replica import Log


def test_page_of_zeros_inside_is_told_once_with_the_numbers_missing_there(tmp_path):
    data = filled(tmp_path)
    zeroed(tmp_path, 4096, 4096)
    start = data.rindex(b"\n", 0, 4096) + 1
    end = data.index(b"\n", 8192)
    first = data[:start].count(b"\n") + 1
    last = data[:end].count(b"\n") + 1
    for _ in range(3):
        appended(tmp_path)
        unclean(tmp_path)
    (facts,) = told(tmp_path, "torn")
    assert facts == {
        "file": "events.jsonl",
        "offset": start,
        "bytes": end - start,
        "reason": "bad_checksum",
        "first_seq": first,
        "last_seq": last,
    }
    after = (tmp_path / "events.jsonl").read_bytes()
    assert after[: len(data)] == data[:4096] + b"\0" * 4096 + data[8192:]


def test_first_event_of_all_is_told_when_it_is_torn(tmp_path):
    appended(tmp_path)
    size = (tmp_path / "events.jsonl").stat().st_size
    zeroed(tmp_path, 0, size - 1)
    unclean(tmp_path)
    appended(tmp_path)
    assert [(facts["offset"], facts["bytes"]) for facts in told(tmp_path, "torn")] == [
        (0, size - 1)
    ]
    assert told(tmp_path) == []


def test_zeros_before_an_event_that_is_whole_are_told_and_no_damage(tmp_path):
    lines = filled(tmp_path).splitlines(keepends=True)
    start, length = sum(map(len, lines[:20])), len(lines[20])
    zeroed(tmp_path, start, length)  # the newline too
    appended(tmp_path)
    (facts,) = told(tmp_path, "torn")
    assert (facts["offset"], facts["bytes"], facts["reason"]) == (start, length, "stray_bytes")
    assert (facts["first_seq"], facts["last_seq"]) == (21, 21)
    found = thence.open(tmp_path).verify()
    assert [finding.code for finding in found.findings] == ["region_told", "events_told"]
    assert found.ok


def test_zeros_between_two_events_that_are_whole_are_told_and_no_damage(tmp_path):
    lines = filled(tmp_path).splitlines(keepends=True)
    start, length = sum(map(len, lines[:20])) - 1, len(lines[20]) + 1
    zeroed(tmp_path, start, length)  # both newlines too
    for _ in range(2):
        appended(tmp_path)
        unclean(tmp_path)
    (facts,) = told(tmp_path, "torn")
    assert (facts["offset"], facts["bytes"], facts["reason"]) == (start, length, "lines_joined")
    assert (facts["first_seq"], facts["last_seq"]) == (21, 21)
    found = thence.open(tmp_path).verify()
    assert [finding.code for finding in found.findings] == ["region_told", "events_told"]
    assert found.ok


def test_regions_are_told_apart_and_joined_where_no_event_is_between(tmp_path):
    lines = filled(tmp_path).splitlines(keepends=True)
    for number in (0, 3, 4, 9, 59):
        lines[number] = b"#" + lines[number][1:]
    (tmp_path / "events.jsonl").write_bytes(b"".join(lines))
    appended(tmp_path)
    found = [(f["first_seq"], f["last_seq"]) for f in told(tmp_path, "torn")]
    assert found == [(1, 1), (4, 5), (10, 10), (60, 60)]
    assert [event.seq for event in thence.open(tmp_path).read()][-1] == 65


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
    found = [(facts["file"], facts["offset"] < 200) for facts in told(tmp_path, "torn")]
    assert found == [(older.name, False), ("events.jsonl", True), ("events.jsonl", False)]


def test_many_regions_are_joined_behind_the_hundredth(tmp_path):
    lines = filled(tmp_path, 500).splitlines(keepends=True)
    for number in range(1, 500, 2):
        lines[number] = b"#" + lines[number][1:]
    (tmp_path / "events.jsonl").write_bytes(b"".join(lines))
    appended(tmp_path)
    facts = told(tmp_path, "torn")
    assert len(facts) == TORN_NOTICES_MAX + 1
    assert facts[-1]["regions"] == 250 - TORN_NOTICES_MAX
    assert (facts[-2]["last_seq"], facts[-1]["first_seq"], facts[-1]["last_seq"]) == (200, 202, 500)
    unclean(tmp_path)
    appended(tmp_path)
    assert len(told(tmp_path, "torn")) == TORN_NOTICES_MAX + 1


def test_region_in_a_segment_that_is_full_is_told_under_its_new_name(tmp_path):
    lines = filled(tmp_path).splitlines(keepends=True)
    for number in range(5):
        lines[number * 2] = b"#" + lines[number * 2][1:]
    (tmp_path / "events.jsonl").write_bytes(b"".join(lines))
    size = (tmp_path / "events.jsonl").stat().st_size
    with Log(tmp_path, PLAIN, max_file_size=size + 600) as log:
        log.append("next")
    regions = set()
    for path in tmp_path.glob("events*.jsonl"):
        for _, line in lines_from(OS_DISK, path, 0):
            if b'"log.torn"' in line:
                facts = json.loads(line)["payload"]
                file = path.name if facts["file"] == "events.jsonl" else facts["file"]
                regions.add((file, (tmp_path / file).read_bytes()[facts["offset"]]))
    assert len({file for file, _ in regions}) == 1
    assert {byte for _, byte in regions} == {ord("#")}
    unclean(tmp_path)
    appended(tmp_path)
    assert len(told(tmp_path, "torn")) == 5


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
    assert (found[0].payload["first_seq"], found[0].payload["last_seq"]) == (1, 1)
