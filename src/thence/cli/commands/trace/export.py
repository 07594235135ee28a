"""The command `export`: writes events as a table, CSV or Parquet, or as OTLP spans."""

import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

import click
import msgspec

from thence.cli.frame import file_option, help_with, log_options
from thence.cli.output import Output, current, escaped
from thence.cli.shared.logs import (
    Conditions,
    OptionValue,
    filter_options,
    keys,
    names_events,
    open_for_reading,
    report_matches,
)
from thence.cli.shared.render import counted
from thence.core.json_values import printable
from thence.core.sentences.table import COLUMNS, escape_formula, payload_values, row_of
from thence.files import replacing
from thence.sim.results.table import Kind, joined, kind_of, write_csv, write_parquet

Rows = list[tuple[Any, ...]]
# the columns of ids, a list in each row
_IDS = slice(COLUMNS.index("caused_by"), COLUMNS.index("inferred_causes") + 1)


def _payload_keys(
    context: click.Context, parameter: click.Parameter, value: str | None
) -> tuple[str, ...]:
    keys = tuple(dict.fromkeys(key.strip() for key in (value or "").split(",")))
    taken = next((key for key in keys if key in COLUMNS), None)
    if value is not None and (not all(keys) or taken):
        cause = f"'{taken}' is a column of its own" if taken else "a key is missing next to a comma"
        raise click.BadParameter(cause, context, parameter)
    return keys if value else ()


@click.command(
    "export",
    **help_with(
        "thence export --csv --type order.failed -o failed.csv",
        "thence export --otlp http://localhost:4318",
        extra="tables for Parquet",
    ),
)
@click.option("--csv", "is_csv", is_flag=True, help="Write comma-separated text in UTF-8.")
@click.option("--parquet", "is_parquet", is_flag=True, help="Write Apache Parquet.")
@click.option(
    "--otlp",
    metavar="FILE|URL",
    help="Write steps and events as spans of OTLP/JSON, or send them to an OTLP/HTTP endpoint (it"
    " needs thence[otel]), with the headers in OTEL_EXPORTER_OTLP_HEADERS. - is stdout.",
)
@click.option(
    "--wait",
    "wait_s",
    type=click.FloatRange(0, 3600),
    default=30,
    show_default=True,
    metavar="SECONDS",
    help="With a URL: how long to retry a batch that the endpoint does not accept now.",
)
@file_option("The file to write or replace, as a whole; default: stdout.")
@click.option(
    "--columns",
    "columns",
    metavar="KEYS",
    callback=_payload_keys,
    help="Payload keys that get a column each, such as amount,currency.",
)
@click.option(
    "--limit", type=click.IntRange(min=1), metavar="N", help="A page: the first N events."
)
@filter_options
@log_options
def export_command(
    is_csv: bool,
    is_parquet: bool,
    otlp: str | None,
    wait_s: float,
    output: Path | None,
    columns: tuple[str, ...],
    limit: int | None,
    log_name: str | None,
    **conditions: OptionValue,
) -> None:
    """Write events as a table, CSV or Parquet, or as OTLP spans.

    A row is an event that matches every option, as in `thence log`, in total order. Keys of the
    payload get columns if --columns names them. Events appended in the meantime are left out. Few
    events are in memory at once. In CSV, text that a spreadsheet would read as a formula gets a
    leading apostrophe. In OTLP a step is one span, written if its begin or its end matches; any
    other event is a span of no length, and causes besides the parent are links.
    """
    out = current()
    if [is_csv, is_parquet, otlp is not None].count(True) != 1:
        raise click.UsageError("give exactly one of --csv, --parquet and --otlp")
    if otlp is not None:
        if output is not None or columns:
            raise click.UsageError("--otlp goes without --output and --columns")
        _export_spans(out, otlp, wait_s, log_name, limit, conditions)
        return
    if output is None and out.is_json:
        raise click.UsageError("--json goes with --output: stdout holds the table")
    if is_parquet and output is None and sys.stdout.isatty():
        raise click.UsageError("a terminal shows no Parquet; name a file with --output")
    _export_table(out, output, columns, limit, log_name, conditions, is_parquet)


def _export_table(
    out: Output,
    output: Path | None,
    columns: Sequence[str],
    limit: int | None,
    log_name: str | None,
    conditions: Conditions,
    is_parquet: bool,
) -> None:
    """Writes a row for each event, as CSV unless it is Parquet."""
    from thence.cli.shared.progress import bar

    is_terminal = output is None and sys.stdout.isatty()

    def cell(text: str) -> str:
        return escape_formula(printable(text) if is_terminal else text)

    with (
        open_for_reading(out, log_name, has=names_events(conditions)) as log,
        _output_file(output) as file,
        bar(out, "rows read") as show,
    ):
        count = 0
        empty = dict.fromkeys(columns)  # in order

        def groups() -> Iterator[Rows]:
            nonlocal count
            count = 0
            for page in log.pages(limit, **keys(conditions)):
                count += len(page.events)
                show(count, 0)
                rows = [(*row_of(event), *payload_values(event, columns)) for event in page.events]
                for place, key in enumerate(columns, len(COLUMNS)):
                    if key in empty and any(row[place] is not None for row in rows):
                        del empty[key]
                yield rows

        if not is_parquet:
            lines = (
                (*row[: _IDS.start], *map(" ".join, row[_IDS]), *row[_IDS.stop :])
                for rows in groups()
                for row in rows
            )
            write_csv(file, (*COLUMNS, *columns), lines, cell)
        else:
            kinds: dict[str, Kind] = dict.fromkeys(COLUMNS, "str")
            kinds |= dict.fromkeys(("seq", "lamport_clock", "turn"), "int")
            kinds |= {"timestamp": "time", "caused_by": "ids", "inferred_causes": "ids"}
            kinds |= {"verified": "bool", **dict.fromkeys(columns, "none")}
            for rows in groups() if columns else ():  # their kinds are those of all values
                for row in rows:
                    for name, value in zip(columns, row[len(COLUMNS) :], strict=True):
                        kinds[name] = joined(kinds[name], kind_of(value))
            write_parquet(file, kinds, (list(zip(*rows, strict=True)) for rows in groups() if rows))
        report_matches(out, log, conditions, count)
    for key in empty if count else ():
        out.notice(f"no event that was written has a payload key `{key}`")
    _report_written(out, output, count, "row")


def _report_written(out: Output, path: Path | None, count: int, noun: str) -> None:
    if out.is_json and path is not None:
        out.json({f"{noun}s": count, "file": str(path), "bytes": path.stat().st_size})
    else:
        out.notice(f"{counted(count, noun)}" + (f" in {path}" if path else ""))


def _export_spans(
    out: Output,
    to: str,
    wait_s: float,
    log_name: str | None,
    limit: int | None,
    conditions: Conditions,
) -> None:
    """Writes spans to a file or stdout, or sends them to an endpoint and reports its answer."""
    from thence.cli.commands.trace.tracing import span_batches
    from thence.cli.shared.progress import bar
    from thence.trace.otlp.sending import Sender, headers_of

    batches = span_batches(out, log_name, limit, conditions)
    if to.lower().startswith(("http://", "https://")):
        sender = Sender(to, headers_of(out.settings.otlp_headers), wait_s)
        with bar(out, "spans sent") as show:
            total = 0
            for trace, count in batches:
                sender.send(trace, count)
                total += count
                show(total, 0)
        sent, rejected, message = sender.outcome
        if rejected or message:
            words = f": {message}" if message else ""
            out.warn(f"{sender.place} rejected {counted(rejected, 'span')}{words}")
        facts = {"spans": sent, "rejected": rejected, "endpoint": sender.place, "message": message}
        out.result(facts, (), [f"{counted(sent, 'span')} sent to {sender.place}"])
        return
    if "://" in to:
        raise click.UsageError("--otlp takes a file, or an address that begins http:// or https://")
    path = None if to == "-" else Path(to)
    if path is None and out.is_json:
        raise click.UsageError("--json goes with a file or an address: stdout holds the spans")
    total = 0
    with _output_file(path) as file, bar(out, "spans written") as show:
        for trace, count in batches:
            file.write(escaped(msgspec.json.encode(trace)) + b"\n")
            total += count
            show(total, 0)
    _report_written(out, path, total, "span")


@contextmanager
def _output_file(path: Path | None) -> Iterator[IO[bytes]]:
    """Yields stdout, or a file that gets its name when all of it is on the device."""
    if path is None:
        yield sys.stdout.buffer
        sys.stdout.buffer.flush()
    elif path.exists() and not path.is_file():  # a pipe or device keeps its name
        with path.open("wb") as file:
            yield file
    else:
        with replacing(path.resolve()) as draft, draft.open("xb") as file:
            yield file
