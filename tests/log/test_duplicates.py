"""Lines that claim one id, and lines under a log's own node: neither arrival nor author decides."""

import json
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.events import NODE, OTHER_NODE, drafted, event_of, stamped
from tests.log.test_importing import line_of, lines_of, own_line, taken
from tests.tiers import examples

import thence
from thence.core.redaction import claim_order, redacted
from thence.errors import HeadsMoved
from thence.log.files.disk import OS_DISK
from thence.log.files.identity import known_node_id

IDS = [f"{number:026}" for number in range(4)]
NAMES = [f"events_2026-11-20_0{number}-00-00-000000.jsonl" for number in range(4)]


@st.composite
def claimants(draw: st.DrawFn) -> bytes:
    """Draw a line of few ids: verified or not, redacted or whole, the cause of the next id."""
    at = draw(st.integers(0, len(IDS) - 1))
    causes = [IDS[at - 1]] if at and draw(st.booleans()) else []
    event_type, number = draw(st.sampled_from(["noted", "said"])), draw(st.integers(1, 3))
    form = draw(st.sampled_from(["whole", "whole", "redacted", "foreign"]))
    if form == "foreign":
        members = {"event_id": IDS[at], "event_type": event_type, "caused_by": causes}
        return json.dumps({**members, "n": number}).encode()
    made = drafted(IDS[at], event_type, {"payload": {"a": draw(st.integers(0, 3))}}, causes)
    line = stamped(made, number, number, draw(st.sampled_from([NODE, OTHER_NODE])))[:-1]
    return redacted(line) if form == "redacted" else line


def answers_of(folder: Path) -> tuple[object, ...]:
    """Return what every way of reading a whole log answers, after its parts agree."""
    with thence.open(folder) as log:
        served = {event.event_id: event.line for event in log.read()}
        assert {event.event_id: event.line for event in log.query()} == served
        assert {key: event.line for key, event in log.with_ids(set(IDS)).items()} == served
        assert {key: log.get(key).line for key in served} == served
        assert {key: log.why(key).event.line for key in served} == served
        cones = {key: [cause.event_id for cause, _ in log.why(key).cone] for key in served}
        checked = log.verify()
        counts = checked.events, checked.unverified
    return served, cones, counts


@settings(max_examples=examples(60))
@given(lines=st.lists(claimants(), min_size=1, max_size=10), data=st.data())
def test_whole_reads_agree_whatever_the_order_of_arrival_and_the_split(lines, data):
    wanted: dict[str, bytes] = {}
    for event in sorted(map(event_of, lines), key=claim_order):
        wanted.setdefault(event.event_id, event.line)
    found = []
    for is_indexed in (False, True):
        order = data.draw(st.permutations(lines))
        cuts = sorted(data.draw(st.lists(st.integers(0, len(order)), max_size=3)))
        parts = [order[a:b] for a, b in pairwise([0, *cuts, len(order)])]
        with TemporaryDirectory() as folder:
            arrive(Path(folder), parts, is_indexed=is_indexed)
            found.append(answers_of(Path(folder)))
    assert found[0] == found[1]
    assert found[0][0] == wanted


def arrive(folder: Path, parts: Sequence[Sequence[bytes]], *, is_indexed: bool) -> None:
    """Write the parts as segments, the last as the current; an index reads line after line."""
    for at, part in enumerate(parts):
        name = NAMES[at] if at + 1 < len(parts) else "events.jsonl"
        (folder / name).touch()
        for line in part:
            with (folder / name).open("ab") as segment:
                segment.write(line + b"\n")
            if is_indexed:
                with thence.open(folder) as log:
                    log.indexed()
                    list(log.query())


@pytest.fixture
def log(tmp_path):
    with thence.open(tmp_path, "work") as opened:
        for number in range(3):
            opened.append("WPCreated", {}, subject=f"WP0{number}")
        yield opened


@pytest.mark.parametrize("seq", [2, 900])
def test_line_under_our_node_that_the_log_lacks_gives_it_another_node(log, seq):
    first = known_node_id(OS_DISK, log.folder)
    line = own_line(log, seq, 9)
    result = taken(log, [line])
    assert ([event.line for event in result.ours], result.renewed) == ([line], True)
    assert line in lines_of(log)
    with thence.open(log.folder) as again:
        later = again.append("WPCreated", {}, subject="WP09")
    assert later.node_id != first
    assert later.seq == 2, "the notice of the change is the first"
    again = taken(log, [line])
    assert (again.known, again.renewed) == (1, False)
    assert taken(log, [own_line(log, seq + 1, 9)]).renewed is False, "the node is an earlier one"


def test_openings_that_stand_write_as_the_new_node_behind_all_clocks(log):
    first = known_node_id(OS_DISK, log.folder)
    with thence.open(log.folder) as other:
        other.append("WPCreated", {}, subject="WP08")
        ahead = line_of(1, 50)
        assert taken(log, [ahead, own_line(log, 900, 9)]).renewed
        for number, opened in enumerate((log, other)):
            later = opened.append("WPCreated", {}, subject="WP09")
            assert later.node_id == known_node_id(OS_DISK, log.folder) != first
            assert later.seq == 2 + number, "the notice of the change is the first"
            assert later.lamport_clock > 50


def test_line_of_ours_that_was_damaged_fills_its_hole(log):
    lines = log.current_file.read_bytes().split(b"\n")
    log.close()
    log.current_file.write_bytes(b"\n".join([lines[0], b"x" * len(lines[1]), *lines[2:]]))
    assert "events_lost" in {each.code for each in log.verify().damage}
    assert [event.line for event in taken(log, lines[1:2]).ours] == lines[1:2]
    assert log.verify().ok


def test_guard_is_not_satisfied_by_a_line_that_only_bears_our_node(log):
    guard = thence.Unchanged(log.position(), subjects={"-/-/WP01"}, types={"WPCreated"})
    theirs = line_of(1, 20)
    taken(log, [theirs, own_line(log, 2, 9)])
    with pytest.raises(HeadsMoved):
        log.append("WPCreated", {}, subject="WP01", guard=guard)
