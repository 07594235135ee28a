"""The errors that thence raises; each class says of which kind it is.

Each error has the operation that was tried (`operation`), its object (`place`), the reason of
the failure (`cause`), the next thing to do (`hint`), and whether a retry can help
(`recoverable`).
"""

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TypedDict, Unpack


class Words(TypedDict, total=False):
    """What an error says beside the operation that was tried."""

    place: object
    cause: object
    hint: str


class ThenceError(Exception):
    """The base of all errors that thence raises.

    `str(error)` is one line: the operation, the place, the cause.
    """

    recoverable = False

    def __init__(
        self, operation: str, *, place: object = "", cause: object = "", hint: str = ""
    ) -> None:
        self.operation = operation
        self.place = str(place)
        self.cause = str(cause)
        self.hint = hint
        super().__init__(f"{self.message}: {self.cause}" if self.cause else self.message)

    @property
    def message(self) -> str:
        """The operation and its place, without the cause."""
        return f"{self.operation} {self.place}" if self.place else self.operation

    @property
    def code(self) -> str:
        """The stable name of this kind of error: its class in snake_case."""
        return re.sub(r"(?<!^)(?=[A-Z])", "_", type(self).__name__).lower()


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
        self,
        operation: str,
        *,
        key: str = "",
        column: int = 0,
        cause: object = "",
        hint: str = "",
    ) -> None:
        place = f"{key}, column {column}" if column else key
        super().__init__(operation, place=place, cause=cause, hint=hint)
        self.key = key
        self.column = column


class InvalidCursor(ThenceError, ValueError):
    """Error: a text is no cursor, or the cursor of another question or log."""


class ProblemsError(ThenceError, ValueError):
    """The base of errors with several reasons; `problems` lists each.

    A problem is a mapping `{file, line, key, message, hint}`; line counts from 1 and is 0
    where no line is known.
    """

    def __init__(
        self,
        operation: str,
        *,
        problems: Sequence[Mapping[str, object]] = (),
        **words: Unpack[Words],
    ) -> None:
        super().__init__(operation, **words)
        self.problems = tuple(problems)


class ScenarioError(ProblemsError):
    """Error: a scenario can't be used."""


class WorkError(ThenceError):
    """Error: a command on work packages could not be done; nothing was lost."""


class NotAProject(WorkError):
    """Error: neither a folder nor one above it holds a project of work packages."""


class PlanningError(WorkError, ProblemsError):
    """Error: planning files or names can't be used."""


class Refused(WorkError):
    """Error: a guard refuses the command in the present state; nothing was changed.

    `guard` is the guard's stable code, such as "subtasks_open"; the hint is the remedy.
    """

    def __init__(self, operation: str, *, guard: str = "", **words: Unpack[Words]) -> None:
        super().__init__(operation, **words)
        self.guard = guard


class GitFailed(WorkError):
    """Error: the program git failed; the cause is in git's own words.

    `was_killed` is True if git ended by a signal, and so may have left locks behind.
    """

    was_killed = False


class CyclicDependencyError(ThenceError, ValueError):
    """Error: events name each other as causes in a circle, so that they have no order."""


class SyncError(ThenceError):
    """The base of errors of an exchange with a server; nothing is lost by any of them."""


class NotLoggedIn(SyncError):
    """Error: there is no login for this server, or the server does not accept it any more."""


class SyncRefused(SyncError):
    """Error: the server refuses this user, team or log; trying again changes nothing."""


class RedactionRefused(ThenceError):
    """Error: what an event says can't be redacted, or not with the key of this user."""


class PruneRefused(ThenceError):
    """Error: a log, or some of its segments, can't be pruned; the cause says why."""


class ServerUnreachable(SyncError):
    """Error: the server did not answer: no connection, or no answer in time."""

    recoverable = True


class ServerBusy(SyncError):
    """Error: the server asks to come back after `retry_after_s` seconds."""

    recoverable = True

    def __init__(
        self, operation: str, *, retry_after_s: float = 0.0, **words: Unpack[Words]
    ) -> None:
        super().__init__(operation, **words)
        self.retry_after_s = retry_after_s


class BadAnswer(SyncError):
    """Error: the answer is not that of a server of thence: a portal, a proxy, another version."""


class CursorUnknown(SyncError):
    """Error: the cursor belongs to another server, or to a later state of this one."""


class BatchRefused(SyncError):
    """Error: the server refused a batch as a whole; `bad` maps ids of its lines to reasons."""

    def __init__(
        self, operation: str, *, bad: Mapping[str, str] | None = None, **words: Unpack[Words]
    ) -> None:
        super().__init__(operation, **words)
        self.bad = bad or {}


class NotAServer(ThenceError):
    """Error: a folder holds no database of a team's server that this version can use."""


class DatabaseUnavailable(ThenceError):
    """Error: the database of a team's server can't be used now; later it may be."""

    recoverable = True


class DamagedCopy(ThenceError):
    """Error: a database of a team's server, or a copy of one, holds what was not stored in it."""


class ServerExists(ThenceError, FileExistsError):
    """Error: a folder holds the database of a team's server already."""


class AccountRefused(ThenceError, ValueError):
    """Error: a user or team of a server can't be made or changed as asked; nothing was changed."""


class RunIdTaken(ThenceError, FileExistsError):
    """Error: a run with this id has a folder already."""


class RunGoesOn(ThenceError):
    """Error: a run can't be played on while a process plays it."""


class RunDiverged(ThenceError):
    """Error: a run that is played again came to another event than the recorded one.

    `step` is that of the first such event. Nothing was appended.
    """

    step = ""


class NotSeen(ThenceError):
    """An agent read a variable that is out of its sight."""


class OutcomeFailed(ThenceError):
    """Error: a call whose outcome a run records raised an error, now or when it was recorded."""


class ModelCallFailed(ThenceError):
    """Error: a model's endpoint gave no answer that can be used to one call.

    `attempts` are the requests that were sent, each with its reason; `answer` is the answer that
    was paid for and can't be used, None if there was none.
    """

    def __init__(
        self,
        operation: str,
        *,
        attempts: Sequence[object] = (),
        answer: object = None,
        **words: Unpack[Words],
    ) -> None:
        super().__init__(operation, **words)
        self.attempts = tuple(attempts)
        self.answer = answer


class EndpointDown(ThenceError):
    """Error: a model's endpoint answers nobody, or not this key; the run can be resumed later."""

    recoverable = True


class BudgetSpent(ThenceError):
    """Error: a run has spent its calls of models, or its money; it can be resumed with more."""


class EventNotFound(ThenceError, LookupError):
    """Error: no event of the log has this id."""


class AmbiguousId(ThenceError, LookupError):
    """Error: more than one event id of the log begins with this prefix."""


class LineNotFound(ThenceError, LookupError):
    """Error: a file, or the line of it that was asked about, is not there for git."""


class NotALog(ThenceError):
    """Error: a path is no folder with a log in it."""


class NotRecorded(ThenceError):
    """Error: a run was written with less verbosity than the question needs."""


class BadSettings(ThenceError, ValueError):
    """Error: a file of settings can't be used; nothing was appended, or pushed to a server."""


class VocabularyMismatch(ThenceError):
    """Error: a log was made for another host than the one that opens it."""


class WriterClosed(ThenceError):
    """Error: a log or writer was used after it had been closed."""


class LogBusy(ThenceError):
    """Error: another process held the append lock for the whole wait; nothing was appended."""

    recoverable = True


class FileBusy(ThenceError):
    """Error: another process held the lock of a file outside a log; nothing was done."""

    recoverable = True


class LogReadOnly(ThenceError):
    """Error: this session of a log can't write: no permission, or an earlier sync failed."""


class ReadFailed(ThenceError):
    """Error: a call that reads the log failed; its result might have been incomplete."""

    recoverable = True


class BodyMissing(ThenceError):
    """Error: a large value that an event names is not in the log any more, or has changed."""


class HeadsMoved(ThenceError):
    """Error: an event that the append's guard excludes has come first; nothing was appended."""

    recoverable = True


class IdReused(ThenceError):
    """Error: the given event_id belongs to an event of other content; nothing was appended."""


class ClockExhausted(ThenceError):
    """Error: no clock value is left for another event of this log; nothing was appended."""


class AppendFailed(ThenceError):
    """Error: a write failed and was rolled back completely; the event was not appended."""

    recoverable = True


class LogFull(AppendFailed):
    """Error: the disk, a quota or a file size limit is full; the event was not appended."""


class OutcomeUnknown(ThenceError):
    """Error: the event may be in the log or not, as the write or its sync failed half-way."""

    recoverable = True
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


class PortTaken(ThenceError):
    """Error: a server can't listen on the given port; nothing was served."""


class UnsupportedPlatform(ThenceError):
    """Error: this operating system lacks a function that a promise needs."""


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
