"""A log read back: the same events in the same total order, whatever the files look like."""

import random
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.codes import raises_code
from tests.disks import BROKEN, Scripted, raising
from tests.events import NODE, causal_graphs, event_of, line_of
from tests.log.faults import SteppingDisk, StruckDisk
from tests.log.processes import APPEND, descriptors, started
from tests.tiers import examples

import thence
from thence.core.codec import BadLine, parse
from thence.core.event import Event
from thence.core.order import totally_ordered
from thence.core.redaction import digests
from thence.core.vocabulary import PLAIN, SIM
from thence.errors import EventNotFound, ThenceError
from thence.log.files.disk import OS_DISK
from thence.log.log_reader import Reader
from thence.log.open import Log, LogSettings
from thence.log.read import reader
from thence.log.read.reader import durable_event

NAMES = [f"events_2026-11-20_07-13-05-{number:06}.jsonl" for number in range(8)]


def read(folder):
    """Read a log that nobody writes to in both ways."""
    found = reader.events(OS_DISK, folder, PLAIN)
    assert list(Reader(OS_DISK, folder, PLAIN).read()) == found
    return found


def written(folder: Path, parts: list[list[bytes]]) -> Path:
    """Write the parts as a log's files, the last one as the current."""
    for name, part in zip(NAMES, parts[:-1], strict=False):
        (folder / name).write_bytes(b"".join(part))
    if parts:
        (folder / "events.jsonl").write_bytes(b"".join(parts[-1]))
    return folder


# none of these ids is one that a graph may draw: of duplicates not every one is served
foreign = st.builds(
    lambda name, text, gap: b'{%b"event_id":%b"%b","a":"%b"}\n' % (gap, gap, name, text),
    st.sampled_from([b"x", b"short", b"Z" * 26, b"Z" * 30]),
    st.sampled_from([b"1", b"2"]),
    st.sampled_from([b"", b" "]),
)
renumbered = st.integers(1, 50).map(
    lambda number: line_of({"same": 1}, event_id="Y" * 26, seq=number, lamport_clock=number)
)
rivals = st.integers(1, 5).map(lambda n: line_of({"other": n}, event_id="X" * 26))
bad = st.sampled_from([b"\0\0\n", b"hello\n", b"\n", line_of()[9:], b'{"event_id":"x","seq":1}\n'])


@pytest.mark.promise("L5")
@settings(max_examples=examples(80))
@given(causal_graphs(), st.lists(foreign | renumbered | rivals | bad, max_size=8), st.data())
def test_files_in_any_order_or_twice_read_as_the_same_events_in_the_same_total_order(
    tmp_path_factory, events, others, data
):
    every = [event.line + b"\n" for event in events] + others
    every = data.draw(st.permutations(every))
    cuts = sorted(data.draw(st.lists(st.integers(0, len(every)), max_size=4)))
    parts = [every[a:b] for a, b in pairwise([0, *cuts, len(every)])]
    once = read(written(tmp_path_factory.mktemp("once"), parts))
    shuffled = data.draw(st.permutations([*parts, data.draw(st.sampled_from(parts))]))
    again = read(written(tmp_path_factory.mktemp("again"), shuffled))
    assert totally_ordered(again) == totally_ordered(once)
    verified = {
        content.event_id
        for content in (parse(line[:-1], PLAIN) for line in every)
        if isinstance(content, Event) and not content.is_foreign
    }
    assert all(event.is_foreign == (event.event_id not in verified) for event in once)
    assert len({event.event_id for event in once}) == len(once)
    assert {event.line for event in once} >= {event.line for event in events}


def test_unfinished_last_line_is_no_event_until_its_newline_is_there(tmp_path):
    whole, cut = line_of(), line_of()[:-1]
    written(tmp_path, [[whole, cut]])
    assert len(read(tmp_path)) == 1
    last = list(reader.lines(OS_DISK, tmp_path, PLAIN))[-1]
    assert (last.is_whole, last.offset, last.data) == (False, len(whole), cut)
    written(tmp_path, [[whole, cut, b"\n"]])
    assert len(read(tmp_path)) == 2
    written(tmp_path, [[whole, cut], []])  # nobody writes to an older segment any more
    assert len(read(tmp_path)) == 2


def test_places_of_lines_are_their_bytes_in_the_file(tmp_path):
    chance = random.Random(5)
    parts = [line_of({"a": "é" * chance.randrange(300_000)}) for _ in range(9)]
    parts.insert(4, b"x" * 3_000_000 + b"\n")
    written(tmp_path, [[*parts[:5], b"\n", *parts[5:]]])
    data = (tmp_path / "events.jsonl").read_bytes()
    found = list(reader.lines(OS_DISK, tmp_path, PLAIN))
    assert [data[line.offset : line.offset + line.length] + b"\n" for line in found] == parts
    for line in found:
        assert data[line.offset :].startswith(line.data)
        assert line.file == "events.jsonl"
    assert [len(line.data) < line.length for line in found] == [n == 4 for n in range(10)]


def test_line_too_long_for_an_event_is_measured_and_not_kept(tmp_path):
    before, after = line_of(), line_of()
    written(tmp_path, [[before, b"x" * 9_000_000 + b"\n", after, b"y" * 5_000_000]])
    found = list(reader.lines(OS_DISK, tmp_path, PLAIN))
    assert [line.length for line in found] == [
        len(before) - 1,
        9_000_000,
        len(after) - 1,
        5_000_000,
    ]
    assert [getattr(line.content, "code", "") for line in found] == ["", "bad_line", "", "bad_line"]
    assert [line.is_whole for line in found] == [True, True, True, False]
    assert [line.file for line in found] == ["events.jsonl"] * 4
    assert found[1].content == BadLine("bad_line", "more than 1048576 bytes without a newline")
    assert max(len(line.data) for line in found) == reader.OVERLONG_BYTES
    assert [event.line + b"\n" for event in read(tmp_path)] == [before, after]


def test_folder_without_segments_has_no_events(tmp_path):
    assert read(tmp_path) == []
    assert read(tmp_path / "gone") == []


def test_tail_that_is_cut_and_written_over_while_it_is_read_hides_no_event(tmp_path):
    log = thence.open(tmp_path)
    log.append("a")
    path = tmp_path / "events.jsonl"
    with path.open("ab") as file:
        file.write(b'{"event_id":"torn')
    lines = reader.lines(OS_DISK, tmp_path, PLAIN)
    next(lines)
    with thence.open(tmp_path) as other:  # moves the half line aside, writes over it
        other.append("b")
    types = [line.content.event_type for line in lines]
    assert types == ["log.recovered", "b"]


@pytest.mark.promise("W8")
@pytest.mark.xdist_group("heavy")
def test_reader_beside_a_rotating_writer_loses_nothing(tmp_path):
    writer = started(APPEND, tmp_path, 150, "a")
    passes = 0
    for acknowledged in writer.stdout:
        ways = (reader.events, lambda *where: Reader(*where).read())
        seqs = [event.seq for event in ways[passes % 2](OS_DISK, tmp_path, PLAIN)]
        assert seqs == list(range(1, len(seqs) + 1))
        assert len(seqs) >= int(acknowledged)
        passes += 1
    assert passes == 150
    assert writer.wait() == 0
    writer.communicate()


@pytest.mark.parametrize(
    "way", [reader.events, lambda *where: Reader(*where).read(), lambda *w: Reader(*w).backwards()]
)
@pytest.mark.parametrize("call", ["file_id", "names", "open_read", "read_at"])
def test_reading_that_fails_leaves_no_descriptor(tmp_path, call, way):
    written(tmp_path, [[line_of()], [line_of()], [line_of()]])
    for struck in range(1, 100):
        disk = StruckDisk(struck, call)
        try:
            assert len(list(way(disk, tmp_path, PLAIN))) == 3
            break
        except (OSError, ThenceError):
            assert descriptors(tmp_path) == []
    assert struck > 1


@pytest.mark.parametrize("call", range(1, 14))
def test_rotation_between_any_two_looks_at_the_folder_loses_nothing(tmp_path, call):
    log = Log(tmp_path, PLAIN, LogSettings(max_file_size=600))
    for _ in range(6):
        log.append("t")

    disk = SteppingDisk(call, lambda: [log.append("t") for _ in range(8)])
    seqs = [event.seq for event in reader.events(disk, tmp_path, PLAIN)]
    assert seqs == list(range(1, len(seqs) + 1))
    disk = SteppingDisk(call, lambda: [log.append("t") for _ in range(8)])
    back = [event.seq for event in Reader(disk, tmp_path, PLAIN).backwards()]
    assert back == list(range(len(back), 0, -1))
    assert len(back) >= len(seqs) >= 6
    log.close()


@pytest.mark.parametrize("is_large", [False, True])
def test_backwards_the_events_come_once(tmp_path, monkeypatch, is_large):
    monkeypatch.setattr("thence.log.log_reader.INDEXED_BYTES_MIN", 1 if is_large else 10**6)
    with Log(tmp_path, PLAIN, LogSettings(max_file_size=700)) as log:
        events = [log.append("t", {"n": n}) for n in range(8)]
        with (tmp_path / "events.jsonl").open("ab") as file:
            file.write(b"bad\n\n" + events[0].line + b"\n" + line_of()[:-1])
        back = list(log.backwards())
        assert list(tmp_path.glob("events_*.jsonl"))
    assert back == ([events[0], *events[:0:-1]] if is_large else events[::-1])
    assert list(Reader(OS_DISK, tmp_path / "gone", PLAIN).backwards()) == []


CURRENT = "events.jsonl"


def stand(folder, *lines, name=CURRENT):
    (folder / name).write_bytes(b"".join(lines))


def own(seq, node_id=NODE):
    return line_of(seq=seq, lamport_clock=seq, node_id=node_id)


def lines_read(folder):
    return [event.line + b"\n" for event in read(folder)]


def test_bytes_of_a_line_are_kept_with_what_they_are(tmp_path):
    whole = own(1)[:-1]
    stand(tmp_path, b"\xef\xbb\xbf", whole, b"\n")
    mark, event = reader.segment_lines(OS_DISK, tmp_path / CURRENT, SIM)
    assert (mark.data, mark.offset, mark.length, mark.is_whole) == (b"\xef\xbb\xbf", 0, 3, True)
    assert mark.content.code == "stray_bytes"
    assert (event.data, event.offset, event.length) == (whole, 3, len(whole))
    assert event.content.vocabulary is SIM


def rival_lines(*numbers):
    return [line_of({"n": n}, event_id="Z" * 26, seq=n) for n in numbers]


def first_of(lines):
    return min(lines, key=lambda line: digests(line[:-1]).line)


@pytest.mark.parametrize("order", [(1, 2, 3), (3, 2, 1), (2, 3, 1), (2, 1, 3)])
def test_of_several_contents_of_one_id_the_smaller_digest_is_served(tmp_path, order):
    lines = rival_lines(*order)
    served = first_of(lines)
    before, between = own(8), own(9)
    stand(tmp_path, before, lines[0], between, *lines[1:])
    assert lines_read(tmp_path) == [before, served, between]


def durable(folder, event_id, disk=OS_DISK):
    return durable_event(disk, folder, PLAIN, event_id)


def test_event_of_another_process_is_synced(tmp_path):
    line = line_of()
    foreign = b'{"event_id":"x y","a":1}\n'
    effect = line_of(causes=[event_of(line).event_id])
    (tmp_path / "events.jsonl").write_bytes(line + foreign + effect + line_of()[:-1])
    disk = Scripted()
    assert durable(tmp_path, event_of(line).event_id, disk) == event_of(line)
    assert disk.order("sync_data") == ["sync_data"]
    assert durable(tmp_path, "x y", disk) == event_of(foreign)


def test_unfinished_and_damaged_lines_are_not_found(tmp_path):
    whole, unfinished, damaged = line_of(), line_of()[:-1], line_of({"a": 1})
    damaged = damaged.replace(b'"a":1', b'"a":2')
    (tmp_path / "events.jsonl").write_bytes(whole + damaged + unfinished)
    for line in (unfinished, damaged):
        with pytest.raises(EventNotFound):
            durable(tmp_path, line[13:39].decode())
    assert durable(tmp_path, whole[13:39].decode()) == event_of(whole)


@pytest.mark.parametrize("call", ["open_read", "names", "read_at", "file_id", "close"])
def test_event_that_can_not_be_looked_for_is_told_and_leaves_no_descriptor(tmp_path, call):
    disk = Scripted() if call == "close" else Scripted(**{call: BROKEN})
    if call == "close":
        disk.after["close"] = raising(BROKEN)
    (tmp_path / "events.jsonl").write_bytes(line_of())
    with raises_code("read_failed", "outcome_unknown", "event_not_found"):
        durable(tmp_path, "0" * 26, disk)
    assert descriptors(tmp_path) == []
