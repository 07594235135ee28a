"""The identity of a log: made once, whoever comes first; new, moved and spoilt told apart."""

import errno
import json
import os
import shutil
import subprocess
from threading import Thread

import msgspec
import pytest
from tests.codes import raises_code
from tests.disks import Scripted
from tests.log.faults import WAIT_S, ShortDisk

import thence
from thence.core.ids import is_ulid
from thence.core.vocabulary import PLAIN
from thence.errors import NotALog
from thence.log.files.disk import OS_DISK, AppendLock, DiskError, machine_id
from thence.log.files.identity import (
    EARLIER_MAX,
    Identity,
    identify,
    is_own,
    known_node_id,
    known_node_ids,
    make_info,
    read_info,
    renew,
)
from thence.log.open import Log


def test_log_says_what_it_is_and_who_writes_it(tmp_path):
    thence.open(tmp_path, "sim").append("t")
    info = json.loads((tmp_path / ".thence/log.json").read_bytes())
    assert info.keys() == {"format", "log_id", "vocabulary"}
    assert (info["format"], info["vocabulary"]) == (1, "sim")
    assert is_ulid(info["log_id"])
    identity = tmp_path / ".thence/identity.json"
    said = json.loads(identity.read_bytes())
    assert said.keys() - {"generation"} == {"node_id", "machine_id", "inode"}
    assert len(said["node_id"]) == 12
    assert int(said["node_id"], 16) >= 0
    assert (said["inode"], said["machine_id"]) == (identity.stat().st_ino, machine_id())
    assert known_node_id(OS_DISK, tmp_path) == said["node_id"]


def test_what_a_log_is_is_written_once(tmp_path):
    make_info(OS_DISK, tmp_path, "plain")
    made = make_info(OS_DISK, tmp_path, "sim")
    assert made == read_info(OS_DISK, tmp_path)
    assert made.vocabulary == "plain"
    assert os.listdir(tmp_path / ".thence") == ["log.json"]


def test_short_writes_leave_the_identity_whole(tmp_path):
    make_info(ShortDisk(3), tmp_path, "plain")
    assert identify(ShortDisk(3), tmp_path).identity.node_id == known_node_id(OS_DISK, tmp_path)


def test_identity_that_could_not_be_written_is_made_later(tmp_path):
    full = Scripted()
    make_info(OS_DISK, tmp_path, "plain")
    with Log(tmp_path, PLAIN, disk=full) as log:
        full.error["write"] = DiskError(errno.EIO, "broken")
        with raises_code("append_failed"):
            log.append("t")
        assert known_node_id(OS_DISK, tmp_path) == ""
        full.error.clear()
        log.append("t")
    assert known_node_id(OS_DISK, tmp_path)


@pytest.mark.parametrize("text", [b"[]", b'{"format":"x"}', b"", b"{", b"\xff", b"\0" * 70])
def test_log_json_that_says_something_else_is_named_and_the_events_are_left(tmp_path, text):
    with thence.open(tmp_path) as log:
        log.append("t")
    before = (tmp_path / "events.jsonl").read_bytes()
    (tmp_path / ".thence/log.json").write_bytes(text)
    with pytest.raises(NotALog) as caught:
        thence.open(tmp_path)
    assert "log.json" in caught.value.place
    assert (tmp_path / "events.jsonl").read_bytes() == before


def changes(folder):
    """Read the notices of changes of identity, as old, new and reason."""
    return [
        (event.payload.get("old_node_id"), event.payload["new_node_id"], event.payload["reason"])
        for event in thence.open(folder).read()
        if event.event_type == "log.node_changed"
    ]


def pairs(folder):
    return {(event.node_id, event.seq): event.event_id for event in thence.open(folder).read()}


@pytest.fixture
def original(tmp_path):
    folder = tmp_path / "original"
    with thence.open(folder) as log:
        for _ in range(3):
            log.append("t")
    return folder


@pytest.mark.parametrize("text", [b"", b"{", b"[]", b'{"format":"x"}', b"\xff", b"\0" * 70])
def test_identity_that_cant_be_read_counts_as_none(original, text):
    old = known_node_id(OS_DISK, original)
    (original / ".thence/identity.json").write_bytes(text)
    assert known_node_id(OS_DISK, original) == ""
    assert is_own(OS_DISK, original) is None
    with thence.open(original) as log:
        event = log.append("next")
    assert (event.seq, event.lamport_clock) == (1, 4)
    assert event.node_id != old


@pytest.mark.parametrize("command", [["cp", "-r"], ["cp", "-a"], ["tar"]])
def test_copy_beside_its_original_never_writes_under_the_same_number(original, tmp_path, command):
    copy = tmp_path / "copy"
    if command == ["tar"]:
        archive = tmp_path / "a.tar"
        subprocess.run(["tar", "-C", original, "-cf", archive, "."], check=True)
        copy.mkdir()
        subprocess.run(["tar", "-C", copy, "-xf", archive], check=True)
    else:
        subprocess.run([*command, original, copy], check=True)
    old = known_node_id(OS_DISK, original)
    for _ in range(2):
        for folder in (copy, original):
            with thence.open(folder) as log:
                log.append("both")
    event = list(thence.open(copy).read())[-1]
    assert (event.seq, event.lamport_clock) == (3, 6)
    assert changes(copy) == [(old, event.node_id, "copied or restored")]
    assert changes(original) == []
    assert known_node_ids(OS_DISK, copy) == {old, event.node_id}
    here, there = pairs(original), pairs(copy)
    assert all(here[key] == there[key] for key in here.keys() & there.keys())
    assert len(here.keys() & there.keys()) == 3
    assert thence.open(copy).verify().findings == ()


def test_restored_folder_in_place_of_a_deleted_one_is_known_by_its_generation(original, tmp_path):
    archive = tmp_path / "a.tar"
    subprocess.run(["tar", "-C", original, "-cf", archive, "."], check=True)
    thence.open(original).append("since the backup")
    inode = (original / ".thence/identity.json").stat().st_ino
    shutil.rmtree(original)
    original.mkdir()
    subprocess.run(["tar", "-C", original, "-xf", archive], check=True)
    path = original / ".thence/identity.json"
    # as if the new file had got the old one's number, which happens
    path.write_bytes(
        path.read_bytes().replace(b'"inode":%d' % inode, b'"inode":%d' % path.stat().st_ino)
    )
    descriptor = OS_DISK.open_read(path)
    keeps_generations = OS_DISK.generation(descriptor) > 0
    OS_DISK.close(descriptor)
    thence.open(original).append("next")
    assert len(changes(original)) == keeps_generations


def test_renamed_folder_stays_itself(original, tmp_path):
    old = known_node_id(OS_DISK, original)
    moved = original.rename(tmp_path / "elsewhere")
    with thence.open(moved) as log:
        event = log.append("t")
    assert (event.node_id, event.seq) == (old, 4)
    assert changes(moved) == []


def test_change_of_identity_is_told_after_a_kill_before_its_notice(original, tmp_path):
    copy = tmp_path / "copy"
    shutil.copytree(original, copy)
    own = identify(OS_DISK, copy)
    assert own.is_copy
    assert changes(copy) == []
    for _ in range(2):
        with thence.open(copy) as log:
            log.append("t")
        assert [new for _, new, _ in changes(copy)] == [own.identity.node_id]


def test_copies_of_copies_keep_all_ids_as_their_own(original, tmp_path):
    ids = [known_node_id(OS_DISK, original)]
    folder = original
    for number in range(3):
        folder = shutil.copytree(folder, tmp_path / str(number))
        with thence.open(folder) as log:
            log.append("t")
        ids.append(known_node_id(OS_DISK, folder))
    assert known_node_ids(OS_DISK, folder) == set(ids)
    assert len(set(ids)) == 4
    assert [new for _, new, _ in changes(folder)] == ids[1:]
    clocks = [event.lamport_clock for event in thence.open(folder).read()]
    assert clocks == list(range(1, 10))


def test_log_gets_another_node_under_its_append_lock_alone(tmp_path):
    make_info(OS_DISK, tmp_path, "plain")
    first = identify(OS_DISK, tmp_path).identity.node_id
    renew(OS_DISK, tmp_path, "another was faster")
    assert known_node_id(OS_DISK, tmp_path) == first
    held = AppendLock(OS_DISK, tmp_path / ".thence/lock")
    held.acquire()
    renewing = Thread(target=renew, args=(OS_DISK, tmp_path, first))
    renewing.start()
    renewing.join(0.2)
    assert renewing.is_alive()
    assert known_node_id(OS_DISK, tmp_path) == first
    held.release()
    renewing.join(WAIT_S)
    held.close()
    assert not renewing.is_alive()
    assert known_node_id(OS_DISK, tmp_path) not in ("", first)
    assert known_node_ids(OS_DISK, tmp_path) == {first, known_node_id(OS_DISK, tmp_path)}


@pytest.fixture
def folder(tmp_path):
    (tmp_path / ".thence").mkdir()
    return tmp_path


def page_of(folder):
    return folder / ".thence/identity.json"


def rewritten(folder, **changes):
    """Change what the file says and keep the file itself, so that its inode stays."""
    path = page_of(folder)
    told = msgspec.json.decode(path.read_bytes(), type=Identity)
    path.write_bytes(msgspec.json.encode(msgspec.structs.replace(told, **changes)))
    return told


def flags(own):
    return [own.is_new, own.is_copy]


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"machine_id": "another"}, "on another machine" if machine_id() else ""),
        ({"machine_id": ""}, ""),
        ({"generation": 0}, ""),
        ({"generation": 1}, "copied or restored"),
        ({"inode": 1}, "copied or restored"),
        ({"inode": 1, "machine_id": "another"}, "copied or restored"),
    ],
    ids=["elsewhere", "unknown machine", "no generation", "reused", "copied", "both"],
)
def test_node_changes_with_the_file_or_the_machine_as_far_as_they_are_known(
    folder, changes, reason
):
    identify(OS_DISK, folder)
    told = rewritten(folder, **changes)
    assert is_own(OS_DISK, folder) is (not reason)
    own = identify(OS_DISK, folder)
    assert own.identity.reason == reason
    assert flags(own) == [bool(reason), reason == "copied or restored"]
    assert own.identity.earlier == ((told.node_id,) if reason else ())


def test_nodes_before_are_kept_up_to_the_limit_the_newest_last(folder):
    identify(OS_DISK, folder)
    earlier = tuple(f"{n:012x}" for n in range(EARLIER_MAX))
    told = rewritten(folder, inode=1, earlier=earlier)
    own = identify(OS_DISK, folder)
    assert own.identity.earlier == (*earlier[1:], told.node_id)
    assert len(own.identity.earlier) == EARLIER_MAX == 1_000
