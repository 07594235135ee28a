"""The command `last`: shows the last event, and what was open when the log ended."""

from collections.abc import Mapping
from datetime import datetime
from typing import TYPE_CHECKING

import click

from thence.cli.groups import help_with, json_option, log_option, verbosity_options
from thence.cli.output import Output, current

if TYPE_CHECKING:
    from thence.core.event import Event
    from thence.core.query.tally import LogEnd
    from thence.core.values.vocabulary import Vocabulary
    from thence.replica import Log

OPEN_SHOWN_MAX = 20


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
    from thence.cli.shared.opened import open_for_reading

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
    from thence.core.query.tally import find_end
    from thence.inspection.writers import ended_writers, living_writers
    from thence.log.storage.disk import OS_DISK

    before = living_writers(OS_DISK, replica.folder)
    end = find_end(replica.read())
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
    from thence.cli.shared.render import counted, wrapped

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
    from thence.core.sentences.wording import duration

    if event is last:
        return ", the last event"
    try:
        times = [datetime.fromisoformat(at.timestamp) for at in (event, last)]
        seconds = (times[1] - times[0]).total_seconds()
    except (ValueError, TypeError):  # another tool's time, or none
        return ""
    return f", begun {duration(seconds)} before" if seconds >= 0 else f", begun {event.timestamp}"
