"""The event writer on disks that refuse, with payloads that JSON can't hold."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
import structlog
from tests.disks import BROKEN, FULL, Scripted
from tests.sim.written import action, lines, notices, numbers

import thence
from thence.errors import LogFull
from thence.sim import EventWriter, create_action_event

pytestmark = pytest.mark.promise("W10")


def test_sync_on_a_full_disk_answers_false_counts_and_tells_later(tmp_path: Path) -> None:
    disk = Scripted()
    writer = EventWriter(tmp_path, "run", mode="sync", disk=disk)
    assert writer.emit(action(0))
    disk.error["write"] = FULL
    refused = [action(1), action(2)]
    with structlog.testing.capture_logs() as records:
        assert [writer.emit(event) for event in refused] == [False, False]
    assert writer.failed_count == 2
    failed = [(r["event_id"], r["mode"]) for r in records if r["event"] == "event_writer_failed"]
    assert failed == [(event.event_id, "sync") for event in refused]
    disk.error["write"] = None
    assert writer.emit(action(3, caused_by=refused))
    writer.close()
    assert numbers(tmp_path) == [0, 3]
    (notice,) = notices(tmp_path, "write_failed")
    assert notice["count"] == 2
    assert "caused_by" not in lines(tmp_path)[-1]


def test_what_is_unwritten_at_the_end_is_counted_once(tmp_path: Path) -> None:
    disk = Scripted()
    writer = EventWriter(tmp_path, "run", disk=disk)
    disk.error["write"] = FULL
    for number in range(20):
        writer.emit(action(number))
    assert writer.close(timeout=0.1) is False
    while not writer.close(timeout=5) and writer.failed_count == 0:
        pass
    assert writer.failed_count == 20
    assert writer.close() is False
    assert writer.failed_count == 20


def test_a_failed_sync_never_turns_into_true_in_sync_mode(tmp_path: Path) -> None:
    disk = Scripted()
    writer = EventWriter(tmp_path, "run", mode="sync", disk=disk)
    assert writer.emit(action(0))
    disk.error["sync_data"] = BROKEN
    assert [writer.emit(action(n)) for n in (1, 2)] == [False, False]
    disk.error["sync_data"] = None
    assert writer.emit(action(3))
    writer.close()
    assert writer.failed_count == 2
    assert set(numbers(tmp_path)) == {0, 1, 3}  # what was in doubt is written again, and counted


def test_what_json_cannot_hold_is_repaired_and_each_repair_named(tmp_path: Path) -> None:
    payload = {"nan": float("nan"), "set": {3, 1, 2}, "fine": {"n": 1.5}}
    writer = EventWriter(tmp_path, "run", mode="sync")
    assert writer.emit(create_action_event("run", 1, "ada", "x", payload))
    (line,) = lines(tmp_path)
    repaired = {"nan": "NaN", "set": [1, 2, 3], "fine": {"n": 1.5}}
    assert line["details"] == {"action_type": "x", "action_payload": repaired}
    paths = [repair["path"] for repair in line["repairs"]]  # type: ignore[attr-defined]
    assert paths == ["details.action_payload.nan", "details.action_payload.set"]


@pytest.mark.parametrize("payload", [{"t": "x" * 2_000_000}, {"l": list(range(500_000))}])
def test_an_event_of_2_mb_is_cut_and_says_so(tmp_path: Path, payload: dict[str, object]) -> None:
    writer = EventWriter(tmp_path, "run", mode="sync")
    assert writer.emit(create_action_event("run", 1, "ada", "x", payload))
    (line,) = lines(tmp_path)
    assert (tmp_path / "events.jsonl").stat().st_size < 2**20
    assert line["repairs"]


def test_a_log_record_that_raises_never_stops_the_writing(tmp_path: Path) -> None:
    def broken(*_: object) -> None:
        raise RuntimeError("a processor of the user's")

    disk = Scripted()
    structlog.configure(processors=[broken])
    try:
        writer = EventWriter(tmp_path, "run", disk=disk)
        disk.error["write"] = FULL
        writer.emit(action(1))
        with pytest.raises(LogFull):
            writer.flush()
        disk.error["write"] = None
        assert writer.close(30)
    finally:
        structlog.reset_defaults()
    assert numbers(tmp_path) == [1]


def test_a_forked_child_counts_its_own_failures(tmp_path: Path) -> None:
    disk = Scripted()
    writer = EventWriter(tmp_path, "run", mode="sync", disk=disk)
    disk.error["write"] = FULL
    assert not writer.emit(action(1))
    child = os.fork()
    if child == 0:
        os._exit(writer.failed_count)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    assert writer.failed_count == 1


WORKER = """
import multiprocessing, sys
from thence.sim import EventWriter, create_action_event

def emit(writer):
    for number in range(500):
        assert writer.emit(create_action_event("run", number, "ada", "move"))

def work(folder):
    kept.append(EventWriter(folder, "run"))
    emit(kept[0])

kept = []
if __name__ == "__main__":
    context = multiprocessing.get_context(sys.argv[2])
    if sys.argv[3] == "inherited":
        kept.append(EventWriter(sys.argv[1], "run"))
        child = context.Process(target=lambda: emit(kept[0]))
    else:
        child = context.Process(target=work, args=(sys.argv[1],))
    child.start()
    child.join()
    assert child.exitcode == 0
"""


@pytest.mark.promise("W6")
@pytest.mark.parametrize(
    ("method", "writer"),
    [("fork", "its own"), ("fork", "inherited"), ("spawn", "its own"), ("forkserver", "its own")],
)
def test_the_writer_drains_at_the_end_of_a_multiprocessing_child(tmp_path, method, writer):
    program = tmp_path / "program.py"
    program.write_text(WORKER)
    folder = tmp_path / "run"
    ended = subprocess.run(
        [sys.executable, program, folder, method, writer],
        capture_output=True,
        timeout=60,
        text=True,
    )
    assert ended.returncode == 0, ended.stderr
    with thence.open(folder, create=False) as log:
        assert [event.turn_number for event in log.read()] == list(range(500))
