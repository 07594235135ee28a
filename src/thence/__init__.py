"""A durable, causally ordered event log: what many agents did, and why.

The names in `__all__` are public, here and in the modules that `thence docs python` lists.
They are imported when they are first asked for, so that commands start quickly.
"""

TYPE_CHECKING = False  # as typing has it, without its import
if TYPE_CHECKING:
    from thence import errors
    from thence.core.event import Event
    from thence.core.new_event import NewEvent, Position, Unchanged
    from thence.core.query.why import Why
    from thence.core.vocabulary import Vocabulary
    from thence.errors import (
        EventNotFound,
        EventTooLarge,
        HeadsMoved,
        IdReused,
        InvalidEvent,
        InvalidFilter,
        LogBusy,
        LogFull,
        LogReadOnly,
        NotALog,
        OutcomeUnknown,
        ThenceError,
        VocabularyMismatch,
        WriterClosed,
    )
    from thence.log.index.page import Page
    from thence.log.open import Log
    from thence.log.open import open_log as open  # the name users expect: thence.open(path)
    from thence.sim.record.event_filter import EventFilter
    from thence.trace.causes.log_records import LogHandler, StructlogProcessor
    from thence.trace.causes.outcomes import CallOutcome, outcome, outcome_async
    from thence.trace.causes.propagation import CauseMiddleware, carried, carry, propagate
    from thence.trace.causes.steps import because, step

__version__ = "0.2.0"
__all__ = [
    "CallOutcome",
    "CauseMiddleware",
    "Event",
    "EventFilter",
    "EventNotFound",
    "EventTooLarge",
    "HeadsMoved",
    "IdReused",
    "InvalidEvent",
    "InvalidFilter",
    "Log",
    "LogBusy",
    "LogFull",
    "LogHandler",
    "LogReadOnly",
    "NewEvent",
    "NotALog",
    "OutcomeUnknown",
    "Page",
    "Position",
    "StructlogProcessor",
    "ThenceError",
    "Unchanged",
    "Vocabulary",
    "VocabularyMismatch",
    "Why",
    "WriterClosed",
    "__version__",
    "because",
    "carried",
    "carry",
    "errors",
    "open",
    "outcome",
    "outcome_async",
    "propagate",
    "step",
]
# where each name is defined; the errors that a log's user meets are all others
_MODULES = {
    "open": "thence.log.open",
    "Log": "thence.log.open",
    "Event": "thence.core.event",
    "NewEvent": "thence.core.new_event",
    "Position": "thence.core.new_event",
    "Page": "thence.log.index.page",
    "Why": "thence.core.query.why",
    "Vocabulary": "thence.core.vocabulary",
    "EventFilter": "thence.sim.record.event_filter",
    "Unchanged": "thence.core.new_event",
    "because": "thence.trace.causes.steps",
    "step": "thence.trace.causes.steps",
    "outcome": "thence.trace.causes.outcomes",
    "outcome_async": "thence.trace.causes.outcomes",
    "CallOutcome": "thence.trace.causes.outcomes",
    "LogHandler": "thence.trace.causes.log_records",
    "StructlogProcessor": "thence.trace.causes.log_records",
    "carry": "thence.trace.causes.propagation",
    "carried": "thence.trace.causes.propagation",
    "propagate": "thence.trace.causes.propagation",
    "CauseMiddleware": "thence.trace.causes.propagation",
}


def __dir__() -> list[str]:
    return list(__all__)


# a type checker knows the names above, and refuses any other because it does not see this
if not TYPE_CHECKING:

    def __getattr__(name: str) -> object:
        from importlib import import_module

        if name == "errors":
            return import_module("thence.errors")
        if name in __all__:
            module = import_module(_MODULES.get(name, "thence.errors"))
            value = getattr(module, "open_log" if name == "open" else name)
            globals()[name] = value
            return value
        from thence.core.nearest import did_you_mean

        unknown = f"module {__name__!r} has no attribute {name!r}"
        if name.startswith("_"):
            raise AttributeError(unknown)
        if hasattr(import_module("thence.errors"), name):
            raise AttributeError(f"{unknown}; it is thence.errors.{name}")
        raise AttributeError(unknown + did_you_mean(name, __all__))
