"""The retry of an append whose outcome is unknown: each event is durable then, exactly once."""

from collections.abc import Callable, Sequence
from typing import cast

from thence.core.values.codec import Draft
from thence.errors import AppendFailed, LogBusy, LogReadOnly, OutcomeUnknown
from thence.log.storage.append_lock import WAIT_S
from thence.log.storage.disk_errors import retry_error
from thence.log.write.append_conditions import Condition
from thence.log.write.batch import PendingAppend
from thence.log.write.writer import SegmentWriter

# the errors of an append that was refused while it waited in the queue
_NOT_APPENDED = (AppendFailed, LogBusy, LogReadOnly)


def _retry(writer: SegmentWriter, drafts: Sequence[Draft]) -> list[bytes]:
    """Returns the lines of events once each is on the device exactly once; uses a new writer.

    Events that are in the log are synced, the others are appended with new numbers. Raises
    OutcomeUnknown when the retry fails too.
    """
    successor = writer.successor()
    waiting = PendingAppend(drafts)
    named = dict.fromkeys(range(len(drafts)), Condition(is_named=True))
    try:
        waiting.outcomes, error = successor.write(drafts, WAIT_S, named)
        successor.sync(waiting.outcomes)
    finally:
        successor.close()
    if error is not None:
        raise retry_error(writer.folder, error) from error
    return waiting.result()


def with_retry(
    unknown: OutcomeUnknown,
    writer: SegmentWriter,
    drafts: Sequence[Draft],
    shape: Callable[[list[bytes]], object],
) -> OutcomeUnknown:
    """Adds the retry to an error, which it returns; `shape` turns the lines into a result."""
    again = unknown.resume or (lambda: _retry(writer, drafts))

    def resume() -> object:
        try:
            try:
                return shape(cast(list[bytes], again()))
            except _NOT_APPENDED:
                return shape(_retry(writer, drafts))
        except OutcomeUnknown as another:
            raise with_retry(another, writer, drafts, shape) from another.__cause__

    unknown.resume = resume
    return unknown
