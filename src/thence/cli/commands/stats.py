"""The command `stats`: counts the events of a log, by name and per time."""

from collections import Counter
from collections.abc import Mapping
from itertools import pairwise
from typing import TYPE_CHECKING, NamedTuple, cast

import click

from thence.cli.frame import help_with, log_options
from thence.cli.output import Output, current
from thence.cli.shared.logs import (
    OptionValue,
    check_names,
    filter_options,
    keys,
    open_for_reading,
    segment_sizes,
)
from thence.cli.shared.render import bars, counted, failures_text

if TYPE_CHECKING:
    from pathlib import Path

    from thence.core.event import Event
    from thence.core.query.why import Tally
    from thence.index.overview import By

PERIODS_MAX = 500
COURSE_COLUMNS_MAX = 60


@click.command("stats", **help_with("thence stats --type 'order.*' --by actor --per 1h"))
@filter_options
@click.option(
    "--by", type=click.Choice(("actor", "type", "subject", "stream")), help="Count by this alone."
)
@click.option("--per", metavar="TIME", help="Count per 30s, 5m, 1h, 1d or 1w, in UTC.")
@log_options
def stats_command(
    by: str | None, per: str | None, log: str | None, **conditions: OptionValue
) -> None:
    """Count the events of a log: by name, per time.

    An event is counted once, as `thence log` lists it, if it fits every option that is given.
    Lines that are passed over because they are damaged, and events that nothing verifies, are
    reported.
    """
    out = current()
    per_s = None if per is None else _per_s(per)
    with open_for_reading(out, log) as replica:
        tally = replica.answers.stats(by=cast("By | None", by), per_s=per_s, **keys(conditions))
        check_names(out, replica, conditions, tally.events)
        failures = (0, 0) if by or per_s else replica.answers.failures(**keys(conditions))
    if by or per_s:
        groups = _groups_of(tally, by, per_s)
        (_groups_json if out.is_json else _write_groups)(out, groups, per)
    else:
        (_tally_json if out.is_json else _write_tally)(out, tally, failures, replica.folder)


def _per_s(per: str) -> int:
    from thence.core.clock import length_us

    length = length_us(per)
    if not length:
        cause = f"--per takes a length of time such as 30s, 5m, 1h, 1d or 1w, not '{per}'"
        raise click.UsageError(cause, click.get_current_context())
    return length // 1_000_000


class Groups(NamedTuple):
    """The number of events by name and per time.

    `periods` maps the first microsecond of each period to its counts by name: those from the
    first to the last with an event, or 0 alone if nothing is counted per time. Where nothing is
    counted by name, `by` is None and the name "".
    """

    events: int
    by: str | None
    periods: Mapping[int, Counter[str]]

    @property
    def names(self) -> dict[str, int]:
        """The counts of all periods by name, the largest first."""
        from thence.core.query.why import descending

        return descending(sum(self.periods.values(), Counter()))


def _groups_of(tally: "Tally", by: str | None, per_s: int | None) -> Groups:
    """Returns the counts, without events that lack the name or a time that can be read."""
    periods: dict[int, Counter[str]] = {}
    for group in tally.groups:
        if (by is None or group.name is not None) and (not per_s or group.begin_us is not None):
            periods.setdefault(group.begin_us or 0, Counter())[group.name or ""] += group.events
    if periods and per_s:
        begins = range(min(periods), max(periods) + 1, per_s * 1_000_000)
        if len(begins) > PERIODS_MAX:
            cause = f"--per makes {len(begins):,} periods of these events, more than {PERIODS_MAX}"
            hint = "name a longer one, or --since and --until"
            raise click.UsageError(f"{cause}; {hint}", click.get_current_context())
        periods = {begin: periods.get(begin, Counter()) for begin in begins}
    return Groups(sum(counts.total() for counts in periods.values()), by, periods)


def _groups_json(out: Output, groups: Groups, per: str | None) -> None:
    from thence.core.clock import timestamp_at

    fields: dict[str, object] = {"events": groups.events}
    if groups.by:
        fields[f"by_{groups.by}"] = groups.names
    if per:
        fields["per"] = [
            {"begin": timestamp_at(begin), "events": counts.total()}
            | ({f"by_{groups.by}": counts} if groups.by else {})
            for begin, counts in groups.periods.items()
        ]
    out.json(fields)


def _write_groups(out: Output, groups: Groups, per: str | None) -> None:
    """Writes bars by name or per time; for both, the course of each name over time."""
    from thence.cli.shared.render import ASCII_BLOCKS, BLOCKS
    from thence.core.clock import timestamp_at

    out.write(counted(groups.events, "event"))
    if not groups.events:
        return
    if not per:
        _write_bars(out, str(groups.by), groups.names)
        return
    begins = [timestamp_at(begin)[:19].replace("T", " ") for begin in groups.periods]
    if groups.by is None:
        totals = (counts.total() for counts in groups.periods.values())
        out.write("", f"per {per}", *bars(out, dict(zip(begins, totals, strict=True))))
        return
    out.write(f"{counted(len(begins), 'period')} of {per}, from {begins[0]} to {begins[-1]}")
    blocks = BLOCKS if out.has_blocks else ASCII_BLOCKS
    courses = {
        name: course([counts[name] for counts in groups.periods.values()], blocks)
        for name in groups.names
    }
    _write_bars(out, groups.by, groups.names, courses)


def course(counts: list[int], blocks: str) -> str:
    """Returns counts over time as blocks, a blank for none; of many periods some share a block."""
    columns = min(COURSE_COLUMNS_MAX, len(counts))
    edges = [column * len(counts) // columns for column in range(columns + 1)]
    sums = [sum(counts[begin:end]) for begin, end in pairwise(edges)]
    top, largest = len(blocks) - 1, max(sums)
    return "".join(blocks[count * top // largest] if count else " " for count in sums)


def _tally_json(out: Output, tally: "Tally", failures: tuple[int, int], folder: "Path") -> None:
    from thence.log.files.disk import OS_DISK
    from thence.log.files.segment import strays

    if tally.unverified:
        out.notice(f"{tally.unverified:,} of the events are unverified")
    out.json(
        {
            "events": tally.events,
            "failures": failures[0],
            "rejected": failures[1],
            "by_type": tally.by_type,
            "by_actor": tally.by_actor,
            "nodes": tally.nodes,
            "first": _event_json(tally.first),
            "last": _event_json(tally.last),
            "bytes": sum(segment_sizes(folder)),
            "passed_over": [path.name for path in strays(OS_DISK, folder)],
        }
    )


def _event_json(event: "Event | None") -> dict[str, str] | None:
    if event is None:
        return None
    return {"event_id": event.event_id, "timestamp": event.timestamp}


def _write_tally(out: Output, tally: "Tally", failures: tuple[int, int], folder: "Path") -> None:
    from thence.core.sentences.events import short_id

    sizes = segment_sizes(folder)
    unverified_text = f", {tally.unverified:,} of them unverified" if tally.unverified else ""
    out.write(f"{counted(tally.events, 'event')}{unverified_text} in {folder}")
    out.write(f"  {counted(sum(sizes), 'byte')} in {counted(len(sizes), 'file')}")
    for word, event in (("first", tally.first), ("last ", tally.last)):
        if event is not None:
            out.write(f"  {word}  {event.timestamp}  [{short_id(event.event_id)}]")
    if any(failures):
        out.write(f"  {failures_text(*failures)}")
    _write_bars(out, "type", tally.by_type)
    _write_bars(out, "actor", tally.by_actor)
    _write_bars(out, "node", tally.nodes)


def _write_bars(
    out: Output, word: str, counts: Mapping[str, int], courses: Mapping[str, str] | None = None
) -> None:
    if counts:
        out.write("", f"by {word}", *bars(out, counts, courses, word))
