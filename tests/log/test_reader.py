"""A log read back: the same events in the same total order, whatever the files look like."""

import errno
import random
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.events import causal_graphs, event_of, line_of
from tests.log.faults import WatchedDisk
from tests.log.processes import descriptors, started
from tests.tiers import examples

import thence
from thence.core.order import totally_ordered
from thence.core.values.vocabulary import PLAIN
from thence.log.read import reader
from thence.log.storage.disk import OS_DISK, Disk
from thence.log.storage.disk_errors import DiskError
from thence.replica import Log

NAMES = [f"events_2026-11-20_07-13-05-{number:06}.jsonl" for number in range(8)]


def read(folder):
    """Read a log that nobody writes to in both ways."""
    found = list(reader.events(OS_DISK, folder, PLAIN))
    assert reader.all_events(OS_DISK, folder, PLAIN) == found
    return found


def written(folder: Path, parts: list[list[bytes]]) -> Path:
    """Write the parts as a log's files, the last one as the current."""
    for name, part in zip(NAMES, parts[:-1], strict=False):
        (folder / name).write_bytes(b"".join(part))
    if parts:
        (folder / "events.jsonl").write_bytes(b"".join(parts[-1]))
    return folder


# none of these ids is one that a graph may draw: what is contested is not always served
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
    assert len({event.event_id for event in once}) == len(once)
    assert {event.line for event in once} >= {event.line for event in events}


def test_arrival_order_is_older_files_by_name_then_the_current_one_then_lines(tmp_path):
    parts = [[line_of(), line_of()], [line_of()], [line_of(), line_of()]]
    found = read(written(tmp_path, parts))
    assert [event.line + b"\n" for event in found] == [line for part in parts for line in part]


def test_unfinished_last_line_is_no_event_until_its_newline_is_there(tmp_path):
    whole, cut = line_of(), line_of()[:-1]
    written(tmp_path, [[whole, cut]])
    assert len(read(tmp_path)) == 1
    last = list(reader.lines(OS_DISK, tmp_path, PLAIN))[-1]
    assert (last.is_whole, last.offset, last.data) == (False, len(whole), cut)
    written(tmp_path, [[whole, cut, b"\n"]])
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
    assert [getattr(line.content, "code", "") for line in found] == ["", "too_long", "", "too_long"]
    assert [line.is_whole for line in found] == [True, True, True, False]
    assert max(len(line.data) for line in found) == reader.OVERLONG_BYTES
    assert [event.line + b"\n" for event in read(tmp_path)] == [before, after]


def test_largest_event_is_read(tmp_path):
    event = line_of({"a": "x" * (1024 * 1024 - 300)})
    written(tmp_path, [[line_of(), event, line_of()]])
    assert read(tmp_path)[1].line + b"\n" == event


def test_joined_lines_are_both_served_where_the_first_verifies(tmp_path):
    first, second, third = line_of(), line_of(), line_of()
    written(tmp_path, [[first[:-1], second, third]])
    assert [event.line + b"\n" for event in read(tmp_path)] == [first, second, third]


@pytest.mark.parametrize(
    "form",
    [
        b'{"event_id":"%b","event_type":"a"}\n',
        b'{"event_type":"a", "event_id":"%b"}\n',
        b'{"event_id":"00000000000000000000000000","event_id":"%b"}\n',
        b'{"event_id":"%b","z":1}',
    ],
)
@pytest.mark.parametrize("comes_first", [True, False])
def test_foreign_line_never_hides_a_verified_event_of_its_id(tmp_path, form, comes_first):
    event = line_of(event_type="zzz")
    foreign = form % event[13:39]
    lines = [foreign, line_of(), event] if comes_first else [event, foreign, line_of()]
    written(tmp_path, [lines])
    assert event in [event.line + b"\n" for event in read(tmp_path)]
    assert foreign.strip() not in [event.line for event in read(tmp_path)]


def test_hard_link_of_a_segment_is_the_same_file(tmp_path):
    written(tmp_path, [[line_of()], [line_of()]])
    (tmp_path / NAMES[5]).hardlink_to(tmp_path / NAMES[0])
    assert len(list(reader.lines(OS_DISK, tmp_path, PLAIN))) == 2


def test_folder_without_segments_has_no_events(tmp_path):
    assert read(tmp_path) == []
    assert read(tmp_path / "gone") == []


@pytest.mark.promise("W8")
@pytest.mark.parametrize("call", range(1, 12))
def test_rotation_between_any_two_looks_at_the_folder_keeps_events_and_order(tmp_path, call):
    log = Log(tmp_path, PLAIN, max_file_size=600)
    for _ in range(6):  # the current file has room for more: a reader must look again
        log.append("t")

    class Stepping(WatchedDisk):
        looks = 0

        def look(self):
            self.looks += 1
            if self.looks == call:
                for _ in range(8):
                    log.append("t")

        def names(self, folder):
            self.look()
            return super().names(folder)

        def path_id(self, path):
            self.look()
            return super().path_id(path)

        def open_read(self, path):
            self.look()
            return super().open_read(path)

    disk = Stepping()
    seqs = [event_of(line).seq for _, line, _ in reader.raw_lines(disk, tmp_path)]
    assert disk.looks > call
    assert seqs == list(range(1, len(seqs) + 1))
    assert len(seqs) >= 6
    log.close()


def test_tail_that_is_cut_and_written_over_while_it_is_read_hides_no_event(tmp_path):
    log = thence.open(tmp_path)
    log.append("a")
    path = tmp_path / "events.jsonl"
    with path.open("ab") as file:
        file.write(b'{"event_id":"torn')
    lines = reader.raw_lines(OS_DISK, tmp_path)
    next(lines)
    with thence.open(tmp_path) as other:  # moves the half line aside, writes over it
        other.append("b")
    types = [event_of(line).event_type for _, line, _ in lines]
    assert types == ["log.recovered", "b"]


WRITE = """
import sys
from pathlib import Path
from thence.core.values.vocabulary import PLAIN
from thence.replica import Log
with Log(Path(sys.argv[1]), PLAIN, max_file_size=1500) as log:
    for n in range(int(sys.argv[2])):
        print(log.append("t", {"n": n}).seq, flush=True)
"""


@pytest.mark.promise("W8")
@pytest.mark.xdist_group("heavy")
def test_reader_beside_a_rotating_writer_loses_nothing(tmp_path):
    writer = started(WRITE, tmp_path, 150)
    passes = 0
    for acknowledged in writer.stdout:
        ways = (reader.events, reader.all_events)
        seqs = [event.seq for event in ways[passes % 2](OS_DISK, tmp_path, PLAIN)]
        assert seqs == list(range(1, len(seqs) + 1))
        assert len(seqs) >= int(acknowledged)
        passes += 1
    assert passes == 150
    assert writer.wait() == 0
    writer.communicate()


@pytest.mark.parametrize("way", [reader.events, reader.all_events])
@pytest.mark.parametrize("call", ["file_id", "names", "path_id", "open_read", "read_at"])
def test_reading_that_fails_leaves_no_descriptor(tmp_path, call, way):
    class Failing(Disk):
        def __init__(self, struck):
            self.left = struck

    def failing(disk, *arguments):
        disk.left -= 1
        if not disk.left:
            raise DiskError(errno.EIO, "device error")
        return getattr(Disk, call)(disk, *arguments)

    setattr(Failing, call, failing)
    written(tmp_path, [[line_of()], [line_of()], [line_of()]])
    for struck in range(1, 100):
        disk = Failing(struck)
        try:
            assert len(list(way(disk, tmp_path, PLAIN))) == 3
            break
        except OSError:
            assert descriptors(tmp_path) == []
    assert struck > 2


def test_a_short_id_with_two_contents_is_served_once(tmp_path):
    one = line_of({"n": 1}, event_id="short", event_type="noted")
    other = line_of({"n": 2}, event_id="short", event_type="added", seq=2, lamport_clock=2)
    (event,) = read(written(tmp_path, [[one, other]]))
    assert event.line == min(one, other)[:-1]


def test_an_id_that_is_no_text_in_utf_8_is_read_like_any_other(tmp_path):
    odd = b'{"n":1e400,"event_id":"\\ud800","event_type":"x"}\n'
    first, second = read(written(tmp_path, [[odd, odd, line_of()]]))
    assert (first.event_id, second.event_type) == ("\ud800", "noted")
