"""The commands `log` and `show`: list the events of a log, show one of them."""

from contextlib import suppress
from typing import TYPE_CHECKING

import click

from thence.cli.groups import help_with, json_option, log_option, verbosity_options
from thence.cli.output import current
from thence.cli.shared.pages import event_printer, pages
from thence.errors import EventNotFound

if TYPE_CHECKING:
    from thence.core.event import Event
    from thence.replica import Log

LOG_EVENTS = 50


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
    from thence.cli.shared.opened import open_for_reading

    out = current()
    if limit is None:
        limit = 0 if is_json or out.columns is None else LOG_EVENTS
    conditions = {"type": types}
    shown = 0
    with open_for_reading(out, log) as replica:
        show = event_printer(out, replica.vocabulary, is_json)
        total = replica.query(type=types, limit=1).total if limit else 0
        for page in pages(replica, conditions, limit or None, offset=max(0, total - limit)):
            show(page.events)
            shown += len(page.events)
            total = page.total
    if not total:
        out.notice("no events" + (f" of type {', '.join(types)}" if types else ""))
    elif shown < total:
        out.notice(f"the last {shown} of {total:,} events; --limit 0 shows all")


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
    from thence.cli.shared.opened import find_event, open_for_reading
    from thence.core.values.new_event import parse_cause

    out = current()
    with open_for_reading(out, log) as replica:
        found = find_event(out, replica, event)
        if is_json:
            out.line(found.line)
            return
        causes_here = _causes(replica, found)
    other = {cause.event_id: cause for cause in map(parse_cause, found.external_causes) if cause}
    causes = [
        replica.vocabulary.sentence(causes_here[cause])
        if cause in causes_here
        else f"{cause}, {f'in log {other[cause].log_id}' if cause in other else 'not in this log'}"
        for cause in found.caused_by
    ]
    from thence.cli.shared.render import page

    out.write(*page(found, replica.vocabulary, causes, out.width))


def _causes(replica: "Log", event: "Event") -> "dict[str, Event]":
    """Returns the causes of an event that the log holds, by their ids."""
    if replica.answers.index() is None:
        return {each.event_id: each for each in replica.read() if each.event_id in event.caused_by}
    found = {}
    for cause in event.caused_by:
        with suppress(EventNotFound):
            found[cause] = replica.get(cause)
    return found
