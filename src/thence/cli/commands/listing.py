"""The commands that list, sum up and index the events of a log.

`log`, `show`, `query`, `last`, `stats` and `rebuild` read; none of them appends.
"""

import shlex
from collections.abc import Mapping
from contextlib import suppress
from datetime import datetime
from pathlib import Path
from time import monotonic
from typing import TYPE_CHECKING

import click

from thence.cli.groups import help_with, json_option, log_option, verbosity_options
from thence.cli.output import Output, current
from thence.cli.shared.opened import command, find_event, open_for_reading
from thence.cli.shared.pages import (
    Conditions,
    OptionValue,
    event_printer,
    filter_options,
    note_unknown_key,
    pages,
)
from thence.cli.shared.render import bars, counted, wrapped
from thence.errors import EventNotFound

if TYPE_CHECKING:
    from thence.core.event import Event
    from thence.core.query.tally import LogEnd, Tally
    from thence.core.values.vocabulary import Vocabulary
    from thence.index.plan.page import Page
    from thence.replica import Log

LOG_EVENTS = 50
PAGE_EVENTS = 1000
PAGE_EVENTS_MAX = 10_000
SCREEN_EVENTS = 50
OPEN_SHOWN_MAX = 20
NAMES_SHOWN_MAX = 20


@click.command("log", **help_with("thence log --type DECISION --limit 20"))
@click.option(
    "--limit",
    type=click.IntRange(min=0),
    metavar="N",
    help=f"The last N events, 0 for all. On a terminal {LOG_EVENTS}, else all.",
)
@click.option("--type", "types", multiple=True, metavar="TYPE", help="Only this type; repeatable.")
@log_option
@json_option
@verbosity_options
def log_command(limit: int | None, types: tuple[str, ...], log: str | None, is_json: bool) -> None:
    """List events in total order, one line each.

    A line shows time (UTC), turn, type, who, what happened, and the event's short id. With
    --json the lines are those of the file.
    """
    out = current()
    if limit is None:
        limit = 0 if is_json or out.columns is None else LOG_EVENTS
    conditions = {"type": types}
    listed = 0
    with open_for_reading(out, log) as replica:
        show = event_printer(out, replica.vocabulary, is_json)
        total = replica.query(type=types, limit=1).total if limit else 0
        for page in pages(replica, conditions, limit or None, offset=max(0, total - limit)):
            show(page.events)
            listed += len(page.events)
            total = page.total
    if not total:
        out.notice("no events" + (f" of type {', '.join(types)}" if types else ""))
    elif listed < total:
        out.notice(f"the last {listed} of {total:,} events; --limit 0 shows all")


@click.command("show", **help_with("thence show @last"))
@click.argument("event")
@log_option
@json_option
@verbosity_options
def show_command(event: str, log: str | None, is_json: bool) -> None:
    """Show all that one event holds.

    EVENT is an id, a prefix of it of at least 6 characters, @last, @last-error, or a subject,
    of which the latest event is taken. With --json the event's line is written as it is
    stored.
    """
    from thence.cli.shared.render import page
    from thence.core.values.new_event import parse_cause

    out = current()
    with open_for_reading(out, log) as replica:
        stored = find_event(out, replica, event)
        if is_json:
            out.line(stored.line)
            return
        causes_here = _causes(replica, stored)
    other = {cause.event_id: cause for cause in map(parse_cause, stored.external_causes) if cause}
    causes = [
        replica.vocabulary.sentence(causes_here[cause])
        if cause in causes_here
        else f"{cause}, {f'in log {other[cause].log_id}' if cause in other else 'not in this log'}"
        for cause in stored.caused_by
    ]
    out.write(*page(stored, replica.vocabulary, causes, out.width))


def _causes(replica: "Log", event: "Event") -> "dict[str, Event]":
    """Returns the causes of an event that the log holds, by their ids."""
    causes = {}
    for cause in event.caused_by:
        with suppress(EventNotFound):
            causes[cause] = replica.get(cause)
    return causes


@click.command(
    "query",
    **help_with("thence query --type order.failed --where 'amount > 10 and reason ~ stock'"),
)
@filter_options
@click.option(
    "--limit",
    type=click.IntRange(1, PAGE_EVENTS_MAX),
    metavar="N",
    help=f"At most N events. On a terminal {SCREEN_EVENTS}, else {PAGE_EVENTS}.",
)
@click.option("--cursor", metavar="CURSOR", help="Go on behind the page that gave this cursor.")
@log_option
@json_option
@verbosity_options
def query_command(
    limit: int | None,
    cursor: str | None,
    log: str | None,
    is_json: bool,
    **conditions: OptionValue,
) -> None:
    """List the events that a filter asks for, a page at a time.

    An event is listed when it fits every option that is given; of a repeated one any will
    do, of --where all. The events stand in total order, as in `thence log`. When there are
    more, the command for the next page is shown. With --json the lines are those of the file.
    """
    out = current()
    if limit is None:
        limit = PAGE_EVENTS if is_json or out.columns is None else SCREEN_EVENTS
    with open_for_reading(out, log) as replica:
        show = event_printer(out, replica.vocabulary, is_json)
        listed = 0
        for page in pages(replica, conditions, limit, cursor=cursor):
            show(page.events)
            listed += len(page.events)
        if not listed:
            out.notice("no events")
            note_unknown_key(out, replica, conditions)
    form = "--json " if is_json else ""
    _note_next_page(out, page, listed, f"query {_options(conditions)}{form}--limit {limit}", log)


def _note_next_page(
    out: Output, page: "Page", listed: int, arguments: str, log: str | None
) -> None:
    """Writes the command for the next page to stderr."""
    if page.next_cursor is not None:
        next_command = command(f"{arguments} --cursor {shlex.quote(page.next_cursor)}", log)
        out.notice(f"{listed:,} of {counted(page.total, 'event')}; next: {next_command}")


def _options(conditions: Conditions) -> str:
    """Returns conditions as options for a shell."""
    arguments = ""
    for key, value in conditions.items():
        values = (value,) if isinstance(value, str) else value or ()
        arguments += "".join(f"--{key} {shlex.quote(text)} " for text in values)
    return arguments


@click.command("last", **help_with("thence last --log output/my-run"))
@log_option
@json_option
@verbosity_options
def last_command(log: str | None, is_json: bool) -> None:
    """Show the last event, and what was open when the log ended.

    Open is what an event began and no event ended: the turn that a killed simulation was
    in, a step that never returned. How long before the last event it began is shown with
    it, and whether the process that began it has ended.
    """
    out = current()
    with open_for_reading(out, log) as replica:
        end, ended = _read_end(replica)
    if is_json:
        import msgspec

        last = None if end.last is None else msgspec.Raw(end.last.line)
        still_open = [msgspec.Raw(event.line) for event in end.still_open]
        out.json({"last": last, "open": still_open, "writers_ended": ended})
    elif end.last is None:
        out.notice("no events")
    else:
        _write_end(out, end, ended, end.last, replica.vocabulary)


def _read_end(replica: "Log") -> "tuple[LogEnd, Mapping[str, str]]":
    """Returns the end of a log, and which of its open steps belong to ended processes."""
    from thence.inspection.writers import ended_writers, living_writers
    from thence.log.storage.disk import OS_DISK

    before = living_writers(OS_DISK, replica.folder)
    end = replica.answers.end()
    after = living_writers(OS_DISK, replica.folder) if end.still_open else None
    if before is None or after is None:
        return end, {}
    where = OS_DISK, replica.folder, replica.vocabulary
    return end, ended_writers(*where, end, before | after)


def _write_end(
    out: Output,
    end: "LogEnd",
    ended: Mapping[str, str],
    last: "Event",
    vocabulary: "Vocabulary",
) -> None:
    sentence = f"last event: {vocabulary.sentence(last)}"
    out.write(*wrapped(f"{sentence}, {last.timestamp or 'at no known time'}", out.width, "", "  "))
    hidden = 0 if out.is_verbose else max(len(end.still_open) - OPEN_SHOWN_MAX, 0)
    if hidden:
        out.write(f"still open: {counted(hidden, 'older one')}; -v shows all")
    for event in end.still_open[hidden:]:
        sentence = f"{vocabulary.sentence(event)}{_begin_text(event, last)}"
        time = ended.get(event.event_id)
        if time is None:
            sentence = f"still open: {sentence}"
        else:
            sentence = f"left open: {sentence}; its writer ended at {time} or later"
        out.write(*wrapped(sentence, out.width, "", "  "))
    if not end.still_open:
        out.write("nothing was left open")


def _begin_text(event: "Event", last: "Event") -> str:
    """Returns the begin of a step relative to the last event; "" without a valid time."""
    from thence.core.sentences.event_sentences import duration

    if event is last:
        return ", the last event"
    try:
        times = [datetime.fromisoformat(at.timestamp) for at in (event, last)]
        seconds = (times[1] - times[0]).total_seconds()
    except (ValueError, TypeError):  # another tool's time, or none
        return ""
    return f", begun {duration(seconds)} before" if seconds >= 0 else f", begun {event.timestamp}"


@click.command("stats", **help_with("thence stats --log output/my-run --json"))
@log_option
@json_option
@verbosity_options
def stats_command(log: str | None, is_json: bool) -> None:
    """Count the events of a log: by type, by actor, by node.

    An event is counted once, as `thence log` lists it. Lines that are passed over because
    they are damaged, and events that nothing verifies, are reported.
    """
    from thence.log.storage.disk import OS_DISK
    from thence.log.storage.segment import strays

    out = current()
    with open_for_reading(out, log) as replica:
        tally = replica.answers.stats()
    sizes = _segment_sizes(replica.folder)
    if is_json:
        if tally.unverified:
            out.notice(f"{tally.unverified:,} of the events are unverified")
        out.json(
            {
                "events": tally.events,
                "by_type": tally.by_type,
                "by_actor": tally.by_actor,
                "nodes": tally.nodes,
                "first": _event_json(tally.first),
                "last": _event_json(tally.last),
                "bytes": sum(sizes),
                "passed_over": [path.name for path in strays(OS_DISK, replica.folder)],
            }
        )
    else:
        _write_counts(out, tally, sizes, str(replica.folder))


def _segment_sizes(folder: Path) -> list[int]:
    """Returns the size of each segment of a log in bytes."""
    from thence.log.storage.disk import OS_DISK
    from thence.log.storage.segment import segments

    path_ids = (OS_DISK.path_id(str(path)) for path in segments(OS_DISK, folder))
    return [path_id[1] for path_id in path_ids if path_id is not None]


def _event_json(event: "Event | None") -> dict[str, str] | None:
    if event is None:
        return None
    return {"event_id": event.event_id, "timestamp": event.timestamp}


def _write_counts(out: Output, tally: "Tally", sizes: list[int], folder: str) -> None:
    from thence.core.sentences.event_sentences import short_id

    unverified_text = f", {tally.unverified:,} of them unverified" if tally.unverified else ""
    out.write(f"{counted(tally.events, 'event')}{unverified_text} in {folder}")
    out.write(f"  {counted(sum(sizes), 'byte')} in {counted(len(sizes), 'file')}")
    for word, event in (("first", tally.first), ("last ", tally.last)):
        if event is not None:
            out.write(f"  {word}  {event.timestamp}  [{short_id(event.event_id)}]")
    _write_bars(out, "type", tally.by_type)
    _write_bars(out, "actor", tally.by_actor)
    _write_bars(out, "node", tally.nodes)


def _write_bars(out: Output, word: str, counts: Mapping[str, int]) -> None:
    if not counts:
        return
    names = list(counts) if out.is_verbose else list(counts)[:NAMES_SHOWN_MAX]
    lines = bars({name: counts[name] for name in names})
    out.write("", f"by {word}", *lines)
    if len(names) < len(counts):
        hidden = len(counts) - len(names)
        out.write(f"  {counted(hidden, f'more {word}')}; -v shows all")


@click.command("rebuild", **help_with("thence rebuild --log output/my-run"))
@log_option
@json_option
@verbosity_options
def rebuild_command(log: str | None, is_json: bool) -> None:
    """Make the index of a log again from its lines.

    It is never needed: an index that is missing, damaged or old is made again by whoever
    asks. A small log's is kept in memory, until it has one in a file.
    """
    from thence.cli.shared.locate import find_log
    from thence.cli.shared.progress import bytes_read
    from thence.replica import open_log

    out = current()
    with open_log(find_log(out, log), create=False) as replica:
        size = sum(_segment_sizes(replica.folder))
        out.notice(f"reading {counted(size, 'byte')} of {replica.folder}")
        begin = monotonic()
        with bytes_read(out, size) as show:
            events = replica.answers.rebuild(show)
        seconds = monotonic() - begin
    if is_json:
        out.json({"events": events, "bytes": size, "seconds": round(seconds, 3)})
    else:
        out.write(f"indexed {counted(events, 'event')} in {seconds:.1f} s")
