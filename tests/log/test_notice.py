"""What a log tells its program: a record that can't be written stops no event."""

import json
import sys

import pytest
from tests.events import event_of, stamped

import thence
from thence.core.vocabulary import PLAIN, WORK
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


def test_notice_of_a_host_whose_events_are_about_something_is_about_the_log(tmp_path):
    notice = NoticeMaker(WORK, {}, lambda: "01LOG")
    told = event_of(stamped(notice("torn", {"count": 1}), 1, 1), WORK)
    assert told.subject == "-/-/01LOG"
    assert (told.header.aggregate_type, told.actor) == ("Log", "thence")
    unnamed = event_of(stamped(NoticeMaker(WORK, {})("torn", {}), 1, 1), WORK)
    assert unnamed.subject is None


def test_log_of_work_names_itself_in_its_notices(tmp_path):
    with thence.open(tmp_path, "work") as log:
        log.append("WPCreated", {"wp_id": "WP01"}, subject="WP01")
    with log.current_file.open("ab") as segment:
        segment.write(b"torn")
    with thence.open(tmp_path) as log:
        log.append("WPCreated", {"wp_id": "WP02"}, subject="WP02")
        (notice,) = [event for event in log.read() if log.vocabulary.is_notice(event)]
    info = json.loads((tmp_path / ".thence" / "log.json").read_bytes())
    assert notice.header.aggregate_id == info["log_id"]
