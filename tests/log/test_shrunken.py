"""A log that was cut or restored in place says so and goes on as another node: no number twice."""

import os
import shutil
import signal
import subprocess
from collections import Counter

import pytest
from tests.log.kills import appended, closed_at, told, unclean, zeroed
from tests.log.processes import started

import thence
from thence.core.values.vocabulary import PLAIN
from thence.log.storage.disk import OS_DISK
from thence.log.storage.identity import known_node_id, known_node_ids
from thence.replica import Log


def written(folder, count=10):
    with thence.open(folder) as log:
        return [log.append("t", {"n": n}) for n in range(count)]


def cut(folder, kept):
    """Cut the current segment behind so many lines; its inode stays."""
    lines = (folder / "events.jsonl").read_bytes().splitlines(keepends=True)
    os.truncate(folder / "events.jsonl", sum(map(len, lines[:kept])))


def lost_of(folder):
    """Return code, node and numbers of what verify misses."""
    found = [f for f in thence.open(folder).verify().findings if f.code.startswith("events_")]
    return [(f.code, f.node_id, f.seq, f.count) for f in found]


def assert_no_number_stands_twice(folder, events=()):
    given = Counter((e.node_id, e.seq) for e in (*thence.open(folder).read(), *events))
    ids = {(e.node_id, e.seq): e.event_id for e in events}
    assert all(count == 1 or place in ids for place, count in given.items())
    for event in thence.open(folder).read():
        assert ids.get((event.node_id, event.seq), event.event_id) == event.event_id


@pytest.mark.promise("W9")
@pytest.mark.parametrize("kept", [0, 1, 6, 9])
def test_log_cut_at_a_line_boundary_goes_on_as_another_node(tmp_path, kept):
    events = written(tmp_path)
    old = known_node_id(OS_DISK, tmp_path)
    cut(tmp_path, kept)
    assert not thence.open(tmp_path).verify().ok
    assert lost_of(tmp_path) == [("events_lost", old, kept + 1, 10 - kept)]
    later = [appended(tmp_path) for _ in range(2)]
    assert told(tmp_path, "shrunk") == [{"node_id": old, "first_seq": kept + 1, "last_seq": 10}]
    (change,) = told(tmp_path, "node_changed")
    assert (change["old_node_id"], change["new_node_id"]) == (old, later[0].node_id)
    assert [event.seq for event in later] == [3, 4]
    assert later[0].lamport_clock > kept
    assert_no_number_stands_twice(tmp_path, events)
    assert lost_of(tmp_path) == [("events_told", old, kept + 1, 10 - kept)]
    assert known_node_ids(OS_DISK, tmp_path) >= {old, later[0].node_id}
    assert told(tmp_path) == []


@pytest.mark.promise("W9")
@pytest.mark.parametrize("by", ["cp", "rsync", "write"])
def test_log_restored_in_place_goes_on_as_another_node(tmp_path, by):
    log, backup = tmp_path / "log", tmp_path / "backup"
    written(log, 5)
    shutil.copytree(log, backup)
    events = written(log, 5)
    if by == "write" or (by == "rsync" and shutil.which("rsync") is None):
        (log / "events.jsonl").write_bytes((backup / "events.jsonl").read_bytes())
    elif by == "cp":
        subprocess.run(["cp", "-r", f"{backup}/.", log], check=True)
    else:
        subprocess.run(["rsync", "-a", "--inplace", f"{backup}/", log], check=True)
    later = appended(log)
    (facts,) = told(log, "shrunk")
    assert (facts["first_seq"], facts["last_seq"]) == (6, 10)
    assert later.node_id != events[0].node_id
    assert_no_number_stands_twice(log, events)


def test_log_cut_after_its_writer_was_killed_is_known_by_what_that_one_noted(tmp_path):
    code = """
import os, signal, sys, thence
log = thence.open(sys.argv[1])
for n in range(10):
    log.append("t", {"n": n})
os.kill(os.getpid(), signal.SIGKILL)
"""
    started(code, tmp_path).communicate()
    cut(tmp_path, 9)
    appended(tmp_path)
    (facts,) = told(tmp_path, "shrunk")
    assert (facts["first_seq"], facts["last_seq"]) == (10, 10)
    assert facts["file"] == "events.jsonl"
    assert facts["bytes"] > 0


def test_log_cut_under_a_living_writer_is_known_by_what_that_one_noted(tmp_path):
    with thence.open(tmp_path) as living:
        events = [living.append("t", {"n": n}) for n in range(10)]
        cut(tmp_path, 4)
        appended(tmp_path)
        events.append(living.append("t"))
    (facts,) = told(tmp_path, "shrunk")
    assert (facts["first_seq"], facts["last_seq"]) == (5, 10)
    assert_no_number_stands_twice(tmp_path, events)
    assert [code for code, *_ in lost_of(tmp_path)] == ["events_told"]


def test_lines_of_others_that_are_gone_are_told_by_offset(tmp_path):
    written(tmp_path)
    path = tmp_path / "events.jsonl"
    with open(path, "ab") as file:
        file.write(b'{"event_id":"theirs","event_type":"x"}\n')
    unclean(tmp_path, path, path.stat().st_size)
    cut(tmp_path, 10)
    size = path.stat().st_size
    appended(tmp_path)
    (facts,) = told(tmp_path, "shrunk")
    assert (facts["file"], facts["offset"], facts["bytes"]) == ("events.jsonl", size, 39)
    assert "first_seq" not in facts


def test_offset_counts_only_while_the_segment_is_the_same_file(tmp_path):
    written(tmp_path)
    path, new = tmp_path / "events.jsonl", tmp_path / "new"
    shutil.copy(path, new)
    with path.open("ab") as file:
        file.write(b'{"event_id":"theirs","event_type":"x"}\n')
    unclean(tmp_path, path, path.stat().st_size)
    new.rename(path)  # as an editor that wrote it anew, and shorter
    appended(tmp_path)
    assert told(tmp_path, "shrunk") == []


def test_kill_between_the_new_node_and_the_notice_keeps_nothing_from_being_told(tmp_path):
    written(tmp_path)
    cut(tmp_path, 4)
    code = """
import os, signal, sys, thence
from thence.log.storage.disk import Disk
written = Disk.write
def write(self, descriptor, data):
    if b"log.node_changed" in data:
        os.kill(os.getpid(), signal.SIGKILL)
    return written(self, descriptor, data)
Disk.write = write
thence.open(sys.argv[1]).append("never")
"""
    ended = started(code, tmp_path)
    ended.communicate()
    assert ended.returncode == -signal.SIGKILL
    for _ in range(2):
        appended(tmp_path)
    assert len(told(tmp_path, "node_changed")) == 1
    (facts,) = told(tmp_path, "shrunk")
    assert (facts["first_seq"], facts["last_seq"]) == (5, 10)


def test_simulation_tells_it_in_its_own_words(tmp_path):
    with thence.open(tmp_path, "sim") as log:
        for _ in range(3):
            log.append("t", stream="run")
    cut(tmp_path, 1)
    with thence.open(tmp_path) as log:
        log.append("t", stream="run")
    found = [e.payload for e in thence.open(tmp_path).read() if e.event_type == "SYSTEM"]
    assert [facts["error_type"] for facts in found] == ["log_node_changed", "log_shrunk"]
    assert (found[1]["first_seq"], found[1]["last_seq"]) == (2, 3)


def test_what_moves_bytes_aside_does_not_look_like_a_cut(tmp_path):
    written(tmp_path)
    path = tmp_path / "events.jsonl"
    lines = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(b"".join(lines[:-1]) + lines[-1].replace(b'"t"', b'"u"'))
    with thence.open(tmp_path) as log:
        log.repair()
        assert log.verify().ok
    node_id = known_node_id(OS_DISK, tmp_path)
    appended(tmp_path)
    assert told(tmp_path, "shrunk") == []
    assert known_node_id(OS_DISK, tmp_path) == node_id


def test_older_segments_may_be_taken_away(tmp_path):
    with Log(tmp_path, PLAIN, max_file_size=1_000) as log:
        for n in range(20):
            log.append("t", {"n": n})
    for path in tmp_path.glob("events_*.jsonl"):
        path.unlink()
    assert appended(tmp_path).seq == 21
    assert told(tmp_path, "shrunk") == []


def test_mark_is_left_by_a_clean_close_alone_and_the_highest_counts(tmp_path):
    def marks():
        return sorted(os.listdir(tmp_path / ".thence/marks"))

    with thence.open(tmp_path) as first, thence.open(tmp_path) as second:
        node_id = first.append("t").node_id
        second.append("t")
        second.close()
        assert marks() == [f"{node_id}-2"]
        first.close()
        assert marks() == [f"{node_id}-2"]
    (tmp_path / f".thence/marks/{node_id}-1").touch()
    (tmp_path / ".thence/marks/notes").touch()
    assert appended(tmp_path).seq == 3
    assert marks() == [f"{node_id}-3", "notes"]


@pytest.mark.parametrize("zeros", [40, None], ids=["its beginning", "all of it"])
def test_zeros_in_the_last_line_are_told_though_all_before_is_marked(tmp_path, zeros):
    with Log(tmp_path, PLAIN, max_file_size=1) as log:
        last = [log.append("t", {"text": "x" * 9_000}) for _ in range(2)][-1]
    data = (tmp_path / "events.jsonl").read_bytes()
    assert data.count(b"\n") == 1
    zeroed(tmp_path, 0, zeros or len(data) - 1)
    closed_at(tmp_path, last.seq - 1)  # the power took the end of the log, and the opening's file
    later = appended(tmp_path)
    assert told(tmp_path) == [{"count": None, "reason": "unknown end"}]
    (facts,) = told(tmp_path, "torn")
    assert (facts["file"], facts["offset"], facts["bytes"]) == ("events.jsonl", 0, len(data) - 1)
    assert later.seq > last.seq
    assert thence.open(tmp_path).verify().ok
