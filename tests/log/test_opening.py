"""A path taken for a log: which vocabulary, made or refused."""

import errno

import pytest
from tests.events import line_of
from tests.log.faults import FailingDisk

import thence
from thence.core.vocabulary import PLAIN
from thence.errors import LogReadOnly, NotALog, VocabularyMismatch
from thence.log.disk import OS_DISK
from thence.log.opening import opened_vocabulary


def test_new_log_is_plain_and_keeps_what_it_was_made_for(tmp_path):
    assert thence.open(tmp_path / "a").vocabulary.name == "plain"
    assert thence.open(tmp_path / "b", "sim").vocabulary.name == "sim"
    assert thence.open(tmp_path / "b").vocabulary.name == "sim"
    with pytest.raises(VocabularyMismatch, match="made for sim, not for plain"):
        thence.open(tmp_path / "b", "plain")
    with pytest.raises(VocabularyMismatch, match="no vocabulary 'sym'"):
        thence.open(tmp_path / "b", "sym")


@pytest.mark.parametrize(
    ("line", "name"),
    [
        (b'{"event_id":"x","simulation_id":"r"}\n', "sim"),
        (b'garbage\n{"event_id":"x","simulation_id":"r"}\n', "sim"),
        (line_of({"simulation_id": "r"}), "plain"),
        (b'{"event_id":"x","simulation_id":"r"}', "plain"),
        (b"\n\n", "plain"),
    ],
)
def test_log_without_its_own_file_is_known_by_its_first_whole_event(tmp_path, line, name):
    (tmp_path / "events.jsonl").write_bytes(line)
    assert opened_vocabulary(OS_DISK, tmp_path, None, create=False).name == name


def test_opening_without_create_makes_nothing(tmp_path):
    for path in (tmp_path, tmp_path / "gone"):
        with pytest.raises(NotALog, match=r"no events\.jsonl"):
            thence.open(path, create=False)
        assert list(tmp_path.iterdir()) == []
    (tmp_path / "events.jsonl").write_bytes(line_of())
    log = thence.open(tmp_path, create=False)
    assert len(list(log.read())) == 1
    assert [path.name for path in tmp_path.iterdir()] == ["events.jsonl"]
    assert log.append("t").seq == 1
    assert (tmp_path / ".thence/log.json").exists()


def test_file_in_the_way_is_told(tmp_path):
    (tmp_path / "a").write_text("x")
    with pytest.raises(NotALog, match="could not make a log"):
        thence.open(tmp_path / "a")
    with pytest.raises(NotALog):
        thence.open(tmp_path / "a" / "b")


def test_log_of_a_vocabulary_that_is_not_known_reads_as_plain(tmp_path):
    thence.open(tmp_path)
    path = tmp_path / ".thence/log.json"
    path.write_bytes(path.read_bytes().replace(b'"plain"', b'"garden"'))
    log = thence.open(tmp_path)
    assert log.vocabulary.name == "garden"
    assert log.append("t", {"a": 1}).payload == {"a": 1}


def test_folder_that_may_not_be_written_is_read_only(tmp_path):
    denied = FailingDisk()
    denied.faults["write"] = PermissionError(errno.EACCES, "Permission denied")
    with pytest.raises(LogReadOnly, match="Permission denied"):
        opened_vocabulary(denied, tmp_path / "new", None, create=True)
    (tmp_path / "events.jsonl").write_bytes(line_of())
    assert opened_vocabulary(denied, tmp_path, None, create=True) is PLAIN
