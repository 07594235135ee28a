"""The command `query`: the events that a filter asks for, a page at a time."""

import shlex
from collections.abc import Mapping
from typing import TYPE_CHECKING, NamedTuple

import click

from thence.cli.groups import HELP_NAMES, json_option, log_option, talks
from thence.cli.voice import Voice, current

if TYPE_CHECKING:
    from thence.core.event import Event
    from thence.replica import Replica

PAGE_EVENTS = 1000
PAGE_EVENTS_MAX = 10_000
SCREEN_EVENTS = 50
_EXAMPLE = """\b
Example:
  thence query --type order.failed --where 'amount > 10 and reason ~ stock'"""

# what was asked, by the key of `core.filter`: texts where an option may be repeated
Asked = Mapping[str, str | tuple[str, ...] | None]


@click.command("query", context_settings=HELP_NAMES, epilog=_EXAMPLE)
@click.option("--type", multiple=True, metavar="TYPE", help="Of this type; repeatable.")
@click.option("--actor", multiple=True, metavar="ACTOR", help="Done by this actor; repeatable.")
@click.option("--subject", multiple=True, metavar="SUBJECT", help="About this; repeatable.")
@click.option("--stream", multiple=True, metavar="STREAM", help="In this stream; repeatable.")
@click.option("--since", metavar="TIME", help="From this time on, such as 2026-11-20T07:13.")
@click.option("--until", metavar="TIME", help="Up to this time; a date includes its whole day.")
@click.option("--turn", metavar="TURNS", help="Of these turns: 5, 3..7, 3.. or ..7.")
@click.option(
    "--where",
    multiple=True,
    metavar="TEXT",
    help="That say this: PATH OP VALUE, joined by and; OP is one of = != < <= > >= ~.",
)
@click.option(
    "--limit",
    type=click.IntRange(1, PAGE_EVENTS_MAX),
    metavar="N",
    help=f"At most N events. On a terminal {SCREEN_EVENTS}, else {PAGE_EVENTS}.",
)
@click.option("--cursor", metavar="CURSOR", help="Go on behind the page that told this cursor.")
@log_option
@json_option
@talks
def query_command(
    limit: int | None,
    cursor: str | None,
    log: str | None,
    is_json: bool,
    **asked: str | tuple[str, ...] | None,
) -> None:
    """List the events that a filter asks for, a page at a time.

    An event is listed when it fits every option that is given; of a repeated one any will
    do, of --where all. The events stand in total order, as in `thence log`. When there are
    more, what to type for the next page is told.
    """
    import msgspec

    from thence.cli.opened import opened
    from thence.cli.render import Lines

    voice = current()
    if limit is None:
        limit = PAGE_EVENTS if is_json or voice.columns is None else SCREEN_EVENTS
    with opened(voice, log) as replica:
        page = _page(replica, asked, limit, cursor)
    if is_json:
        voice.json(
            {
                "events": [msgspec.Raw(event.line) for event in page.events],
                "total": page.total,
                "has_more": page.has_more,
                "next_cursor": page.next_cursor,
            }
        )
        return
    lines = Lines(page.events, replica.vocabulary, voice.columns)
    for event in page.events:
        voice.say(lines.line(event))
    _tell_rest(voice, page, f"query {_options(asked)}--limit {limit}", log)


class _Page(NamedTuple):
    """One page: `total` counts all pages, `next_cursor` is None behind the last one."""

    events: "tuple[Event, ...]"
    total: int
    has_more: bool
    next_cursor: str | None


def _page(replica: "Replica", asked: Asked, limit: int, cursor: str | None) -> _Page:
    """Reads the whole log for one page; a cursor is the id of the event before it."""
    from thence.core.filter import Filter
    from thence.errors import InvalidFilter

    asking = Filter.of(**asked)  # type: ignore[arg-type]
    found = [event for event in replica.events() if asking.matches(event)]
    ids = [event.event_id for event in found]
    if cursor is not None and cursor not in ids:
        raise InvalidFilter(
            "could not read the filter's",
            key="cursor",
            cause=f"{cursor!r:.80} is no cursor of this question",
            hint="give the one that the page before told, with the same options",
        )
    begin = 0 if cursor is None else ids.index(cursor) + 1
    shown = tuple(found[begin : begin + limit])
    has_more = begin + len(shown) < len(found)
    return _Page(shown, len(found), has_more, shown[-1].event_id if has_more else None)


def _tell_rest(voice: Voice, page: _Page, words: str, log: str | None) -> None:
    """Tells on stderr that nothing was found, or how to see the rest."""
    from thence.cli.opened import command
    from thence.cli.render import counted, plain

    if not page.events:
        voice.note("no events")
    elif page.next_cursor is not None:
        again = command(f"{words} --cursor {shlex.quote(page.next_cursor)}", log)
        voice.note(plain(f"{len(page.events):,} of {counted(page.total, 'event')}; next: {again}"))


def _options(asked: Asked) -> str:
    """Writes what was asked as options for a shell."""
    words = ""
    for key, given in asked.items():
        texts = (given,) if isinstance(given, str) else given or ()
        words += "".join(f"--{key} {shlex.quote(text)} " for text in texts)
    return words
