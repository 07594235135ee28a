"""Files outside a log: their lock, which ends with its holder, and their replacement."""

import os
import stat
import subprocess
import sys
from pathlib import Path
from threading import Event, Thread

import pytest

from thence.errors import ThenceError
from thence.files import FileBusy, file_lock, is_locked, read_private, replace_file, replacing

HOLDER = """
import sys
from pathlib import Path
from thence.files import file_lock
file = file_lock(Path(sys.argv[1]))
print("held", flush=True)
sys.stdin.read()
"""
# stops between the writing and the renaming
REPLACER = """
import os, sys, time
from pathlib import Path
from thence.files import replace_file
def stop(*_):
    print("written", flush=True)
    time.sleep(600)
os.rename = stop
replace_file(Path(sys.argv[1]), b"new" * 1000)
"""
ADDER = """
import sys
from pathlib import Path
from thence.files import file_lock, replace_file
path = Path(sys.argv[1])
for _ in range(50):
    with file_lock(path.with_name("lock"), 60):
        replace_file(path, str(int(path.read_bytes()) + 1).encode())
"""


def started(program: str, path: Path) -> subprocess.Popen[str]:
    """Starts a program and returns once it has printed its first line."""
    pipe = subprocess.PIPE
    process = subprocess.Popen(
        [sys.executable, "-c", program, path], stdin=pipe, stdout=pipe, text=True
    )
    assert process.stdout is not None
    assert process.stdout.readline()
    return process


def ended(process: subprocess.Popen[str]) -> None:
    process.kill()
    process.communicate()


def test_lock_is_refused_while_another_process_holds_it_and_free_after_its_death(tmp_path):
    path = tmp_path / "lock"
    holder = started(HOLDER, path)
    try:
        with pytest.raises(FileBusy) as refusal:
            file_lock(path)
        assert refusal.value.place == str(path)
        assert str(refusal.value.cause) == "another process holds it"
        assert refusal.value.hint
        assert refusal.value.recoverable
    finally:
        ended(holder)
    file_lock(path).close()


def test_waiter_gets_the_lock_when_the_holder_lets_it_go(tmp_path):
    path = tmp_path / "lock"
    first = file_lock(path)
    waits, locked = Event(), Event()

    def wait_for_it() -> None:
        with file_lock(path, 60, lambda delay_s: waits.set()):
            locked.set()

    waiter = Thread(target=wait_for_it)
    waiter.start()
    assert waits.wait(60)
    assert not locked.is_set()
    first.close()
    waiter.join(60)
    assert locked.is_set()


def test_wait_ends_when_its_signal_is_set(tmp_path):
    stop = Event()
    stop.set()
    with file_lock(tmp_path / "lock"), pytest.raises(FileBusy):
        file_lock(tmp_path / "lock", 600, stop.wait)


def test_removed_lock_file_is_locked_again_at_its_path(tmp_path):
    path = tmp_path / "lock"
    with file_lock(path):
        path.unlink()
        with file_lock(path) as file:
            assert os.path.samestat(os.fstat(file.fileno()), path.stat())


def test_two_processes_that_count_by_the_lock_lose_no_number(tmp_path):
    path = tmp_path / "number"
    replace_file(path, b"0")
    adders = [subprocess.Popen([sys.executable, "-c", ADDER, path]) for _ in range(2)]
    assert [adder.wait(120) for adder in adders] == [0, 0]
    assert path.read_bytes() == b"100"
    assert sorted(entry.name for entry in tmp_path.iterdir()) == ["lock", "number"]


def test_kill_before_the_renaming_leaves_the_old_file_and_the_next_takes_the_draft(tmp_path):
    path = tmp_path / "settings"
    replace_file(path, b"old")
    ended(started(REPLACER, path))
    assert path.read_bytes() == b"old"
    assert (tmp_path / ".settings.part").stat().st_size == 3000
    replace_file(path, b"other")
    assert path.read_bytes() == b"other"
    assert list(tmp_path.iterdir()) == [path]


def test_threads_that_replace_at_once_leave_one_whole_content(tmp_path):
    path = tmp_path / "settings"
    contents = [letter * 300_000 for letter in (b"a", b"b", b"c", b"d")]
    threads = [Thread(target=replace_file, args=(path, content)) for content in contents]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert path.read_bytes() in contents
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("is_left", [False, True], ids=["new", "a draft that is open to others"])
def test_file_is_made_with_the_mode_asked_for(tmp_path, is_left):
    if is_left:
        (tmp_path / ".key.part").touch()
        (tmp_path / ".key.part").chmod(0o666)
    replace_file(tmp_path / "key", b"secret", 0o600)
    assert stat.S_IMODE((tmp_path / "key").stat().st_mode) == 0o600


def told(call, path, hint=""):
    """Returns the names beside a path at which a call is refused, with its reason and a remedy."""
    with pytest.raises(ThenceError) as refusal:
        call(path)
    error = refusal.value
    assert (error.place, bool(error.cause), bool(error.hint)) == (str(path), True, True)
    assert hint in error.hint
    return sorted(os.listdir(path.parent)) if path.parent.is_dir() else []


@pytest.mark.parametrize("call", [file_lock, lambda path: replace_file(path, b"new")])
def test_what_is_no_file_or_can_not_be_one_is_refused_with_a_remedy(tmp_path, call):
    target, link, folder = (tmp_path / name for name in ("target", "link", "folder"))
    target.write_bytes(b"old")
    link.symlink_to(target)
    folder.mkdir()
    assert told(call, link, "ls -l") == told(call, folder) == ["folder", "link", "target"]
    assert (link.is_symlink(), target.read_bytes(), [*folder.iterdir()]) == (True, b"old", [])
    assert told(call, tmp_path / "missing" / "file", "create the folder") == []
    told(call, Path("/proc/self/file"))  # root may write in any folder with read-only bits


def test_full_disk_leaves_the_old_file_and_no_draft(tmp_path):
    path = tmp_path / "settings"
    replace_file(path, b"old")
    program = (
        "import resource, signal, sys\n"
        "from pathlib import Path\n"
        "from thence.errors import ThenceError\n"
        "from thence.files import replace_file\n"
        "signal.signal(signal.SIGXFSZ, signal.SIG_IGN)\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (100, 100))\n"
        "try:\n    replace_file(Path(sys.argv[1]), bytes(1000))\n"
        "except ThenceError as error:\n    sys.exit(error.hint)\n"
    )
    result = subprocess.run(
        [sys.executable, "-c", program, path], capture_output=True, text=True, check=False
    )
    assert "free some space" in result.stderr
    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]


def test_look_at_a_lock_makes_no_file_and_leaves_it_as_it_is(tmp_path):
    path = tmp_path / "lock"
    assert not is_locked(path)
    assert not is_locked(tmp_path / "missing" / "lock")
    assert list(tmp_path.iterdir()) == []
    with file_lock(path):
        assert is_locked(path)
    assert not is_locked(path)
    file_lock(path).close()


def test_private_file_is_read_with_whether_others_may(tmp_path):
    path = tmp_path / "key"
    assert read_private(path, 10) is None
    replace_file(path, b"secret", 0o600)
    assert read_private(path, 10) == (b"secret", False)
    assert read_private(path, 3) == (b"sec", False)
    path.chmod(0o640)
    assert read_private(path, 10) == (b"secret", True)


@pytest.mark.parametrize("kind", ["link", "pipe", "folder"])
def test_private_file_that_another_could_choose_is_refused(tmp_path, kind):
    path = tmp_path / "key"
    if kind == "link":
        (tmp_path / "other").write_bytes(b"theirs")
        path.symlink_to(tmp_path / "other")
    elif kind == "pipe":
        os.mkfifo(path, 0o600)
    else:
        path.mkdir()
    told(lambda path: read_private(path, 10), path)


def test_draft_takes_the_place_of_a_file_once_it_is_whole(tmp_path):
    path = tmp_path / "table.csv"
    path.write_text("old")
    with pytest.raises(UnicodeEncodeError), replacing(path) as draft:
        draft.write_text("half\udc80", "utf-8")  # it has been opened by then
    assert path.read_text() == "old"
    with replacing(path) as first, replacing(path) as second:  # as by two processes at once
        first.write_text("the first, which ends last")
        second.write_text("the second")
    assert path.read_text() == "the first, which ends last"
    assert list(tmp_path.iterdir()) == [path]


def test_draft_that_cant_be_written_is_reported_by_the_name_of_its_file(tmp_path):
    path = tmp_path / "missing" / "table.csv"
    with pytest.raises(FileNotFoundError) as caught, replacing(path) as draft:
        draft.write_text("new")
    assert caught.value.filename == str(path)
    other = tmp_path / "another"
    with pytest.raises(FileNotFoundError) as caught, replacing(tmp_path / "a") as draft:
        other.read_text()
    assert caught.value.filename == str(other)
