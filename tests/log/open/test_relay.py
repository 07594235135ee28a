"""Relaying by an open log, with and without an index, against a plain model of what it keeps."""

import json
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.events import NODE, OTHER_NODE, drafted, event_of, line_of, new_id, stamped
from tests.log.processes import in_child
from tests.tiers import examples

import thence
from thence.core.event import Event
from thence.core.order import totally_ordered
from thence.core.redaction import Redaction, claim_order, same_line_key
from thence.log.files.disk import OS_DISK
from thence.log.open import Log
from thence.log.read.reader import lines

IDS = [f"{number:026}" for number in range(3)]


@st.composite
def verified_lines(draw: st.DrawFn) -> bytes:
    """Draw a line of two nodes: few ids, numbers and payloads, so that they meet."""
    payload = draw(st.sampled_from([{"a": 1}, {"a": 2}]))
    made = drafted(draw(st.sampled_from(IDS)), "noted", {"payload": payload})
    clock = draw(st.integers(1, 3))
    node = draw(st.sampled_from([NODE, OTHER_NODE]))
    return stamped(made, draw(st.integers(1, 4)), clock, node)[:-1]


foreign_lines = st.builds(
    lambda event_id, text, gap: json.dumps(
        {"event_id": event_id, "event_type": "noted", "text": text}, separators=(",", f":{gap}")
    ).encode(),
    st.sampled_from(IDS),
    st.sampled_from("xy"),
    st.sampled_from(["", " "]),
)
batches = st.lists(st.lists(verified_lines() | foreign_lines, max_size=8), max_size=5)


class Model:
    """The lines that a log keeps, each once, and what each relay must report."""

    def __init__(self) -> None:
        self.kept: list[Event] = []

    def take(self, lines: list[bytes]) -> tuple[list[bytes], list[bytes], int]:
        taken, beside, known = [], [], 0
        for line in lines:
            event = event_of(line)
            same = [each for each in self.kept if each.event_id == event.event_id]
            if any(same_line_key(each) == same_line_key(event) for each in same):
                known += 1
                continue
            (beside if same else taken).append(line)
            self.kept.append(event)
        return taken, beside, known

    def served(self) -> dict[str, bytes]:
        ids = {event.event_id for event in self.kept}
        return {
            event_id: min(
                (each for each in self.kept if each.event_id == event_id), key=claim_order
            ).line
            for event_id in ids
        }


def lines_of(folder: Path) -> Iterator[bytes]:
    for line in (folder / "events.jsonl").read_bytes().split(b"\n")[:-1]:
        if b'"noted"' in line:
            yield line


@pytest.mark.parametrize("is_indexed", [True, False])
@settings(max_examples=examples(30))
@given(batches=batches)
def test_any_batches_leave_each_line_once_and_serve_what_a_whole_reading_serves(
    batches: list[list[bytes]], is_indexed: bool
) -> None:
    model = Model()
    with TemporaryDirectory() as folder, thence.open(folder) as log:
        begun = log.append("begun")
        if is_indexed:
            log.rebuild()
        for batch in batches:
            made = log.relay(batch)
            taken, beside, known = model.take(batch)
            assert [event.line for event in made.taken] == taken
            assert [event.line for event in made.beside] == beside
            assert (made.known, made.bad, made.parked, made.ours) == (known, (), (), ())
        assert sorted(lines_of(Path(folder))) == sorted(event.line for event in model.kept)
        served = {begun.event_id: begun.line, **model.served()}
        assert {event.event_id: event.line for event in log.read()} == served
        expected = totally_ordered([event_of(line) for line in served.values()])
        assert list(log.query()) == expected
        log.rebuild()
        assert list(log.query()) == expected
        assert_same_held(log, set(IDS))


def assert_same_held(log: Log, ids: set[str]) -> None:
    """Assert that the index and a whole reading answer alike."""
    whole = [line.content for line in lines(OS_DISK, log.folder, log.vocabulary)]
    events = [event for event in whole if isinstance(event, Event)]
    held = log.held(ids)
    assert held.event_count == len({event.event_id for event in events})
    served = {event.event_id: event for event in log.read() if event.event_id in ids}
    assert held.events == served
    for event_id in ids:
        of_id = {event.line for event in events if event.event_id == event_id}
        assert {event.line for event in log.lines_of(event_id)} == of_id


def test_parent_and_child_relay_and_append_by_turns(tmp_path: Path) -> None:
    lines = [
        line_of({"a": number}, event_id=new_id(), seq=number, lamport_clock=10 * number)[:-1]
        for number in range(1, 6)
    ]

    def child() -> None:
        assert len(log.relay(lines[:3]).taken) == 1
        log.append("noted", {"by": "child"})
        log.close()

    with thence.open(tmp_path) as log:
        log.append("begun")
        log.relay(lines[:1])
        log.relay(lines[1:2])
        in_child(child)
        log.append("noted", {"by": "parent"})
        assert [event.line for event in log.relay(lines).taken] == lines[3:]
        assert log.append("noted").lamport_clock == 51
        assert sorted(set(lines_of(tmp_path)) & set(lines)) == sorted(lines)
        assert not log.verify().damage


def test_torn_line_is_passed_over_where_lines_were_taken_back(tmp_path: Path) -> None:
    with thence.open(tmp_path) as log:
        event = log.append("noted", {"password": "swordfish"})
        log.redactions.take_back([Redaction(event.event_id, same_line_key(event).hex())])
        made = log.relay([event.line[:-40], b"no line"])
        assert (len(made.bad), made.taken) == (2, ())
