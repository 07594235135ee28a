"""A page as a data frame."""

import sys

import pandas
import pytest

import thence
from thence.core.sentences.table import COLUMNS
from thence.errors import ExtraMissing


@pytest.mark.promise("P1")
def test_frame_has_a_row_for_each_event_and_typed_columns(log):
    first = log.append("a", {"n": 1, "m": {"k": [1]}}, actor="ada")
    second = log.append("b", caused_by=[first])
    with log.current_file.open("ab") as segment:
        segment.write(b'{"event_id":"x","event_type":"c","timestamp":"odd","turn_number":3}\n')
    table = log.query().df()
    assert tuple(table.columns) == COLUMNS
    assert list(table.event_id) == ["x", first.event_id, second.event_id]
    assert list(table.timestamp.isna()) == [True, False, False]
    assert table.timestamp[1] == pandas.Timestamp(first.timestamp)
    assert table.turn[0] == 3
    assert table.turn.isna().tolist() == [False, True, True]
    assert table.actor.isna().tolist() == [True, False, True]
    assert list(table.caused_by) == [(), (), (first.event_id,)]
    assert table.payload[1]["m"]["k"] == [1]
    assert table.verified.tolist() == [False, True, True]
    kinds = table.dtypes.astype(str)
    assert (kinds["turn"], kinds["seq"], kinds["actor"]) == ("Int64", "int64", "string")


def test_frame_of_nothing_has_its_columns(log):
    table = log.query().df()
    assert (len(table), tuple(table.columns)) == (0, COLUMNS)
    assert str(table.timestamp.dt.tz) == "UTC"


def test_missing_extra_names_the_line_that_installs_it(log, monkeypatch):
    monkeypatch.setitem(sys.modules, "pandas", None)
    with pytest.raises(ExtraMissing) as caught:
        log.query().df()
    assert "pip install 'thence[pandas]'" in caught.value.hint
    assert isinstance(caught.value, ImportError)


@pytest.fixture
def many(tmp_path):
    """A log of more events than a page holds."""
    with thence.open(tmp_path / "many") as log:
        log.append_many([{"event_type": "n", "payload": {"n": n}} for n in range(2_500)])
        yield log


def test_page_is_iterated_over_its_events(many):
    page = many.query(type="n")
    assert [event.payload["n"] for event in page] == list(range(1_000))
    assert len(page) == len(page.events) == 1_000
    assert page == many.query(type="n")
    assert page != many.query(type="n", descending=True)
    assert not many.query(type="gone")


def test_frame_of_a_page_says_that_there_is_more(many):
    with pytest.warns(UserWarning, match=r"2,000 of 2,500 events"):
        assert len(many.query(limit=2_000).df()) == 2_000
    assert len(many.query(limit=2_500).df()) == 2_500
