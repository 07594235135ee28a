"""The commands that list, follow and index the events of a log.

`log`, `show`, `query`, `last`, `tail` and `rebuild` read; none of them appends.
"""

import os
import stat
import sys
from collections.abc import Mapping
from itertools import chain, islice
from threading import Event as Signal
from time import monotonic
from typing import NamedTuple

import click
import msgspec

from thence.cli.frame import help_with, log_options
from thence.cli.output import current, wrapped
from thence.cli.shared.locate import is_log_of_agents
from thence.cli.shared.logs import (
    OptionValue,
    event_printer,
    filter_options,
    find_event,
    keep_taking_in,
    keys,
    names_event,
    names_events,
    open_for_reading,
    report_matches,
)
from thence.cli.shared.render import counted, page
from thence.core.codec import parse
from thence.core.event import Event
from thence.core.json_values import printable
from thence.core.new_event import parse_cause
from thence.core.query.filter import Filter
from thence.core.sentences.events import conversation
from thence.core.vocabulary import Vocabulary
from thence.log.files.disk import OS_DISK
from thence.log.open import Log

# those are held in memory at once
LAST_EVENTS_MAX = 10_000
SCREEN_EVENTS = 50
OPEN_SHOWN_MAX = 20


@click.command(
    "log",
    **help_with(
        "thence log --last 20 --type 'order.*'",
        "thence log --since 1h --count",
        "thence query --where 'amount > 10' --where 'reason ~ stock'",
    ),
)
@filter_options
@click.option(
    "-n",
    "--last",
    type=click.IntRange(1, LAST_EVENTS_MAX),
    metavar="N",
    help=f"The last N events, {LAST_EVENTS_MAX:,} at most; {SCREEN_EVENTS} on a terminal.",
)
@click.option("--desc", "is_descending", is_flag=True, help="List the latest event first.")
@click.option("--count", "is_count", is_flag=True, help="Print only the number of events.")
@click.option(
    "--limit",
    type=click.IntRange(min=0),
    metavar="N",
    help="A page: the first N events; 0 for all.",
)
@log_options
def log_command(
    last: int | None,
    is_descending: bool,
    is_count: bool,
    limit: int | None,
    log_name: str | None,
    **conditions: OptionValue,
) -> None:
    """List events in total order, one line each.

    A line shows time (UTC), turn, type, actor, what happened, and the event's short id. An event is
    listed if it matches every option; of a repeated option it needs to match one value, of --where
    all. A terminal gets the last 50, other outputs get all. With --json the lines are those of the
    file. `thence query` is another name for it.
    """
    out = current()
    if is_count and (last or limit is not None):
        raise click.UsageError("--count counts all events, without --last or --limit")
    if last and limit is not None:
        raise click.UsageError("--last and --limit exclude each other")
    if not last and limit is None and not out.is_json and out.columns:
        last = SCREEN_EVENTS
    with open_for_reading(out, log_name, has=names_events(conditions)) as log:
        if is_count:
            total = log.page(**keys(conditions), limit=1).total
            report_matches(out, log, conditions, total)
            out.result({"events": total}, [str(total)])
            return
        show = event_printer(out, log.vocabulary)
        listed = 0
        if last is not None:
            only = log.page(**keys(conditions), last=last, descending=is_descending)
            pages = iter((only,))
        else:
            pages = log.pages(limit or None, None, is_descending, **keys(conditions))
        for batch in pages:
            show(batch.events)
            listed += len(batch.events)
        report_matches(out, log, conditions, listed)
    if last is not None and listed < batch.total:
        out.notice(f"the last {listed:,} of {batch.total:,} events; --limit 0 shows all")
    elif batch.next_cursor is not None:
        out.notice(f"{listed:,} of {counted(batch.total, 'event')}; --limit 0 shows all")


query_command = log_command


@click.command("show", **help_with("thence show @last"))
@click.argument("event")
@log_options
def show_command(event: str, log_name: str | None) -> None:
    """Show everything that one event holds.

    EVENT is an id, a prefix of it of at least 6 characters, @last, @last-error, or a subject or
    type, which names its latest event. With --json the event's line is written as it is stored.
    """
    out = current()
    with open_for_reading(out, log_name, has=names_event(event)) as log:
        stored = find_event(out, log, event)
        if out.is_json:
            out.line(stored.readable_line)
            return
        present = log.with_ids(stored.caused_by)
        spoken = []
        for role, content in conversation(stored, present.values()):
            spoken += ["", f"{printable(role)}:"]
            for line in content.splitlines():
                spoken += wrapped(printable(line), out.width, "  ")
    other = {cause.event_id: cause for cause in map(parse_cause, stored.external_causes) if cause}
    causes = [
        log.vocabulary.sentence(present[cause])
        if cause in present
        else f"{cause}, {f'in log {other[cause].log_id}' if cause in other else 'not in this log'}"
        for cause in stored.caused_by
    ]
    out.write(*page(stored, log.vocabulary, causes, out.width), *spoken)


class OpenStep(NamedTuple):
    """A step that began and never ended.

    `writer_ended` is the time of the last event of the process that began it, if that has ended.
    """

    event: Event
    writer_ended: str | None

    @property
    def state(self) -> str:
        """What became of the step, in words."""
        if self.writer_ended is None:
            return "may still be running"
        is_later = self.writer_ended != self.event.timestamp
        last = f", its last event: {self.writer_ended}" if is_later else ""
        return f"its process has ended{last}"

    def lines(self, vocabulary: Vocabulary, width: int) -> list[str]:
        """Returns since when the step is open, what it is and its state, as lines."""
        text = f"{self.event.timestamp}  {vocabulary.sentence(self.event)}; {self.state}"
        return wrapped(text, width, "", "  ")


def read_end(log: Log) -> tuple[Event | None, list[OpenStep]]:
    """Returns the last event of a log, and the steps that it left open, the latest last.

    What an agent's hook recorded belongs to the process of the agent, not to the one that wrote it.
    """
    from thence.log.recovery.writers import ended_writers, living_writers
    from thence.trace.agents.sessions import has_ended
    from thence.trace.otlp.decoding import SOURCE

    before = living_writers(OS_DISK, log.folder)
    end = log.end()
    after = living_writers(OS_DISK, log.folder) if end.still_open else None
    ended: Mapping[str, str] = {}
    if before is not None and after is not None:
        ended = ended_writers(OS_DISK, log.folder, log.vocabulary, end, before | after)
    is_of_agents = is_log_of_agents(log.folder)
    steps = []
    for event in end.still_open:
        is_elsewhere = event.header.source == SOURCE  # of the importer nothing follows
        is_known = not is_elsewhere and (not is_of_agents or has_ended(event))
        steps.append(OpenStep(event, ended.get(event.event_id) if is_known else None))
    return end.last, steps


@click.command("last", **help_with("thence last --log output/my-run"))
@log_options
def last_command(log_name: str | None) -> None:
    """Show the last event, and what was open when the log ended.

    A step is open if an event began it and none ended it: the turn of a killed simulation, a call
    that never returned. Each is shown as `thence unfinished` shows it, with the latest last.
    """
    out = current()
    with open_for_reading(out, log_name) as log:
        last, steps = read_end(log)
    if out.is_json:
        line = last and msgspec.Raw(last.readable_line)
        still_open = [msgspec.Raw(step.event.readable_line) for step in steps]
        ended = {
            one.event.event_id: one.writer_ended for one in steps if one.writer_ended is not None
        }
        out.json({"last": line, "open": still_open, "writers_ended": ended})
        return
    if last is None:
        out.notice("no events")
        return
    sentence = f"last event: {log.vocabulary.sentence(last)}"
    out.write(*wrapped(f"{sentence}, {last.timestamp or 'at no known time'}", out.width, "", "  "))
    hidden = 0 if out.is_verbose else max(len(steps) - OPEN_SHOWN_MAX, 0)
    older = f" (-v shows {counted(hidden, 'older one')} too)" if hidden else ""
    out.write(f"open at the end{older}:" if steps else "nothing was left open")
    for step in steps[hidden:]:
        out.write(*step.lines(log.vocabulary, out.width))


@click.command("unfinished", **help_with("thence unfinished --log output/my-run"))
@log_options
def unfinished_command(log_name: str | None) -> None:
    """List steps that never ended, and whether their processes are alive.

    The latest comes last. A step of another machine, or of a copied log, counts as alive: this
    machine can't check its process.
    """
    out = current()
    with open_for_reading(out, log_name) as log:
        _, steps = read_end(log)
    if out.is_json:
        entries = [
            {
                "event": msgspec.Raw(step.event.readable_line),
                "is_alive": step.writer_ended is None,
                "writer_ended": step.writer_ended,
            }
            for step in steps
        ]
        out.json({"unfinished": entries})
        return
    for step in steps:
        out.write(*step.lines(log.vocabulary, out.width))
    if not steps:
        out.notice("nothing is unfinished")


@click.command("rebuild", **help_with("thence rebuild --log output/my-run"))
@log_options
def rebuild_command(log_name: str | None) -> None:
    """Rebuild a log's index from its lines.

    You never need it: a command that finds the index missing, damaged or old rebuilds it. A small
    log keeps its index in memory until it has one in a file.
    """
    from thence.cli.shared.progress import bar

    out = current()
    with open_for_reading(out, log_name, by_index=False) as log:
        size = log.size()
        begin = monotonic()
        with bar(out, "bytes read") as show:
            events = log.rebuild(lambda done: show(done, size))
        seconds = monotonic() - begin
    line = f"indexed {counted(events, 'event')} in {seconds:.1f} s"
    out.result({"events": events, "bytes": size, "seconds": round(seconds, 3)}, [line])


TAIL_EVENTS = 10
BATCH_EVENTS = 32
# how long a hook's event waits for `tail -f`
TAKE_IN_S = 0.5
# these are held in memory; `thence log` has no such limit
TAIL_EVENTS_MAX = 500_000


class _Unread(Signal):
    """Set as soon as nobody reads the pipe that stdout is, also while nothing is written."""

    def wait(self, timeout: float | None = None) -> bool:
        """Waits for it, at most so many seconds; returns whether it has come."""
        import select

        poll, descriptor = select.poll(), sys.stdout.fileno()
        if stat.S_IFMT(os.fstat(descriptor).st_mode) in (stat.S_IFIFO, stat.S_IFSOCK):
            poll.register(descriptor, 0)  # errors and the close of the other end always count
        return bool(poll.poll(None if timeout is None else timeout * 1_000))


@click.command("tail", **help_with("thence tail -f --log orders"))
@click.option(
    "-n",
    "--last",
    "count",
    type=click.IntRange(0, TAIL_EVENTS_MAX),
    default=TAIL_EVENTS,
    show_default=True,
    metavar="N",
    help="The last N events; `thence log` lists all.",
)
@click.option("-f", "--follow", "is_live", is_flag=True, help="Show new events until Ctrl-C.")
@filter_options
@log_options
def tail_command(
    count: int, is_live: bool, log_name: str | None, **conditions: OptionValue
) -> None:
    """Show the last events in arrival order, and follow.

    An event is listed if it matches every option, as in `thence log`; with --json the lines are
    those of the file. Following continues over rotations, and ends when the reader of the output
    closes it.
    """
    out, event_filter = current(), Filter.of(**keys(conditions))
    out.is_endless = is_live
    with open_for_reading(out, log_name, by_index=is_live, has=names_events(conditions)) as log:
        events = log.backwards()
        newest = next(events, None)
        matching = filter(event_filter.matches, chain([newest] if newest else (), events))
        lines = [event.line for event in islice(matching, count)]  # without what they are read as
        del events, matching  # they hold a file open
        read = (parse(line, log.vocabulary) for line in reversed(lines))
        show, rest = event_printer(out, log.vocabulary), (e for e in read if isinstance(e, Event))
        while batch := tuple(islice(rest, BATCH_EVENTS)):
            show(batch)
        if not is_live:
            if count:
                report_matches(out, log, conditions, len(lines))
            return
        out.flush()
        keep_taking_in([log.folder], TAKE_IN_S)
        for event in filter(event_filter.matches, log.follow(newest, _Unread())):
            show((event,))
            out.flush()
