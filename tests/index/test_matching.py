"""What `where` asks for: found by reading what could match, behind a cursor what follows it."""

import json
import os

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.events import event_of, line_of, payloads, scalars
from tests.index.logs import add

from thence.core.event import Event
from thence.core.query.filter import Filter
from thence.core.query.where import OPERATORS, Comparison
from thence.core.values.codec import parse
from thence.core.values.vocabulary import PLAIN, SIM
from thence.index.connection import Index
from thence.index.keeper import Builds
from thence.index.query import count, judge, page
from thence.log.storage.disk import OS_DISK
from thence.replica import open_log

ASKED = Filter.of(where="n > 3")


@pytest.mark.promise("Q7")
@pytest.mark.parametrize("descending", [False, True])
def test_page_behind_a_cursor_reads_only_its_own_events(tmp_path, descending):
    folder = tmp_path / "log"
    add(folder, [line_of({"n": 9}, seq=at, lamport_clock=at) for at in range(1, 3_001)])
    builds = Builds()
    with Index(OS_DISK, folder, PLAIN, builds=builds) as index:
        first = page(index, ASKED, limit=1_500, descending=descending)
        # the first and the last line break, unseen: an index that read one is made again
        segment = folder / "events.jsonl"
        state, lines = segment.stat(), segment.read_bytes().splitlines(keepends=True)
        broken = [line.replace(b'"n":', b'"m":') for line in (lines[0], lines[-1])]
        segment.write_bytes(b"".join([broken[0], *lines[1:-1], broken[1]]))
        os.utime(segment, ns=(state.st_atime_ns, state.st_mtime_ns))
        behind = page(index, ASKED, limit=4, cursor=first.next_cursor, descending=descending)
        expected = range(1_500, 1_496, -1) if descending else range(1_501, 1_505)
        assert [event.seq for event in behind.events] == [*expected]
        assert (behind.total, builds.cost.builds) == (3_000, 1)
        assert page(index, ASKED, limit=4).total == 2_998
        assert builds.cost.builds == 2


def test_where_of_a_large_log_is_judged_in_batches(tmp_path):
    payloads = [{"n": n, "text": "x" * 100_000} for n in range(100)]
    with open_log(tmp_path) as log:
        log.append_many([{"event_type": "a", "payload": payload} for payload in payloads])
    with Index(OS_DISK, tmp_path, PLAIN) as index:
        index.refresh()
        filter = Filter.of(where="n >= 40 and n < 70")
        found = page(index, filter, limit=10, offset=15)
        assert [event.payload["n"] for event in found.events] == list(range(55, 65))
        assert found.total == count(index, filter) == 30


@st.composite
def asked(draw: st.DrawFn) -> tuple[Event, Comparison]:
    """Draws an event with a comparison that often asks for what it holds."""
    payload = draw(payloads)
    if draw(st.booleans()):
        event = event_of(line_of(payload, event_type=draw(st.sampled_from(["a", "noted"]))))
    else:  # another tool's line, with escapes where ours has none
        members = {"event_id": "x", "actor": "ada", "details": payload, "payload": payload}
        found = parse(json.dumps(members).encode(), draw(st.sampled_from([PLAIN, SIM])))
        assert isinstance(found, Event)
        event = found
    path: list[str | int] = [draw(st.sampled_from(["payload", "actor", "subject", "event_type"]))]
    value: object = event.payload
    while isinstance(value, dict | tuple) or hasattr(value, "keys"):
        if not value:
            break
        keys = list(value) if hasattr(value, "keys") else range(len(value))
        path.append(draw(st.sampled_from(keys)))
        value = value[path[-1]]
    known = scalars if isinstance(value, dict | tuple) or hasattr(value, "keys") else st.just(value)
    if isinstance(value, str):
        known = known | st.just(value[1:3])
    wanted = draw(known | st.sampled_from(["ada", "noted", "a"]) | scalars)
    return event, Comparison(tuple(path), draw(st.sampled_from(OPERATORS)), wanted)


@given(drawn=asked(), more=st.lists(asked(), max_size=1))
def test_what_is_judged_by_bytes_is_what_core_says(drawn, more):
    event, comparison = drawn
    comparisons = [comparison, *(other for _, other in more)]
    due = all(other.matches(event) for other in comparisons)
    assert judge(comparisons, event.vocabulary)(event.line) is due
    assert judge([comparison], event.vocabulary)(event.line) is comparison.matches(event)


def test_subject_that_a_host_puts_together_is_found():
    line = (
        b'{"event_id":"x","event_type":"STATE","details":{"scope":"agent","variable_name":"gold"}}'
    )
    event = parse(line, SIM)
    assert isinstance(event, Event)
    assert judge([Comparison(("subject",), "=", "agent/gold")], SIM)(line)
    assert not judge([Comparison(("subject",), "=", "agent/corn")], SIM)(line)
