"""The event writer: what its answers mean in each mode."""

import asyncio
import json
from pathlib import Path
from threading import Thread

import pytest
import structlog
from tests.disks import CountingDisk, GatedDisk
from tests.sim.written import action, lines, notices, numbers

import thence
from thence.errors import VocabularyMismatch, WriterClosed
from thence.sim import (
    Event,
    EventWriter,
    VerbosityLevel,
    WriteMode,
    create_decision_event,
    create_milestone_event,
    create_state_event,
    create_system_event,
)


@pytest.mark.promise("W1")
def test_the_defaults_are_the_promised_ones(tmp_path: Path) -> None:
    writer = EventWriter(tmp_path, "run")
    assert writer.mode is WriteMode.ASYNC
    assert writer.verbosity is VerbosityLevel.ACTION
    assert (writer.dropped_count, writer.failed_count, writer.current_size) == (0, 0, 0)
    assert writer.current_file == tmp_path / "events.jsonl"
    assert not writer.running
    assert writer.emit(action())
    assert writer.running
    assert writer.close()
    assert not writer.running
    assert writer.current_size == (tmp_path / "events.jsonl").stat().st_size > 0


@pytest.mark.promise("W1")
def test_it_shows_what_it_was_given(tmp_path: Path) -> None:
    with EventWriter(tmp_path, "run") as writer:
        assert writer.output_dir == tmp_path
        assert (writer.max_queue_size, writer.max_file_size) == (10_000, 500 * 1024 * 1024)
    given = (VerbosityLevel.STATE, 7, 4096)
    with EventWriter(str(tmp_path), "run", *given) as writer:
        assert writer.output_dir == tmp_path
        assert (writer.verbosity, writer.max_queue_size, writer.max_file_size) == given


@pytest.mark.promise("W1", "E4")
@pytest.mark.parametrize("level", list(VerbosityLevel))
def test_verbosity_is_a_level_or_its_name_in_any_case(
    tmp_path: Path, level: VerbosityLevel
) -> None:
    for given in (level, level.name, level.name.lower(), level.name.title(), int(level)):
        with EventWriter(tmp_path, "run", given) as writer:
            assert writer.verbosity is level


@pytest.mark.promise("W1", "E4")
@pytest.mark.parametrize("given", ["LOUD", "", "4", 9])
def test_verbosity_that_is_none_is_refused(tmp_path: Path, given: str) -> None:
    with pytest.raises(ValueError, match="verbosity"):
        EventWriter(tmp_path, "run", given)
    assert not (tmp_path / "events.jsonl").exists()


@pytest.mark.promise("E4")
@pytest.mark.parametrize("verbosity", list(VerbosityLevel))
def test_rejections_and_retries_are_written_from_decision_up(
    tmp_path: Path, verbosity: VerbosityLevel
) -> None:
    with EventWriter(tmp_path, "run", verbosity, mode="sync") as writer:
        writer.emit(create_system_event("run", 1, "action_rejected", "failure"))
        writer.emit(create_system_event("run", 1, "action_retried", "retry"))
        writer.emit(create_system_event("run", 1, "run_failed", "failure"))
    kinds = [line["details"]["error_type"] for line in lines(tmp_path)]
    refusals = ["action_rejected", "action_retried"]
    is_told = verbosity >= VerbosityLevel.DECISION
    assert kinds == [*(refusals if is_told else []), "run_failed"]


@pytest.mark.promise("W1")
def test_it_is_a_context_manager_of_both_kinds(tmp_path: Path) -> None:
    with EventWriter(tmp_path, "run", mode="sync") as writer:
        writer.emit(action(1))

    async def body() -> None:
        async with EventWriter(tmp_path, "run") as other:
            assert other.running
            other.emit(action(2))

    asyncio.run(body())
    assert numbers(tmp_path) == [1, 2]


@pytest.mark.promise("W2")
def test_modes_are_two_texts_and_nothing_else(tmp_path: Path) -> None:
    assert [mode.value for mode in WriteMode] == ["async", "sync"]
    assert isinstance(WriteMode.SYNC, str)
    with pytest.raises(ValueError, match="quick"):
        EventWriter(tmp_path, "run", mode="quick")


@pytest.mark.promise("W3")
def test_sync_returns_after_write_and_sync_of_the_line(tmp_path: Path) -> None:
    disk = CountingDisk()
    writer = EventWriter(tmp_path, "run", mode=WriteMode.SYNC, disk=disk)
    for number in range(3):
        disk.calls.clear()
        assert writer.emit(action(number)) is True
        assert disk.calls[-2:] == ["write", "sync"]
        assert numbers(tmp_path) == list(range(number + 1))


@pytest.mark.promise("W3")
def test_sync_works_in_threads_and_inside_a_blocked_event_loop(tmp_path: Path) -> None:
    writer = EventWriter(tmp_path, "run", mode="sync")

    async def blocked() -> None:
        assert writer.emit(action(0))
        assert numbers(tmp_path) == [0]

    asyncio.run(blocked())
    threads = [Thread(target=writer.emit, args=(action(n),)) for n in range(1, 9)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(numbers(tmp_path)) == list(range(9))  # type: ignore[type-var]


@pytest.mark.promise("W4")
def test_async_writes_though_the_event_loop_is_never_given_a_turn(tmp_path: Path) -> None:
    writer = EventWriter(tmp_path, "run")
    path = tmp_path / "events.jsonl"

    async def greedy() -> None:
        writer.emit(action(7))
        while not path.exists() or not path.read_bytes().endswith(b"\n"):
            pass

    asyncio.run(asyncio.wait_for(greedy(), 30))
    assert numbers(tmp_path) == [7]
    writer.close()


@pytest.mark.promise("O10", "W4")
def test_emit_returns_while_the_disk_waits_and_nothing_before_start_is_lost(
    tmp_path: Path,
) -> None:
    disk = GatedDisk()
    writer = EventWriter(tmp_path, "run", disk=disk)
    assert all(writer.emit(action(n)) for n in range(5_000))
    assert disk.reached.wait(30)
    asyncio.run(writer.start())
    disk.gate.set()
    assert writer.close()
    assert numbers(tmp_path) == list(range(5_000))


@pytest.mark.promise("W5")
def test_drops_are_counted_exactly_and_told_in_the_log(tmp_path: Path) -> None:
    disk = GatedDisk()
    writer = EventWriter(tmp_path, "run", max_queue_size=10, disk=disk)
    with structlog.testing.capture_logs() as records:
        writer.emit(action(0))
        assert disk.reached.wait(30)
        answers = [writer.emit(action(n)) for n in range(1, 101)]
    assert answers == [True] * 10 + [False] * 90
    assert writer.dropped_count == 90
    assert [r["mode"] for r in records if r["event"] == "event_writer_dropped"] == ["async"]
    disk.gate.set()
    writer.flush()
    assert writer.emit(action(101))
    assert writer.close()
    assert numbers(tmp_path) == [*range(11), 101]
    (notice,) = notices(tmp_path, "events_dropped")
    ids = [line["event_id"] for line in lines(tmp_path)]
    assert notice["count"] == 90
    assert ids.index(notice["after_event_id"]) == 10
    assert ids.index(notice["before_event_id"]) == 12


@pytest.mark.promise("W5")
def test_block_waits_for_room_and_loses_nothing(tmp_path: Path) -> None:
    disk = GatedDisk()
    writer = EventWriter(tmp_path, "run", max_queue_size=10, on_full="block", disk=disk)

    def produce(first: int) -> None:
        for number in range(first, first + 100):
            assert writer.emit(action(number))

    threads = [Thread(target=produce, args=(first,)) for first in range(0, 800, 100)]
    for thread in threads:
        thread.start()
    assert disk.reached.wait(30)
    disk.gate.set()
    for thread in threads:
        thread.join()
    assert writer.close()
    assert writer.dropped_count == 0
    written = numbers(tmp_path)
    assert sorted(written) == list(range(800))  # type: ignore[type-var]
    for first in range(0, 800, 100):
        own = [n for n in written if isinstance(n, int) and first <= n < first + 100]
        assert own == sorted(own)


@pytest.mark.promise("W6")
def test_stop_drains_is_idempotent_and_ends_the_writer(tmp_path: Path) -> None:
    writer = EventWriter(tmp_path, "run")
    for number in range(2_000):
        writer.emit(action(number))
    assert asyncio.run(writer.stop()) is True
    assert asyncio.run(writer.stop()) is True
    assert writer.close() is True
    assert numbers(tmp_path) == list(range(2_000))
    with pytest.raises(WriterClosed):
        writer.emit(action())


@pytest.mark.promise("W6")
def test_a_stop_that_runs_out_of_time_says_so_and_the_thread_drains_on(tmp_path: Path) -> None:
    disk = GatedDisk()
    writer = EventWriter(tmp_path, "run", disk=disk)
    for number in range(100):
        writer.emit(action(number))
    assert disk.reached.wait(30)
    with structlog.testing.capture_logs() as records:
        assert writer.close(timeout=0.05) is False
    (remaining,) = [r for r in records if r["event"] == "event_writer_remaining"]
    assert 1 <= remaining["count"] <= 100
    disk.gate.set()
    assert writer.close(timeout=30) is True
    assert numbers(tmp_path) == list(range(100))


@pytest.mark.promise("W6")
def test_start_does_nothing_in_sync_mode(tmp_path: Path) -> None:
    writer = EventWriter(tmp_path, "run", mode="sync")
    asyncio.run(writer.start())
    assert writer.emit(action(3))
    assert writer.close()
    assert numbers(tmp_path) == [3]


@pytest.mark.promise("W7", "E4")
@pytest.mark.parametrize("mode", ["sync", "async"])
def test_verbosity_leaves_out_before_queue_and_file(tmp_path: Path, mode: str) -> None:
    writer = EventWriter(tmp_path, "run", VerbosityLevel.DECISION, mode=mode, max_queue_size=1)
    events = [
        create_milestone_event("run", 1, "turn_start"),
        create_decision_event("run", 1, "ada", "trade"),
        Event(event_type="anything"),
        create_system_event("run", 1, "run_failed", "failure"),
    ]
    for _ in range(50):
        assert writer.emit(action())
        assert writer.emit(create_state_event("run", 1, "grain", 1, 2))
        assert writer.emit(create_system_event("run", 1, "timeout", "retry"))
    assert not (tmp_path / "events.jsonl").exists()
    for event in events:
        assert writer.emit(event)
        writer.flush()
    writer.close()
    assert [line["event_id"] for line in lines(tmp_path)] == [event.event_id for event in events]
    assert writer.dropped_count == 0


@pytest.mark.promise("O6")
def test_causes_that_were_never_written_are_replaced_by_theirs(tmp_path: Path) -> None:
    writer = EventWriter(tmp_path, "run", VerbosityLevel.DECISION, mode="sync")
    decided = create_decision_event("run", 1, "ada", "trade")
    done = action(1, caused_by=[decided])
    changed = create_state_event("run", 1, "grain", 3, 2, caused_by=[done])
    later = create_decision_event("run", 2, "bob", "trade", caused_by=[changed])
    for event in (decided, done, changed, later):
        assert writer.emit(event)
    writer.close()
    assert [line.get("caused_by") for line in lines(tmp_path)] == [None, [decided.event_id]]


@pytest.mark.promise("O6")
def test_events_inside_because_name_its_causes_beside_their_own(tmp_path: Path) -> None:
    writer = EventWriter(tmp_path, "run", mode="sync")
    first, second = action(1), action(2)
    for event in (first, second):
        writer.emit(event)
    with thence.because(first):
        writer.emit(action(3))
        writer.emit(action(4, caused_by=[second]))
    writer.close()
    named = [line.get("caused_by") for line in lines(tmp_path)]
    assert named == [None, None, [first.event_id], [second.event_id, first.event_id]]


@pytest.mark.promise("O6")
def test_more_than_32_causes_are_gathered_by_notices(tmp_path: Path) -> None:
    writer = EventWriter(tmp_path, "run", mode="sync")
    causes = [action(n) for n in range(100)]
    for event in causes:
        writer.emit(event)
    last = create_decision_event("run", 2, "bob", "trade", caused_by=causes)
    writer.emit(last)
    writer.close()
    assert len(notices(tmp_path, "causes_joined")) == 4
    with thence.open(tmp_path) as log:
        assert all(len(event.caused_by) <= 32 for event in log.read())
        cone = {event.event_id for event, _ in log.why(last.event_id).cone}
    assert cone > {event.event_id for event in causes}


@pytest.mark.promise("W11")
def test_start_rotation_and_stop_are_structured_records_with_the_mode(tmp_path: Path) -> None:
    with structlog.testing.capture_logs() as records:
        writer = EventWriter(tmp_path, "run", mode="sync", max_file_size=1_000)
        for number in range(5):
            writer.emit(action(number))
        writer.close()
    names = [record["event"] for record in records]
    assert names[0] == "event_writer_started"
    assert "event_writer_rotated" in names
    assert names[-1] == "event_writer_stopped"
    assert {record["mode"] for record in records} == {"sync"}


@pytest.mark.promise("W8")
def test_rotation_loses_nothing_and_counts_the_bytes_of_a_restart(tmp_path: Path) -> None:
    for first in range(0, 60, 20):
        writer = EventWriter(tmp_path, "run", mode="sync", max_file_size=2_000)
        there = tmp_path / "events.jsonl"
        assert writer.current_size == (there.stat().st_size if there.exists() else 0)
        for number in range(first, first + 20):
            writer.emit(action(number))
        writer.close()
    assert numbers(tmp_path) == list(range(60))
    sizes = [path.stat().st_size for path in tmp_path.glob("events_*.jsonl")]
    longest = max(len(json.dumps(line)) for line in lines(tmp_path))
    assert len(sizes) > 5
    assert all(2_000 <= size < 2_000 + longest for size in sizes)


def test_a_plain_log_is_not_taken_for_a_simulation(tmp_path: Path) -> None:
    with thence.open(tmp_path) as log:
        log.append("order.placed")
    with pytest.raises(VocabularyMismatch):
        EventWriter(tmp_path, "run")
