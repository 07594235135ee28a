"""The spans of OpenTelemetry at the command line: `export --otlp`, and the command `import`."""

import sys
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import Any

import click

from thence import __version__
from thence.cli.frame import help_with, log_options
from thence.cli.output import Output, current
from thence.cli.shared.locate import find_log, named_log
from thence.cli.shared.logs import (
    Conditions,
    keys,
    names_events,
    open_for_reading,
    report_matches,
)
from thence.cli.shared.progress import bar
from thence.cli.shared.render import counted
from thence.core.bodies import BODIES_FROM
from thence.core.query.filter import Filter
from thence.errors import InvalidEvent
from thence.files import file_lock
from thence.log.files.disk import OS_DISK
from thence.log.files.segment import own_folder
from thence.log.open import Log, LogSettings, new_id
from thence.log.read.opening import opened_vocabulary
from thence.trace.otlp.decoding import Arrivals, SpanReader
from thence.trace.otlp.encoding import LOG_ID, Json, LogSpans, trace_of
from thence.trace.otlp.sending import batches

# memory holds ten times as much
FILE_BYTES_MAX = 128 * 1024 * 1024
_BATCH_EVENTS = 256


def span_batches(
    out: Output, log_name: str | None, limit: int | None, conditions: Conditions
) -> Iterator[tuple[Json, int]]:
    """Yields the spans of the events that fit as batches in OTLP, each with their number.

    What was left out, and a filter that nothing fits, are reported at the end.
    """

    def chosen() -> Iterator[dict[str, Any]]:
        matches = Filter.of(**keys(conditions)).matches
        chosen_count = read_count = 0
        with bar(out, "events read") as show:
            for page in log.pages():
                for event in page.events:
                    is_chosen = chosen_count != limit and matches(event)
                    chosen_count += is_chosen
                    span = spans.take(event, is_chosen)
                    if span is not None:
                        yield span
                read_count += len(page.events)
                show(read_count, page.total)
                if chosen_count == limit and not spans.is_awaiting:
                    break
        yield from spans.unfinished()
        report_matches(out, log, conditions, chosen_count)

    named = names_events(conditions)
    with open_for_reading(out, log_name, has=named) as log:
        spans = LogSpans()
        resource = {"service.name": log.folder.absolute().name, LOG_ID: log.log_id or ""}
        for batch in batches(chosen()):
            yield trace_of(batch, resource, __version__), len(batch)
    if spans.unlinked:
        why = "to events that are not in the log, or too old"
        out.notice(f"{counted(spans.unlinked, 'link')} left out, {why}")


def log_of_spans(folder: Path, *, create: bool, is_made: bool = True) -> Log:
    """Opens a log for spans, without THENCE_CAUSE, which caused none; raises UsageError."""
    words = opened_vocabulary(OS_DISK, folder, None, create, is_made)
    if words.name != "plain":
        raise click.UsageError(f"{folder} holds events of another kind; name a separate log")
    return Log(folder, words, LogSettings(bodies_from=BODIES_FROM))


@click.command("import", **help_with("thence import --otlp spans.jsonl --log traces"))
@click.option(
    "--otlp",
    "file",
    required=True,
    type=click.Path(exists=True, dir_okay=False, allow_dash=True, path_type=Path),
    metavar="FILE",
    help="A file of OTLP/JSON, as a collector's file exporter writes it; - is stdin.",
)
@log_options
def import_command(file: Path, log_name: str | None) -> None:
    """Import OpenTelemetry spans into a log, as begun and ended steps.

    A span's parent and links are its causes, if the file or the log has them; otherwise the payload
    keeps their ids. Spans that are in the log already are skipped. A log named by --log or
    THENCE_LOG is created if it is missing.
    """
    out = current()
    out.resumption = "run the same command again; it skips what is in the log already"
    with sys.stdin.buffer if str(file) == "-" else file.open("rb") as source:
        data = source.read(FILE_BYTES_MAX + 1)
    if len(data) > FILE_BYTES_MAX:
        cause, hint = f"it has more than {FILE_BYTES_MAX:,} bytes", "split it between two lines"
        raise InvalidEvent("could not import", place=file, cause=cause, hint=hint)
    folder = find_log(out, log_name, create=True)
    create = named_log(out, log_name) is not None
    with log_of_spans(folder, create=create, is_made=False) as log:
        reader = SpanReader(log.log_id)
        spans = reader.spans(data)
        if not spans and not reader.own_count:
            pairs = [f"{number:,} × {reason}" for reason, number in reader.refused.items()]
            cause = f"it holds no span that can be read: {', '.join(pairs) or 'it is empty'}"
            hint = "name a file of OTLP/JSON: `format: json` at the collector's file exporter"
            raise InvalidEvent("could not import", place=file, cause=cause, hint=hint)
        own_folder(folder).mkdir(parents=True, exist_ok=True)
        lock = file_lock(own_folder(folder) / "import.lock", 30)
        with lock, bar(out, "events imported") as show:
            arrivals = Arrivals(spans, log.read())
            events, count = arrivals.events(new_id), 0
            while batch := list(islice(events, _BATCH_EVENTS)):
                count += len(log._host_append(batch))
                show(count, 2 * len(spans))
    facts = {
        "already": ("in the log already", arrivals.already),
        "own": ("of this log itself", reader.own_count),
        "unknown_parents": ("with a parent that is not here", arrivals.unknown),
    }
    for text, number in facts.values():
        if number:
            out.notice(f"{counted(number, 'span')} {text}")
    if arrivals.circular:
        out.notice(f"{counted(arrivals.circular, 'cause')} left out: the spans form a cycle")
    for reason, number in reader.refused.items():
        out.warn(f"refused {counted(number, 'record')}: {reason}")
    numbers = {name: number for name, (_, number) in facts.items()}
    numbers |= {"events": count, "spans": len(spans), "circular_causes": arrivals.circular}
    line = f"{counted(count, 'event')} of {counted(len(spans), 'span')}"
    out.result({**numbers, "refused": dict(reader.refused)}, [line])
