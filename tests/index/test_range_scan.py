"""Stretches of candidates: whatever index leads them, they hold what is selected."""

import sqlite3
import tempfile
from contextlib import closing
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.index.asked import filters, lines, matching, read, write
from tests.tiers import examples

from thence.core.query.filter import Filter
from thence.core.values.vocabulary import PLAIN
from thence.index.file.database import Index
from thence.index.plan.range_scan import MERGED_NAMES_MAX, Bounds, behind, count_ranges, scan_range
from thence.index.tables.count_tables import recount
from thence.index.tables.places import STRIDE
from thence.index.tables.selection import selection
from thence.log.storage.disk import OS_DISK
from thence.replica import open_log

BITS = 11  # two events that stand a stride apart
bounds = st.builds(
    Bounds,
    st.integers(0, 8),
    st.integers(1, 4),
    st.integers(0, 4),
    st.just(BITS),
)


@pytest.mark.promise("Q2")
@settings(max_examples=examples(200), deadline=None)
@given(drawn=lines(), filter=filters, bounds=bounds, data=st.data())
def test_places_are_those_of_the_events_selected_whatever_leads(drawn, filter, bounds, data):
    filter = _bare(filter)
    descending = data.draw(st.booleans())
    skipped = data.draw(st.integers(0, 20))
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / ".thence").mkdir()
        write(folder, drawn)
        with Index(OS_DISK, folder, PLAIN) as index:
            index.refresh()
            arrived = read(folder)
            due = [event.event_id for event in matching(arrived, filter, descending)]
            with closing(copied(index)) as connection:
                recount(connection, BITS)
                asked = selection(connection, filter)
                if asked is None:
                    assert due == []
                    return
                whole = scan_range(connection, asked, len(arrived), bounds)
                ids = dict(connection.execute("SELECT place, event_id FROM events"))
                assert connection.execute(whole.count_sql()).fetchone()[0] == len(due)
                found = count_ranges(connection, whole, bounds)
                values = {"limit": len(drawn), "offset": skipped}
                if found is not None:
                    assert sum(events for _, events in found) == len(due)
                if whole.known_count is not None:
                    assert whole.known_count == len(due)
                    whole = whole.behind(skipped, descending)
                    values["offset"] = 0
                elif found is not None:
                    whole, rest = behind(whole, found, skipped, descending, BITS)
                    values["offset"] = rest
                rows = connection.execute(whole.sql(descending), values)
                assert [ids[row[0]] for row in rows] == due[skipped:]


def copied(index: Index) -> sqlite3.Connection:
    """Copies an index into memory, where its ranges may be made narrow."""
    connection = sqlite3.connect(":memory:")
    with index.reading() as source:
        source.backup(connection)
    return connection


def _bare(filter: Filter) -> Filter:
    parts = {name: getattr(filter, name) for name in filter.__struct_fields__}
    return Filter(**{**parts, "where": ()})


@pytest.fixture
def index(tmp_path):
    """Indexes 300 events of 100 actors, in ten turns."""
    with open_log(tmp_path / "log") as log:
        log.append_many(
            [{"event_type": "ab"[n % 2], "actor": f"agent-{n % 100}"} for n in range(300)]
        )
    with Index(OS_DISK, tmp_path / "log", PLAIN) as opened:
        opened.refresh()
        yield opened


def plan(index: Index, filter: Filter, bounds: Bounds) -> tuple[str | None, str]:
    """Returns which column leads, and what SQLite makes of the question."""
    with index.reading() as connection:
        asked = selection(connection, filter)
        whole = scan_range(connection, asked, 300, bounds)
        values = {"limit": 10, "offset": 0}
        rows = connection.execute(f"EXPLAIN QUERY PLAN {whole.sql(False)}", values)
        return whole.lead, "\n".join(row[3] for row in rows)


@pytest.mark.promise("Q7")
def test_rarest_condition_leads_through_its_own_index(index):
    lead, told = plan(index, Filter(types=("a",), actors=("agent-2", "agent-4")), Bounds(0))
    assert lead == "actor"
    assert told.count("USING INDEX actors (actor=? AND rowid>? AND rowid<?)") == 2
    assert "TEMP B-TREE" not in told


@pytest.mark.promise("Q7")
def test_single_condition_never_touches_the_table(index):
    lead, told = plan(index, Filter(types=("a", "b")), Bounds(0))
    assert lead == "type"
    assert told.count("USING COVERING INDEX types") == 2
    assert "TEMP B-TREE" not in told


@pytest.mark.promise("Q7")
def test_span_that_stands_together_is_read_off_its_ranges(index):
    with index.reading() as connection:
        first, last = connection.execute("SELECT min(time), max(time) FROM events").fetchone()
        asked = selection(connection, Filter(since=first, until=last))
        whole = scan_range(connection, asked, 300)
        assert (whole.lead, whole.first, whole.last) == (None, 1, 300 * STRIDE)
        assert count_ranges(connection, whole) == [(0, 300)]
        assert count_ranges(connection, whole, Bounds(looked=0)) == [(0, 300)]
        before = selection(connection, Filter(until=first - 1))
        assert scan_range(connection, before, 300).last == 0


@pytest.mark.promise("Q7")
def test_few_events_of_a_span_are_found_by_its_index(index):
    with index.reading() as connection:
        first = connection.execute("SELECT min(time) FROM events").fetchone()[0]
        asked = selection(connection, Filter(since=first, until=first))
        whole = scan_range(connection, asked, 300)
        assert whole.lead == "time"
        assert count_ranges(connection, whole, Bounds(looked=0)) is None


def test_many_names_are_read_off_the_table_or_sorted(index):
    names = tuple(f"agent-{n}" for n in range(MERGED_NAMES_MAX + 1))
    lead, told = plan(index, Filter(actors=names), Bounds(0))
    assert (lead, "SCAN events" in told or "SEARCH events USING INTEGER" in told) == (None, True)
    lead, told = plan(index, Filter(actors=names), Bounds())
    assert lead == "actor"
    assert "USE TEMP B-TREE FOR ORDER BY" in told
