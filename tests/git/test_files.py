"""Files of a working tree: reached one folder after the other, and through no link."""

import os
import stat
from pathlib import Path

import pytest

from thence.git.files import TreeFiles, draft_of

pytestmark = pytest.mark.promise("L18")


@pytest.fixture
def files(tmp_path) -> TreeFiles:
    """A tree whose own path leads through a link, as a user's may."""
    (tmp_path / "tree/inner").mkdir(parents=True)
    (tmp_path / "tree/inner/a.txt").write_bytes(b"a")
    (tmp_path / "outside").mkdir()
    (tmp_path / "outside/a.txt").write_bytes(b"outside")
    (tmp_path / "here").symlink_to("tree")
    return TreeFiles(tmp_path / "here")


def outside(files: TreeFiles) -> Path:
    return files.top.parent / "outside"


WRITES = {
    "append": lambda files, path: files.append(path, b"x"),
    "replace": lambda files, path: files.replace(path, b"x"),
    "open": lambda files, path: files.open(path, os.O_RDWR | os.O_CREAT),
    "make a folder": lambda files, path: files.make_folder(f"{path}/more"),
    "link": lambda files, path: files.link(f"{path}/more", "x"),
}
READS = {
    "read": lambda files, path: files.read(path),
    "names": lambda files, path: files.names(path),
    "look": lambda files, path: files.look(f"{path}/a.txt"),
    "target": lambda files, path: files.target_of(f"{path}/a.txt"),
    "unlink": lambda files, path: files.unlink(f"{path}/a.txt"),
}


def test_what_is_there_is_read_and_written(files):
    assert files.read("inner/a.txt") == b"a"
    assert files.names("inner") == ["a.txt"]
    files.append("new/deep/b.txt", b"1\n")
    files.append("new/deep/b.txt", b"2\n")
    assert files.read("new/deep/b.txt") == b"1\n2\n"
    assert files.is_folder("new/deep")
    assert not files.is_folder("new/deep/b.txt")
    files.unlink("new/deep/b.txt")
    files.unlink("new/deep/b.txt")
    assert files.look("new/deep/b.txt") is None
    assert files.look("nowhere/b.txt") is None


def test_file_that_is_replaced_keeps_its_mode_and_no_draft_stays(files):
    os.chmod(files.top / "inner/a.txt", 0o751)
    (files.top / draft_of("inner/a.txt")).symlink_to("b.txt")  # of a kill, or of a clone's author
    files.replace("inner/a.txt", b"longer than before")
    found = files.look("inner/a.txt")
    assert found is not None
    assert (stat.S_IMODE(found.st_mode), files.names("inner")) == (0o751, ["a.txt"])
    assert files.read("inner/a.txt") == b"longer than before"


@pytest.mark.parametrize("target", ["../outside", "../not-there", "inner", "odd"])
@pytest.mark.parametrize("call", [*WRITES, *READS])
def test_link_on_the_way_is_refused(files, call, target):
    (files.top / "odd").symlink_to(target)
    with pytest.raises(OSError, match="symbolic link") as caught:
        {**WRITES, **READS}[call](files, "odd/inner" if call in WRITES else "odd")
    assert caught.value.filename == "odd"
    assert (outside(files) / "a.txt").read_bytes() == b"outside"
    assert os.listdir(outside(files)) == ["a.txt"]
    assert not (files.top.parent / "not-there").exists()


@pytest.mark.parametrize("target", ["../outside/a.txt", "../outside/new", "inner/a.txt"])
@pytest.mark.parametrize("call", ["append", "replace", "open", "read"])
def test_link_at_the_end_is_refused(files, call, target):
    (files.top / "odd").symlink_to(target)
    with pytest.raises(OSError, match="symbolic link"):
        {**WRITES, **READS}[call](files, "odd")
    assert os.listdir(outside(files)) == ["a.txt"]
    assert files.target_of("odd") == target
    files.unlink("odd")
    assert (files.top / "inner/a.txt").read_bytes() == b"a"


@pytest.mark.parametrize("call", ["append", "replace", "open", "read"])
def test_pipe_is_waited_for_by_nobody(files, call):
    os.mkfifo(files.top / "odd")
    with pytest.raises(OSError, match="neither a file nor a folder"):
        {**WRITES, **READS}[call](files, "odd")
    with pytest.raises(OSError, match="neither a file nor a folder"):
        {**WRITES, **READS}[call](files, "odd/inner")


@pytest.mark.parametrize("path", ["../outside/a.txt", "/etc/passwd", "inner/../../outside/a.txt"])
@pytest.mark.parametrize("call", [*WRITES, *READS])
def test_path_that_leads_up_is_none(files, call, path):
    with pytest.raises(OSError, match="not a path inside a working tree"):
        {**WRITES, **READS}[call](files, path)
    assert os.listdir(outside(files)) == ["a.txt"]
