"""The command `query`: lists the events that match a filter, a page at a time."""

import shlex
from typing import TYPE_CHECKING

import click

from thence.cli.groups import help_with, json_option, log_option, verbosity_options
from thence.cli.output import Output, current
from thence.cli.shared.pages import (
    Conditions,
    OptionValue,
    event_printer,
    filter_options,
    note_unknown_key,
    pages,
)

if TYPE_CHECKING:
    from thence.index.plan.page import Page

PAGE_EVENTS = 1000
PAGE_EVENTS_MAX = 10_000
SCREEN_EVENTS = 50


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
    from thence.cli.shared.opened import open_for_reading

    out = current()
    if limit is None:
        limit = PAGE_EVENTS if is_json or out.columns is None else SCREEN_EVENTS
    with open_for_reading(out, log) as replica:
        show = event_printer(out, replica.vocabulary, is_json)
        found = 0
        for page in pages(replica, conditions, limit, cursor=cursor):
            show(page.events)
            found += len(page.events)
        if not found:
            out.notice("no events")
            note_unknown_key(out, replica, conditions)
    form = "--json " if is_json else ""
    _note_next_page(out, page, found, f"query {_options(conditions)}{form}--limit {limit}", log)


def _note_next_page(out: Output, page: "Page", found: int, arguments: str, log: str | None) -> None:
    """Writes the command for the next page to stderr."""
    from thence.cli.shared.opened import command
    from thence.cli.shared.render import counted

    if page.next_cursor is not None:
        next_command = command(f"{arguments} --cursor {shlex.quote(page.next_cursor)}", log)
        out.notice(f"{found:,} of {counted(page.total, 'event')}; next: {next_command}")


def _options(conditions: Conditions) -> str:
    """Returns conditions as options for a shell."""
    arguments = ""
    for key, given in conditions.items():
        values = (given,) if isinstance(given, str) else given or ()
        arguments += "".join(f"--{key} {shlex.quote(text)} " for text in values)
    return arguments
