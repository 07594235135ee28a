"""The errors that thence raises, and the words by which programs tell them apart.

Each error has the operation that was tried (`operation`), its object (`place`), the reason of
the failure (`cause`), the next thing to do (`hint`), a stable word for its kind (`code`), and
whether a retry can help (`recoverable`). In the docstrings of thence "raises `read_failed`" means
a ThenceError with that code. docs/reference/errors.md lists all codes.
"""

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TypedDict, Unpack

_RECOVERABLE = frozenset(
    (
        "append_failed",
        "database_unavailable",
        "endpoint_down",
        "file_busy",
        "heads_moved",
        "log_busy",
        "log_full",
        "outcome_unknown",
        "read_failed",
        "server_busy",
        "server_unreachable",
    )
)


class Words(TypedDict, total=False):
    """What an error says beside the operation that was tried."""

    place: object
    cause: object
    hint: str
    code: str


class ThenceError(Exception):
    """The base of all errors that thence raises.

    `str(error)` is one line: the operation, the place, the cause. `code` is by default the name of
    the class in snake_case. `problems` lists the reasons of one that has several: each is a mapping
    `{file, line, key, message, hint}`, where line counts from 1 and is 0 where none is known.
    """

    def __init__(
        self,
        operation: str,
        *,
        place: object = "",
        cause: object = "",
        hint: str = "",
        code: str = "",
        problems: Sequence[Mapping[str, object]] = (),
    ) -> None:
        self.operation = operation
        self.place = str(place)
        self.cause = str(cause)
        self.hint = hint
        self.code = code or re.sub(r"(?<!^)(?=[A-Z])", "_", type(self).__name__).lower()
        self.recoverable = self.code in _RECOVERABLE
        self.problems = tuple(problems)
        super().__init__(f"{self.message}: {self.cause}" if self.cause else self.message)

    @property
    def message(self) -> str:
        """The operation and its place, without the cause."""
        return f"{self.operation} {self.place}" if self.place else self.operation


class SuppressCodes:
    """Suppresses a ThenceError with one of these codes in the enclosed block."""

    def __init__(self, *codes: str) -> None:
        self._codes = codes

    def __enter__(self) -> None:
        """Begins the block."""

    def __exit__(self, _kind: object, error: BaseException | None, _traceback: object) -> bool:
        """Ends the block."""
        return isinstance(error, ThenceError) and error.code in self._codes


class InvalidEvent(ThenceError, ValueError):
    """Error: an event has a value that a line can't hold; the cause names the field."""


class EventTooLarge(InvalidEvent):
    """Error: an event's line would be longer than 1 MiB."""


class InvalidFilter(ThenceError, ValueError):
    """Error: a filter can't be read.

    `key` names the part of the filter, such as "turn" or "where"; `column` counts characters
    from 1 and is 0 where the part is wrong as a whole.
    """

    def __init__(
        self, operation: str, *, key: str = "", column: int = 0, **words: Unpack[Words]
    ) -> None:
        words["place"] = f"{key}, column {column}" if column else key
        super().__init__(operation, **words)
        self.key = key
        self.column = column


class ScenarioError(ThenceError, ValueError):
    """Error: a scenario can't be used."""


class PlanningError(ThenceError, ValueError):
    """Error: planning files or names can't be used."""


class Refused(ThenceError):
    """Error: a guard refuses the command in the present state; nothing was changed.

    `guard` is the guard's stable code, such as "subtasks_open"; the hint is the remedy.
    """

    def __init__(self, operation: str, *, guard: str = "", **words: Unpack[Words]) -> None:
        super().__init__(operation, **words)
        self.guard = guard


class GitFailed(ThenceError):
    """Error: the program git failed; the cause is in git's own words.

    `was_killed` is True if git ended by a signal, and so may have left locks behind; `is_lacking`
    if a partial clone lacks what git needs.
    """

    was_killed = False
    is_lacking = False


class CyclicDependencyError(ThenceError, ValueError):
    """Error: events name each other as causes in a cycle, so that they have no order."""


class SyncRefused(ThenceError):
    """Error: an exchange with a server failed, and nothing is lost; the code says how.

    With the code `sync_refused` the server refuses this user, team or log, and trying again changes
    nothing. `retry_after_s` is when a server that is busy asks to come back, `bad` maps the ids of
    a refused batch's lines to reasons.
    """

    def __init__(
        self,
        operation: str,
        *,
        retry_after_s: float = 0.0,
        bad: Mapping[str, str] | None = None,
        **words: Unpack[Words],
    ) -> None:
        super().__init__(operation, **words)
        self.retry_after_s = retry_after_s
        self.bad = bad or {}


class NotLoggedIn(SyncRefused):
    """Error: there is no login for this server, or the server no longer accepts it."""


class RunDiverged(ThenceError):
    """Error: a replayed run produced another event than the recorded one.

    `step` is that of the first such event. Nothing was appended.
    """

    step = ""


class EventNotFound(ThenceError, LookupError):
    """Error: no event of the log has this id."""


class NotALog(ThenceError):
    """Error: a path is not a log folder."""


class VocabularyMismatch(ThenceError):
    """Error: a log was made for another host than the one that opens it."""


class WriterClosed(ThenceError):
    """Error: a log or writer was used after it had been closed."""


class LogBusy(ThenceError):
    """Error: another process held the append lock for the whole wait; nothing was appended."""


class LogReadOnly(ThenceError):
    """Error: this session of a log has no permission to write, or the log mirrors a team's."""


class HeadsMoved(ThenceError):
    """Error: an event that the append's guard excludes has come first; nothing was appended."""


class IdReused(ThenceError):
    """Error: the given event_id belongs to an event of other content; nothing was appended."""


class LogFull(ThenceError):
    """Error: the disk, a quota or a file size limit is full; the event was not appended."""


class OutcomeUnknown(ThenceError):
    """Error: the event may be in the log or not, as the write or its sync failed half-way."""

    # set where the error is raised: makes the event durable and returns the call's result
    resume: Callable[[], object] | None = None

    def retry(self) -> object:
        """Makes the event durable once and returns what the failed call would have returned.

        An event that is in the log is synced; any other is appended with new numbers. Raises
        the error that prevents this; an OutcomeUnknown can be retried again.
        """
        if self.resume is None:
            raise self
        return self.resume()


class ExtraMissing(ThenceError, ImportError):
    """Error: a package is not installed; the hint is the line that installs it, by its extra."""


@contextmanager
def needs_extra(extra: str, importing: str) -> Iterator[None]:
    """Imports packages of an extra inside the block; raises ExtraMissing where one is missing."""
    try:
        yield
    except ModuleNotFoundError as error:
        if error.name is None or error.name.partition(".")[0] == "thence":
            raise
        raise ExtraMissing(
            f"could not import {importing}",
            cause=f"{error.name} is not installed",
            hint=f"pip install 'thence[{extra}]'",
        ) from error
