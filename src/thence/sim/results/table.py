"""A table of a run: rows that are streamed, for pandas, Parquet or a loop."""

import csv
import io
import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from itertools import islice
from pathlib import Path
from types import MappingProxyType
from typing import IO, TYPE_CHECKING, Any, Literal, Self

import msgspec

from thence.core.clock import microseconds
from thence.core.sentences.table import INTEGER_MAX, escape_formula
from thence.errors import needs_extra
from thence.files import replacing

if TYPE_CHECKING:
    import pandas

Kind = Literal["none", "bool", "int", "float", "str", "time", "ids", "json"]
Values = Sequence[Any]

# a group of rows in Parquet is held in memory at once
_GROUP_ROWS_MAX = 10_000
_GROUP_CELLS_MAX = 1_000_000
_KINDS: dict[type, Kind] = {type(None): "none", bool: "bool", float: "float", str: "str"}


def kind_of(value: object) -> Kind:
    """Returns the kind of a column that could hold this value alone."""
    if type(value) is int:
        return "int" if -INTEGER_MAX <= value <= INTEGER_MAX else "json"
    return _KINDS.get(type(value), "json")


def joined(a: Kind, b: Kind) -> Kind:
    """Returns the kind of a column that holds values of two kinds."""
    if a == b or b == "none":
        return a
    if a == "none":
        return b
    return "float" if {a, b} == {"int", "float"} else "json"


class Table:
    """A table of a run as it was when the table was made; it is complete, however long.

    `columns` are the names of its columns, `kinds` what each holds: "int", "float", "bool",
    "str", "time", "ids", "none" without any value, "json" for lists, maps and several kinds.
    Iteration yields a dict for each row, column → value, and reads them from the log again: few
    rows are in memory at once. `len(table)` is the number of rows. A missing value of a row
    is None.
    """

    def __init__(
        self, kinds: Mapping[str, Kind], rows: Callable[[], Iterator[Values]], length: int
    ) -> None:
        self.columns = tuple(kinds)
        self.kinds = kinds
        self._rows = rows
        self._length = length

    @classmethod
    def of(
        cls,
        read: Callable[[], Iterator[Mapping[str, Any]]],
        kinds: Mapping[str, Kind] = MappingProxyType({}),
        columns: Iterable[str] = (),
    ) -> Self:
        """Makes the table of the rows that `read` yields on each call, as column → value.

        The columns of `kinds` come first, then `columns`, then others in the order in which they
        occur.
        """
        others: dict[str, Kind] = dict.fromkeys(columns, "none")
        length = 0
        for row in read():
            length += 1
            for name, value in row.items():
                if name not in kinds:
                    others[name] = joined(others.get(name, "none"), kind_of(value))
        all_kinds = {**kinds, **others}
        return cls(all_kinds, lambda: ([*map(row.get, all_kinds)] for row in read()), length)

    def __len__(self) -> int:
        return self._length

    def __iter__(self) -> Iterator[dict[str, Any]]:
        for row in self._values():
            yield dict(zip(self.columns, row, strict=True))

    def __repr__(self) -> str:
        return f"<Table of {self._length:,} rows, {len(self.columns):,} columns>"

    def to_pandas(self) -> "pandas.DataFrame":
        """Returns all rows as a pandas DataFrame.

        Text has the type "string", times are UTC, integers with gaps "Int64"; lists, maps and
        columns of several types are objects. Raises ExtraMissing without pandas, which
        `pip install 'thence[pandas]'` installs.
        """
        with needs_extra("pandas", "pandas"):
            import pandas
        columns: list[list[Any]] = [[] for _ in self.columns]
        for row in self._values():
            for column, value in zip(columns, row, strict=True):
                column.append(value)
        arrays = {
            name: _pandas_array(pandas, kind, values)
            for (name, kind), values in zip(self.kinds.items(), columns, strict=True)
        }
        return pandas.DataFrame(arrays, columns=list(self.columns), copy=False)

    def to_parquet(self, path: str | Path) -> None:
        """Writes all rows to a Parquet file, which is replaced when the new one is whole.

        Lists, maps and the values of a column of several types are written as JSON text. Some
        thousand rows are in memory at once. Raises ExtraMissing without pyarrow, which
        `pip install 'thence[tables]'` installs, and OSError.
        """
        size = max(1, min(_GROUP_ROWS_MAX, _GROUP_CELLS_MAX // max(1, len(self.columns))))
        with replacing(Path(path)) as temporary:
            write_parquet(temporary, self.kinds, self._groups(size))

    def to_csv(self, path: str | Path) -> None:
        """Writes all rows to a CSV file (RFC 4180, UTF-8), which is replaced as in `to_parquet`.

        Lists and maps are JSON text; text that a spreadsheet reads as a formula gets a leading
        apostrophe. Raises OSError.
        """
        with replacing(Path(path)) as temporary, temporary.open("wb") as file:
            write_csv(file, self.columns, self._values(), escape_formula)

    def _values(self) -> Iterator[Values]:
        return islice(self._rows(), self._length)

    def _groups(self, size: int) -> Iterator[list[tuple[Any, ...]]]:
        """Yields the rows in groups, each as its columns."""
        rows = self._values()
        while group := list(islice(rows, size)):
            yield list(zip(*group, strict=True))


def write_csv(
    file: IO[bytes], columns: Iterable[str], rows: Iterable[Values], cell: Callable[[str], str]
) -> None:
    """Writes a header and rows as RFC 4180 in UTF-8; `cell` returns the form of a text.

    None is empty; lists, maps, true and false are JSON text. The file stays open.
    """

    def written(value: object) -> object:
        if value is None or type(value) in (int, float):
            return value
        return cell(value if isinstance(value, str) else _json_text(value))

    text = io.TextIOWrapper(file, "utf-8", newline="")
    try:
        writer = csv.writer(text)
        writer.writerow(map(cell, columns))
        writer.writerows(map(written, row) for row in rows)
    finally:
        text.detach()


def write_parquet(
    file: Path | IO[bytes], kinds: Mapping[str, Kind], groups: Iterable[Sequence[Values]]
) -> None:
    """Writes groups of rows, each as its columns; `kinds` are those of a Table by column.

    Raises ExtraMissing without pyarrow, and OSError.
    """
    with needs_extra("tables", "pyarrow"):
        import pyarrow
        from pyarrow import parquet
    types = {
        "none": pyarrow.null(),
        "bool": pyarrow.bool_(),
        "int": pyarrow.int64(),
        "float": pyarrow.float64(),
        "time": pyarrow.timestamp("us", tz="UTC"),
        "ids": pyarrow.list_(pyarrow.string()),
    }
    stored = [types.get(kind, pyarrow.string()) for kind in kinds.values()]
    schema = pyarrow.schema(list(zip(kinds, stored, strict=True)))
    with parquet.ParquetWriter(file, schema) as writer:
        for group in groups:
            arrays = [
                pyarrow.array(_stored(kind, values), type=field.type)
                for kind, values, field in zip(kinds.values(), group, schema, strict=True)
            ]
            writer.write_table(pyarrow.Table.from_arrays(arrays, schema=schema))


def _stored(kind: Kind, values: Sequence[Any]) -> list[Any]:
    if kind == "json":
        return [None if value is None else _json_text(value) for value in values]
    if kind == "time":
        return [microseconds(value) for value in values]
    if kind == "float":
        return [None if value is None else float(value) for value in values]
    return list(values)


def _pandas_array(pandas: Any, kind: Kind, values: list[Any]) -> Any:
    if kind == "time":
        times = pandas.array([microseconds(value) for value in values], "Int64")
        return pandas.to_datetime(times, unit="us", utc=True)
    types = {"str": "string", "float": "float64"}
    if kind in ("int", "bool"):
        whole, nullable = ("int64", "Int64") if kind == "int" else ("bool", "boolean")
        return pandas.array(values, nullable if None in values else whole)
    return pandas.Series(values, dtype=types.get(kind, "object"))


def _json_text(value: object) -> str:
    try:
        return msgspec.json.encode(value).decode()
    except (ValueError, OverflowError):  # an integer beyond 64 bits
        return json.dumps(value)
