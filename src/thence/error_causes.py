"""The ends of steps that an exception has left, as causes of what is appended while it is handled.

They stand on the exception itself: exceptions take no weak references, and a table beside them
would keep them and their frames alive. An end counts while the exception's traceback runs through
the code around the step. So an exception that one future raises in several tasks names in each
the end of that task's step, not those of the others.
"""

import sys
from collections.abc import Callable, Sequence
from contextvars import ContextVar
from types import TracebackType
from typing import Any, TypeVar

from thence.context import is_manager
from thence.core.values.codec import CAUSES_MAX
from thence.core.values.new_event import PassedCause

# of exceptions that hang together, and of ends on one of them; more would not fit into a line
ERRORS_MAX = ENDS_MAX = CAUSES_MAX
_KEY = "_thence_ends"
# the attributes of an exception, whatever its class makes of __getattr__, __setattr__ or __dict__
_members: Callable[[BaseException], dict[str, Any]] = vars(BaseException)["__dict__"].__get__
_R = TypeVar("_R")


class PassedEnds(tuple[tuple[TracebackType, PassedCause], ...]):
    """The ends of the steps that one exception has left, the latest last.

    An exception that is pickled or copied deeply takes none of them along.
    """

    __slots__ = ()

    def __reduce__(self) -> tuple[type[tuple[object, ...]], tuple[()]]:
        return tuple, ()


# the ends in hand of the task that lets this thread append for it
_carried: ContextVar[tuple[PassedCause, ...]] = ContextVar("thence_ends", default=())


def remember_end(
    error: BaseException, traceback: TracebackType | None, end: PassedCause | None
) -> None:
    """Notes on an exception that it has left a step, with the traceback that it had there.

    Nothing is noted while the step's log has no id, for another log could not name the end.
    """
    entry = traceback or error.__traceback__
    # contextlib takes the entries of its generators off the traceback
    while entry is not None and entry.tb_next is not None and is_manager(entry.tb_frame):
        entry = entry.tb_next
    if entry is not None and end is not None:
        passed = _members(error).get(_KEY, ())
        _members(error)[_KEY] = PassedEnds((*passed, (entry, end))[-ENDS_MAX:])


def ends_in_hand() -> tuple[PassedCause, ...]:
    """Returns the ends of steps whose exception is being handled where this is called.

    These are the exception, those in its chain of `__cause__` and `__context__`, and the members
    of a group, the nearest first; of each the latest end in each log. Each append calls it.
    """
    error = sys.exception()
    if error is None:
        return _carried.get()
    ends: list[PassedCause] = []
    chain, seen = [error], {id(error)}
    for linked in chain:
        if passed := _members(linked).get(_KEY):
            ends += _latest(linked, passed)
        for other in (linked.__cause__, linked.__context__, *_parts(linked)):
            if other is not None and id(other) not in seen and len(chain) < ERRORS_MAX:
                seen.add(id(other))
                chain.append(other)
    return tuple(dict.fromkeys(ends)) if ends else ()


def carrying(ends: tuple[PassedCause, ...], work: Callable[[], _R]) -> _R:
    """Runs work with the ends that were in hand elsewhere, in a context of its own."""
    _carried.set(ends)
    return work()


def _parts(error: BaseException) -> Sequence[BaseException]:
    return error.exceptions if isinstance(error, BaseExceptionGroup) else ()


def _latest(error: BaseException, passed: PassedEnds) -> list[PassedCause]:
    """Returns the latest end in each log of those through which the error's traceback runs."""
    entries: set[TracebackType] = set()
    entry = error.__traceback__
    while entry is not None:
        entries.add(entry)
        entry = entry.tb_next
    return list({end.log_id: end for around, end in passed if around in entries}.values())
