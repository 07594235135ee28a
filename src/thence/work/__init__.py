"""The work host: features cut into work packages, done by people and agents in git worktrees."""

from thence.work.journal.emitter import EventEmitter, Outcome, get_emitter
from thence.work.journal.refusals import ErrorStore, RefusalRecord, with_error_store
from thence.work.journal.store import EventStore, WorkEvent, with_event_store

__all__ = [
    "ErrorStore",
    "EventEmitter",
    "EventStore",
    "Outcome",
    "RefusalRecord",
    "WorkEvent",
    "get_emitter",
    "with_error_store",
    "with_event_store",
]
