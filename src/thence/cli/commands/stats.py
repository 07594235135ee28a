"""The command `stats`: counts the events of a log."""

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import click

from thence.cli.groups import help_with, json_option, log_option, verbosity_options
from thence.cli.output import Output, current

if TYPE_CHECKING:
    from thence.core.event import Event
    from thence.core.query.tally import Tally

NAMES_SHOWN_MAX = 20


@click.command("stats", **help_with("thence stats --log output/my-run --json"))
@log_option
@json_option
@verbosity_options
def stats_command(log: str | None, is_json: bool) -> None:
    """Count the events of a log: by type, by actor, by node.

    An event is counted once, as `thence log` lists it. Lines that are passed over because
    they are damaged, and events that nothing verifies, are reported.
    """
    from thence.cli.shared.opened import open_for_reading
    from thence.core.query.tally import count_events
    from thence.log.storage.disk import OS_DISK
    from thence.log.storage.segment import strays

    out = current()
    with open_for_reading(out, log) as replica:
        found = count_events(replica.read())
    sizes = segment_sizes(replica.folder)
    if is_json:
        if found.unverified:
            out.notice(f"{found.unverified:,} of the events are unverified")
        out.json(
            {
                "events": found.events,
                "by_type": found.by_type,
                "by_actor": found.by_actor,
                "nodes": found.nodes,
                "first": _event_json(found.first),
                "last": _event_json(found.last),
                "bytes": sum(sizes),
                "passed_over": [path.name for path in strays(OS_DISK, replica.folder)],
            }
        )
    else:
        _write_counts(out, found, sizes, str(replica.folder))


def segment_sizes(folder: Path) -> list[int]:
    """Returns the size of each segment of a log in bytes."""
    from thence.log.storage.disk import OS_DISK
    from thence.log.storage.segment import segments

    found = (OS_DISK.path_id(str(path)) for path in segments(OS_DISK, folder))
    return [path_id[1] for path_id in found if path_id is not None]


def _event_json(event: "Event | None") -> dict[str, str] | None:
    if event is None:
        return None
    return {"event_id": event.event_id, "timestamp": event.timestamp}


def _write_counts(out: Output, found: "Tally", sizes: list[int], folder: str) -> None:
    from thence.cli.shared.render import counted
    from thence.core.sentences.event_sentences import short_id

    unverified_text = f", {found.unverified:,} of them unverified" if found.unverified else ""
    out.write(f"{counted(found.events, 'event')}{unverified_text} in {folder}")
    out.write(f"  {counted(sum(sizes), 'byte')} in {counted(len(sizes), 'file')}")
    for word, event in (("first", found.first), ("last ", found.last)):
        if event is not None:
            out.write(f"  {word}  {event.timestamp}  [{short_id(event.event_id)}]")
    _write_bars(out, "type", found.by_type)
    _write_bars(out, "actor", found.by_actor)
    _write_bars(out, "node", found.nodes)


def _write_bars(out: Output, word: str, counts: Mapping[str, int]) -> None:
    from thence.cli.shared.render import bars, counted

    if not counts:
        return
    names = list(counts) if out.is_verbose else list(counts)[:NAMES_SHOWN_MAX]
    lines = bars({name: counts[name] for name in names})
    out.write("", f"by {word}", *lines)
    if len(names) < len(counts):
        hidden = len(counts) - len(names)
        out.write(f"  {counted(hidden, f'more {word}')}; -v shows all")
