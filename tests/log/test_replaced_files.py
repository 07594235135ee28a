"""Files of a log that may not be read, and names that name no folder."""

from pathlib import Path

import pytest
from tests.cli.installed import is_three_lines
from tests.cli.installed import thence as command

import thence
from thence.errors import NotALog
from thence.sim import EventWriter


def test_right_to_read_taken_away_is_told_by_every_command(tmp_path):
    with thence.open(tmp_path / "log") as log:
        log.append("mine")
    log.current_file.chmod(0)
    for words in (["verify"], ["log"], ["append", "note"]):
        ended = command(*words, "--log", "log", cwd=tmp_path, obeys_permissions=True)
        assert ended.code == 1
        assert is_three_lines(ended.err)
    log.current_file.chmod(0o644)
    assert thence.open(tmp_path / "log").append("note").seq == 2


NO_NAMES = ["", "\0x", "a\0b", "\ud800"]


@pytest.mark.parametrize("name", NO_NAMES)
def test_text_that_names_no_folder_is_refused_and_makes_nothing(tmp_path, monkeypatch, name):
    monkeypatch.chdir(tmp_path)
    for door in (thence.open, lambda path: EventWriter(path, "run")):
        with pytest.raises(NotALog) as raised:
            door(name)
        assert raised.value.hint
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("words", [("append", "note"), ("log",), ("doctor",), ("verify",)])
def test_command_with_an_empty_name_of_a_log_takes_not_the_working_folder(tmp_path, words):
    thence.open(tmp_path).append("mine")
    ended = command(*words, "--log", "", cwd=tmp_path)
    assert ended.code == 2
    assert ended.out == ""
    assert [event.event_type for event in thence.open(tmp_path).read()] == ["mine"]


def test_folder_that_cannot_be_made_is_refused(tmp_path):
    (tmp_path / "link").symlink_to(tmp_path / "nowhere")
    with pytest.raises(NotALog, match="a link that leads nowhere"):
        thence.open(tmp_path / "link")
    nowhere = Path("/proc/thence") if Path("/proc/self").exists() else Path("/dev/fd/thence")
    with pytest.raises(thence.ThenceError, match=f"could not make a log in {nowhere}: "):
        thence.open(nowhere)
