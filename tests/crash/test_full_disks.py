"""Disks that are really full, limits that are really met, folders that really take no file."""

import errno
import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
import structlog
from tests.log.processes import descriptors, ran, started
from tests.mounts import mounted
from tests.sim.written import notices, numbers

import thence
from thence.core.event import Event
from thence.errors import LogFull
from thence.sim import EventWriter, create_action_event

LARGE = "x" * 10_000
EVENTS_MAX = 200
FITTING = 60  # so many are more than there is room for, and less than the disk holds


@pytest.fixture
def small(tmp_path: Path) -> Iterator[Path | None]:
    """A filesystem of one mebibyte with little room, where this user may mount one."""
    folder = tmp_path / "small"
    with mounted(folder, "1m") as is_mounted:
        if is_mounted:
            (folder / "ballast").write_bytes(b"x" * 600_000)
        yield folder if is_mounted else None
        assert descriptors(folder) == []


def large(number: int) -> object:
    return create_action_event("run", number, "ada", "move", {"number": number, "text": LARGE})


def told(folder: Path) -> int:
    return sum(int(str(notice["count"])) for notice in notices(folder, "write_failed"))


@pytest.mark.promise("W3", "W10")
def test_sync_writer_on_a_disk_that_fills_up_and_is_freed(small: Path | None) -> None:
    if small is None:
        return  # this user may mount nothing: the limits below stand for it
    writer = EventWriter(small / "run", "run", mode="sync")
    answers = [writer.emit(large(number)) for number in range(EVENTS_MAX)]
    taken = answers.count(True)
    assert 10 < taken < EVENTS_MAX
    assert writer.failed_count == answers.count(False)
    (small / "ballast").unlink()
    assert writer.emit(large(EVENTS_MAX))
    assert writer.close()
    assert numbers(small / "run") == [n for n, is_in in enumerate([*answers, True]) if is_in]
    assert told(small / "run") == writer.failed_count
    with thence.open(small / "run") as log:
        assert log.verify().findings == ()


@pytest.mark.promise("W5", "W10")
@pytest.mark.parametrize("is_freed", [True, False])
def test_async_writer_on_a_disk_that_fills_up(small: Path | None, is_freed: bool) -> None:
    if small is None:
        return  # this user may mount nothing: the limits below stand for it
    writer = EventWriter(small / "run", "run", max_queue_size=EVENTS_MAX)
    with structlog.testing.capture_logs() as records:
        answers = [writer.emit(large(number)) for number in range(FITTING)]
        while not any(record["event"] == "event_writer_refused" for record in records):
            assert writer.running
        if is_freed:
            (small / "ballast").unlink()
        writer.close(30 if is_freed else 0.2)
        while writer.close(5) is False and not writer.failed_count:
            continue
    accepted = [number for number, is_in in enumerate(answers) if is_in]
    present = numbers(small / "run")
    assert present == accepted[: len(present)]
    assert writer.failed_count == len(accepted) - len(present)
    assert (writer.failed_count == 0) is is_freed
    assert answers.count(False) == writer.dropped_count
    lost = [record for record in records if record["event"] == "event_writer_lost"]
    assert len(lost) == (writer.failed_count > 0)
    with thence.open(small / "run") as log:
        assert log.verify().ok


@pytest.mark.promise("P1", "W10")
def test_replica_on_a_disk_that_fills_up_and_is_freed(small: Path | None) -> None:
    if small is None:
        return  # this user may mount nothing: the limits below stand for it
    with thence.open(small / "log") as log:
        kept: list[Event] = []

        def fill() -> None:
            while len(kept) < EVENTS_MAX:
                kept.append(log.append("t", {"n": len(kept), "text": f"{len(kept)} {LARGE}"}))

        with pytest.raises(LogFull) as caught:
            fill()
        assert caught.value.recoverable
        many = [
            {"event_type": "t", "payload": {"n": -1, "text": f"{n} other {LARGE}"}} for n in "abc"
        ]
        with pytest.raises(LogFull):
            log.append_many(many)
        emitted = log.emit("t", {"n": -2, "text": f"emitted {LARGE}"})
        with pytest.raises(LogFull):
            log.flush()
        (small / "ballast").unlink()
        log.flush()
        after = log.append("after")
        assert log.verify().ok
        found = [event.event_id for event in log.read() if event.event_type != "log.write_failed"]
        assert found[: len(kept)] == [event.event_id for event in kept]
        assert found[-2:] == [emitted, after.event_id]
        failed = [e.payload for e in log.read() if e.event_type == "log.write_failed"]
        assert sum(facts["count"] for facts in failed) >= 1 + len(many)


LIMITED = """
import resource, sys
from thence.sim import EventWriter, create_action_event

writer = EventWriter(sys.argv[1], "run", mode=sys.argv[2])
for number in range(5):
    assert writer.emit(create_action_event("run", number, "ada", "move"))
writer.flush()
hard = resource.getrlimit(resource.RLIMIT_FSIZE)[1]
resource.setrlimit(resource.RLIMIT_FSIZE, (writer.current_size + 450, hard))
answers = [writer.emit(create_action_event("run", n, "ada", "move")) for n in range(5, 10)]
try:
    writer.flush()
except Exception as error:
    print(type(error).__name__, error.cause)
resource.setrlimit(resource.RLIMIT_FSIZE, (hard, hard))
assert writer.emit(create_action_event("run", 10, "ada", "move"))
print(writer.close(30), writer.failed_count, *answers)
"""


@pytest.mark.promise("W10")
@pytest.mark.parametrize("mode", ["sync", "async"])
def test_writer_at_the_file_size_limit_of_its_process(tmp_path: Path, mode: str) -> None:
    *flushed, ended = ran(LIMITED, tmp_path, mode).stdout.splitlines()
    present = numbers(tmp_path)
    assert told(tmp_path) > 0
    if mode == "sync":
        assert ended == "False 4 True False False False False" or ended.startswith("True 4 True")
        assert flushed == []
        assert present == [*range(6), 10]
        assert told(tmp_path) == 4
    else:
        assert flushed == ["LogFull File too large"]
        assert ended == "True 0 True True True True True"
        assert present == list(range(11))
    with thence.open(tmp_path) as log:
        assert log.verify().findings == ()


CROWDED = """
import os, resource, sys
from thence.core.vocabulary import PLAIN
from thence.errors import ThenceError
from thence.log.open import Log, LogSettings, open_log

log = Log(open_log(sys.argv[1]).folder, PLAIN, LogSettings(max_file_size=10))
print(log.append("a").seq)
_, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
resource.setrlimit(resource.RLIMIT_NOFILE, (3, hard))  # no descriptor more
for _ in range(3):
    try:
        print(log.append("refused").seq)
    except ThenceError as error:
        assert error.code == "append_failed"
        print(error.cause)
resource.setrlimit(resource.RLIMIT_NOFILE, (256, hard))
print(log.append("b").seq, log.close())
"""


@pytest.mark.promise("W8", "W10", "P1")
def test_process_without_a_descriptor_left_is_refused_and_goes_on_when_it_has_some(tmp_path):
    first, *refused, last = ran(CROWDED, tmp_path).stdout.splitlines()
    assert first == "1"
    assert refused == [os.strerror(errno.EMFILE)] * 3
    assert last == "3 True"
    with thence.open(tmp_path) as log:
        assert log.verify().findings == ()
        assert [event.event_type for event in log.read()] == ["a", "log.write_failed", "b"]


NOBODY = """
import os, sys
import logging, _strptime  # later nobody may not read them
from thence.core.vocabulary import PLAIN
from thence.errors import ThenceError
from thence.log.open import Log, LogSettings, open_log

with open_log(sys.argv[2]) as other:  # brings in what nobody may not read
    other.append("a")
    list(other.read())
os.setgid(65534); os.setuid(65534)
open_log(sys.argv[1])
log = Log(open_log(sys.argv[1]).folder, PLAIN, LogSettings(max_file_size=700))
for line in sys.stdin:
    try:
        print(log.append("t", {"text": "x" * 200}).seq, flush=True)
    except ThenceError as error:
        print(type(error).__name__, error.cause, flush=True)
log.close()
"""


@pytest.mark.promise("W8", "W10", "P1")
def test_folder_that_becomes_read_only_refuses_the_rotation_and_goes_on_when_it_may() -> None:
    if os.getuid():
        return  # only root can hand a folder to nobody
    root = Path(tempfile.mkdtemp())
    try:
        root.chmod(0o755)
        folder = root / "log"
        folder.mkdir()
        shutil.chown(folder, 65534, 65534)
        writer = started(NOBODY, folder, root / "other")
        assert writer.stdin is not None
        assert writer.stdout is not None

        def append() -> str:
            writer.stdin.write("\n")
            writer.stdin.flush()
            return writer.stdout.readline().strip()

        assert [append(), append()] == ["1", "2"]
        folder.chmod(0o555)
        said = [append() for _ in range(4)]
        written = [word for word in said if word.isdigit()]  # those that the open file still took
        refused = said[len(written) :]
        assert set(refused) == {"LogReadOnly Permission denied"}
        folder.chmod(0o755)
        seq = int(append())
        assert seq == 2 + len(written) + 2  # behind the notice
        _, problems = writer.communicate()
        assert (writer.returncode, problems) == (0, "")
        with thence.open(folder, create=False) as log:
            assert log.verify().findings == ()
            (failed,) = [e.payload for e in log.read() if e.event_type == "log.write_failed"]
        assert failed["count"] == len(refused)
        assert len(list(folder.glob("events_*.jsonl"))) == 1
    finally:
        shutil.rmtree(root)
