"""The command `prune`: removes a log's oldest events, or puts them into an archive."""

import re
from collections.abc import Mapping
from contextlib import closing, nullcontext
from pathlib import Path

import click

from thence.cli.frame import check_agreed, help_with, log_options
from thence.cli.output import current
from thence.cli.shared.logs import dated_time, open_for_reading
from thence.cli.shared.render import counted, write_some
from thence.core.clock import timestamp_at
from thence.core.query.filter import moments
from thence.log.check.pruning import PlannedSegment, Pruning
from thence.log.open import OS_DISK

FILES_SHOWN_MAX = 20
_FILE_KEYS = ("name", "events", "bytes", "until")
_SIZE = re.compile(r"(\d{1,15})(([kmgt])(i?))?b?", re.ASCII)


def _bytes(context: click.Context, parameter: click.Parameter, value: str | None) -> int | None:
    if value is None:
        return None
    match = _SIZE.fullmatch(value.lower())
    if match is None:
        raise click.BadParameter("write bytes, or a size such as 500MB or 2GiB", context, parameter)
    power = " kmgt".index(match[3] or " ")
    return int(match[1]) * int((1024 if match[4] else 1000) ** power)


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
    callback=dated_time,
    help="Files with only older events: 2026-11-20, 90d, in UTC.",
)
@click.option(
    "--keep-bytes",
    metavar="N",
    callback=_bytes,
    help="All files but the newest, up to this size.",
)
@click.option(
    "--archive",
    metavar="DIR",
    type=click.Path(file_okay=False, path_type=Path),
    help="Put them there first, compressed; otherwise they are gone for good.",
)
@click.option("--dry-run", "is_dry", is_flag=True, help="Only show what would be removed.")
@click.option("--yes", "is_sure", is_flag=True, help="Don't ask.")
@log_options
def prune_command(
    before: str | None,
    keep_bytes: int | None,
    archive: Path | None,
    is_dry: bool,
    is_sure: bool,
    log_name: str | None,
) -> None:
    """Remove a log's oldest files, or move them to an archive.

    It takes whole closed files, oldest first, never the current one; `thence.open(…,
    rotate_after="1d")` closes one a day. A notice records what was removed, for numbers, causes and
    sync; nothing counts as damage. A project's journal and a run are refused; a file stays, and all
    later ones, with lines of other tools, or that the server of a synced log does not hold yet. An
    archive is a folder of these files, compressed; gunzip makes it a log.
    """
    if (before is None) == (keep_bytes is None):
        raise click.UsageError("choose the files with --before or --keep-bytes")
    from thence.cli.shared.progress import bar
    from thence.sync.target import read_target

    out = current()
    before_us, _ = moments("before", before)
    before = None if before_us is None else timestamp_at(before_us)
    archive = archive.resolve() if archive else None
    with open_for_reading(out, log_name) as log:
        where = (OS_DISK, log.folder, log.vocabulary)
        pruning = Pruning(*where, log.pruned, log.redactions.record)
        with nullcontext() if is_dry else pruning.alone():
            unsynced: Mapping[str, int] = {}  # lines of each segment that the server may lack
            if read_target(log.folder) is not None:
                from thence.sync.outbox import outbox_of

                with closing(outbox_of(log.folder, log.vocabulary)) as outbox:
                    unsynced = outbox.unsynced()
            plan = pruning.plan(before, keep_bytes or 0, unsynced)
            if not out.is_json:
                write_some(out, plan.segments, FILES_SHOWN_MAX, "file", _lines)
                count, size = plan.pruned.events, plan.pruned.bytes
                words = f"{counted(plan.pruned.files, 'file')}, {counted(count, 'event')}"
                lies = f"into {archive}" if archive else "removed for good"
                in_all = f"in all {words}, {size:,} bytes: {lies}"
                out.write(in_all if plan.segments else "nothing to prune")
                if plan.rest:
                    out.notice(plan.rest)
            is_done = bool(plan.segments) and not is_dry
            if is_done:
                question = "Move them there?" if archive else "It can't be undone. Remove them?"
                if not is_sure:
                    instead = "add --yes, or --dry-run"
                    check_agreed(question, "did not prune", "prune_refused", instead=instead)
                out.resumption = "run the same command again; it removes the rest"
                with bar(out, "pruning"):
                    pruning.run(plan, archive)
                    log.renew()
    if out.is_json:
        files = [{key: getattr(one, key) for key in _FILE_KEYS} for one in plan.segments]
        out.json(
            {
                "pruned": is_done,
                "files": files,
                "events": plan.pruned.events,
                "bytes": plan.pruned.bytes,
                "archive": str(archive) if archive else None,
                "stopped": plan.rest or None,
            }
        )
    elif is_done:
        out.write(f"pruned {counted(plan.pruned.events, 'event')}")


def _lines(segment: PlannedSegment) -> list[str]:
    size = f"{counted(segment.events, 'event')}, {segment.bytes:,} bytes"
    return [f"{segment.name}  {size}, up to {segment.until[:10]}"]
