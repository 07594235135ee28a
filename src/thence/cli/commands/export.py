"""The command `export`: writes events as a table, CSV or Parquet."""

import os
import re
import secrets
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import IO

import click

from thence.cli.groups import help_with, json_option, log_option, verbosity_options
from thence.cli.output import current, plain
from thence.cli.shared.pages import OptionValue, filter_options, pages, report_none
from thence.core.event import Event
from thence.core.sentences.table import COLUMNS, row_of
from thence.errors import ExtraMissing

Write = Callable[[Sequence[Event]], None]
# the first characters of a formula in a spreadsheet, unless the text is a number
_FORMULA = ("=", "+", "-", "@", "\t", "\r", "\n")
_NUMBER = re.compile(r"[+-]?[0-9]+(\.[0-9]+)?([eE][+-]?[0-9]+)?")


@click.command("export", **help_with("thence export --csv --type order.failed -o failed.csv"))
@click.option("--csv", "is_csv", is_flag=True, help="Write comma-separated text in UTF-8.")
@click.option("--parquet", "is_parquet", is_flag=True, help="Write Apache Parquet.")
@click.option(
    "-o",
    "--output",
    type=click.Path(dir_okay=False, path_type=Path),
    metavar="FILE",
    help="The file to write or replace; it is whole or not there. Else stdout.",
)
@click.option(
    "--raw",
    "is_raw",
    is_flag=True,
    help="With --csv: leave text as it is that a spreadsheet takes for a formula.",
)
@filter_options
@log_option
@json_option
@verbosity_options
def export_command(
    is_csv: bool,
    is_parquet: bool,
    output: Path | None,
    is_raw: bool,
    log: str | None,
    is_json: bool,
    **conditions: OptionValue,
) -> None:
    """Write events as a table, CSV or Parquet.

    A row is an event that fits every option that is given, as in `thence query`, in total
    order. Events that are appended meanwhile are left out. However many there are, few are held in
    memory at once. In CSV a text that a spreadsheet takes for a formula stands behind an
    apostrophe, unless --raw is given.
    """
    from thence.cli.shared.render import counted
    from thence.replica import open_log

    if is_csv == is_parquet:
        raise click.UsageError("one of --csv and --parquet is needed, and no more than one")
    form = "csv" if is_csv else "parquet"
    if is_raw and is_parquet:
        raise click.UsageError("--raw goes with --csv: Parquet keeps text as it is")
    if output is None and is_json:
        raise click.UsageError("--json goes with --output: stdout holds the table")
    if output is None and form == "parquet" and sys.stdout.isatty():
        raise click.UsageError("a terminal shows no Parquet; name a file with --output")
    from thence.cli.shared.locate import find_log

    out = current()
    rows = 0
    with (
        open_log(find_log(out, log), create=False) as replica,
        _output_file(output) as file,
        writer_of(form, file, _cell(output, is_raw)) as write,
    ):
        for page in pages(replica, conditions):
            write(page.events)
            rows += len(page.events)
        if not rows:
            report_none(out, replica, conditions)
    if is_json and output is not None:
        out.json({"rows": rows, "file": str(output), "bytes": output.stat().st_size})
    else:
        out.notice(f"{counted(rows, 'row')}" + (f" in {output}" if output else ""))


@contextmanager
def writer_of(form: str, file: IO[bytes], cell: Callable[[str], str]) -> Iterator[Write]:
    """Yields the function that writes events to a file; `form` is "csv" or "parquet".

    The table is complete at the end of the block. `cell` returns the form of a text in CSV.
    Raises ExtraMissing where pyarrow is missing.
    """
    with _parquet(file) if form == "parquet" else _csv(file, cell) as write:
        yield write


def escape_formula(text: str) -> str:
    """Returns a text that no spreadsheet reads as a formula: after an apostrophe if needed."""
    is_formula = text.startswith(_FORMULA) and not _NUMBER.fullmatch(text)
    return f"'{text}" if is_formula else text


@contextmanager
def _csv(file: IO[bytes], cell: Callable[[str], str]) -> Iterator[Write]:
    """Writes RFC 4180 with a header; a member that an event lacks is empty."""
    import csv
    import io

    text = io.TextIOWrapper(file, "utf-8", newline="")
    rows = csv.writer(text)

    def write(events: Sequence[Event]) -> None:
        for event in events:
            row = row_of(event)._asdict()
            for name in ("caused_by", "inferred_causes"):
                row[name] = " ".join(row[name])
            row["verified"] = "true" if row["verified"] else "false"
            rows.writerow(cell(value) if type(value) is str else value for value in row.values())

    try:
        rows.writerow(COLUMNS)
        yield write
    finally:
        text.detach()  # the file is the caller's to close


@contextmanager
def _parquet(file: IO[bytes]) -> Iterator[Write]:
    """Writes one row group a call; times are UTC, null where one can't be read."""
    from thence.core.clock import microseconds

    try:
        import pyarrow
        from pyarrow import parquet
    except ImportError as error:
        hint = "pip install 'thence[tables]'"
        raise ExtraMissing("could not write Parquet", cause=error, hint=hint) from error
    texts = pyarrow.list_(pyarrow.string())
    kinds = {
        "timestamp": pyarrow.timestamp("us", tz="UTC"),
        "seq": pyarrow.int64(),
        "lamport_clock": pyarrow.int64(),
        "turn": pyarrow.int64(),
        "caused_by": texts,
        "inferred_causes": texts,
        "verified": pyarrow.bool_(),
    }
    schema = pyarrow.schema([(name, kinds.get(name, pyarrow.string())) for name in COLUMNS])

    with parquet.ParquetWriter(file, schema) as table:

        def write(events: Sequence[Event]) -> None:
            rows = [row_of(event)._asdict() for event in events]
            for row in rows:
                row["timestamp"] = microseconds(row["timestamp"])
            table.write_table(pyarrow.Table.from_pylist(rows, schema=schema))

        yield write


def _cell(output: Path | None, is_raw: bool) -> Callable[[str], str]:
    """Returns the function for texts in CSV; on a terminal control characters are escaped."""
    is_terminal = output is None and sys.stdout.isatty()
    return lambda text: (str if is_raw else escape_formula)(plain(text) if is_terminal else text)


@contextmanager
def _output_file(path: Path | None) -> Iterator[IO[bytes]]:
    """Yields stdout, or a file that gets its name when all of it is on the device."""
    if path is None:
        yield sys.stdout.buffer
        sys.stdout.buffer.flush()
        return
    if path.exists() and not path.is_file():  # a pipe or device keeps its name
        with path.open("wb") as file:
            yield file
        return
    path = path.resolve()
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(4)}.part")
    try:
        with temporary.open("xb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    except BaseException as error:
        temporary.unlink(missing_ok=True)
        if isinstance(error, OSError) and error.filename == str(temporary):
            error.filename = str(path)  # the name that the user gave
        raise
