"""Who an opening writes as: new, known, moved, spoilt, each told apart."""

import shutil

import msgspec
import pytest

from thence.log.storage.disk import OS_DISK, machine_id
from thence.log.storage.identity import (
    EARLIER_MAX,
    Identity,
    Own,
    identify,
    is_own,
    known_node_id,
    known_node_ids,
)


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
    return [own.is_known, own.is_new, own.is_copy]


def test_first_opening_makes_a_node_and_the_next_goes_on_under_it(folder):
    assert (is_own(OS_DISK, folder), known_node_id(OS_DISK, folder)) == (None, "")
    assert known_node_ids(OS_DISK, folder) == frozenset()
    first = identify(OS_DISK, folder)
    assert [type(flag) for flag in flags(first)] == [bool] * 3
    assert flags(first) == [False, True, False]
    assert (first.identity.earlier, first.identity.reason, first.previous_node) == ((), "", "")
    assert first.identity.machine_id == machine_id()
    assert first.identity.inode == page_of(folder).stat().st_ino
    again = identify(OS_DISK, folder)
    assert again.identity == first.identity
    assert flags(again) == [True, False, False]
    assert is_own(OS_DISK, folder) is True


@pytest.mark.parametrize("content", [b"", b"{", b"7", b"\xff", b'{"node_id":7}'])
def test_spoilt_identity_gives_way_to_a_new_node(folder, content):
    page_of(folder).write_bytes(content)
    assert is_own(OS_DISK, folder) is False
    own = identify(OS_DISK, folder)
    assert [type(flag) for flag in flags(own)] == [bool] * 3
    assert flags(own) == [True, True, False]
    assert own.change() == {
        "old_node_id": None,
        "new_node_id": own.identity.node_id,
        "reason": "identity.json was spoilt",
    }
    assert is_own(OS_DISK, folder) is True


def test_copy_writes_under_a_node_of_its_own_and_knows_the_one_before(folder, tmp_path_factory):
    first = identify(OS_DISK, folder).identity.node_id
    copied = tmp_path_factory.mktemp("copy") / "log"
    shutil.copytree(folder, copied)
    assert is_own(OS_DISK, copied) is False
    own = identify(OS_DISK, copied)
    assert flags(own) == [True, True, True]
    assert own.change() == {
        "old_node_id": first,
        "new_node_id": own.identity.node_id,
        "reason": "copied or restored",
    }
    assert own.previous_node == first
    assert known_node_ids(OS_DISK, copied) == {first, own.identity.node_id}
    assert known_node_ids(OS_DISK, folder) == {first}


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
    assert flags(own) == [True, bool(reason), reason == "copied or restored"]
    assert own.identity.earlier == ((told.node_id,) if reason else ())


def test_nodes_before_are_kept_up_to_the_limit_the_newest_last(folder):
    identify(OS_DISK, folder)
    earlier = tuple(f"{n:012x}" for n in range(EARLIER_MAX))
    told = rewritten(folder, inode=1, earlier=earlier)
    own = identify(OS_DISK, folder)
    assert own.identity.earlier == (*earlier[1:], told.node_id)
    assert len(own.identity.earlier) == EARLIER_MAX == 1_000


def test_own_says_who_came_before_only_when_it_has_changed():
    identity = Identity("new", "", 1, earlier=("first", "second"))
    assert Own(identity, True, True, False).previous_node == "second"
    assert Own(identity, True, False, False).previous_node == ""
    assert Own(Identity("new", "", 1), False, True, False).previous_node == ""
