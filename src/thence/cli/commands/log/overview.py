"""The commands `stats` and `timeline`: counts of a log's events, and what lasted as bars."""

from collections.abc import Iterable, Iterator, Mapping
from typing import NamedTuple, cast, get_args

import click

from thence.cli.frame import help_with, log_options
from thence.cli.output import WIDTH_COLUMNS, Output, Painted, current, relative_path
from thence.cli.shared.logs import (
    OptionValue,
    check_names,
    filter_options,
    keys,
    names_events,
    open_for_reading,
)
from thence.cli.shared.render import bars, counted, failures_text, usage_text
from thence.core.clock import microseconds, timestamp_at
from thence.core.event import Event
from thence.core.failures import is_failure
from thence.core.json_values import printable
from thence.core.sentences.events import (
    agent_sentence,
    clipped,
    duration,
    duration_s_of,
    short_id,
)
from thence.core.vocabulary import Vocabulary
from thence.log.files.disk import OS_DISK
from thence.log.files.segment import segment_sizes
from thence.log.index.overview import By, StepEvents

SPANS_MAX = 200
_SUMS = ("tokens_in", "tokens_out", "cost")
_NAME_COLUMNS_MAX, _BAR_COLUMNS_MIN = 40, 10
_COLOURS = {"ended": "green", "failed": "red", "cancelled": "yellow", "open": "cyan"}


@click.command("stats", **help_with("thence stats --type 'order.*' --by actor"))
@filter_options
@click.option(
    "--by",
    type=click.Choice(get_args(By)),
    help="Count by this only; hours are in UTC.",
)
@log_options
def stats_command(by: str | None, log_name: str | None, **conditions: OptionValue) -> None:
    """Count a log's events, with model tokens and cost.

    An event counts once, as `thence log` lists it, if it matches every option. Damaged lines that
    were skipped, and events that nothing verifies, are reported.
    """
    out = current()
    with open_for_reading(out, log_name, has=names_events(conditions)) as log:
        tally = log.stats(by=cast(By | None, by), **keys(conditions))
        check_names(out, log, conditions, tally.events)
        failures = (0, 0) if by else log.failures(**keys(conditions))
    if not by:
        sizes = segment_sizes(OS_DISK, log.folder)
        sums = {name: getattr(tally, name) for name in _SUMS}
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
                    **sums,
                    "by_type": tally.by_type,
                    "by_actor": tally.by_actor,
                    "nodes": tally.nodes,
                    **moments,
                    "bytes": sum(sizes),
                }
            )
            return
        doubt = f", {tally.unverified:,} of them unverified" if tally.unverified else ""
        out.write(f"{counted(tally.events, 'event')}{doubt} in {relative_path(log.folder)}")
        out.write(f"  {counted(sum(sizes), 'byte')} in {counted(len(sizes), 'file')}")
        for name, event in ends.items():
            if event is not None:
                out.write(f"  {name:5}  {event.timestamp}  [{short_id(event.event_id)}]")
        if any(failures):
            out.write(f"  {failures_text(*failures)}")
        if told := usage_text(sums):
            out.write(f"  {told}")
        _write_bars(out, "type", tally.by_type)
        _write_bars(out, "actor", tally.by_actor)
        _write_bars(out, "node", tally.nodes)
        return
    # a line for each name: its events as a bar, or what its calls of models took
    total = sum(group.events for group in tally.groups)
    counts = {group.name: group.events for group in tally.groups}
    usage = {group.name: dict(zip(_SUMS, group[2:], strict=True)) for group in tally.groups}
    texts = {name: usage_text(sums) for name, sums in usage.items()}
    if out.is_json:
        fields: dict[str, object] = {"events": total, f"by_{by}": counts}
        if used := {name: sums for name, sums in usage.items() if texts[name]}:
            fields["usage"] = used
        out.json(fields)
        return
    out.write(counted(total, "event"))
    _write_bars(out, by, counts, texts if any(texts.values()) else None)


def _write_bars(
    out: Output, word: str, counts: Mapping[str, int], texts: Mapping[str, str] | None = None
) -> None:
    if counts:
        out.write("", f"by {word}", *bars(out, counts, texts, word))


class Span(NamedTuple):
    """What lasted: its begin and its end, None while it is open, in microseconds since 1970.

    The begin is that of the body, where the end says how long that took: the event of the begin is
    on the device before. It is a part of its `parent`, the id of that one's begin.
    """

    begin_us: int
    end_us: int | None
    begin: Event
    end: Event | None
    parent: str | None = None
    depth: int = 0

    @property
    def duration_s(self) -> float | None:
        """The seconds that it took, as the end says them; None while it is open."""
        if self.end is None or self.end_us is None:
            return None
        seconds = duration_s_of(self.end.cut_payload)
        return (self.end_us - self.begin_us) / 1e6 if seconds is None else seconds

    @property
    def outcome(self) -> str:
        """The word "ended", "failed", "cancelled" or "open"."""
        if self.end is None:
            return "open"
        if self.end.event_type.endswith((".cancelled", ".canceled")):
            return "cancelled"
        return "failed" if is_failure(self.end) else "ended"


@click.command("timeline", **help_with("thence timeline --subject order/881"))
@filter_options
@click.option(
    "-n",
    "--last",
    type=click.IntRange(1, SPANS_MAX),
    default=SPANS_MAX,
    metavar="N",
    help=f"The last N to begin, {SPANS_MAX} at most.",
)
@log_options
def timeline_command(last: int, log_name: str | None, **conditions: OptionValue) -> None:
    """Draw steps as bars over time.

    A line is a step, or another pair of events of which one began what the other ended, if its
    begin matches every option; --failed asks about its end. The bar of an open step reaches to the
    last event. The steps that it caused while it ran are indented below it.
    """
    out = current()
    with open_for_reading(out, log_name, has=names_events(conditions)) as log:
        steps = log.steps(last, **keys(conditions))
        check_names(out, log, conditions, steps.total)
    spans, until_us = spans_of(steps.steps), steps.until_us or 0
    if out.is_json:
        rows = [
            {
                "event_id": span.begin.event_id,
                "name": name_of(span.begin, log.vocabulary),
                "actor": span.begin.actor,
                "begin": timestamp_at(span.begin_us),
                "end": None if span.end_us is None else timestamp_at(span.end_us),
                "duration_s": span.duration_s,
                "outcome": span.outcome,
                "parent": span.parent,
                "depth": span.depth,
            }
            for span in spans
        ]
        out.json({"total": steps.total, "until": timestamp_at(until_us), "spans": rows})
    elif spans:
        # a line for each: name, duration, and the bar where it lay in time
        width = out.columns or WIDTH_COLUMNS
        texts = (printable(name_of(span.begin, log.vocabulary)) for span in spans)
        names = ["  " * span.depth + text for span, text in zip(spans, texts, strict=True)]
        lengths = [
            f"open {duration((until_us - span.begin_us) / 1e6)}"
            if span.duration_s is None
            else duration(span.duration_s)
            for span in spans
        ]
        name_columns = min(max(map(len, names)), _NAME_COLUMNS_MAX, max(width // 3, 8))
        length_columns = max(map(len, lengths))
        columns = max(width - name_columns - length_columns - 4, _BAR_COLUMNS_MIN)
        first = min(span.begin_us for span in spans)
        last = max(until_us if span.end_us is None else span.end_us for span in spans)
        scale = columns / max(last - first, 1)
        begin_text, end_text = timestamp_at(first)[11:23], timestamp_at(last)[11:23]
        ends = begin_text.ljust(columns - len(end_text)) + end_text
        out.write(timestamp_at(first)[:10], " " * (name_columns + length_columns + 4) + ends)
        for span, name, length in zip(spans, names, lengths, strict=True):
            begin = min(int((span.begin_us - first) * scale), columns - 1)
            end = min(int(((span.end_us or last) - first) * scale), columns)
            drawn = "━" * (max(end - begin, 1) - 1) + ("▶" if span.end_us is None else "━")
            head = f"{clipped(name, name_columns):{name_columns}}  {length:>{length_columns}}  "
            out.write((head + " " * begin, Painted(drawn, fg=_COLOURS[span.outcome])))
    if not steps.total:
        out.notice("nothing lasted")
    elif len(spans) < steps.total:
        out.notice(f"the last {len(spans)} of {steps.total:,}; --until shows earlier ones")


def spans_of(steps: Iterable[StepEvents]) -> list[Span]:
    """Returns steps as spans, each behind the one that it is a part of.

    That is the latest of its causes that had not ended when it began.
    """
    timed = []
    for begin, end in steps:
        begin_us = microseconds(begin.timestamp) or 0
        end_us = None if end is None else microseconds(end.timestamp)
        if end is not None and end_us is not None:
            # the clocks of two machines may differ, but nothing lasts less than no time
            end_us = max(begin_us, end_us)
            seconds = duration_s_of(end.cut_payload)
            if seconds is not None:
                begin_us = max(begin_us, end_us - round(seconds * 1e6))
        timed.append(Span(begin_us, end_us, begin, end))
    before: dict[str, Span] = {}
    below: dict[str | None, list[Span]] = {}
    for span in timed:
        causes = (before[cause] for cause in span.begin.caused_by if cause in before)
        around = [one for one in causes if one.end_us is None or one.end_us >= span.begin_us]
        if around:
            parent = max(around, key=lambda one: one.begin_us)
            # a length is measured before its end has its time: a part may seem to begin first
            begin_us = max(span.begin_us, parent.begin_us)
            begin_us = begin_us if span.end_us is None else min(begin_us, span.end_us)
            span = span._replace(begin_us=begin_us, parent=parent.begin.event_id)
        below.setdefault(span.parent, []).append(span)
        before[span.begin.event_id] = span

    def nested(parent: str | None, depth: int) -> Iterator[Span]:
        for span in sorted(below.get(parent, ()), key=lambda one: one.begin_us):
            yield span._replace(depth=depth)
            yield from nested(span.begin.event_id, depth + 1)

    return [*nested(None, 0)]


def name_of(begin: Event, vocabulary: Vocabulary) -> str:
    """Returns the name of a span: its type without the word for the begin, and its subject.

    What coding agents do has the words of `thence log`: their subjects are ids.
    """
    name, _, word = begin.event_type.rpartition(".")
    if word not in ("begun", "started") or agent_sentence(begin) is not None:
        return vocabulary.in_columns(begin) or begin.event_type
    return f"{name} {begin.subject}" if begin.subject else name
