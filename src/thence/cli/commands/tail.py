"""The command `tail`: shows the last events in order of arrival, and follows new ones."""

import os
import stat
import sys
from collections.abc import Callable, Sequence
from itertools import islice
from threading import Event as Signal
from threading import Thread
from typing import TYPE_CHECKING

import click

from thence.cli import INTERRUPTED
from thence.cli.frame import help_with, log_options
from thence.cli.output import Output, current
from thence.cli.shared.logs import (
    Conditions,
    OptionValue,
    event_printer,
    filter_options,
    keys,
    report_matches,
)

if TYPE_CHECKING:
    from thence.core.event import Event
    from thence.core.query.filter import Filter
    from thence.log.read.follower import Follower

TAIL_EVENTS = 10
BATCH_EVENTS = 32
# the ids of these events are held in memory, 100 bytes each; `thence log` has no such limit
TAIL_EVENTS_MAX = 500_000


@click.command("tail", **help_with("thence tail -f --log orders"))
@click.option(
    "-n",
    "--lines",
    "count",
    type=click.IntRange(0, TAIL_EVENTS_MAX),
    default=TAIL_EVENTS,
    show_default=True,
    metavar="N",
    help="The last N events; `thence log` lists all.",
)
@click.option("-f", "--follow", "is_live", is_flag=True, help="Go on with new ones until Ctrl-C.")
@filter_options
@log_options
def tail_command(count: int, is_live: bool, log: str | None, **conditions: OptionValue) -> None:
    """Show the last events in the order of their arrival, and follow.

    An event is shown when it fits every option that is given, as in `thence log`; with --json the
    lines are those of the file. Following goes on over rotations, and ends when whoever reads the
    output goes away.
    """
    try:
        _tail(current(), count, is_live, log, conditions)
    except KeyboardInterrupt:
        if is_live:  # the usual end of `tail -f`, which needs no report
            raise click.exceptions.Exit(INTERRUPTED) from None
        raise


def _tail(out: Output, count: int, is_live: bool, log: str | None, conditions: Conditions) -> None:
    from thence.cli.shared.locate import find_log
    from thence.core.query.filter import Filter
    from thence.log.read.follower import Follower
    from thence.log.storage.disk import OS_DISK
    from thence.replica import open_log

    event_filter = Filter.of(**keys(conditions))
    with (
        open_log(find_log(out, log), create=False) as replica,
        Follower(OS_DISK, replica.folder, replica.vocabulary) as follower,
    ):
        matches = None if event_filter == Filter() else event_filter.matches
        follower.skip_to_last(count, matches)
        show = event_printer(out, replica.vocabulary)
        shown_count = 0
        events = filter(matches or (lambda event: True), follower.events())
        while batch := tuple(islice(events, BATCH_EVENTS)):
            show(batch)
            shown_count += len(batch)
        if is_live:
            _follow(out, follower, show, event_filter)
        elif count:
            report_matches(out, replica, conditions, shown_count)


def _follow(
    out: Output,
    follower: "Follower",
    show: "Callable[[Sequence[Event]], None]",
    event_filter: "Filter",
) -> None:
    """Shows new events at once, until the reader of the output is gone."""
    out.flush()
    stop = Signal()
    _stop_when_unread(stop)
    while follower.wait(stop):
        for event in filter(event_filter.matches, follower.events()):
            show((event,))
            out.flush()


def _stop_when_unread(stop: Signal) -> None:
    """Sets `stop` when the pipe's reader is gone, also while there is nothing to write."""
    descriptor = sys.stdout.fileno()
    kind = os.fstat(descriptor).st_mode
    if not (stat.S_ISFIFO(kind) or stat.S_ISSOCK(kind)):
        return

    def watch() -> None:
        import select

        poll = select.poll()
        poll.register(descriptor, 0)  # errors and the close of the other end are always reported
        poll.poll()
        stop.set()

    Thread(target=watch, name="thence-tail", daemon=True).start()
