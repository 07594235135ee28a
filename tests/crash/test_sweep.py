"""Every call to the disk fails once and for good: no promise breaks, whatever the log is doing."""

import errno
import os
import threading
from functools import partial
from pathlib import Path

import pytest
from tests.crash import sweep
from tests.crash.faulty import METHODS, NEVER_FAILS, Fault, FaultyDisk, Span, faults
from tests.crash.promised import Run
from tests.crash.scenes import SCENES, Scene, append, some
from tests.crash.sweep import counted, judge, quick
from tests.tiers import seed, tenth

from thence.errors import LogFull, ThenceError
from thence.log.files.disk import Disk

RUNS = tenth(24, 3)  # of each scene
NOT_SWEPT = {"copy_access", "filesystem", "room"} | NEVER_FAILS  # of the doctor and repair

pytestmark = [
    pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning"),
    pytest.mark.timeout(300),
]


@pytest.fixture(autouse=True)
def _quick():
    with quick():
        yield


@pytest.mark.promise("W3", "W10", "P1")
@pytest.mark.parametrize("name", SCENES)
@pytest.mark.whole
def test_no_fault_breaks_a_promise(name):
    drawn = seed(f"faults {name}")
    run = counted(name)
    cases = [(name, fault) for fault in faults(run.disk.calls)]
    tally = sweep.sweep(sweep.sample(cases, RUNS, drawn), drawn)
    print(f"{tally.judged} of {len(cases)} faults judged: {dict(tally.kinds)}")
    assert not tally.problems, "\n".join(tally.problems)
    assert tally.judged >= min(RUNS, len(cases)) * 3 // 4


@pytest.mark.promise("W3")
@pytest.mark.parametrize("name", SCENES)
def test_no_sync_that_fails_breaks_a_promise(name):
    calls = enumerate(counted(name).disk.calls, 1)
    numbers = [number for number, call in calls if call == "sync_data"]
    spans = (Span.ONCE, Span.HEALED, Span.FOR_GOOD)
    cases = [(name, Fault(number, errno.EIO, span)) for number in numbers for span in spans]
    tally = sweep.sweep(cases, 0, problems_max=len(cases))
    assert not tally.problems, "\n".join(tally.problems)


def test_every_method_of_the_disk_is_taken_over():
    public = [name for name in dir(Disk) if not name.startswith("_")]
    assert sorted(METHODS) == sorted(public)
    for name in public:
        assert getattr(FaultyDisk, name) is not getattr(Disk, name)


def test_every_method_of_the_disk_is_reached_by_a_scene():
    reached = {call for name in SCENES for call in counted(name).disk.calls}
    assert set(METHODS) - reached <= NOT_SWEPT


class LyingDisk(FaultyDisk):
    """Says that all went well where it should fail."""

    def fail(self, name: str, arguments: tuple) -> object:
        return len(arguments[1]) if name == "write" else None


@pytest.mark.parametrize(
    ("method", "told"),
    [
        ("sync_data", "was acknowledged, and no sync of it succeeded"),
        ("write", "was acknowledged and is lost"),
        ("close", "a descriptor of"),
    ],
)
def test_harness_notices_a_disk_that_lies(tmp_path, method, told):
    call = len(counted("append").disk.calls) - counted("append").disk.calls[::-1].index(method)
    fault = Fault(call, errno.EIO, Span.FOR_GOOD)
    found, _ = judge("append", fault, tmp_path, disk=LyingDisk(fault))
    assert any(told in problem for problem in found), found


def spoilt(play, tmp_path: Path) -> str:
    found, _ = judge("spoilt", None, tmp_path, Scene(play, some))
    return "\n".join(found)


def acting(change):
    """Make a scene that appends, and then does what no writer may do."""

    def play(run: Run) -> None:
        append(run)
        change(run, run.folder / "events.jsonl")

    return play


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (lambda run, path: os.truncate(path, 0), "was acknowledged and is lost"),
        (lambda run, path: path.write_bytes(path.read_bytes() + b"x\n"), "that is not an event"),
        (
            lambda run, path: path.write_bytes(path.read_bytes() + path.read_bytes()),
            "stands twice, which nothing tells",
        ),
        (lambda run, path: os.open(path, os.O_RDONLY), "a descriptor of"),
        (lambda run, path: run.queued.update({8: "0" * 26}), "are missing"),
        (lambda run, path: run.look(lambda log: os.stat("nowhere")), "read raised a bare"),
        (lambda run, path: run.look(lambda log: 1 / 0), "ZeroDivisionError"),
    ],
)
def test_harness_notices_what_no_writer_may_do(tmp_path, change, told):
    found = spoilt(acting(change), tmp_path)
    assert told in found


def test_harness_notices_an_event_that_was_refused_and_stands_there(tmp_path):
    def change(run: Run, path: Path) -> None:
        del run.kept[1]
        run.refused[1] = LogFull("could not append to", cause="full", hint="free some")

    assert "event 1 was refused and is there" in spoilt(acting(change), tmp_path)


def test_harness_notices_a_hang_and_a_thread_that_is_left(tmp_path, monkeypatch):
    monkeypatch.setattr(sweep, "RUN_S", 0.2)
    monkeypatch.setattr(sweep, "THREAD_S", 0.1)
    gate, before = threading.Event(), set(threading.enumerate())
    assert "it hangs" in spoilt(acting(lambda run, path: gate.wait(60)), tmp_path / "a")
    monkeypatch.setattr(sweep, "RUN_S", 20.0)
    thread = threading.Thread(target=gate.wait, args=(60,), name="thence-left")
    found = spoilt(acting(lambda run, path: thread.start()), tmp_path / "b")
    assert "the thread thence-left is left" in found
    gate.set()
    for left in set(threading.enumerate()) - before:  # what hung closes its log now
        left.join()


append_failed = partial(ThenceError, code="append_failed")


@pytest.mark.parametrize(
    ("error", "code", "is_right"),
    [
        (LogFull, errno.ENOSPC, True),
        (LogFull, errno.EDQUOT, True),
        (append_failed, errno.ENOSPC, False),
        (LogFull, errno.EIO, False),
        (append_failed, errno.EIO, True),
        (append_failed, errno.EACCES, False),
    ],
)
def test_harness_knows_which_error_is_right(tmp_path, error, code, is_right):
    raised = error("could not append to", cause="it failed", hint="do this")
    raised.__cause__ = OSError(code, "it failed")
    run = Run(tmp_path, FaultyDisk())
    assert (run.misfit("append", raised) == "") is is_right
    assert run.misfit("read", raised)
