"""The report of an error to a user: an exit code, three lines on stderr, one JSON object."""

from collections.abc import Mapping
from contextlib import suppress
from typing import NamedTuple

import click

from thence.cli import DAMAGED, FAILED, MISUSED, NOT_FOUND, UNKNOWN
from thence.cli.output import Output
from thence.errors import InvalidFilter, Refused, ThenceError

_CODES: Mapping[str, int] = {
    "event_not_found": NOT_FOUND,
    "event_pruned": NOT_FOUND,
    "line_not_found": NOT_FOUND,
    "not_a_log": NOT_FOUND,
    "not_a_project": NOT_FOUND,
    "not_a_server": NOT_FOUND,
    "planning_error": MISUSED,
    "scenario_error": MISUSED,
    "bad_settings": MISUSED,
    "ambiguous_id": MISUSED,
    "event_too_large": MISUSED,
    "invalid_event": MISUSED,
    "invalid_filter": MISUSED,
    "invalid_cursor": MISUSED,
    "body_missing": DAMAGED,
    "cyclic_dependency_error": DAMAGED,
    "damaged_copy": DAMAGED,
    "database_unavailable": DAMAGED,
    "outcome_unknown": UNKNOWN,
}
_STDOUT = "check where stdout goes: a full disk, or a place that can't be written"
_DEBUG = "run it again with --debug for the traceback"


class Failure(NamedTuple):
    """An error with message, cause and hint; `code` is stable, `exit_code` is the process's."""

    exit_code: int
    code: str
    message: str
    cause: str
    hint: str


class NeedsTerminal(click.UsageError):
    """Wrong usage: there is no terminal to ask on; `instead` is what to type there."""

    def __init__(self, instead: str) -> None:
        super().__init__("there is no terminal to ask on")
        self.instead = instead


def report_error(error: Exception, out: Output) -> int:
    """Reports an error and returns the exit code.

    Three lines go to stderr; under --json stdout gets `{"error": …}` as well, so that its
    reader always finds JSON.
    """
    if isinstance(error, click.exceptions.Exit):
        return error.exit_code
    with suppress(OSError):  # stdout itself failed
        out.flush()
    failure = failure_of(error)
    if out.has_lost_stdout and isinstance(error, OSError) and not error.filename:
        failure = failure._replace(message="could not write to stdout", hint=_STDOUT)
    with suppress(OSError):  # the lines on stderr still report the error
        if out.is_json:
            fields = failure._asdict()
            del fields["exit_code"]
            if isinstance(error, Refused):
                fields["guard"] = error.guard
            out.json({"error": fields})
        out.flush()
    if out.is_debug:
        show_traceback(error, out)
    if isinstance(error, ThenceError) and len(error.problems) > 1:
        out.warn(*map(problem_line, error.problems))
    out.report(failure.message, failure.cause, failure.hint)
    return failure.exit_code


def show_traceback(error: BaseException, out: Output) -> None:
    """Writes the traceback of an error to stderr."""
    import traceback

    for part in traceback.format_exception(error):
        part = part.rstrip("\n")  # a frame has several lines, a message is one
        out.warn(*(part.split("\n") if part.startswith("  File ") else (part,)))


def problem_line(problem: Mapping[str, object]) -> str:
    """Returns a scenario's problem as compilers write it: file, line, key, message, hint."""
    position = f"{problem['file']}:{problem['line']}" if problem["line"] else problem["file"]
    key = f"{problem['key']}: " if problem["key"] else ""
    hint = f" ({problem['hint']})" if problem["hint"] else ""
    return f"{position}: {key}{problem['message']}{hint}"


def failure_of(error: Exception) -> Failure:
    """Returns the report of an error for a user."""
    if isinstance(error, ThenceError):
        code = _CODES.get(error.code, FAILED)
        cause = error.cause or "no details are known"
        message = error.message
        if isinstance(error, InvalidFilter):  # each part of a filter is an option
            from thence.core.query.where import UNREADABLE

            message = message.replace(f"{UNREADABLE} ", "could not read --")
        return Failure(code, error.code, message, cause, error.hint or _DEBUG)
    if isinstance(error, click.ClickException):
        return _misuse(error)
    if isinstance(error, OSError):
        message = f"could not use {error.filename}" if error.filename else "could not read or write"
        cause = error.strerror or str(error)
        hint = "check the path, its permissions and the room on the disk"
        return Failure(FAILED, "os_error", message, cause, hint)
    cause = f"{type(error).__name__}: {error}"
    return Failure(FAILED, "internal_error", "failed unexpectedly", cause, _DEBUG)


def _misuse(error: click.ClickException) -> Failure:
    """Returns the report of wrong arguments, with the usage of their command."""
    context = error.ctx if isinstance(error, click.UsageError) else None
    text = error.format_message()
    if isinstance(error, click.NoSuchOption):
        from thence.core.nearest import did_you_mean

        names = [option.removeprefix("--") for option in error.possibilities or ()]
        near = did_you_mean(error.option_name.removeprefix("--"), names)
        text = f"No such option '{error.option_name}'" + near.replace("mean ", "mean --")
    message, is_near, name = text.partition("; did you mean ")
    path = context.command_path if context else "thence"
    hint = f"did you mean {name}" if is_near else f"`{path} --help` shows its options"
    if isinstance(error, NeedsTerminal):
        hint = error.instead
    usage = context.get_usage().removeprefix("Usage: ") if context else path
    cause = "expected: " + " ".join(usage.split())
    message = " ".join(message.split()).rstrip(".").replace("integer range", "integer")
    if not message[:2].isupper():  # such as THENCE_LOG
        message = message[:1].lower() + message[1:]
    return Failure(MISUSED, "usage", message, cause, hint)
