"""What a log tells its program: a record that can't be written stops no event."""

import sys

import pytest
from tests.events import event_of, stamped

from thence.core.vocabulary import PLAIN
from thence.log.notice import NoticeMaker, guarded, warn


def broken(word, facts):
    raise RuntimeError("a processor of the user's")


@pytest.mark.parametrize("tell", [broken, warn])
def test_record_stops_nothing_though_not_even_logging_can_be_imported(tell, monkeypatch):
    monkeypatch.setitem(sys.modules, "logging", None)  # as in a process out of descriptors
    with pytest.raises((ImportError, RuntimeError)):
        tell("rotated", {})
    guarded(tell)("rotated", {})


def test_record_that_fails_is_told_by_the_logging_of_the_library(caplog):
    guarded(broken)("rotated", {"file": "a"})
    (record,) = caplog.records
    assert "record_failed" in record.message
    assert "a processor of" in record.message


def test_notice_is_an_event_with_its_facts_made_fit_and_its_causes():
    notice = NoticeMaker(PLAIN, {})
    told = event_of(stamped(notice("gap", {"count": 3, "file": "\udcff"}, ["a", "b"]), 1, 1))
    assert (told.event_type, told.payload["count"], told.caused_by) == ("log.gap", 3, ("a", "b"))
    assert b'"event_version":1,' in told.line
    joined = event_of(stamped(notice.joined(["a", "b"]), 1, 1))
    assert (joined.event_type, joined.payload) == ("log.joined", {"count": 2})
    assert joined.caused_by == ("a", "b")
