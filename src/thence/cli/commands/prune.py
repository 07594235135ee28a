"""The command `prune`: removes a log's oldest events, or puts them into an archive."""

import re
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import click

from thence.cli.frame import help_with, log_options
from thence.cli.output import Output, current
from thence.cli.shared.render import counted, write_some

if TYPE_CHECKING:
    from thence.core.values.pruned import Pruned
    from thence.log.check.pruning import PlannedSegment, PrunePlan
    from thence.replica import Log

FILES_SHOWN_MAX = 20
_SIZE = re.compile(r"(\d{1,15})\s*([kMGT]?)(i?)B?", re.IGNORECASE)
_POWERS = {"": 0, "k": 1, "m": 2, "g": 3, "t": 4}


def _bytes(context: click.Context, parameter: click.Parameter, value: str | None) -> int | None:
    """Reads a size such as 500MB, 2GiB or 1000000."""
    match = _SIZE.fullmatch(value.strip()) if value is not None else None
    if value is None:
        return None
    if match is None:
        raise click.BadParameter("write bytes, or a size such as 500MB or 2GiB", context, parameter)
    factor = 1024 if match[3] else 1000
    return int(match[1]) * int(factor ** _POWERS[match[2].lower()])


def _moment(context: click.Context, parameter: click.Parameter, value: str | None) -> str | None:
    """Reads a time as events have it; a date is its beginning."""
    from thence.core.clock import dated, microseconds, timestamp_at
    from thence.log.storage.disk import wall_ns

    if value is None:
        return None
    us = microseconds(dated(value, wall_ns() // 1_000))
    if us is None:
        raise click.BadParameter("write a time: 2026-11-20, 30d, yesterday", context, parameter)
    return timestamp_at(us)


@click.command(
    "prune",
    **help_with(
        "thence prune --before 90d --archive /backup/orders --yes",
        "thence prune --keep-bytes 2GB --dry-run",
    ),
)
@click.option(
    "--before",
    metavar="DATE",
    callback=_moment,
    help="Files in which all is older: 2026-11-20, 90d, in UTC.",
)
@click.option(
    "--keep-bytes",
    metavar="N",
    callback=_bytes,
    help="All files but the newest with so many bytes.",
)
@click.option(
    "--archive",
    metavar="DIR",
    type=click.Path(file_okay=False, path_type=Path),
    help="Put them there first, compressed; else they are removed for good.",
)
@click.option("--dry-run", "is_dry", is_flag=True, help="Only show what would go.")
@click.option("--yes", "is_sure", is_flag=True, help="Don't ask.")
@log_options
def prune_command(
    before: str | None,
    keep_bytes: int | None,
    archive: Path | None,
    is_dry: bool,
    is_sure: bool,
    log: str | None,
) -> None:
    """Remove a log's oldest files, or put them into an archive.

    Whole closed files go, oldest first, never the one that is appended to; `thence.open(…,
    rotate_after="1d")` closes one a day. A notice tells what went: numbers, causes and sync know of
    it, and nothing counts as damage. A project's journal and a run are refused, and so is what the
    server of a synced log does not hold yet. Put an archive's files back into the log's folder, or
    name the archive with --log, to read them again.
    """
    from contextlib import nullcontext

    from thence.cli.shared.logs import open_for_reading
    from thence.log.check.pruning import PruneBounds, Pruning, check_prunable
    from thence.replica import OS_DISK

    if (before is None) == (keep_bytes is None):
        raise click.UsageError("say what goes, by --before or by --keep-bytes")
    out = current()
    archive = archive.resolve() if archive else None
    with open_for_reading(out, log) as replica:
        check_prunable(replica.folder, replica.vocabulary)
        where = (OS_DISK, replica.folder, replica.vocabulary)
        pruning = Pruning(*where, replica.answers.pruned(), replica.redactions.record)
        with nullcontext() if is_dry else pruning.alone():
            open_ids = {event.event_id for event in replica.answers.end().still_open}
            bounds = PruneBounds(before, keep_bytes or 0)
            plan = pruning.plan(bounds, _held_back(replica), open_ids)
            has_work = bool(plan.segments or plan.unfinished)
            if not out.is_json:
                _show(out, plan, archive)
            if has_work and not is_dry:
                _ask(out, archive, is_sure=is_sure)
                pruned = pruning.run(plan, archive)
                replica.answers.renew()
    is_done = has_work and not is_dry
    if out.is_json:
        out.json(_as_json(plan, archive, is_done=is_done))
    elif is_done:
        out.write(_result(pruned, plan))


def _held_back(replica: "Log") -> Callable[[str, bool], str]:
    """Returns what tells why a segment of a synced log has to stay, empty where it may go."""
    from contextlib import closing

    from thence.replica import OS_DISK
    from thence.sync.target import read_target

    target = read_target(replica.folder)
    if target is None:
        return lambda name, has_unverified: ""
    from thence.sync.outbox import Outbox

    with closing(Outbox(OS_DISK, replica.folder, replica.vocabulary, target.key)) as outbox:
        outbox.update()
        undelivered = outbox.undelivered()

    def held_back(name: str, has_unverified: bool) -> str:
        if count := undelivered.get(name):
            lines = f"{counted(count, 'line')} of it"
            return f"the server is not known to hold {lines}: thence sync now"
        if has_unverified:
            return "it holds lines of other tools, without numbers: sync would bring them back"
        return ""

    return held_back


def _show(out: Output, plan: "PrunePlan", archive: Path | None) -> None:
    """Shows what would go, and why no more does."""
    if plan.unfinished:
        files = counted(len(plan.unfinished), "file")
        out.write(f"{files} of the last prune, which was interrupted, or put back since: to remove")

    def lines(segment: "PlannedSegment") -> list[str]:
        times = f"{segment.since[:10]} to {segment.until[:10]}"
        size = f"{segment.bytes:,} bytes"
        return [f"{segment.name}  {counted(segment.events, 'event')}, {size}, {times}"]

    write_some(out, plan.segments, FILES_SHOWN_MAX, "file", lines)
    if plan.segments:
        events = counted(sum(segment.events for segment in plan.segments), "event")
        size = sum(segment.bytes for segment in plan.segments)
        lies = f"into {archive}" if archive else "removed for good"
        files = counted(len(plan.segments), "file")
        out.write(f"in all {files}, {events}, {size:,} bytes: {lies}")
    elif not plan.unfinished:
        out.write("nothing to prune")
    for note in _notes(plan):
        out.notice(note)


def _notes(plan: "PrunePlan") -> Iterator[str]:
    steps = sum(segment.open_steps for segment in plan.segments)
    if steps:
        yield f"{counted(steps, 'step')} that never ended began there: `unfinished` won't list them"
    damaged = sum(segment.bad_lines for segment in plan.segments)
    if damaged:
        yield f"{counted(damaged, 'damaged line')} among them"
    if plan.rest:
        yield plan.rest


def _ask(out: Output, archive: Path | None, *, is_sure: bool) -> None:
    from thence.errors import PruneRefused

    if is_sure:
        return
    if not (sys.stdin.isatty() and sys.stderr.isatty()):
        raise click.UsageError("there is no terminal to ask on; add --yes, or --dry-run")
    question = "Move them there?" if archive else "It can't be undone. Remove them?"
    if not click.confirm(question, err=True):
        cause, hint = "you did not agree", "nothing was changed"
        raise PruneRefused("did not prune", cause=cause, hint=hint)


def _as_json(plan: "PrunePlan", archive: Path | None, *, is_done: bool) -> dict[str, object]:
    names = ("name", "events", "unverified", "bad_lines", "bytes", "since", "until", "open_steps")
    files = [{name: getattr(segment, name) for name in names} for segment in plan.segments]
    return {
        "pruned": is_done,
        "files": files,
        "unfinished": list(plan.unfinished),
        "events": sum(segment.events for segment in plan.segments),
        "bytes": sum(segment.bytes for segment in plan.segments),
        "archive": str(archive) if archive else None,
        "stopped": plan.rest or None,
    }


def _result(pruned: "Pruned", plan: "PrunePlan") -> str:
    if not plan.segments:
        return "removed what the last prune had told of"
    last = pruned.archives[-1][0]
    return f"pruned: {pruned.words(last)}"
