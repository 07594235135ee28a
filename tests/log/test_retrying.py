"""Events of unknown outcome: each stands once after a retry, whatever became of the first try."""

import errno

import pytest
from tests.events import drafted, event_of, new_id
from tests.log.errors import raised
from tests.log.faults import FailingDisk

from thence.core.values.vocabulary import PLAIN
from thence.errors import AppendFailed, LogBusy, LogReadOnly, OutcomeUnknown
from thence.log.read import reader
from thence.log.read.opening import prepare
from thence.log.storage.disk import OS_DISK
from thence.log.storage.disk_errors import DiskError
from thence.log.write.committer import with_retry
from thence.log.write.drafting import NoticeMaker, warn
from thence.log.write.writer import SegmentWriter


def writer_of(folder, disk=OS_DISK):
    prepare(OS_DISK, folder, PLAIN)
    return SegmentWriter(disk, folder, PLAIN, NoticeMaker(PLAIN, {}), warn, 10**9)


def unknown(resume=None):
    made = OutcomeUnknown("could not confirm", place="here", cause="that", hint="try")
    made.resume = resume
    return made


def failing(error):
    def resume():
        raise error("could not append to", place="here", cause="full", hint="wait")

    return resume


def lines_in(folder):
    return [event.line + b"\n" for event in reader.events(OS_DISK, folder, PLAIN)]


@pytest.mark.promise("P1")
@pytest.mark.parametrize("resume", [None, *map(failing, (AppendFailed, LogBusy, LogReadOnly))])
def test_events_that_were_never_written_are_appended_once(tmp_path, resume):
    drafts = [drafted(new_id(), "noted", {"payload": {"n": n}}) for n in range(3)]
    retriable = with_retry(unknown(resume), writer_of(tmp_path), drafts, tuple)
    lines = retriable.retry()
    assert type(lines) is tuple
    assert [event_of(line).payload["n"] for line in lines] == [0, 1, 2]
    assert lines_in(tmp_path) == list(lines)
    assert retriable.retry() == lines
    assert lines_in(tmp_path) == list(lines)


def test_what_the_queue_found_meanwhile_is_the_result(tmp_path):
    retriable = with_retry(unknown(lambda: [b"a\n"]), writer_of(tmp_path), [], list)
    assert retriable.retry() == [b"a\n"]


def test_retry_that_fails_says_so_and_can_be_tried_again(tmp_path):
    disk = FailingDisk(write=DiskError(errno.EIO, "device error"))
    drafts = [drafted(new_id(), "noted", {})]
    retriable = with_retry(unknown(), writer_of(tmp_path, disk), drafts, list)
    kind, _, place, *_ = raised(retriable.retry)
    assert (kind, place) == (OutcomeUnknown, str(tmp_path))
    with pytest.raises(OutcomeUnknown) as caught:
        retriable.retry()
    disk.faults.clear()
    (line,) = caught.value.retry()
    assert lines_in(tmp_path) == [line]
