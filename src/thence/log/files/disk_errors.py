"""The error of a failed system call, and the errors that thence raises for it.

A failed call raises `DiskError` inside thence. Where the failure reaches a caller, one function
for each case makes the `ThenceError` with what was tried and what to do next.
"""

import errno
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import ParamSpec, TypeVar

from thence.errors import LogFull, LogReadOnly, OutcomeUnknown, ThenceError

# the errors of a full disk, a quota or RLIMIT_FSIZE
FULL_ERRNOS = frozenset((errno.ENOSPC, errno.EDQUOT, errno.EFBIG))
DENIED_ERRNOS = frozenset((errno.EACCES, errno.EPERM, errno.EROFS))
_ABSENT_ERRNOS = frozenset((errno.ENOENT, errno.ENOTDIR))
_P = ParamSpec("_P")
_R = TypeVar("_R")


class DiskError(OSError):
    """A system call of thence that failed, with its errno and the file's name.

    DiskError is raised and caught inside thence; a user's code gets a ThenceError made of it.
    """

    @property
    def is_absence(self) -> bool:
        """True if nothing exists at the path."""
        return self.errno in _ABSENT_ERRNOS


def system_call(function: Callable[_P, _R], *arguments: _P.args, **named: _P.kwargs) -> _R:
    """Makes one call and returns its result; the call's error becomes a DiskError.

    A signal handler that runs during the call may raise an OSError too, most often
    TimeoutError. Such an error is raised unchanged.
    """
    try:
        return function(*arguments, **named)
    except OSError as error:
        if not _is_ours(error):
            raise
        names = () if error.filename is None else (error.filename, None, error.filename2)
        raise DiskError(error.errno, error.strerror, *names) from error


def _is_ours(error: OSError) -> bool:
    """Reports whether the call itself raised: a handler's traceback has a frame of its own."""
    raised = error.__traceback__
    return error.errno is not None and raised is not None and raised.tb_next is None


def append_error(path: Path, error: OSError) -> ThenceError:
    """Returns the error for a call that failed and left nothing behind."""
    kind, code = ThenceError, "append_failed"
    hint = "check the device, then try again"
    if error.errno in FULL_ERRNOS:
        kind, code, hint = LogFull, "log_full", "free some space, then try again"
    elif error.errno in DENIED_ERRNOS:
        kind, code, hint = LogReadOnly, "log_read_only", "give this user the right to write there"
    place, cause = error.filename or path, error.strerror or error
    failure = kind("could not append to", place=place, cause=cause, hint=hint, code=code)
    failure.__cause__ = error
    return failure


def half_line_error(path: Path, error: OSError) -> OutcomeUnknown:
    """Returns the error for half a line that could not be cut off."""
    return OutcomeUnknown(
        "could not take back half a line at the end of",
        place=path,
        cause=error.strerror or error,
        hint="retry(), or open the log again: the next append moves the half line aside",
    )


def sync_error(path: Path, error: OSError) -> OutcomeUnknown:
    """Returns the error for events that could be synced neither here nor in the next segment."""
    return OutcomeUnknown(
        "could not sync the events just written to",
        place=path,
        cause=error.strerror or error,
        hint="check the device, then retry(); this session appends no more",
    )


def retry_error(folder: Path, error: ThenceError) -> OutcomeUnknown:
    """Returns the error for a retry that failed too."""
    return OutcomeUnknown(
        "could not retry an append to",
        place=folder,
        cause=error.cause or error,
        hint=f"{error.hint}, by retry() again" if error.hint else "retry() again",
    )


def poisoned_error(path: Path) -> LogReadOnly:
    """Returns the error for an append after a failed sync that could not be repaired."""
    return LogReadOnly(
        "could not append to",
        place=path,
        cause="an earlier sync of it failed, so nothing more is written by this session",
        hint="check the device, then open the log again",
    )


@contextmanager
def appending(place: Path) -> Iterator[None]:
    """Raises a DiskError of the enclosed block as an append would."""
    try:
        yield
    except DiskError as error:
        raise append_error(place, error) from error


@contextmanager
def reading(folder: Path) -> Iterator[None]:
    """Raises a DiskError of the enclosed block as `read_failed`."""
    try:
        yield
    except DiskError as error:
        hint = "check the device, then try again"
        if error.errno in DENIED_ERRNOS:
            hint = "give this user the right to read there"
        raise ThenceError(
            "could not read the log",
            place=error.filename or folder,
            cause=error.strerror or error,
            hint=hint,
            code="read_failed",
        ) from error
