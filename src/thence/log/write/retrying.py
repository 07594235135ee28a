"""Events whose outcome is unknown, made durable after all."""

from collections.abc import Callable, Sequence
from typing import cast

from thence.core.values.codec import Draft
from thence.errors import AppendFailed, LogBusy, LogReadOnly, OutcomeUnknown
from thence.log.storage.append_errors import still_unknown
from thence.log.storage.append_lock import WAIT_S
from thence.log.write.admission import Condition
from thence.log.write.batch import Waiting
from thence.log.write.writer import SegmentWriter

NOT_APPENDED = (AppendFailed, LogBusy, LogReadOnly)


def retried(writer: SegmentWriter, drafts: Sequence[Draft]) -> list[bytes]:
    """Returns the lines of events once each is on the device once, by a writer of its own.

    What stands in the log is synced, the rest is appended with new numbers. Raises
    OutcomeUnknown when that fails in its turn.
    """
    successor = writer.successor()
    waiting = Waiting(drafts)
    named = dict.fromkeys(range(len(drafts)), Condition(is_named=True))
    try:
        waiting.outcomes, error = successor.write(drafts, WAIT_S, named)
        successor.sync(waiting.outcomes)
    finally:
        successor.close()
    if error is not None:
        raise still_unknown(writer.folder, error) from error
    return waiting.result()


def retriable(
    unknown: OutcomeUnknown,
    writer: SegmentWriter,
    drafts: Sequence[Draft],
    shape: Callable[[list[bytes]], object],
) -> OutcomeUnknown:
    """Gives an error the way to make its events durable; `shape` makes lines a result."""
    again = unknown.resume or (lambda: retried(writer, drafts))

    def resume() -> object:
        try:
            try:
                return shape(cast(list[bytes], again()))
            except NOT_APPENDED:  # it was refused while it waited in the queue
                return shape(retried(writer, drafts))
        except OutcomeUnknown as another:
            raise retriable(another, writer, drafts, shape) from another.__cause__

    unknown.resume = resume
    return unknown
