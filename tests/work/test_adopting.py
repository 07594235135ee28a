"""A project that began without git keeps its journal, its numbers and its node with `git init`."""

import errno
import os
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest
from tests.cli.installed import thence
from tests.work.repositories import git
from tests.work.test_stores import note

from thence.errors import GitFailed
from thence.work import EventStore
from thence.work.project.project import find_project


@pytest.fixture
def folder(tmp_path) -> Path:
    folder = tmp_path / "sync é"
    (folder / ".kittify").mkdir(parents=True)
    with EventStore.at(folder) as store:
        store.append(note("one"))
        store.append(note("two"))
    return folder


def told(folder: Path) -> list[tuple[int, str, str]]:
    with EventStore.at(folder) as store:
        events = store.read()
    return [(one.header.seq, one.header.node_id, one.payload["entry_content"]) for one in events]


def own(folder: Path) -> Path:
    return folder / ".kittify/.thence"


def test_journal_goes_along_and_numbers_go_on(folder):
    before = told(folder)
    git(folder, "init", "--quiet")
    with EventStore.at(folder) as store:
        store.append(note("three"))
        assert store.project.home.parent == folder / ".git/thence"
    after = told(folder)
    assert after == [*before, (3, before[0][1], "three")]
    assert own(folder).is_symlink()
    assert ".thence" not in git(folder, "status", "--porcelain", "--untracked-files=all")
    assert (folder / ".kittify/events/index.db").resolve().is_relative_to(folder / ".git")
    assert thence("verify", cwd=folder).code == 0


def test_processes_that_take_it_over_at_once_lose_nothing(folder):
    git(folder, "init", "--quiet")
    program = (
        "import sys\n"
        "from tests.work.test_stores import note\n"
        "from thence.work import EventStore\n"
        "sys.stdin.readline()\n"
        "with EventStore.at('.') as store: store.append(note(sys.argv[1]))\n"
    )
    env = {**os.environ, "PYTHONPATH": os.fspath(Path(__file__).parents[2])}
    names = [f"by {number}" for number in range(6)]
    started = [
        subprocess.Popen(
            [sys.executable, "-c", program, name], cwd=folder, env=env, stdin=subprocess.PIPE
        )
        for name in names
    ]
    for process in started:
        process.stdin.write(b"go\n")
        process.stdin.close()
    assert [process.wait(60) for process in started] == [0] * len(names)
    found = told(folder)
    assert [text for _, _, text in found[:2]] == ["one", "two"]
    assert sorted(text for _, _, text in found[2:]) == names
    assert sorted(number for number, _, _ in found) == list(range(1, len(names) + 3))


def test_program_that_began_before_goes_on_in_the_same_journal(folder):
    with EventStore.at(folder) as early:
        early.append(note("three"))
        git(folder, "init", "--quiet")
        with EventStore.at(folder) as late:
            late.append(note("four"))
        early.append(note("five"))
        early.append(note("six"))
    assert [text for _, _, text in told(folder)] == ["one", "two", "three", "four", "five", "six"]


@pytest.mark.parametrize("is_broken", [False, True])
def test_git_folder_on_another_disk_gets_a_whole_copy(folder, is_broken, monkeypatch):
    before = told(folder)
    with tempfile.TemporaryDirectory(dir="/dev/shm") as other:
        git(folder, "init", "--quiet", "--separate-git-dir", f"{other}/git")
        if is_broken:
            left = Path(other) / "git/thence/adopted"
            left.mkdir(parents=True)
            (left / "events.jsonl").write_text("half\n")
        assert [(number, text) for number, _, text in told(folder)] == [
            (number, text) for number, _, text in before
        ]
        assert own(folder).resolve().is_relative_to(other)
        with EventStore.at(folder) as store:
            store.append(note("three"))
    assert told(folder) == []  # its git folder is gone, and the journal with it


def test_journal_that_can_not_be_moved_stays_where_it_is(folder, monkeypatch):
    git(folder, "init", "--quiet")

    def refuse(*_, **__):
        raise OSError(errno.EACCES, os.strerror(errno.EACCES), "here")

    with monkeypatch.context() as patched:
        patched.setattr(os, "rename", refuse)
        with pytest.raises(GitFailed, match="Permission denied") as caught:
            find_project(folder)
    assert "the journal is where it was" in caught.value.hint
    assert (own(folder) / "events.jsonl").exists()
    assert len(told(folder)) == 2
