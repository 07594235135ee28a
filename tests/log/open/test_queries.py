"""An opened log asked for pages: by reading it while it is small, by its index from then on."""

import os
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.codes import raises_code
from tests.log.index.asked import lines, matching
from tests.log.index.logs import add
from tests.tiers import examples

import thence
from thence.core.query.filter import Filter
from thence.core.vocabulary import PLAIN
from thence.errors import InvalidFilter
from thence.log.files.disk import OS_DISK
from thence.log.log_reader import INDEXED_BYTES_MIN, Reader
from thence.log.open import Log


@pytest.fixture
def log(tmp_path):
    with thence.open(tmp_path / "log", bodies_from=None) as opened:
        yield opened


def index_of(log: Log) -> Path:
    return log.folder / ".thence" / "index.db"


def fill(log: Log) -> None:
    """Makes a log large."""
    payload = {"text": "x" * 10_000}
    events = [{"event_type": "bulk", "payload": payload}] * (INDEXED_BYTES_MIN // 10_000 + 1)
    log.append_many(events)


def test_reader_alone_makes_no_thread_no_session_and_no_file(log):
    placed = log.append("placed", subject="order/1")
    log.close()
    before, threads = sorted(log.folder.rglob("*")), {*threading.enumerate()}
    readers = [Reader(OS_DISK, log.folder, PLAIN) for _ in range(20)]
    for reader in readers:
        assert reader.why("order/1").event == reader.resolve("@last") == placed
        assert reader.query(type="placed").events == (placed,)
        assert next(reader.follow()) == placed
    assert {*threading.enumerate()} <= threads  # one of another test may end meanwhile
    assert sorted(log.folder.rglob("*")) == before


@pytest.mark.promise("P1", "Q2")
def test_query_returns_a_page_of_what_matches(log):
    first = log.append("a", {"n": 1}, actor="ada", subject="o/1", stream="s")
    second = log.append("b", {"n": 2}, actor="ada")
    log.append("c", {"n": 3})
    page = log.query(actor="ada", limit=1)
    assert (page.events, page.total, page.has_more) == ((first,), 2, True)
    page = log.query(actor="ada", limit=1, cursor=page.next_cursor)
    assert (page.events, page.total, page.has_more, page.next_cursor) == ((second,), 2, False, None)
    assert log.query(actor="ada", offset=1).events == (second,)
    assert log.query(type=["a", "b"], descending=True).events == (second, first)
    assert log.query(subject="o/1", stream="s", where="n = 1").events == (first,)
    assert log.query(type="gone").events == ()
    assert log.query(until="2020-01-01").total == 0


@pytest.mark.promise("P1a")
@pytest.mark.parametrize(
    ("asked", "meant"),
    [("wher", "where"), ("typ", "type"), ("limits", "limit"), ("cause_of", None)],
)
def test_key_that_no_filter_has_is_refused_with_the_nearest(log, asked, meant):
    with pytest.raises(InvalidFilter) as caught:
        log.query(actor="ada", **{asked: "x"})
    end = f"; did you mean {meant}?" if meant else ""
    assert str(caught.value) == f"could not read the filter's {asked}: there is no such key{end}"
    assert caught.value.key == asked
    assert "type, actor, subject, stream" in caught.value.hint


@pytest.mark.promise("P1")
def test_what_can_not_be_asked_is_refused(log):
    log.append_many([{"event_type": "a"}, {"event_type": "b"}])
    with pytest.raises(InvalidFilter):
        log.query(turn="x")
    with pytest.raises(InvalidFilter):
        log.query(limit=0)
    with raises_code("invalid_cursor"):
        log.query(cursor="x")
    with thence.open(log.folder.parent / "other") as other:
        cursor = log.query(limit=1).next_cursor
        with raises_code("invalid_cursor", match="another filter, order or log"):
            other.query(limit=1, cursor=cursor)


@pytest.mark.promise("Q2")
@settings(max_examples=examples(40), deadline=None)
@given(drawn=lines(), limit=st.integers(1, 9), offset=st.integers(0, 9), data=st.data())
def test_a_log_with_and_without_an_index_answers_the_same(
    tmp_path_factory, drawn, limit, offset, data
):
    folder = tmp_path_factory.mktemp("log")
    add(folder, drawn)
    kind = data.draw(st.sampled_from([None, "a", ["a", "b"]]))
    asked = {"type": kind, "where": data.draw(st.sampled_from([None, "n > 2"]))}
    paging = {"limit": limit, "offset": offset, "descending": data.draw(st.booleans())}
    with thence.open(folder, create=False) as log:
        plainly = log.query(**asked, **paging)
        assert not index_of(log).exists()
        assert log.rebuild() == len(list(log.read()))
        assert log.query(**asked, **paging) == plainly
        due = matching(list(log.read()), Filter.of(**asked), paging["descending"])
        assert list(plainly.events) == due[offset : offset + limit]


@pytest.mark.promise("Q2")
def test_pages_go_on_when_a_log_becomes_large_in_between(log):
    small = log.append_many([{"event_type": "a", "payload": {"n": n}} for n in range(9)])
    page = log.query(limit=4)
    assert not index_of(log).exists()
    fill(log)
    found = [*page.events]
    while page.next_cursor is not None:
        page = log.query(limit=4, cursor=page.next_cursor)
        found += page.events
        assert page.total == 9
    assert found == small
    assert index_of(log).exists()


@pytest.mark.promise("P1")
def test_rebuild_makes_a_small_log_s_index_that_is_then_used_and_followed(log):
    log.append("a")
    assert log.rebuild() == 1
    log.append("a")
    assert log.query().total == 2
    index_of(log).write_bytes(b"no database")
    assert log.query().total == 2
    assert log.rebuild() == 2


@pytest.mark.promise("P1")
def test_threads_ask_at_once(log):
    fill(log)
    events = log.append_many([{"event_type": "b", "payload": {"n": n}} for n in range(20)])

    def ask(n: int) -> bool:
        return log.query(type="b", limit=1, offset=n % 20).events == (events[n % 20],)

    with ThreadPoolExecutor(8) as threads:
        assert all(threads.map(ask, range(80)))


def test_closed_log_is_still_read(tmp_path):
    with thence.open(tmp_path) as log:
        log.append("a")
        log.rebuild()
    assert log.query().total == 1
    log.close()
    assert not [name for name in os.listdir("/proc/self/fd") if _is_open(name, tmp_path)]


def _is_open(name: str, folder: Path) -> bool:
    try:
        return os.readlink(f"/proc/self/fd/{name}").startswith(f"{folder}/.thence/index")
    except FileNotFoundError:
        return False


@pytest.mark.promise("A1")
@pytest.mark.parametrize("is_indexed", [False, True])
def test_query_warns_of_a_key_that_no_event_has_with_the_nearest(log, is_indexed):
    log.append("order.failed", {"amount": 12, "reason": "no stock"})
    if is_indexed:
        log.rebuild()
    for where in ("type ~ failed", ["amount > 1", "type ~ failed"]):
        with pytest.warns(UserWarning, match="no event has a key `type`; nearest: event_type") as w:
            assert log.query(where=where).total == 0
        assert w[0].filename == __file__
    assert log.query(where="amount > 12").total == 0
    assert log.query(type="gone", where="reason ~ stock").total == 0


def test_key_that_only_older_events_have_is_looked_for_among_the_last_10_000(log):
    log.append("old", {"rare": 1})
    log.append_many([{"event_type": "new"}] * 500)
    assert log.query(type="gone", where="rare = 1").total == 0
    log.append_many([{"event_type": "new"}] * 9_500)
    with pytest.warns(UserWarning, match="none of the last 10,000 events has a key `rare`"):
        assert log.query(type="gone", where="rare = 1").total == 0


def test_last_events_are_asked_for_in_order(tmp_path):
    with thence.open(tmp_path) as log:
        ids = [log.append("noted", {"n": n}).event_id for n in range(5)]
        page = log.query(last=2)
        assert [event.event_id for event in page] == ids[3:]
        assert (page.total, page.has_more, page.next_cursor) == (5, False, None)
        page = log.query(last=9, where="n < 2", since="1h", descending=True)
        assert [event.event_id for event in page] == ids[1::-1]
        for bound in ({"limit": 3}, {"offset": 1}, {"cursor": "x"}):
            with pytest.raises(thence.InvalidFilter, match="last"):
                log.query(last=2, **bound)
