"""The errors that an append raises when the disk fails: one function for each case."""

from pathlib import Path

from thence.errors import AppendFailed, LogFull, LogReadOnly, OutcomeUnknown, ThenceError
from thence.log.storage.disk import DENIED_ERRNOS, FULL_ERRNOS


def append_error(path: Path, error: OSError) -> ThenceError:
    """Returns the error for a call that failed and left nothing behind."""
    kind: type[ThenceError] = AppendFailed
    hint = "check the device, then try again"
    if error.errno in FULL_ERRNOS:
        kind, hint = LogFull, "free some space, then try again"
    elif error.errno in DENIED_ERRNOS:
        kind, hint = LogReadOnly, "give this user the right to write there"
    place = error.filename or path
    failure = kind("could not append to", place=place, cause=error.strerror or error, hint=hint)
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
        hint="check the device, then retry(); this opening appends no more",
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
        cause="an earlier sync of it failed, so nothing more is written by this opening",
        hint="check the device, then open the log again",
    )
