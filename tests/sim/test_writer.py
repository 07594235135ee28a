"""The event writer: what its answers mean in each mode."""

import asyncio
import json
import random
from itertools import pairwise
from pathlib import Path
from threading import Thread

import pytest
import structlog
from hypothesis import given
from hypothesis import strategies as st
from tests.core.test_json_values import wild_values
from tests.disks import GatedDisk, Scripted
from tests.events import stamped
from tests.sim.written import action, lines, notices, numbers

import thence
from thence.core.codec import CAUSES_MAX, draft, parse
from thence.core.event import Event as StoredEvent
from thence.core.event import EventFields
from thence.core.vocabulary import SIM
from thence.errors import VocabularyMismatch, WriterClosed
from thence.log.open import new_id, now
from thence.sim import (
    Event,
    EventWriter,
    VerbosityLevel,
    WriteMode,
    create_action_event,
    create_decision_event,
    create_milestone_event,
    create_state_event,
    create_system_event,
)
from thence.sim.record.writer import CauseForwarding, RunEvent, UsualEvent, draft_of, members_of


@pytest.mark.promise("W1")
def test_the_defaults_are_the_promised_ones(tmp_path: Path) -> None:
    writer = EventWriter(tmp_path, "run")
    assert writer.mode is WriteMode.ASYNC
    assert writer.verbosity is VerbosityLevel.ACTION
    assert (writer.dropped_count, writer.failed_count, writer.current_size) == (0, 0, 0)
    assert writer.current_file == tmp_path / "events.jsonl"
    assert writer.output_dir == tmp_path
    assert (writer.max_queue_size, writer.max_file_size) == (10_000, 500 * 1024 * 1024)
    assert not writer.running
    assert writer.emit(action())
    assert writer.running
    assert writer.close()
    assert not writer.running
    assert writer.current_size == (tmp_path / "events.jsonl").stat().st_size > 0


@pytest.mark.promise("W1", "E4")
@pytest.mark.parametrize("level", list(VerbosityLevel))
def test_verbosity_is_a_level_or_its_name_in_any_case(tmp_path, level):
    for spelling in (level, level.name, level.name.lower(), level.name.title(), int(level)):
        with EventWriter(tmp_path, "run", spelling) as writer:
            assert writer.verbosity is level


@pytest.mark.promise("W1", "E4")
@pytest.mark.parametrize("spelling", ["LOUD", "", "4", 9])
def test_verbosity_that_is_none_is_refused(tmp_path: Path, spelling: str) -> None:
    with pytest.raises(ValueError, match="verbosity"):
        EventWriter(tmp_path, "run", spelling)
    assert not (tmp_path / "events.jsonl").exists()


@pytest.mark.promise("E4")
@pytest.mark.parametrize("verbosity", list(VerbosityLevel))
def test_rejections_and_retries_are_written_from_decision_up(tmp_path, verbosity):
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
    disk = Scripted()
    writer = EventWriter(tmp_path, "run", mode=WriteMode.SYNC, disk=disk)
    for number in range(3):
        disk.calls.clear()
        assert writer.emit(action(number)) is True
        assert disk.order("write", "sync_data")[-2:] == ["write", "sync_data"]
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
def test_emit_returns_while_the_disk_waits_and_nothing_before_start_is_lost(tmp_path):
    disk = GatedDisk()
    writer = EventWriter(tmp_path, "run", disk=disk)
    assert all(writer.emit(action(n)) for n in range(5_000))
    assert disk.arrived.wait(30)
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
        assert disk.arrived.wait(30)
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


def chain(count: int, *, as_drafts: bool = False) -> list[RunEvent]:
    """Returns events of a run, each the cause of the next one."""
    events: list[RunEvent] = []
    last: tuple[str, ...] = ()
    own = {"simulation_id": "run", "turn_number": 1, "agent_id": "ada"}
    for number in range(count):
        event = EventFields(new_id(), "ACTION", 1, now(), last, step=f"{number}", **own)
        item = draft(event)
        usual = UsualEvent(item.event_id, item.head, item.tail, (), last)
        events.append(usual if as_drafts else event)
        last = (event.event_id,)
    return events


in_both_forms = pytest.mark.parametrize("as_drafts", [False, True], ids=["members", "drafts"])


@pytest.mark.promise("W5")
@in_both_forms
@pytest.mark.parametrize("room", [30, 10])
def test_piece_names_no_event_that_a_full_queue_dropped(tmp_path, room, as_drafts):
    disk = GatedDisk()
    writer = EventWriter(tmp_path, "run", max_queue_size=room, disk=disk)
    writer.emit(action(0))
    assert disk.arrived.wait(30)
    *piece, last = chain(31, as_drafts=as_drafts)
    writer.emit_piece(piece)
    assert writer.dropped_count == 30 - room
    disk.gate.set()
    writer.flush()
    writer.emit_piece([last])
    assert writer.close()
    events = [line for line in lines(tmp_path)[1:] if line["event_type"] == "ACTION"]
    assert [event.get("step") for event in events] == [*map(str, range(room)), "30"]
    for earlier, event in pairwise(events):
        assert event["caused_by"] == [earlier["event_id"]]


@in_both_forms
def test_piece_larger_than_the_queue_waits_for_room(tmp_path: Path, as_drafts: bool) -> None:
    writer = EventWriter(tmp_path, "run", max_queue_size=10, on_full="block")
    writer.emit_piece(chain(1_000, as_drafts=as_drafts))
    assert writer.close()
    assert [line["step"] for line in lines(tmp_path)] == [str(n) for n in range(1_000)]


@in_both_forms
def test_step_in_another_log_is_an_external_cause_of_a_piece(tmp_path, as_drafts):
    first, second = chain(2, as_drafts=as_drafts)
    with thence.open(tmp_path / "other") as other, EventWriter(tmp_path / "run", "run") as writer:
        with thence.step("outer", log=other) as outer:
            writer.emit_piece([first, second])
        cause = other.environment(outer)["THENCE_CAUSE"]
    for line in lines(tmp_path / "run"):
        assert outer.event_id in line["caused_by"]
        assert line["external_causes"] == [cause]


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
    assert disk.arrived.wait(30)
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
    decided = create_decision_event("run", 1, "ada", "trade")
    done = action(1, caused_by=[decided])
    changed = create_state_event("run", 1, "grain", 3, 2, caused_by=[done])
    later = create_decision_event("run", 2, "bob", "trade", caused_by=[changed])
    with EventWriter(tmp_path, "run", VerbosityLevel.DECISION, mode="sync") as writer:
        assert all(map(writer.emit, (decided, done, changed, later)))
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


def test_a_plain_log_is_not_taken_for_a_simulation(tmp_path: Path) -> None:
    with thence.open(tmp_path) as log:
        log.append("order.placed")
    with pytest.raises(VocabularyMismatch):
        EventWriter(tmp_path, "run")


@pytest.mark.promise("W10")
def test_event_that_got_its_run_from_the_writer_still_says_what_was_cut(tmp_path):
    event = Event(event_type="NOTE", description="x" * 501)
    with EventWriter(tmp_path, "run", mode="sync") as writer:
        assert writer.emit(event)
    line = json.loads((tmp_path / "events.jsonl").read_bytes())
    assert line["simulation_id"] == "run"
    assert [entry["path"] for entry in line["repairs"]] == ["description"]


@pytest.mark.promise("W10")
def test_type_that_is_too_long_or_moves_the_cursor_is_cut_and_listed(tmp_path):
    with EventWriter(tmp_path, "run", mode="sync") as writer:
        for event_type in ("a\nb", "x" * 300, "Order Placed!"):
            assert writer.emit(Event(event_type=event_type))
    told = [json.loads(line) for line in (tmp_path / "events.jsonl").read_bytes().splitlines()]
    assert [line["event_type"] for line in told] == ["a\\nb", "x" * 200, "Order Placed!"]
    assert [line.get("repairs") for line in told] == [
        [{"path": "event_type", "was": "3 characters"}],
        [{"path": "event_type", "was": "300 characters"}],
        None,
    ]


@pytest.mark.promise("W10")
@given(st.dictionaries(st.text(max_size=4) | st.integers(), wild_values, max_size=4))
def test_whatever_an_action_holds_becomes_a_line(payload):
    event = create_action_event("run", 1, "ada", "act", payload)
    line = stamped(draft_of(members_of(event), ()), 1, 1)
    read = parse(line[:-1], SIM)
    assert isinstance(read, StoredEvent)
    assert read.event_id == event.event_id
    assert read.payload["action_type"] == "act"
    assert read.members.get("repairs", "something") not in ((), None)


def back(start, graph):
    """Find everything that can be reached from some events."""
    found, stack = set(), list(start)
    while stack:
        event = stack.pop()
        if event not in found:
            found.add(event)
            stack += graph[event]
    return found


def run_of(chance):
    """Make events in order: what each would name, and whether it is written."""
    wanted: dict[str, tuple[str, ...]] = {}
    is_written = {}
    share_written = chance.choice([0.2, 0.5, 0.95])
    for number in range(chance.randrange(1, 120)):
        earlier = list(wanted)
        count = min(len(earlier), chance.choice([0, 1, 3, 60]))
        wanted[f"{number:04}"] = tuple(chance.sample(earlier, count))
        is_written[f"{number:04}"] = chance.random() < share_written
    return wanted, is_written


@pytest.mark.promise("O6")
@given(st.integers(0, 2**32))
def test_written_events_name_written_ones_and_reach_what_they_would_have_reached(seed):
    wanted, is_written = run_of(random.Random(seed))
    forwarding = CauseForwarding()
    named = {}
    for event, causes in wanted.items():
        if not is_written[event]:
            forwarding.forward(event, causes)
            continue
        named[event] = forwarding.written(event, causes)
        assert all(is_written[cause] for cause in named[event])
        assert len(set(named[event])) == len(named[event])
    for event, causes in named.items():
        reached = {cause for cause in back([event], wanted) if is_written[cause]}
        assert back([event], named) == reached
        if len(causes) > CAUSES_MAX:  # nothing that another one implies is left among so many
            for cause in causes:
                others = back([other for other in causes if other != cause], named)
                assert cause not in others


def test_as_many_are_remembered_as_told():
    forwarding = CauseForwarding(remembered_max=2)
    for name in ("a", "b", "c"):
        forwarding.forward(name, [f"cause of {name}"])
    assert forwarding.resolve(["a", "b", "c"]) == ("a", "cause of b", "cause of c")
    for name in ("d", "e", "f"):
        forwarding.written(name, ())
    assert forwarding.resolve(["b", "c"]) == ("cause of b", "cause of c")


def test_direct_causes_of_the_oldest_written_events_are_forgotten_too():
    many = tuple(f"{number:04}" for number in range(CAUSES_MAX))
    implied = CauseForwarding(remembered_max=2)
    implied.written("a", many[:1])
    implied.written("b", ())
    assert implied.resolve([*many, "a"]) == (*many[1:], "a")
    implied.written("c", ())
    assert implied.resolve([*many, "a"]) == (*many, "a")


def test_search_for_implied_causes_ends_after_four_thousand_steps():
    forwarding = CauseForwarding()
    chain = [f"{number:06}" for number in range(6_000)]
    for before, event in pairwise(chain):
        forwarding.written(event, (before,))
    apart = [f"a{number:04}" for number in range(CAUSES_MAX)]
    near, far = chain[-4_000], chain[0]
    assert far in forwarding.resolve([far, chain[-1], *apart])
    assert near not in forwarding.resolve([near, chain[-1], *apart])
