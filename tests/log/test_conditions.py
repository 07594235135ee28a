"""Appends that depend on what the log holds: guards, chosen ids, how far back they look."""

import threading

import pytest
from tests.disks import GatedDisk, Scripted
from tests.events import drafted, line_of
from tests.log.committers import until, waiting
from tests.log.faults import WAIT_S

import thence
from thence.core.new_event import Position, Unchanged
from thence.core.vocabulary import PLAIN
from thence.errors import HeadsMoved, IdReused, ThenceError
from thence.log.files.disk import OS_DISK
from thence.log.open import Log, LogSettings, new_id
from thence.log.write.conditions import (
    Condition,
    Same,
    merged,
    verdicts,
)


def lines_of(path):
    return path.read_bytes().splitlines()


def seen(log):
    return Position().after(log.read())


@pytest.mark.promise("P1")
def test_guard_refuses_when_the_subject_has_moved(log):
    log.append("claimed", subject="WP01")
    guard = Unchanged(seen(log), {"WP01"})
    log.append("noted", subject="WP02")
    log.append("done", subject="WP01", guard=guard)
    size = log.current_size
    with pytest.raises(HeadsMoved, match="about WP01 arrived in between") as caught:
        log.append("done", subject="WP01", guard=guard)
    assert caught.value.recoverable
    assert log.current_size == size
    assert log.append("done", subject="WP01", guard=Unchanged(seen(log), {"WP01"})).seq == 4


def test_guard_of_several_events_lets_in_all_or_none(log):
    def appended(guard):
        return log.append_many([{"event_type": name} for name in "abc"], guard=guard)

    guard = Unchanged(seen(log), {"WP01"})
    log.append("claimed", subject="WP01")
    size = log.current_size
    with pytest.raises(HeadsMoved):
        appended(guard)
    assert log.current_size == size
    appended(Unchanged(seen(log), {"WP01"}))
    assert [event.event_type for event in log.read()] == ["claimed", "a", "b", "c"]


def test_event_behind_a_guarded_one_in_its_batch_does_not_share_its_fate(log):
    guard = Unchanged(seen(log), {"WP01"})
    log.append("claimed", subject="WP01")
    drafts = [drafted(new_id(), name, {}) for name in "abc"]
    conditions = {1: Condition(guard)}
    found = verdicts(OS_DISK, log.folder, "", PLAIN, drafts, conditions)
    assert [type(verdict) for verdict in found] == [type(None), HeadsMoved, type(None)]


def test_notices_before_a_guarded_event_wait_for_its_guard(log):
    causes = [log.append("filler").event_id for _ in range(40)]
    guard = Unchanged(seen(log), {"WP01"})
    log.append("claimed", subject="WP01")
    with pytest.raises(HeadsMoved):
        log.append("done", subject="WP01", caused_by=causes, guard=guard)
    assert [event.event_type for event in log.read()][-1] == "claimed"


def test_guard_watches_only_the_types_that_it_names(log):
    guard = Unchanged(seen(log), {"WP01"}, {"claimed"})
    log.append("noted", subject="WP01")
    log.append("claimed", subject="WP01", guard=guard)
    with pytest.raises(HeadsMoved):
        log.append("claimed", subject="WP01", guard=guard)


def test_guard_sees_events_in_older_segments_and_of_other_openings(tmp_path):
    with (
        Log(tmp_path, PLAIN, LogSettings(max_file_size=200)) as log,
        thence.open(tmp_path) as other,
    ):
        guard = Unchanged(seen(log), ["WP01"])
        other.append("claimed", subject="WP01")
        for _ in range(5):
            log.append("filler", {"text": "x" * 200})
        with pytest.raises(HeadsMoved):
            log.append("claimed", subject="WP01", guard=guard)


def test_guard_of_a_position_with_holes_is_judged_by_the_whole_log(log):
    first = log.append("claimed", subject="WP01")
    later = log.append("other", subject="WP02")
    guard = Unchanged(Position().after([later]), {"WP01"})
    with pytest.raises(HeadsMoved, match=first.event_id):
        log.append("claimed", subject="WP01", guard=guard)


def test_guard_sees_foreign_lines(log):
    log.append("a")
    guard = Unchanged(seen(log), {"WP01"})
    with log.current_file.open("ab") as file:
        file.write(b'{"event_id":"x1","event_type":"claimed","subject":"WP01"}\n')
    with pytest.raises(HeadsMoved, match="x1"):
        log.append("claimed", subject="WP01", guard=guard)


@pytest.mark.promise("P1")
def test_of_threads_with_the_same_guard_one_comes_in(tmp_path):
    disk = GatedDisk()
    with Log(tmp_path, PLAIN, disk=disk) as log:
        guard = Unchanged(Position(), {"WP01"})
        outcomes = []

        def claim(name):
            try:
                log.append("claimed", {"by": name}, subject="WP01", guard=guard)
                outcomes.append("in")
            except HeadsMoved:
                outcomes.append("out")

        log.emit("first")  # holds the thread in its sync, so that the claims share a batch
        assert disk.arrived.wait(WAIT_S)
        threads = [threading.Thread(target=claim, args=(n,)) for n in range(8)]
        for thread in threads:
            thread.start()
        until(lambda: len(waiting(threads)) == 8)
        disk.gate.set()
        for thread in threads:
            thread.join(WAIT_S)
    assert sorted(outcomes) == ["in"] + ["out"] * 7
    assert [event.event_type for event in log.read()] == ["first", "claimed"]
    assert log.verify().ok


@pytest.mark.promise("P1")
def test_known_id_with_the_same_content_returns_the_stored_event(log):
    first = log.append("paid", {"amount": 3}, subject="order/1", event_id="order-1-paid")
    log.append("other")
    again = log.append("paid", {"amount": 3}, subject="order/1", event_id="order-1-paid")
    assert again == first
    with pytest.raises(IdReused, match="order-1-paid"):
        log.append("paid", {"amount": 4}, subject="order/1", event_id="order-1-paid")
    assert [event.seq for event in log.read()] == [1, 2]


def test_same_id_twice_in_one_batch_is_written_once(tmp_path):
    disk = GatedDisk()
    with Log(tmp_path, PLAIN, disk=disk) as log:
        log.emit("first")
        assert disk.arrived.wait(WAIT_S)
        found = []

        def append(amount):
            try:
                found.append(log.append("paid", {"amount": amount}, event_id="once"))
            except IdReused:
                found.append(None)

        threads = [threading.Thread(target=append, args=(n,)) for n in (1, 1, 1, 2)]
        for thread in threads:
            thread.start()
            count = 1 + threads.index(thread)
            until(lambda count=count: len(waiting(threads)) == count)
        disk.gate.set()
        for thread in threads:
            thread.join(WAIT_S)
    assert found.count(None) == 1
    assert len({event.line for event in found if event}) == 1
    assert len(lines_of(log.current_file)) == 2


def test_guard_is_judged_by_what_came_after_its_position_alone(tmp_path):
    disk, opened = Scripted(), []
    disk.before["open_read"] = lambda path: opened.append(path.name)
    with Log(tmp_path, PLAIN, LogSettings(max_file_size=1), disk=disk) as log:
        for n in range(4):
            log.append("t", {"n": n}, subject="WP02")
        guard = Unchanged(Position().after(log.read()), {"WP01"})
        log.append("last", subject="WP02")
        opened.clear()
        log.append("t", subject="WP01", guard=guard)
    names = sorted(path.name for path in tmp_path.glob("events_*.jsonl"))
    assert len(names) >= 5
    # the older segments hold what the guard has seen; the newest two do not
    assert not {*opened} & {*names[:3]}


def test_guard_looks_behind_damage_and_blank_lines(tmp_path):
    path = tmp_path / "events.jsonl"
    with thence.open(tmp_path) as log:
        guard = Unchanged(Position(), {"WP01"})
        event = log.append("claimed", subject="WP01")
    path.write_bytes(path.read_bytes() + b"no event\n\n{}\n")
    with thence.open(tmp_path) as log, pytest.raises(HeadsMoved, match=event.event_id):
        log.append("claimed", subject="WP01", guard=guard)


def test_known_id_is_looked_for_by_the_whole_id_and_in_no_payload(tmp_path):
    with thence.open(tmp_path) as log:
        log.append("t", {"of": "once"}, event_id="once-more")
        first = log.append("t", event_id="once")
        log.append("t", {"of": "once"}, event_id="not-once")
        assert log.append("t", event_id="once") == first
        assert [event.seq for event in log.read()] == [1, 2, 3]


def test_known_id_is_found_in_the_log_of_a_simulation(tmp_path):
    with thence.open(tmp_path, "sim") as log:
        first = log.append("t", {"n": 1}, event_id="once")
        assert log.append("t", {"n": 1}, event_id="once") == first
        assert len(list(log.read())) == 1


def test_id_in_the_line_of_another_tool_is_no_event_of_ours(tmp_path):
    (tmp_path / "events.jsonl").write_bytes(b'{"event_id":"once","event_type":"t"}\n')
    with thence.open(tmp_path) as log:
        assert log.append("t", event_id="once").seq == 1


def test_batch_is_judged_in_its_order_event_by_event(tmp_path):
    line = line_of(event_id="stored")
    (tmp_path / "events.jsonl").write_bytes(line_of() + line)
    names = ["stored", "new", "new", "free", "stored"]
    drafts = [drafted(name, "noted", {}) for name in names]
    named = dict.fromkeys((0, 1, 2, 4), Condition(is_named=True))
    found = verdicts(OS_DISK, tmp_path, "node", PLAIN, drafts, named)
    assert found[1:4] == [None, Same(1), None]
    assert found[0] == found[4] == line


def test_outcomes_are_put_together_up_to_the_first_that_was_not_written():
    refused = ThenceError("could not", code="append_failed")
    known = b"known\n"
    found = [None, known, Same(0), refused, None, known, Same(4)]
    whole = [b"one\n", b"known\n", b"one\n", refused]
    assert merged(found, [b"one\n", b"two\n"]) == [*whole, b"two\n", b"known\n", b"two\n"]
    assert merged(found, [b"one\n"]) == whole
    assert merged(found, []) == []
    assert merged([], []) == []
