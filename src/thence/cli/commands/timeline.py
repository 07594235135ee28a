"""The command `timeline`: shows what lasted as bars."""

from collections.abc import Iterable, Mapping, Sequence
from heapq import heappush, heappushpop
from math import inf
from typing import TYPE_CHECKING, NamedTuple

import click
from msgspec import structs

from thence.cli.frame import help_with, log_options
from thence.cli.output import WIDTH_COLUMNS, Line, Output, Painted, current
from thence.cli.shared.logs import (
    OptionValue,
    check_names,
    filter_options,
    keys,
    open_for_reading,
)
from thence.core.clock import microseconds, timestamp_at
from thence.core.failures import is_failure
from thence.core.json_values import printable
from thence.core.query.filter import Filter
from thence.core.sentences.agents import agent_sentence
from thence.core.sentences.events import clipped, duration, duration_s_of

if TYPE_CHECKING:
    from thence.core.event import Event
    from thence.core.vocabulary import Vocabulary

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
    """The latest spans by their begin, the number of all, and the time of the last event."""

    latest: tuple[Span, ...]
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
@log_options
def timeline_command(last: int, log: str | None, **conditions: OptionValue) -> None:
    """Show what lasted as bars.

    A line is a step, or else what one event began and another ended, whose begin fits every
    option that is given; --failed asks about its end. What no event has ended is open: its bar
    goes on to the last event.
    """
    out = current()
    begin_filter = Filter.of(**keys(conditions))
    with open_for_reading(out, log) as replica:
        spans = find_spans(replica.read(), begin_filter, last)
        check_names(out, replica, conditions, spans.total)
    depths = depths_of(spans.latest)
    if out.is_json:
        out.json(_json(spans, depths, replica.vocabulary))
    elif spans.latest:
        out.write(*_lines(out, spans, depths, replica.vocabulary))
    if not spans.total:
        out.notice("nothing lasted")
    elif len(spans.latest) < spans.total:
        out.notice(f"the last {len(spans.latest)} of {spans.total:,}; --until shows earlier ones")


def find_spans(events: "Iterable[Event]", begin_filter: Filter, last: int) -> Spans:
    """Reads events once, in arrival order, and pairs begins with ends.

    Of the ended spans only the latest are kept. Events whose time can't be read are left out.
    """
    latest: list[tuple[int, int, Span]] = []
    begins: dict[str, tuple[int, Event]] = {}
    ends: dict[str, tuple[int, Event]] = {}
    total = until_us = 0
    failed, begin_filter = begin_filter.failed, structs.replace(begin_filter, failed=None)

    def keep(begin_us: int, begin: "Event", end_us: int | None, end: "Event | None") -> None:
        nonlocal total
        has_failed = end is not None and is_failure(end)
        if failed in (None, has_failed) and begin_filter.matches(begin):
            total += 1
            push = heappush if len(latest) < last else heappushpop
            push(latest, (begin_us, total, Span(begin_us, end_us, begin, end)))

    for event in events:
        time = microseconds(event.timestamp)
        if time is None:
            continue
        until_us = max(until_us, time)
        if event.begins:
            begins[event.event_id] = time, event
        if event.ends is not None:
            ends[event.ends] = time, event
        for begin_id in {event.event_id, event.ends or ""} & begins.keys() & ends.keys():
            begin_us, begin = begins.pop(begin_id)
            end_us, end = ends.pop(begin_id)
            # the clocks of two machines may differ, but nothing lasts less than no time
            end_us = max(begin_us, end_us)
            seconds = duration_s_of(end.cut_payload)
            if seconds is not None:
                begin_us = max(begin_us, end_us - round(seconds * 1e6))
            keep(begin_us, begin, end_us, end)
    for begin_us, begin in begins.values():
        keep(begin_us, begin, None, None)
    return Spans(tuple(span for *_, span in sorted(latest)), total, until_us)


def depths_of(spans: Sequence[Span]) -> dict[str, int]:
    """Returns how many others each span is inside of: those that caused it and had not ended."""
    depths: dict[str, int] = {}
    ends_us = {span.begin.event_id: span.end_us or inf for span in spans}
    for span in spans:
        around = [id for id in span.begin.caused_by if ends_us.get(id, -1) >= span.begin_us]
        depths[span.begin.event_id] = max((depths.get(id, 0) + 1 for id in around), default=0)
    return depths


def name_of(begin: "Event", vocabulary: "Vocabulary") -> str:
    """Returns the name of a span: its type without the word for the begin, and its subject.

    What coding agents do has the words of `thence log`: their subjects are ids.
    """
    name, _, word = begin.event_type.rpartition(".")
    if word not in ("begun", "started") or agent_sentence(begin) is not None:
        return vocabulary.in_columns(begin) or begin.event_type
    return f"{name} {begin.subject}" if begin.subject else name


def _json(spans: Spans, depths: Mapping[str, int], vocabulary: "Vocabulary") -> dict[str, object]:
    rows = [
        {
            "event_id": span.begin.event_id,
            "name": name_of(span.begin, vocabulary),
            "actor": span.begin.actor,
            "begin": timestamp_at(span.begin_us),
            "end": None if span.end_us is None else timestamp_at(span.end_us),
            "duration_s": span.duration_s,
            "outcome": span.outcome(vocabulary),
            "depth": depths[span.begin.event_id],
        }
        for span in spans.latest
    ]
    return {"total": spans.total, "until": timestamp_at(spans.until_us), "spans": rows}


def _length(span: Span, until_us: int) -> str:
    seconds = span.duration_s
    if seconds is None:
        return f"open {duration((until_us - span.begin_us) / 1e6)}"
    return duration(seconds)


def _lines(
    out: Output, spans: Spans, depths: Mapping[str, int], vocabulary: "Vocabulary"
) -> list[Line]:
    """Returns a line for each span: name, duration, and the bar where it lay in time."""
    width = out.columns or WIDTH_COLUMNS
    names = [
        "  " * depth + printable(name_of(span.begin, vocabulary))
        for span, depth in zip(spans.latest, depths.values(), strict=True)
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
