"""The spans of OpenTelemetry at the command line: `export --otlp`, and the command `import`."""

import sys
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, NamedTuple

import click

from thence.cli.frame import help_with, log_options
from thence.cli.output import Output, current
from thence.cli.shared.logs import Conditions, keys, open_for_reading, report_matches
from thence.cli.shared.render import counted

if TYPE_CHECKING:
    from thence.open_log.log import Log
    from thence.otlp.decoding import Arrivals, SpanReader
    from thence.otlp.encoding import LogSpans

# memory holds ten times as much
FILE_BYTES_MAX = 128 * 1024 * 1024
_BATCH_EVENTS = 256


class EventChoice(NamedTuple):
    """Which events of which log are exported."""

    log: str | None
    limit: int | None
    conditions: Conditions


def _batches(out: Output, choice: EventChoice, told: list[str]) -> Iterator[tuple[bytes, int]]:
    """Yields batches in OTLP/JSON with the number of their spans; `told` gets what was left out.

    A filter that nothing fits is reported at the end.
    """
    import msgspec

    from thence import __version__
    from thence.otlp.encoding import LOG_ID, LogSpans, trace_of
    from thence.otlp.sending import batches

    with open_for_reading(out, choice.log, counts_damage=False) as replica:
        name = replica.folder.absolute().name
        resource = {"service.name": name, LOG_ID: replica.log_id or ""}
        spans = LogSpans(replica.vocabulary)
        for batch in batches(_chosen(out, replica, choice, spans)):
            yield msgspec.json.encode(trace_of(batch, resource, __version__)), len(batch)
        if spans.unlinked:
            why = "to events that are not in the log, or too old"
            told.append(f"{counted(spans.unlinked, 'link')} left out, {why}")


def _chosen(
    out: Output, replica: "Log", choice: EventChoice, spans: "LogSpans"
) -> Iterator[dict[str, Any]]:
    from thence.cli.shared.progress import bar
    from thence.core.query.filter import Filter

    matches = Filter.of(**keys(choice.conditions)).matches
    chosen_count = read_count = 0
    with bar(out, "events read") as show:
        for page in replica.answers.pages():
            for event in page.events:
                is_chosen = chosen_count != choice.limit and matches(event)
                chosen_count += is_chosen
                span = spans.take(event, is_chosen)
                if span is not None:
                    yield span
            read_count += len(page.events)
            show(read_count, page.total)
            if chosen_count == choice.limit and not spans.awaits_ends:
                break
    yield from spans.unfinished()
    report_matches(out, replica, choice.conditions, chosen_count)


def write_spans(out: Output, file: IO[bytes], choice: EventChoice) -> tuple[int, list[str]]:
    """Writes spans as lines of OTLP/JSON; returns how many, and what is to be told of them."""
    count, told = 0, list[str]()
    for body, span_count in _batches(out, choice, told):
        file.write(body + b"\n")
        count += span_count
    return count, told


def send_spans(out: Output, url: str, wait_s: float, choice: EventChoice) -> None:
    """Sends spans to an endpoint, and tells how many it took."""
    from thence.otlp.sending import Sender, headers_of

    told = list[str]()
    sender = Sender(url, headers_of(out.settings.otlp_headers), wait_s)
    for body, count in _batches(out, choice, told):
        sender.send(body, count)
    sent, rejected, message = sender.outcome
    for notice in told:
        out.notice(notice)
    if rejected or message:
        words = f": {message}" if message else ""
        out.warn(f"{sender.place} rejected {counted(rejected, 'span')}{words}")
    value = {"spans": sent, "rejected": rejected, "endpoint": sender.place, "message": message}
    out.result(value, (), [f"{counted(sent, 'span')} sent to {sender.place}"])


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
def import_command(file: Path, log: str | None) -> None:
    """Take spans of OpenTelemetry into a log, as begun and ended steps.

    A span's parent and its links are its causes, where the file or the log has them; else the
    payload keeps their ids. What is there already is not taken again. A log named by --log or
    THENCE_LOG is made if it is missing.
    """
    from thence.cli.shared.locate import find_log, named_log
    from thence.cli.shared.progress import bar
    from thence.errors import InvalidEvent
    from thence.files import file_lock
    from thence.log.files.disk import OS_DISK
    from thence.log.files.segment import own_folder
    from thence.log.read.opening import opened_vocabulary
    from thence.open_log.log import Log, new_id
    from thence.otlp.decoding import Arrivals, SpanReader

    out = current()
    data = _read(file)
    folder = find_log(out, log, create=True)
    words = opened_vocabulary(OS_DISK, folder, None, named_log(out, log) is not None)
    if words.name != "plain":
        raise click.UsageError(f"{folder} holds events of another kind; name a log of its own")
    # without THENCE_CAUSE, which caused no span
    with Log(folder, words) as replica, file_lock(own_folder(folder) / "import.lock", 30):
        reader = SpanReader(replica.log_id)
        spans = reader.spans(data)
        if not spans and not reader.own_count:
            pairs = [f"{number:,} × {reason}" for reason, number in reader.refused.items()]
            cause = f"it holds no span that can be read: {', '.join(pairs) or 'it is empty'}"
            hint = "name a file of OTLP/JSON, each line of which has resourceSpans"
            raise InvalidEvent("could not import", place=file, cause=cause, hint=hint)
        arrivals = Arrivals(spans, replica.read())
        events, count = arrivals.events(new_id), 0
        with bar(out, "events imported") as show:
            while batch := list(islice(events, _BATCH_EVENTS)):
                count += len(replica._host_append(batch))
                show(count, 2 * len(spans))
    _report_import(out, count, len(spans), reader, arrivals)


def _read(file: Path) -> bytes:
    """Returns what a file or stdin holds; raises InvalidEvent for too much, and for protobuf."""
    from thence.errors import InvalidEvent

    with sys.stdin.buffer if str(file) == "-" else file.open("rb") as source:
        data = source.read(FILE_BYTES_MAX + 1)
    if len(data) > FILE_BYTES_MAX:
        cause, hint = f"it has more than {FILE_BYTES_MAX:,} bytes", "split it between two lines"
    elif file.suffix == ".pb" or b"\0" in data[:4096]:
        cause = "it is no JSON, but looks like protobuf"
        hint = "write it as JSON: `format: json` at the collector's file exporter"
    else:
        return data
    raise InvalidEvent("could not import", place=file, cause=cause, hint=hint)


def _report_import(
    out: Output, count: int, total: int, reader: "SpanReader", arrivals: "Arrivals"
) -> None:
    """Tells what was taken in, and what was not and why."""
    facts = {
        "already": ("in the log already", arrivals.already),
        "own": ("of this log itself", reader.own_count),
        "unknown_parents": ("with a parent that is nowhere here", arrivals.unknown),
    }
    for text, number in facts.values():
        if number:
            out.notice(f"{counted(number, 'span')} {text}")
    if arrivals.circular:
        out.notice(f"{counted(arrivals.circular, 'cause')} left out: the spans are in a circle")
    for reason, number in reader.refused.items():
        out.warn(f"refused {counted(number, 'record')}: {reason}")
    numbers = {name: number for name, (_, number) in facts.items()}
    numbers |= {"events": count, "spans": total, "circular_causes": arrivals.circular}
    line = f"{counted(count, 'event')} of {counted(total, 'span')}"
    out.result({**numbers, "refused": dict(reader.refused)}, [line])
