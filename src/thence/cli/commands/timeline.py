"""The command `timeline`: shows what lasted as bars."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, NamedTuple

import click

from thence.cli.frame import help_with
from thence.cli.output import WIDTH_COLUMNS, Line, Output, Painted, current
from thence.cli.shared.logs import (
    OptionValue,
    check_names,
    filter_options,
    index_options,
    keys,
    open_for_reading,
)
from thence.core.clock import microseconds, timestamp_at
from thence.core.failures import is_failure
from thence.core.json_values import printable
from thence.core.sentences.agents import agent_sentence
from thence.core.sentences.events import clipped, duration, duration_s_of

if TYPE_CHECKING:
    from thence.core.event import Event
    from thence.core.vocabulary import Vocabulary
    from thence.index.overview import LatestSteps, StepEvents

SPANS_MAX = 200
_NAME_COLUMNS_MAX, _BAR_COLUMNS_MIN = 40, 10
_COLOURS = {"ended": "green", "failed": "red", "cancelled": "yellow", "open": "cyan"}


class Span(NamedTuple):
    """What lasted: its begin and its end, None while it is open, in microseconds since 1970.

    The begin is that of the body, where the end says how long that took: the event of the begin is
    on the device before.
    """

    begin_us: int
    end_us: int | None
    begin: "Event"
    end: "Event | None"

    @property
    def duration_s(self) -> float | None:
        """The seconds that it took, as the end says them; None while it is open."""
        if self.end is None or self.end_us is None:
            return None
        seconds = duration_s_of(self.end.cut_payload)
        return (self.end_us - self.begin_us) / 1e6 if seconds is None else seconds

    def outcome(self, vocabulary: "Vocabulary") -> str:
        """Returns "ended", "failed", "cancelled" or "open"."""
        if self.end is None:
            return "open"
        if self.end.event_type.endswith((".cancelled", ".canceled")):
            return "cancelled"
        return "failed" if is_failure(self.end) else "ended"


class Spans(NamedTuple):
    """The latest spans, each behind the one that it is a part of, and how deep each is.

    `parents` are ids of begins, `total` counts all spans, `until_us` is the time of the last event.
    """

    latest: tuple[Span, ...]
    parents: Mapping[str, str]
    depths: Mapping[str, int]
    total: int
    until_us: int


@click.command("timeline", **help_with("thence timeline --subject order/881"))
@filter_options
@click.option(
    "-n",
    "--last",
    type=click.IntRange(1, SPANS_MAX),
    default=SPANS_MAX,
    metavar="N",
    help=f"The last N that began, {SPANS_MAX} at most.",
)
@index_options
def timeline_command(last: int, log: str | None, **conditions: OptionValue) -> None:
    """Show what lasted as bars.

    A line is a step, or else what one event began and another ended, whose begin fits every
    option that is given; --failed asks about its end. What no event has ended is open: its bar
    goes on to the last event. Below each are those that it caused while it lasted.
    """
    out = current()
    with open_for_reading(out, log) as replica:
        spans = spans_of(replica.answers.steps(last, **keys(conditions)))
        check_names(out, replica, conditions, spans.total)
    if out.is_json:
        out.json(_json(spans, replica.vocabulary))
    elif spans.latest:
        out.write(*_lines(out, spans, replica.vocabulary))
    if not spans.total:
        out.notice("nothing lasted")
    elif len(spans.latest) < spans.total:
        out.notice(f"the last {len(spans.latest)} of {spans.total:,}; --until shows earlier ones")


def spans_of(steps: "LatestSteps") -> Spans:
    """Returns steps as spans, those that are a part of another behind it.

    A span is a part of the latest of its causes that had not ended when it began.
    """
    spans = sorted(map(_span, steps.steps), key=lambda span: span.begin_us)
    before: dict[str, Span] = {}
    parents: dict[str, str] = {}
    below: dict[str | None, list[Span]] = {}
    for span in spans:
        around = [before[cause] for cause in span.begin.caused_by if cause in before]
        around = [one for one in around if one.end_us is None or one.end_us >= span.begin_us]
        parent = max(around, key=lambda one: one.begin_us).begin.event_id if around else None
        if parent is not None:
            parents[span.begin.event_id] = parent
        below.setdefault(parent, []).append(span)
        before[span.begin.event_id] = span
    depths: dict[str, int] = {}
    latest: list[Span] = []
    pending = below.pop(None, [])[::-1]
    while pending:
        span = pending.pop()
        event_id = span.begin.event_id
        depths[event_id] = depths[parents[event_id]] + 1 if event_id in parents else 0
        latest.append(span)
        pending += below.pop(event_id, [])[::-1]
    return Spans(tuple(latest), parents, depths, steps.total, steps.until_us or 0)


def _span(step: "StepEvents") -> Span:
    begin, end = step
    begin_us = microseconds(begin.timestamp) or 0
    end_us = None if end is None else microseconds(end.timestamp)
    if end is not None and end_us is not None:
        # the clocks of two machines may differ, but nothing lasts less than no time
        end_us = max(begin_us, end_us)
        seconds = duration_s_of(end.cut_payload)
        if seconds is not None:
            begin_us = max(begin_us, end_us - round(seconds * 1e6))
    return Span(begin_us, end_us, begin, end)


def name_of(begin: "Event", vocabulary: "Vocabulary") -> str:
    """Returns the name of a span: its type without the word for the begin, and its subject.

    What coding agents do has the words of `thence log`: their subjects are ids.
    """
    name, _, word = begin.event_type.rpartition(".")
    if word not in ("begun", "started") or agent_sentence(begin) is not None:
        return vocabulary.in_columns(begin) or begin.event_type
    return f"{name} {begin.subject}" if begin.subject else name


def _json(spans: Spans, vocabulary: "Vocabulary") -> dict[str, object]:
    rows = [
        {
            "event_id": span.begin.event_id,
            "name": name_of(span.begin, vocabulary),
            "actor": span.begin.actor,
            "begin": timestamp_at(span.begin_us),
            "end": None if span.end_us is None else timestamp_at(span.end_us),
            "duration_s": span.duration_s,
            "outcome": span.outcome(vocabulary),
            "parent": spans.parents.get(span.begin.event_id),
            "depth": spans.depths[span.begin.event_id],
        }
        for span in spans.latest
    ]
    return {"total": spans.total, "until": timestamp_at(spans.until_us), "spans": rows}


def _length(span: Span, until_us: int) -> str:
    seconds = span.duration_s
    if seconds is None:
        return f"open {duration((until_us - span.begin_us) / 1e6)}"
    return duration(seconds)


def _lines(out: Output, spans: Spans, vocabulary: "Vocabulary") -> list[Line]:
    """Returns a line for each span: name, duration, and the bar where it lay in time."""
    width = out.columns or WIDTH_COLUMNS
    names = [
        "  " * spans.depths[span.begin.event_id] + printable(name_of(span.begin, vocabulary))
        for span in spans.latest
    ]
    lengths = [_length(span, spans.until_us) for span in spans.latest]
    name_columns = min(max(map(len, names)), _NAME_COLUMNS_MAX, max(width // 3, 8))
    length_columns = max(map(len, lengths))
    columns = max(width - name_columns - length_columns - 4, _BAR_COLUMNS_MIN)
    first, last = _ends(spans)
    scale = columns / max(last - first, 1)
    bar, arrow = ("━", "▶") if out.has_blocks else ("=", ">")
    margin = " " * (name_columns + length_columns + 4)
    begin_text, end_text = timestamp_at(first)[11:23], timestamp_at(last)[11:23]
    room = columns - len(begin_text + end_text)
    lines: list[Line] = [f"{timestamp_at(first)[:10]}", margin + begin_text + " " * room + end_text]
    for span, name, length in zip(spans.latest, names, lengths, strict=True):
        begin = min(int((span.begin_us - first) * scale), columns - 1)
        end = min(int(((span.end_us or last) - first) * scale), columns)
        drawn = bar * (max(end - begin, 1) - 1) + (arrow if span.end_us is None else bar)
        head = f"{clipped(name, name_columns):{name_columns}}  {length:>{length_columns}}  "
        colour = _COLOURS[span.outcome(vocabulary)]
        lines.append((head + " " * begin, Painted(drawn, fg=colour)))
    return lines


def _ends(spans: Spans) -> tuple[int, int]:
    """Returns the first and the last microsecond that the bars of spans show."""
    ends = (spans.until_us if span.end_us is None else span.end_us for span in spans.latest)
    return min((span.begin_us for span in spans.latest), default=0), max(ends, default=0)
