"""How far back an append with a condition reads the log, and what it passes over."""

import pytest
from tests.events import drafted, line_of

import thence
from thence.core.values.new_event import Unchanged
from thence.core.values.position import Position
from thence.core.values.vocabulary import PLAIN
from thence.errors import AppendFailed, HeadsMoved
from thence.log.storage.disk import OS_DISK, Disk
from thence.log.write.append_conditions import (
    AlreadyStored,
    Condition,
    Same,
    lines_of_the_log,
    merged,
    verdicts,
)
from thence.replica import Log


def test_whole_lines_come_from_the_last_with_their_places(tmp_path):
    older = "events_2026-01-01_00-00-00-000000.jsonl"
    (tmp_path / older).write_bytes(b"one\n\nthree\n")
    (tmp_path / "events.jsonl").write_bytes(b"four\nfifth\n")
    assert list(lines_of_the_log(OS_DISK, tmp_path)) == [
        (b"fifth", "events.jsonl", 5, True),
        (b"four", "events.jsonl", 0, True),
        (b"three", older, 5, False),
        (b"one", older, 0, False),
    ]
    data = {name: (tmp_path / name).read_bytes() for name in (older, "events.jsonl")}
    for line, name, offset, _ in lines_of_the_log(OS_DISK, tmp_path):
        assert data[name][offset : offset + len(line) + 1] == line + b"\n"


def test_guard_is_judged_by_what_came_after_its_position_alone(tmp_path):
    opened = []

    class NotingDisk(Disk):
        def open_read(self, path):
            opened.append(path.name)
            return super().open_read(path)

    with Log(tmp_path, PLAIN, disk=NotingDisk(), max_file_size=1) as log:
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
    known = AlreadyStored(line, "events.jsonl", len(line_of()), True)
    found = verdicts(OS_DISK, tmp_path, "node", PLAIN, drafts, named)
    assert found[1:4] == [None, Same(1), None]
    assert [(v.line, v.file, v.is_current) for v in (found[0], found[4])] == [
        (line, "events.jsonl", True)
    ] * 2
    assert found[0].offset == known.offset


def test_outcomes_are_put_together_up_to_the_first_that_was_not_written():
    refused = AppendFailed("could not")
    known = AlreadyStored(b"known\n", "a", 0, True)
    found = [None, known, Same(0), refused, None, known, Same(4)]
    whole = [b"one\n", b"known\n", b"one\n", refused]
    assert merged(found, [b"one\n", b"two\n"]) == [*whole, b"two\n", b"known\n", b"two\n"]
    assert merged(found, [b"one\n"]) == whole
    assert merged(found, []) == []
    assert merged([], []) == []


def test_condition_is_made_of_a_guard_or_a_name():
    guard = Unchanged(Position(), {"a"})
    assert Condition.of(None, None) is None
    assert Condition.of(guard, None) == Condition(guard, False)
    assert Condition.of(None, "once") == Condition(None, True)
    assert Condition.of(guard, "once") == Condition(guard, True)
    assert Condition() == Condition(None, False)
