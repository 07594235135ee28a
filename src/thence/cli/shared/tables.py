"""Tables of events as files: CSV or Parquet, written some rows at a time."""

import re
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import IO

from thence.core.event import Event
from thence.core.sentences.table import COLUMNS, row_of
from thence.errors import ExtraMissing

Write = Callable[[Sequence[Event]], None]

# what a spreadsheet takes for a formula, unless it is a number
_FORMULA = ("=", "+", "-", "@", "\t", "\r", "\n")
_NUMBER = re.compile(r"[+-]?[0-9]+(\.[0-9]+)?([eE][+-]?[0-9]+)?")


@contextmanager
def writer_of(form: str, file: IO[bytes], cell: Callable[[str], str]) -> Iterator[Write]:
    """Gives what writes events to a file, "csv" or "parquet"; at the end the table is whole.

    `cell` says how a text stands in CSV. Raises ExtraMissing where
    pyarrow is missing.
    """
    with _parquet(file) if form == "parquet" else _csv(file, cell) as write:
        yield write


def guarded(text: str) -> str:
    """Returns a text that no spreadsheet takes for a formula: behind an apostrophe if need be."""
    is_formula = text.startswith(_FORMULA) and not _NUMBER.fullmatch(text)
    return f"'{text}" if is_formula else text


@contextmanager
def _csv(file: IO[bytes], cell: Callable[[str], str]) -> Iterator[Write]:
    """Writes RFC 4180 with a header; what an event lacks is empty."""
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
            rows.writerow(cell(each) if type(each) is str else each for each in row.values())

    try:
        rows.writerow(COLUMNS)
        yield write
    finally:
        text.detach()  # the file is the caller's to close


@contextmanager
def _parquet(file: IO[bytes]) -> Iterator[Write]:
    """Writes a group of rows each time; times are UTC, null where one can't be read."""
    from thence.core.times import microseconds

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
