"""An error says the same at every door of an open log: what, where, why, what to do next."""

import errno

import pytest
from tests.disks import GatedDisk, Scripted
from tests.log.errors import raised, said
from tests.log.faults import WAIT_S

import thence
from thence.core.vocabulary import PLAIN
from thence.errors import OutcomeUnknown, WriterClosed
from thence.log.files.disk import DiskError
from thence.log.open import Log
from thence.log.read.reader import durable_event

BROKEN = DiskError(errno.EIO, "as said")


def test_closed_log_says_so_to_every_use(tmp_path):
    log = thence.open(tmp_path)
    log.close()
    many = [{"event_type": "t"}]
    for use in (lambda: log.append("t"), lambda: log.append_many(many), lambda: log.emit("t")):
        found = raised(use)
        assert (found.kind, found.place) == (WriterClosed, str(tmp_path))
    assert raised(log.flush) == found


def test_append_that_waited_too_long_says_how_long_among_how_many_and_can_be_waited_for(tmp_path):
    thence.open(tmp_path).append("before")
    disk = GatedDisk()
    log = Log(tmp_path, PLAIN, disk=disk)  # not closed by a failure, which would wait
    log.emit("first")
    assert disk.arrived.wait(WAIT_S)
    log.emit("second")
    with pytest.raises(OutcomeUnknown) as caught:
        log.append("third", timeout_s=0.02)
    unknown = said(caught.value)
    assert (unknown.kind, unknown.place) == (OutcomeUnknown, str(tmp_path))
    assert unknown.cause == "it waited 0.02 s among 3 queued events"
    with pytest.raises(OutcomeUnknown, match=r"it waited 0\.01 s among \d queued"):
        log.flush(timeout_s=0.01)
    again = raised(caught.value.resume)
    assert again[:3] == unknown[:3]
    assert "0.02 s" in again.cause
    disk.gate.set()
    log.flush()
    third = caught.value.resume()
    assert list(log.read())[-1] == third
    assert log.close()


@pytest.mark.parametrize("cause", [BROKEN, DiskError("as said")], ids=["numbered", "numberless"])
def test_read_that_can_not_make_events_durable_says_what_may_be_lost(tmp_path, cause):
    with thence.open(tmp_path) as log:
        event_id = log.append("t").event_id
    broken = Scripted(sync_data=cause)
    found = raised(lambda: durable_event(broken, tmp_path, PLAIN, event_id))
    assert (found.kind, found.place) == (OutcomeUnknown, str(tmp_path / "events.jsonl"))
    assert (found.cause, "may be lost" in found.hint) == ("as said", True)
