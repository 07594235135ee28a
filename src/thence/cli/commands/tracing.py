"""The spans of OpenTelemetry at the command line: `export --otlp`, and the command `import`."""

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, NamedTuple

import click

from thence.cli.frame import help_with, log_options
from thence.cli.output import Output, current
from thence.cli.shared.logs import Conditions, find_log_to_read, keys, report_matches
from thence.cli.shared.render import counted

if TYPE_CHECKING:
    from thence.otlp.decoding import Arrivals, SpanReader
    from thence.replica import Log

# memory holds ten times as much
FILE_BYTES_MAX = 128 * 1024 * 1024
_BATCH_EVENTS = 256


class EventChoice(NamedTuple):
    """Which events of which log are exported."""

    log: str | None
    limit: int | None
    conditions: Conditions


class _Exported:
    """The spans of one export, read from an open log once."""

    def __init__(self, out: Output, replica: "Log", choice: EventChoice) -> None:
        from thence.core.query.filter import Filter
        from thence.otlp.encoding import LogSpans

        self._replica, self._choice = replica, choice
        self._matches = Filter.of(**keys(choice.conditions)).matches
        self._spans = LogSpans(replica.vocabulary)
        self._out = out
        self.chosen_count = self.span_count = 0

    def groups(self) -> Iterator[tuple[bytes, int]]:
        """Yields batches in OTLP/JSON, each with the number of its spans."""
        import msgspec

        from thence import __version__
        from thence.otlp.encoding import LOG_ID, trace_of
        from thence.otlp.sending import batches

        name = self._replica.folder.absolute().name
        resource = {"service.name": name, LOG_ID: self._replica.log_id or ""}
        for batch in batches(self._all()):
            self.span_count += len(batch)
            yield msgspec.json.encode(trace_of(batch, resource, __version__)), len(batch)

    def _all(self) -> Iterator[dict[str, Any]]:
        from thence.cli.shared.progress import parts_done

        limit = self._choice.limit
        read_count = 0
        with parts_done(self._out, "exporting") as show:
            for page in self._replica.answers.pages():
                for event in page.events:
                    has_room = limit is None or self.chosen_count < limit
                    is_chosen = has_room and self._matches(event)
                    self.chosen_count += is_chosen
                    span = self._spans.take(event, is_chosen)
                    if span is not None:
                        yield span
                read_count += len(page.events)
                show(read_count, page.total)
                if self.chosen_count == limit and not self._spans.awaits_ends:
                    break
        yield from self._spans.unfinished()

    def notices(self) -> list[str]:
        """Reports a filter that nothing fits; returns what else is to be told."""
        report_matches(self._out, self._replica, self._choice.conditions, self.chosen_count)
        unlinked = self._spans.unlinked
        why = "to events that the log lacks, or had too long before"
        return [f"{counted(unlinked, 'link')} left out, {why}"] if unlinked else []


def write_spans(out: Output, file: IO[bytes], choice: EventChoice) -> tuple[int, list[str]]:
    """Writes spans as lines of OTLP/JSON; returns how many, and what is to be told of them."""
    from thence.replica import open_log

    with open_log(find_log_to_read(out, choice.log), create=False) as replica:
        exported = _Exported(out, replica, choice)
        for body, _ in exported.groups():
            file.write(body + b"\n")
        return exported.span_count, exported.notices()


def send_spans(out: Output, url: str, wait_s: float, choice: EventChoice) -> None:
    """Sends spans to an endpoint, and tells how many it took."""
    from thence.otlp.sending import Sender, endpoint, headers_of
    from thence.replica import open_log

    to, headers = endpoint(url), headers_of(out.settings.otlp_headers)
    with (
        open_log(find_log_to_read(out, choice.log), create=False) as replica,
        Sender(to, headers, wait_s) as sender,
    ):
        exported = _Exported(out, replica, choice)
        for body, count in exported.groups():
            sender.send(body, count)
        notices = exported.notices()
    sent, rejected, message = sender.outcome
    for notice in notices:
        out.notice(notice)
    if rejected or message:
        words = f": {message}" if message else ""
        out.warn(f"{to} rejected {counted(rejected, 'span')}{words}")
    if out.is_json:
        out.json({"spans": sent, "rejected": rejected, "endpoint": str(to), "message": message})
    else:
        out.notice(f"{counted(sent, 'span')} sent to {to}")


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
    from thence.files import file_lock
    from thence.log.read.opening import opened_vocabulary
    from thence.log.storage.disk import OS_DISK
    from thence.log.storage.segment import own_folder
    from thence.otlp.decoding import Arrivals, Recorded, SpanReader
    from thence.replica import Log

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
            raise _no_spans(file, reader)
        arrivals = Arrivals(spans, Recorded(replica.read(), spans))
        count = _append(out, replica, arrivals, 2 * len(spans))
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


def _append(out: Output, replica: "Log", arrivals: "Arrivals", total: int) -> int:
    """Appends events in batches; returns how many."""
    from itertools import islice

    from thence.cli.shared.progress import parts_done
    from thence.replica import new_id

    events, count = arrivals.events(new_id), 0
    with parts_done(out, "importing") as show:
        while batch := list(islice(events, _BATCH_EVENTS)):
            count += len(replica.append_many(batch))
            show(count, total)
    return count


def _no_spans(file: Path, reader: "SpanReader") -> Exception:
    from thence.errors import InvalidEvent

    reasons = ", ".join(f"{number:,} × {reason}" for reason, number in reader.refused.items())
    cause = f"it holds no span that can be read: {reasons or 'it is empty'}"
    hint = "name a file of OTLP/JSON, each line of which has resourceSpans"
    return InvalidEvent("could not import", place=file, cause=cause, hint=hint)


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
    if out.is_json:
        numbers = {name: number for name, (_, number) in facts.items()}
        circular, refused = arrivals.circular, dict(reader.refused)
        told = {"circular_causes": circular, "refused": refused}
        out.json({"events": count, "spans": total, **numbers, **told})
    else:
        out.write(f"{counted(count, 'event')} of {counted(total, 'span')}")
