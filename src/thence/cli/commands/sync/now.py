"""The command `sync now`: runs rounds until nothing moves any more."""

import click

from thence.cli.commands.sync.synced_log import (
    ROUND_COUNTS,
    check_packages,
    opened_synced_log,
    synced_log_option,
)
from thence.cli.frame import help_with, output_options
from thence.cli.output import Output, current
from thence.cli.shared.logs import redact_due_copies
from thence.cli.shared.progress import bar
from thence.errors import LogBusy, SyncRefused, ThenceError
from thence.log.open import Log

_WAIT_S = 60.0
_ROUNDS_MAX = 5


@click.command("now", **help_with("thence sync now"))
@synced_log_option
@output_options
def now_command(log_name: str | None) -> None:
    """Push events that the server does not have, and pull those of others.

    Exit code 0: both sides hold everything; 1: something stayed behind. If another process syncs
    the log, the command waits for its turn. Redacted lines are overwritten in a project's day files
    too.
    """
    check_packages()
    out = current()
    with opened_synced_log(out, log_name) as log:
        try:
            counts = drained(out, log)
        finally:  # also after a round that failed once it had redacted
            _redact_copies(out, log)
    notes = {
        "duplicate": "were there already",
        "redacted": "were redacted: they say nothing any more",
    }
    out.result(
        counts,
        [f"pulled {counts['pulled']:,}, pushed {counts['pushed']:,}"],
        [f"{counts[name]:,} {words}" for name, words in notes.items() if counts[name]],
    )


def _redact_copies(out: Output, log: Log) -> None:
    """Overwrites what the files of a project still hold of redacted lines; the sync stands."""
    try:
        unwritten = redact_due_copies(log)
    except (OSError, ThenceError) as error:
        unwritten = [str(error)]
    for reason in unwritten:
        out.notice(f"note: redacted text stays until the next `thence sync now`: {reason}")


def drained(out: Output, log: Log) -> dict[str, int]:
    """Runs rounds while they move anything; raises the error that ended one, or `sync_error`."""
    from thence.sync.credentials import CredentialStore
    from thence.sync.rounds import run_round
    from thence.sync.target import RESTORED

    store = CredentialStore()
    out.resumption = "thence sync now"
    sums = dict.fromkeys(ROUND_COUNTS.values(), 0)
    is_restored = False
    with bar(out, "lines pushed") as show:

        def progress(pulled: int, pushed: int, total: int) -> None:
            show(pushed, total, f"{pulled:,} pulled")

        for rounds_left in reversed(range(_ROUNDS_MAX)):
            report = run_round(log, store, wait_s=_WAIT_S, progress=progress)
            if report is None:
                raise LogBusy(
                    "could not sync",
                    place=log.folder,
                    cause=f"another process has synced it for {_WAIT_S:g} s",
                    hint="see what it does: thence sync status; then try again",
                )
            for name, key in ROUND_COUNTS.items():
                sums[key] += getattr(report, name)
            is_restored = is_restored or report.is_restored
            has_moved = report.taken or report.delivered
            if not rounds_left or report.error or report.is_complete or not has_moved:
                break
    for note in [*store.notes, *([RESTORED] if is_restored else [])]:
        out.notice(f"note: {note}")
    assert report is not None
    if report.error is not None:
        raise report.error
    if not report.is_complete:
        raise SyncRefused(
            "could not sync all of",
            place=log.folder,
            cause=f"{report.left:,} stayed behind without a verdict, {report.parked:,} are parked",
            hint="see why: thence sync parked" if report.parked else "try again: thence sync now",
            code="sync_error",
        )
    return sums
