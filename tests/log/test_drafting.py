"""Drafts of events and notices, or what is wrong and where; records that stop no event."""

import json
import sys
from contextvars import ContextVar

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from tests.events import event_of, stamped
from tests.log.errors import raised
from tests.log.processes import ran

import thence
from thence.core.codec import CAUSES_MAX
from thence.core.new_event import HostEvent
from thence.core.vocabulary import PLAIN, WORK
from thence.errors import InvalidEvent
from thence.log.write.drafting import NoticeMaker, guarded, in_other_thread, warn


@pytest.mark.parametrize("event_type", ["", None, 7, b"a", "a\nb", "x" * 201], ids=ascii)
def test_event_type_that_is_no_short_text_is_refused(log, event_type):
    found = raised(lambda: log.append(event_type))
    assert (found.kind, found.place) == (InvalidEvent, "field event_type")
    assert f"{event_type!r:.80}" in found.cause


@pytest.mark.parametrize("members", [{"colour": "red"}, {"event_id": "x"}, {"begins": True}])
def test_member_that_no_event_of_the_host_has_is_refused(log, members):
    found = raised(lambda: log._host_append((HostEvent("t", members=members),)))
    assert (found.kind, found.place) == (InvalidEvent, "field members")
    assert next(iter(members)) in found.cause


def broken(word, facts):
    raise RuntimeError("a processor of the user's")


@pytest.mark.parametrize("tell", [broken, warn])
def test_record_stops_nothing_though_not_even_logging_can_be_imported(tell, monkeypatch):
    monkeypatch.setitem(sys.modules, "logging", None)  # as in a process out of descriptors
    with pytest.raises((ImportError, RuntimeError)):
        tell("rotated", {})
    guarded(tell)("rotated", {})


def test_record_is_told_at_once_where_no_thread_can_be_started(monkeypatch):
    def refuse(*_):
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr("thence.log.write.drafting.start_new_thread", refuse)
    found = []
    in_other_thread(lambda word, facts: found.append((word, facts)), "torn", {"n": 1})
    assert found == [("torn", {"n": 1})]


def test_record_has_the_context_of_who_tells_it():
    said = ContextVar("said", default="nothing")
    said.set("something")
    found = []
    guarded(lambda word, facts: found.append((word, facts, said.get())))("torn", {"n": 1})
    assert found == [("torn", {"n": 1}, "something")]


@pytest.mark.parametrize("imported", ["", "logging"])
def test_program_without_logging_sees_the_same_on_stderr_as_one_that_has_not_set_it_up(imported):
    code = f"""
import sys {imported and ", " + imported}
from thence.log.write.drafting import warn
warn("torn", {{"file": "ä"}})
warn("rotated", {{"file": "b"}})
warn("resumed", {{"file": "b"}})
print("logging" in sys.modules)
"""
    done = ran(code)
    assert done.stderr == "torn (file ä)\n"
    assert done.stdout.strip() == str(bool(imported))


def test_notice_is_an_event_with_its_facts_made_fit_and_its_causes():
    notice = NoticeMaker(PLAIN, {})
    told = event_of(stamped(notice("gap", {"count": 3, "file": "\udcff"}, ["a", "b"]), 1, 1))
    assert (told.event_type, told.payload["count"], told.caused_by) == ("log.gap", 3, ("a", "b"))
    assert b'"event_version":1,' in told.line
    causes = tuple(f"{number:026}" for number in range(CAUSES_MAX + 2))
    joined = event_of(stamped(notice.join(causes)[0][-1], 1, 1))
    assert (joined.event_type, joined.payload) == ("log.joined", {"count": 2})
    assert joined.caused_by == causes[-2:]


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


@pytest.mark.promise("O6")
@given(st.integers(0, 3_000))
@example(CAUSES_MAX)
def test_every_cause_is_reached_through_notices_of_at_most_32(count):
    causes = tuple(f"{number:026}" for number in range(count))
    notices, named = NoticeMaker(PLAIN, {}).join(causes)
    named_by = {made.event_id: event_of(stamped(made, 1, 1)).caused_by for made in notices}
    assert len(named) <= CAUSES_MAX
    assert bool(notices) == (count > CAUSES_MAX)
    assert all(len(group) <= CAUSES_MAX for group in named_by.values())
    written: set[str] = set(causes)
    for made in notices:  # in this order they are written: none names a later one
        assert written.issuperset(named_by[made.event_id])
        written.add(made.event_id)
    reached, stack = [], list(reversed(named))
    while stack:
        event = stack.pop()
        if event in named_by:
            stack += reversed(named_by[event])
        else:
            reached.append(event)
    assert tuple(reached) == causes
