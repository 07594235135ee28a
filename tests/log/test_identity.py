"""Who a log is: made once, whoever comes first."""

import errno
import json
import os

import pytest
from tests.log.faults import FailingDisk, ShortDisk
from tests.log.processes import started

import thence
from thence.core.ids import is_ulid
from thence.core.vocabulary import PLAIN
from thence.errors import AppendFailed, NotALog
from thence.log.disk import OS_DISK
from thence.log.identity import known_node_id, make_info, node_id, read_info
from thence.replica import Replica


def test_log_says_what_it_is_and_who_writes_it(tmp_path):
    thence.open(tmp_path, "sim").append("t")
    info = json.loads((tmp_path / ".thence/log.json").read_bytes())
    assert info.keys() == {"format", "log_id", "vocabulary"}
    assert (info["format"], info["vocabulary"]) == (1, "sim")
    assert is_ulid(info["log_id"])
    identity = tmp_path / ".thence/identity.json"
    said = json.loads(identity.read_bytes())
    assert said.keys() == {"node_id", "machine_id", "inode"}
    assert len(said["node_id"]) == 12
    assert int(said["node_id"], 16) >= 0
    assert said["inode"] == identity.stat().st_ino
    assert known_node_id(OS_DISK, tmp_path) == said["node_id"]


def test_identity_is_made_once(tmp_path):
    make_info(OS_DISK, tmp_path, "plain")
    assert known_node_id(OS_DISK, tmp_path) == ""
    first = node_id(OS_DISK, tmp_path)
    assert node_id(OS_DISK, tmp_path) == first
    made = make_info(OS_DISK, tmp_path, "sim")
    assert made == read_info(OS_DISK, tmp_path)
    assert made.vocabulary == "plain"
    assert sorted(os.listdir(tmp_path / ".thence")) == ["identity.json", "log.json"]


def test_short_writes_leave_the_identity_whole(tmp_path):
    make_info(ShortDisk(3), tmp_path, "plain")
    assert node_id(ShortDisk(3), tmp_path) == known_node_id(OS_DISK, tmp_path)


def test_identity_that_could_not_be_written_is_made_later(tmp_path):
    full = FailingDisk()
    make_info(OS_DISK, tmp_path, "plain")
    with Replica(tmp_path, PLAIN, disk=full) as log:
        full.faults["write"] = OSError(errno.EIO, "broken")
        with pytest.raises(AppendFailed):
            log.append("t")
        assert known_node_id(OS_DISK, tmp_path) == ""
        full.faults.clear()
        log.append("t")
    assert known_node_id(OS_DISK, tmp_path)


@pytest.mark.parametrize("name", ["log.json", "identity.json"])
@pytest.mark.parametrize("text", [b"", b"{", b"[]", b'{"format":"x"}', b"\xff"])
def test_spoilt_file_is_named_and_the_events_are_left(tmp_path, name, text):
    with thence.open(tmp_path) as log:
        log.append("t")
    before = (tmp_path / "events.jsonl").read_bytes()
    (tmp_path / ".thence" / name).write_bytes(text)
    with pytest.raises(NotALog) as caught, thence.open(tmp_path) as log:
        log.append("t")
    assert name in caught.value.place
    assert (tmp_path / "events.jsonl").read_bytes() == before


def test_log_of_a_later_format_is_refused(tmp_path):
    thence.open(tmp_path)
    path = tmp_path / ".thence/log.json"
    path.write_bytes(path.read_bytes().replace(b'"format":1', b'"format":2'))
    with pytest.raises(NotALog, match="format is 2"):
        thence.open(tmp_path)


def test_processes_that_open_a_new_log_at_once_agree(tmp_path):
    code = """
import sys, thence
print(flush=True)
sys.stdin.readline()
log = thence.open(sys.argv[1])
print(log.append("t").node_id)
"""
    for round_ in range(3):
        folder = tmp_path / str(round_)
        processes = [started(code, folder) for _ in range(3)]
        for process in processes:
            process.stdout.readline()
        for process in processes:
            process.stdin.write("\n")
            process.stdin.flush()
        nodes = {process.communicate()[0] for process in processes}
        assert len(nodes) == 1
        assert [event.seq for event in thence.open(folder).read()] == [1, 2, 3]
