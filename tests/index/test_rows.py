"""Times and texts as an index keeps them."""

import sqlite3
from contextlib import closing

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from thence.core.clock import microseconds
from thence.core.values.payload import storable
from thence.index.rows import NULL, Times

USUAL = st.datetimes().map(lambda moment: moment.isoformat(timespec="microseconds") + "Z")


@given(st.lists(USUAL | st.text(max_size=30), max_size=4))
@example(["2026-11-20T07:13:00.123456Z", "2026-11-20T07:13:00,123456Z"])
@example(["2026-11-20T07:13:00.12345éZ"])
@example(["2026-11-20T07:13:00.+12345Z"])
@example(["2026-11-20T07:13:00.123456+"])
@example(["2026-13-20T07:13:00.123456Z"])
def test_many_times_are_read_as_each_alone(timestamps: list[str]) -> None:
    times = Times()
    for _ in range(2):
        moments = map(microseconds, timestamps)
        expected = [NULL if moment is None else moment for moment in moments]
        assert times.of(timestamps) == expected


@pytest.mark.parametrize(
    ("text", "kept"), [("a\x00é", "a\x00é"), ("\ud800x", "\\ud800x"), ("", "")]
)
def test_a_text_that_no_utf8_holds_stands_as_its_escape(text: str, kept: str) -> None:
    assert storable(text) == kept


def test_what_is_missing_is_stored_as_null() -> None:
    with closing(sqlite3.connect(":memory:")) as connection:
        assert connection.execute("SELECT typeof(?), ?", (NULL, NULL)).fetchone() == ("null", None)
