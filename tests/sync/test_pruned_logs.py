"""A synced log that is pruned: the server has all, and nothing comes back or counts as lost."""

from contextlib import closing

import pytest
from tests.log.pruned import SEGMENT_BYTES, filled, names, pruned
from tests.sync.test_restored_logs import node_of, notices, synced

import thence
from thence.log.files.segment import CURRENT
from thence.sync.outbox import Outbox


@pytest.mark.promise("A5")
def test_pruned_events_stay_at_the_server_and_do_not_come_back(server, tmp_path):
    events = filled(tmp_path / "a")
    with thence.open(tmp_path / "a", max_file_size=SEGMENT_BYTES) as log:
        synced(log, server)
        node = node_of(log)
        notice = pruned(log, keep=2 * SEGMENT_BYTES).pruned
        for _ in range(2):
            report = synced(log, server)
            assert (report.pulled, report.is_restored, report.is_complete) == (0, False, True)
        here = [event.event_id for event in log.read()]
        assert here[:-1] == [event.event_id for event in events[notice.events :]]
        assert node_of(log) == node
        assert not notices(log, "node_changed")
        assert not notices(log, "claimed")
        assert log.verify().ok
        assert len(server.lines()) == len(events) + 1
        later = log.append("noted")
        synced(log, server)
    with thence.open(tmp_path / "b") as other:
        synced(other, server, "bob")
        ids = {event.event_id for event in other.read()}
        assert ids >= {*(event.event_id for event in events), later.event_id}
        assert other.verify().ok
        assert other.last_prune() is None, "another log's notice says nothing here"


def test_outbox_that_is_made_anew_and_a_server_that_forgot_its_cursors_bring_nothing_back(
    server, tmp_path
):
    events = filled(tmp_path / "a")
    with thence.open(tmp_path / "b") as other:
        theirs = [other.append("noted", {"n": n, "text": "y" * 200}) for n in range(20)]
        synced(other, server, "bob")
    with thence.open(tmp_path / "a", max_file_size=SEGMENT_BYTES) as log:
        synced(log, server)
        log.append_many([{"event_type": "noted", "payload": {"text": "z" * 200}}] * 20)
        synced(log, server)
        pruned(log, keep=0)
        here = {event.event_id for event in log.read()}
        assert not here & {event.event_id for event in (*events, *theirs)}
        for path in (tmp_path / "a" / ".thence" / "sync").glob("outbox.db*"):
            path.unlink()
        report = synced(log, server)
        assert (report.pulled, report.is_complete) == (0, True)
        assert {event.event_id for event in log.read()} == here
        with closing(Outbox(log.folder, log.vocabulary, "")) as outbox:
            outbox.begin_anew()
        assert synced(log, server).pulled == 0
        assert not notices(log, "node_changed")
        assert log.verify().ok
        with thence.open(tmp_path / "b") as other:
            new = other.append("noted")
            synced(other, server, "bob")
        assert synced(log, server).pulled == 1
        assert log.get(new.event_id).line == new.line


def test_cursor_stays_where_it_is_when_pruned_lines_leave_the_outbox(server, tmp_path):
    filled(tmp_path / "a")
    with thence.open(tmp_path / "a", max_file_size=SEGMENT_BYTES) as log:
        synced(log, server)
        with closing(Outbox(log.folder, log.vocabulary, "")) as outbox:
            before = outbox.cursors
            pruned(log, keep=0)
            outbox.update()
            assert outbox.cursors == before != ("", "")
            assert outbox.unsynced() == {CURRENT: 1}
        (tmp_path / "a" / names(tmp_path / "a")[0]).write_bytes(b"")
        with closing(Outbox(log.folder, log.vocabulary, "")) as outbox:
            outbox.update()
            assert outbox.cursors.after == "", "lines that are lost are taken again"
