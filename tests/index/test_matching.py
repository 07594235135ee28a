"""What `where` asks for: found by reading what could match, of a grown log what arrived since."""

import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.events import OTHER_NODE, line_of
from tests.index.asked import filters, lines, matching, read
from tests.index.logs import add, index_of
from tests.tiers import examples

from thence.core.query.filter import Filter
from thence.core.values.vocabulary import PLAIN
from thence.index.file.database import Index
from thence.index.file.match_cache import MatchCache
from thence.index.plan.query import count, page
from thence.log.storage.disk import OS_DISK
from thence.replica import open_log

ASKED = Filter.of(where="n > 3")


def numbered(count: int) -> Iterator[bytes]:
    """Yields lines of which every second one has a number above 3, room between their clocks."""
    for at in range(1, count + 1):
        yield line_of({"n": (at + 1) % 2 * 5}, seq=at, lamport_clock=2 * at)


@pytest.mark.promise("Q7")
@pytest.mark.parametrize(
    "line",
    [
        line_of({"n": 9}, seq=50, lamport_clock=99),
        line_of({"n": 9}, node_id=OTHER_NODE, lamport_clock=7),
    ],
    ids=["behind all", "between others"],
)
def test_first_page_of_a_log_that_has_grown_reads_only_what_arrived(tmp_path, line):
    folder = tmp_path / "log"
    add(folder, numbered(40))
    with index_of(folder) as index:
        assert count(index, ASKED) == 20
        # lines in the middle break, unseen: whoever read them again would find fewer events
        segment = folder / "events.jsonl"
        all_lines = segment.read_bytes().splitlines(keepends=True)
        broken = [each.replace(b'"n":', b'"m":') for each in all_lines[10:30]]
        segment.write_bytes(b"".join([*all_lines[:10], *broken, *all_lines[30:]]))
        add(folder, [line])
        assert page(index, ASKED, limit=4).total == count(index, ASKED) == 21
        index.match_cache = MatchCache()
        assert count(index, ASKED) == 11


@pytest.mark.promise("Q2")
@settings(max_examples=examples(100), deadline=None)
@given(
    drawn=st.lists(lines(12), min_size=2, max_size=6),
    filter=filters,
    limit=st.integers(1, 8),
    descending=st.booleans(),
)
def test_answers_remembered_while_a_log_grows_are_those_of_a_reading(
    drawn, filter, limit, descending
):
    asked = filter if filter.where else ASKED
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        with index_of(folder) as index:
            for some in drawn:
                add(folder, some)
                due = matching(read(folder), asked, descending)
                first = page(index, asked, limit=limit, descending=descending)
                assert list(first.events) == due[:limit]
                assert first.total == count(index, asked) == len(due)
                last = first
                while last.next_cursor is not None:
                    cursor = last.next_cursor
                    last = page(index, asked, limit=limit, descending=descending, cursor=cursor)
                assert list(last.events) == due[(len(due) - 1) // limit * limit :]


@pytest.mark.promise("Q7")
def test_page_begun_before_the_log_grew_reads_only_its_own_events(tmp_path):
    folder = tmp_path / "log"
    rare = [line_of({"n": 9}, seq=at, lamport_clock=2 * at) for at in (1, 5, 9, 39)]
    common = [line_of({"n": 0}, seq=at, lamport_clock=2 * at) for at in range(10, 39)]
    add(folder, [*rare[:3], *common, rare[3]])
    with index_of(folder) as index:
        first = page(index, ASKED, limit=1)
        late = [line_of({"n": 9}, node_id=OTHER_NODE, lamport_clock=at) for at in (5, 21, 61)]
        # a line on the way to the last page begins to match, unseen: a reading would find it
        segment = folder / "events.jsonl"
        segment.write_bytes(segment.read_bytes().replace(b'"n":0', b'"n":8', 15))
        add(folder, [*late, line_of({"n": 9}, seq=50, lamport_clock=99)])
        for descending in (False, True):
            turned = page(index, ASKED, limit=1, descending=descending)
            assert turned.total == 8
        behind = page(index, ASKED, limit=9, cursor=first.next_cursor)
        assert [event.seq for event in behind.events] == [5, 9, 39]
        assert behind.total == 4


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
