"""Every door leads new events by one path, and no host goes past it."""

import asyncio
from collections.abc import Callable
from pathlib import Path

import pytest
from tests.events import drafted
from tests.work.repositories import make_repository

import thence
from thence.core.values.codec import CAUSES_MAX
from thence.core.values.new_event import NewEvent, Unchanged
from thence.core.values.vocabulary import WORK
from thence.errors import HeadsMoved, InvalidEvent
from thence.log.write.drafting import Drafting
from thence.replica import Log, open_host_log
from thence.work import EventStore, WorkEvent

SOURCES = Path(thence.__file__).parent
DOORS: dict[str, Callable[[Log], object]] = {
    "append": lambda log: log.append("t"),
    "append_event": lambda log: log.append_event(NewEvent("t")),
    "append_many": lambda log: log.append_many([{"event_type": "t"}]),
    "append_many, NewEvent": lambda log: log.append_many([NewEvent("t")]),
    "append_async": lambda log: asyncio.run(log.append_async("t")),
    "emit": lambda log: log.emit("t"),
    "step": lambda log: thence.step("t", log=log)(lambda: None)(),
}


@pytest.fixture
def all_drafted(monkeypatch):
    """All that is drafted, by the one who drafts."""
    found: list[NewEvent] = []
    draft = Drafting.draft

    def noting(self, new, causes, external=()):
        found.append(new)
        return draft(self, new, causes, external)

    monkeypatch.setattr(Drafting, "draft", noting)
    return found


@pytest.mark.parametrize("door", DOORS)
def test_door_of_a_log_leads_by_the_path(tmp_path, all_drafted, door):
    with thence.open(tmp_path) as log:
        DOORS[door](log)
    assert len(all_drafted) == (2 if door == "step" else 1)


@pytest.mark.parametrize("timeout_s", [None, 30])
def test_host_that_encodes_its_events_goes_by_the_path_behind_the_notices_of_causes(
    tmp_path, timeout_s
):
    seen = []

    def encode(event, causes, external):
        seen.append(external)
        return drafted(event, "t", {}, causes)

    with thence.open(tmp_path / "other") as other, thence.open(tmp_path / "log") as log:
        causes = [log.append("t").event_id for _ in range(CAUSES_MAX + 1)]
        with thence.step("outer", log=other) as outer:
            take = log.for_host(encode, timeout_s)
            assert not take([("one", tuple(causes)), ("two", (outer.event_id,))])
        log.flush()
        *_, first, second, one, two = log.read()
        handed_on = other.environment(outer)["THENCE_CAUSE"]
    assert one.caused_by == (first.event_id, second.event_id)
    assert first.caused_by + second.caused_by == tuple(causes)
    assert (two.event_id, two.caused_by) == ("two", (outer.event_id,))
    assert seen == [(), (handed_on,)]


def test_event_of_work_goes_by_the_path(tmp_path, all_drafted):
    with EventStore.at(make_repository(tmp_path / "project")) as store:
        payload = {"wp_id": "WP01", "entry_type": "note", "entry_content": "a note"}
        store.append(WorkEvent("HistoryAdded", payload, "001-sync"))
    assert len(all_drafted) == 1


def test_no_host_reaches_behind_the_log():
    """Import-linter holds the imports; this, the parts of a log that is held."""
    for path in SOURCES.rglob("*.py"):
        assert path.name == "replica.py" or "._appender" not in path.read_text("utf-8"), path


def test_events_of_one_append_name_each_other_as_heads_of_work(tmp_path):
    words = {"subject": "WP01", "stream": "001-sync"}
    with open_host_log(tmp_path, WORK) as log:
        first = log.append("a", **words)
        other = log.append("b", subject="WP02", stream="001-sync")
        found = log.append_many([{"event_type": name, **words} for name in "cd"])
    assert [event.caused_by for event in found] == [(first.event_id,), (found[0].event_id,)]
    assert not other.caused_by


def test_remark_is_no_head_for_what_decides(tmp_path):
    words = {"subject": "WP01", "stream": "001-sync"}
    with open_host_log(tmp_path, WORK) as log:
        decided = log.append("WPStatusChanged", **words)
        remark = log.append("HistoryAdded", **words)
        assert remark.caused_by == (decided.event_id,)
        assert log.append("WPStatusChanged", **words).caused_by == (decided.event_id,)


def test_many_are_refused_together_when_their_guard_is_broken(tmp_path):
    with thence.open(tmp_path) as log:
        guard = Unchanged(log.position(), {"s"})
        log.append("a", subject="s")
        with pytest.raises(HeadsMoved):
            log.append_many([NewEvent("b"), NewEvent("c")], guard=guard)
        assert [event.event_type for event in log.read()] == ["a"]


def test_what_ends_something_names_it(tmp_path):
    with thence.open(tmp_path) as log:
        begun = log.append_event(NewEvent("a", begins=True))
        cause = log.append("cause")
        ended = log.append_event(NewEvent("b", caused_by=cause, ends=begun.event_id))
    assert ended.caused_by == (cause.event_id, begun.event_id)
    assert (begun.header.begins, ended.header.ends) == (True, begun.event_id)


def test_new_event_names_no_text_that_is_no_cause(tmp_path):
    with thence.open(tmp_path) as log, pytest.raises(InvalidEvent):
        log.append_many([NewEvent("a", caused_by="nothing")])


def test_what_is_no_new_event_is_refused(tmp_path):
    with thence.open(tmp_path) as log, pytest.raises(InvalidEvent, match="no mapping of"):
        log.append_event("a")
