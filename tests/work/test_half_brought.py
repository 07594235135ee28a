"""A merge that git could bring to only some of the files, such as on a full disk, is put back."""

import shutil
from pathlib import Path

import pytest
from tests.cli.work.other_git import with_git
from tests.work.repositories import git, patches, write
from tests.work.test_merging import project

from thence.errors import GitFailed
from thence.work import cut_off
from thence.work.merging import merge
from thence.work.repository import repository


@pytest.fixture
def note(tmp_path) -> Path:
    return tmp_path / "home/merge.json"


FULL = """
[ -e "{once}" ] && exec {git} "$@"
printf on > new; rm shared; touch "{once}"
echo "error: unable to write file new: No space left on device" >&2; exit 128
"""


@pytest.mark.parametrize("is_put_back", [True, False])
def test_files_that_git_could_not_write_all_are_put_back(tmp_path, note, monkeypatch, is_put_back):
    top = project(tmp_path / "top", {"wp1": {"new": "one\n", "shared": "two\n"}})
    write(top, {"mine": "half done\n"})
    before = git(top, "rev-parse", "main"), patches(top)
    fails = FULL.format(once=tmp_path / "once", git=shutil.which("git"))
    monkeypatch.setenv("PATH", with_git(tmp_path / "bin", "merge --ff-only", fails))
    if not is_put_back:
        monkeypatch.setattr(cut_off, "put_back", refuse)
    with pytest.raises(GitFailed, match="No space left on device"):
        merge(repository(top), "main", ["wp1"], note)
    assert git(top, "rev-parse", "main") == before[0]
    assert note.exists() != is_put_back
    if is_put_back:
        assert patches(top) == before[1]
        assert not (top / "new").exists()
    monkeypatch.undo()
    assert merge(repository(top), "main", ["wp1"], note).status == "done"
    assert ((top / "new").read_text(), (top / "shared").read_text()) == ("one\n", "two\n")
    assert git(top, "status", "--porcelain") == " M mine"


def refuse(*_: object) -> None:
    raise OSError("No space left on device")


@pytest.mark.parametrize("text", ["", "o", "one\n"])
def test_file_of_the_user_that_is_in_the_way_is_never_put_back(tmp_path, note, text):
    top = project(tmp_path / "top", {"wp1": {"new": "one\n"}})
    write(top, {"new": text})
    with pytest.raises(GitFailed, match="would be overwritten"):
        merge(repository(top), "main", ["wp1"], note)
    assert (top / "new").read_text() == text
    assert not note.exists()
