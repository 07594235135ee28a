"""The work host: features cut into work packages, done by people and agents in git worktrees."""

from thence.work.decorators import with_error_store, with_event_store
from thence.work.emitter import EventEmitter, Outcome, get_emitter
from thence.work.refusals import ErrorStore, RefusalRecord
from thence.work.store import EventStore, Said

__all__ = [
    "ErrorStore",
    "EventEmitter",
    "EventStore",
    "Outcome",
    "RefusalRecord",
    "Said",
    "get_emitter",
    "with_error_store",
    "with_event_store",
]
