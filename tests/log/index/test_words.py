"""Searches by words find what a slow reading finds; their database goes with the index."""

import json
import re
import sqlite3
from contextlib import closing
from pathlib import Path
from unicodedata import normalize

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.codes import raises_code
from tests.events import line_of
from tests.log.index.asked import filters, lines, matching
from tests.log.index.logs import add, generation, index_of, read
from tests.log.index.test_query import log_of
from tests.tiers import examples

import thence
from thence.core.event import Event
from thence.core.query.filter import Filter
from thence.core.redaction import Redaction, digests
from thence.core.vocabulary import PLAIN
from thence.log.files.disk import OS_DISK
from thence.log.index import words
from thence.log.index.connection import Index
from thence.log.index.query import Within, page

LONG_S = 60.0
KNOWN = f"{1:026}"
_TEXTS = st.sampled_from(["ad", "BEN", "c.d", "o/1", "é", "n 5", "status fail", "zz", "1 s", "e"])


def found(index: Index, text: str) -> list[str]:
    """The ids of the events with words."""
    had, events = words.follow(index, LONG_S)
    assert had == events
    answer = page(index, Filter(), "", Within(words.question(text)))
    assert answer.total == len(answer.events)
    return [event.event_id for event in answer.events]


def has_words(event: Event, text: str) -> bool:
    """The same by a plain look at an event; marks on letters don't count."""

    def words_of(text: str) -> list[str]:
        return re.findall(
            r"[^\W_]+", re.sub("[\u0300-\u036f]", "", normalize("NFD", text.casefold()))
        )

    parts = [event.event_type, event.stream, event.subject, event.actor]
    told = " ".join([*filter(None, parts), json.dumps(event.payload, ensure_ascii=False)])
    return all(any(word.startswith(one) for word in words_of(told)) for one in words_of(text))


@settings(max_examples=examples(60), deadline=None)
@given(
    drawn=lines(),
    more=lines(6),
    text=_TEXTS,
    filter=filters,
    span=st.none() | st.tuples(st.integers(0, 12), st.integers(0, 30)),
    limit=st.integers(1, 12),
    descending=st.booleans(),
)
def test_words_and_a_span_find_what_a_slow_reading_finds(
    drawn, more, text, filter, span, limit, descending
):
    with log_of(drawn) as (folder, index):
        words.follow(index, LONG_S)
        add(folder, more)
        had, events = words.follow(index, LONG_S)
        arrived = read(folder)
        assert had == events == len(arrived)
        among = {one.event_id for one in (arrived if span is None else arrived[slice(*span)])}
        arrivals = span and (span[0] + 1, span[1])
        due = [
            event
            for event in matching(arrived, filter, descending)
            if event.event_id in among and has_words(event, text)
        ]
        within, paging = Within(words.question(text), arrivals), {"descending": descending}
        first = page(index, filter, "", within, limit=limit, **paging)
        assert first.total == len(due)
        assert [*first] == due[:limit]
        if first.next_cursor:
            after = page(index, filter, "", within, cursor=first.next_cursor, limit=99, **paging)
            assert [*after] == due[limit:]


def test_words_of_large_values_and_of_escapes_are_found(tmp_path: Path) -> None:
    with thence.open(tmp_path) as log:
        large = log.append("read", {"text": "shelf " * 2_000 + "Zürich"}).event_id
        escaped = log.append("said", {"line": 'first\nsecond\t"third"', "path": "C:\\new"}).event_id
        named = log.append("paid", {"error_type": "card_declined"}, actor="ada").event_id
    foreign = json.dumps({"event_id": "x1", "event_type": "t", "payload": {"a": "ça va\nbien"}})
    add(tmp_path, [foreign.encode() + b"\n"])
    with thence.open(tmp_path, create=False) as log:
        index = log.indexed()
        assert found(index, "zur") == found(index, "ZÜRICH shelf") == [large]
        for text in ("second", "third", "new", "First sec"):
            assert found(index, text) == [escaped]
        assert found(index, "declined") == found(index, "ada error") == [named]
        assert found(index, "bien ca") == found(index, "ÇA va") == ["x1"]
        assert found(index, "eclined") == []


@pytest.mark.parametrize("text", ["", " - ", '"', "*", "_"])
def test_text_without_a_word_asks_for_nothing(text: str) -> None:
    assert words.question(text) == ""


@pytest.mark.parametrize("text", ['a" OR "b', "NOT a", "a AND b", "text:a", "a*b^c", "a" * 5_000])
def test_signs_of_the_table_s_own_language_mean_nothing(tmp_path: Path, text: str) -> None:
    with thence.open(tmp_path) as log:
        log.append("none", {"of": "those"})
        assert found(log.indexed(), text) == []


def test_search_goes_on_where_it_was_broken_off(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setattr(words, "_TOGETHER", 10)
    with thence.open(tmp_path) as log:
        for number in range(35):
            log.append("noted", {"n": f"word{number}"})
        index = log.indexed()
        ends = [words.follow(index, 0.0) for _ in range(5)]
        assert ends == [(0, 35)] * 5
    moments = iter(range(0, 10**12, 10**9))
    monkeypatch.setattr(words, "monotonic_ns", lambda: next(moments))
    with index_of(tmp_path) as other:
        assert [words.follow(other, 1.5)[0] for _ in range(4)] == [10, 20, 30, 35]


def test_what_is_redacted_is_found_no_more_and_in_no_file(tmp_path: Path) -> None:
    with thence.open(tmp_path) as log:
        secret = log.append("told", {"password": "xylophone"}).event_id
        log.append("other", {"text": "kept"})
        index = log.indexed()
        assert found(index, "xylo") == [secret]
        own = [path for path in (tmp_path / ".thence").iterdir() if path.name.startswith("index")]
        assert any(b"xylophone" in path.read_bytes() for path in own)
        redaction = Redaction(secret, digests(log.get(secret).line).line.hex())
        assert log.redactions.take_back([redaction]) == 1
        assert found(index, "xylo") == []
        assert len(found(index, "kept")) == 1
    for path in tmp_path.rglob("*"):
        assert not path.is_file() or b"xylophone" not in path.read_bytes()


def test_lock_of_another_process_is_waited_for_and_rebuilds_nothing(tmp_path: Path) -> None:
    with thence.open(tmp_path) as log:
        log.append("noted", {"a": 1})
        index = log.indexed()
        assert words.follow(index, LONG_S) == (1, 1)
        before = generation(index)
        log.append("noted", {"a": 2})
        file = tmp_path / ".thence" / "index.db.words"
        with closing(sqlite3.connect(file, isolation_level=None)) as other:
            other.execute("BEGIN IMMEDIATE")
            assert words.follow(index, LONG_S) == (1, 2)
        assert words.follow(index, LONG_S) == (2, 2)
        assert generation(index) == before


@pytest.mark.parametrize("content", [b"", b"no database at all" * 100])
def test_file_that_is_gone_or_damaged_is_made_again(tmp_path: Path, content: bytes) -> None:
    with thence.open(tmp_path) as log:
        log.append("noted", {"a": "word"})
        assert len(found(log.indexed(), "word")) == 1
    (tmp_path / ".thence" / "index.db.words").write_bytes(content)
    with index_of(tmp_path) as index:
        assert len(found(index, "word")) == 1


class FullDisk(Index):
    """An index beside which there is no room for words."""

    def attach(self, connection: sqlite3.Connection, name: str) -> None:
        super().attach(connection, name)
        connection.execute(f"PRAGMA {name}.max_page_count = 12")


def test_full_disk_is_told_and_rebuilds_nothing(tmp_path: Path) -> None:
    with thence.open(tmp_path) as log:
        for number in range(3_000):
            log.emit("noted", {"a": f"word{number}"})
        log.flush()
    with FullDisk(OS_DISK, tmp_path, PLAIN) as index:
        before = generation(index)
        with raises_code("read_failed", match="full"):
            words.follow(index, LONG_S)
        assert generation(index) == before
    with index_of(tmp_path) as index:
        assert len(found(index, "word2999")) == 1


def test_index_in_memory_has_its_words_there(tmp_path: Path) -> None:
    with thence.open(tmp_path) as log:
        log.append("noted", {"a": "word"})
        index = log.index()
        assert len(found(index, "wor")) == 1
        log.append("noted", {"a": "worse"})
        assert len(found(index, "wor")) == 2
    assert not [*(tmp_path / ".thence").glob("index*")]


def test_words_of_another_line_of_an_id_take_the_place_of_the_first(tmp_path: Path) -> None:
    add(tmp_path, [b'{"event_id":"%s","event_type":"first"}\n' % KNOWN.encode()])
    with index_of(tmp_path) as index:
        assert found(index, "first") == [KNOWN]
        add(tmp_path, [line_of(event_id=KNOWN, event_type="second")])
        assert found(index, "second") == [KNOWN]
        assert found(index, "first") == []
