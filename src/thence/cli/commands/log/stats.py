"""The command `stats`: counts the events of a log by one key, with what models took."""

from collections.abc import Mapping
from pathlib import Path
from typing import cast, get_args

import click

from thence.cli.frame import help_with, log_options
from thence.cli.output import Output, current, relative_path
from thence.cli.shared.logs import (
    OptionValue,
    check_names,
    filter_options,
    keys,
    names_events,
    open_for_reading,
)
from thence.cli.shared.render import bars, counted, failures_text
from thence.core.query.why import Tally
from thence.core.sentences.events import short_id
from thence.log.files.disk import OS_DISK
from thence.log.files.segment import segment_sizes, strays
from thence.log.index.overview import By


@click.command("stats", **help_with("thence stats --type 'order.*' --by actor"))
@filter_options
@click.option(
    "--by",
    type=click.Choice(get_args(By)),
    help="Count by this only; hours are in UTC.",
)
@log_options
def stats_command(by: str | None, log_name: str | None, **conditions: OptionValue) -> None:
    """Count the events of a log, with the tokens and cost of models.

    An event counts once, as `thence log` lists it, if it matches every option. Damaged lines that
    were skipped, and events that nothing verifies, are reported.
    """
    out = current()
    with open_for_reading(out, log_name, has=names_events(conditions)) as log:
        tally = log.stats(by=cast(By | None, by), **keys(conditions))
        check_names(out, log, conditions, tally.events)
        failures = (0, 0) if by else log.failures(**keys(conditions))
    if not by:
        _write_tally(out, tally, failures, log.folder)
        return
    # a line for each name: its events as a bar, or what its calls of models took
    total = sum(group.events for group in tally.groups)
    counts = {group.name: group.events for group in tally.groups}
    texts = {group.name: usage_text(*group[2:]) for group in tally.groups}
    if out.is_json:
        fields: dict[str, object] = {"events": total, f"by_{by}": counts}
        if used := [group for group in tally.groups if texts[group.name]]:
            names = ("tokens_in", "tokens_out", "cost")
            fields["usage"] = {one.name: dict(zip(names, one[2:], strict=True)) for one in used}
        out.json(fields)
        return
    out.write(counted(total, "event"))
    _write_bars(out, by, counts, texts if any(texts.values()) else None)


def usage_text(tokens_in: int | None, tokens_out: int | None, cost: float | None) -> str:
    """Returns what calls of models took, in words; "" if nothing is known of it."""
    parts = [
        f"{tokens:,} tokens {way}"
        for tokens, way in ((tokens_in, "in"), (tokens_out, "out"))
        if tokens is not None
    ]
    return ", ".join([*parts, *([] if cost is None else [f"cost {cost:.6g}"])])


def _write_tally(out: Output, tally: Tally, failures: tuple[int, int], folder: Path) -> None:
    sizes = segment_sizes(OS_DISK, folder)
    ends = {"first": tally.first, "last": tally.last}
    if out.is_json:
        if tally.unverified:
            out.notice(f"{tally.unverified:,} of the events are unverified")
        moments = {
            name: event and {"event_id": event.event_id, "timestamp": event.timestamp}
            for name, event in ends.items()
        }
        out.json(
            {
                "events": tally.events,
                "failures": failures[0],
                "rejected": failures[1],
                "tokens_in": tally.tokens_in,
                "tokens_out": tally.tokens_out,
                "cost": tally.cost,
                "by_type": tally.by_type,
                "by_actor": tally.by_actor,
                "nodes": tally.nodes,
                **moments,
                "bytes": sum(sizes),
                "passed_over": [path.name for path in strays(OS_DISK, folder)],
            }
        )
        return
    unverified_text = f", {tally.unverified:,} of them unverified" if tally.unverified else ""
    out.write(f"{counted(tally.events, 'event')}{unverified_text} in {relative_path(folder)}")
    out.write(f"  {counted(sum(sizes), 'byte')} in {counted(len(sizes), 'file')}")
    for name, event in ends.items():
        if event is not None:
            out.write(f"  {name:5}  {event.timestamp}  [{short_id(event.event_id)}]")
    if any(failures):
        out.write(f"  {failures_text(*failures)}")
    if usage := usage_text(tally.tokens_in, tally.tokens_out, tally.cost):
        out.write(f"  {usage}")
    _write_bars(out, "type", tally.by_type)
    _write_bars(out, "actor", tally.by_actor)
    _write_bars(out, "node", tally.nodes)


def _write_bars(
    out: Output, word: str, counts: Mapping[str, int], texts: Mapping[str, str] | None = None
) -> None:
    if counts:
        out.write("", f"by {word}", *bars(out, counts, texts, word))
