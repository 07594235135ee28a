"""Agents from the rows of a table: one entry of a scenario stands for all of them.

A table is CSV. Each text of the entry is filled from a row: `{age}` is the value of the column age,
`{{` a brace.
"""

import csv
import io
import re
from collections.abc import Collection, Iterator, Mapping
from contextlib import suppress
from hashlib import sha256
from pathlib import Path
from typing import Any

import msgspec

from thence.core.nearest import nearest
from thence.errors import ScenarioError
from thence.sim.scenario.scenario_file import KeyPath, TableRow

ROWS_MAX = 100_000
_BYTES_MAX = 100_000_000
_COLUMNS_SHOWN_MAX = 12
_PLACEHOLDER = re.compile(r"\{\{|\}\}|\{([^{}]*)\}|\{")
# a text of these keys stays one, whatever it looks like
_TEXTS = ("name", "type", "initial_location", "prompt", "prompt_file")
Fault = tuple[KeyPath, str, str, TableRow]  # its path, message, hint, place


class _BadTable(Exception):
    """A table that can't be used: the line to blame or 0, the reason, what to do."""


def with_people(
    raw: Mapping[str, Any], folder: Path
) -> tuple[Mapping[str, Any], dict[int, TableRow], dict[str, str], list[Fault], "Fillings"]:
    """Returns the input of a scenario with an entry for each agent of its tables.

    Behind it the rows of agents by index, the SHA-256 of each table, the problems, to which the
    fillings add, and how a text is filled for each agent of a table.
    """
    agents: list[Any] = []
    rows: dict[int, TableRow] = {}
    files: dict[str, str] = {}
    faults: list[Fault] = []
    fillings: Fillings = {}
    entries = raw.get("agents")
    if not isinstance(entries, list | tuple) or not any(map(_has_table, entries)):
        return raw, rows, files, faults, fillings
    for place, entry in enumerate(entries):
        if not _has_table(entry):
            rows[len(agents)] = (place, "", 0, ())
            agents.append(entry)
            continue
        template = dict(entry)
        name = str(template.pop("from"))
        file = str(folder / name)
        try:
            people, files[name] = _read(folder / name)
        except _BadTable as bad:
            line, message, hint = bad.args
            fault_row = (place, file, line, [("from",)] if line else ())
            faults.append((("agents", place, "from"), message, hint, fault_row))
            continue
        columns = dict.fromkeys(column for _, cells in people for column in cells)
        filled: set[KeyPath] = set()
        for line, cells in people:
            row = rows[len(agents)] = (place, file, line, filled)
            filling = fillings[len(agents)] = Filling(cells, columns, row, filled, faults)
            agents.append(filling.fill(template, ()))
    return {**raw, "agents": agents}, rows, files, faults, fillings


def _has_table(entry: object) -> bool:
    return isinstance(entry, Mapping) and "from" in entry


class Filling(msgspec.Struct):
    """The filling of an entry from a row; `filled` are the paths whose values differ by row."""

    cells: Mapping[str, str]
    columns: Collection[str]
    row: TableRow
    filled: set[KeyPath]
    faults: list[Fault]

    def fill(self, value: Any, path: KeyPath) -> Any:
        """Returns a value of the entry with the row's values in its texts."""
        if isinstance(value, Mapping):
            if [*value.values()] == [None] and (name := next(iter(value))) in self.columns:
                self._add(path, "a placeholder is text", f'write it in quotes: "{{{name}}}"')
            return {key: self.fill(part, (*path, str(key))) for key, part in value.items()}
        if isinstance(value, list | tuple):
            return [self.fill(part, (*path, at)) for at, part in enumerate(value)]
        if not isinstance(value, str):
            return value
        text = _PLACEHOLDER.sub(lambda match: self._text(match, path), value)
        name = value[1:-1]
        if name not in self.cells or value != f"{{{name}}}" or path[0] in _TEXTS:
            return text
        return _value_of(self.cells[name])

    def _text(self, match: re.Match[str], path: KeyPath) -> str:
        name, text = match[1], match[0]
        if name is None and len(text) > 1:
            return text[0]
        if name is None:
            self._add(path, "a brace has no end", "write {{ for a brace")
        elif name not in self.columns:
            near, listed = nearest(name, self.columns), [*self.columns][:_COLUMNS_SHOWN_MAX]
            hint = f"it has {', '.join(listed)}; write {{{{ for a brace"
            hint = f"the nearest is {near[0]}" if near else hint
            self._add(path, f"the table has no column {name!r:.60}", hint)
        else:
            self.filled.add(path)
            return self.cells[name]
        return text

    def _add(self, path: KeyPath, message: str, hint: str) -> None:
        place = (*self.row[:3], ())
        self.faults.append((("agents", self.row[0], *path), message, hint, place))


Fillings = dict[int, Filling]


def _value_of(cell: str) -> object:
    """Returns the number, true or false that a cell is, else its text; 5 for 5.0.

    So pandas writes the integers of a column with a gap.
    """
    with suppress(msgspec.DecodeError):
        value = msgspec.json.decode(cell.lower())
        if isinstance(value, float) and value.is_integer():
            return int(value)
        return value if isinstance(value, int | float) else cell
    return cell


def _read(path: Path) -> tuple[list[tuple[int, dict[str, str]]], str]:
    """Returns the rows of a table with their lines, and its SHA-256; raises _BadTable."""
    if path.suffix != ".csv":
        raise _BadTable(0, f"{path.name} is not a table", "name a file .csv")
    try:
        data = path.read_bytes()
        rows = [*_csv_rows(data)]
    except (OSError, ValueError) as error:
        message = f"{path.name} can't be read: {getattr(error, 'strerror', None) or error}"
        raise _BadTable(0, message, "a table is next to the scenario, in UTF-8") from error
    if not rows or len(rows) > ROWS_MAX or len(data) > _BYTES_MAX:
        message = f"{path.name} has {len(rows):,} rows, {len(data):,} bytes"
        hint = f"write 1 to {ROWS_MAX:,} rows after a line of names, {_BYTES_MAX:,} bytes at most"
        raise _BadTable(0, message, hint)
    return rows, sha256(data).hexdigest()


def read_columns(table: str, source: Path | None) -> tuple[int, dict[str, list[object]]]:
    """Returns the number of rows of a table beside a scenario, and its columns by name.

    Raises ScenarioError.
    """
    try:
        rows, _ = _read((source.parent if source else Path()) / table)
    except _BadTable as bad:
        line, cause, hint = bad.args
        cause = f"{table}:{line}: {cause}; {hint}" if line else f"{cause}; {hint}"
        raise ScenarioError("table of a population can't be taken", cause=cause) from bad
    names = rows[0][1]
    return len(rows), {name: [_value_of(cells[name]) for _, cells in rows] for name in names}


def _csv_rows(data: bytes) -> Iterator[tuple[int, dict[str, str]]]:
    text = io.StringIO(data.decode("utf-8-sig"), newline="")
    reader = csv.reader(text, strict=True, skipinitialspace=True)
    columns: list[str] = []
    line = 1
    try:
        for cells in reader:
            if not columns and len({*cells, ""}) <= len(cells):
                hint = "write them in the first line"
                raise _BadTable(line, "columns need names, all different", hint)
            if columns and cells and len(cells) != len(columns):
                message = f"{len(cells)} values in {len(columns)} columns"
                raise _BadTable(line, message, 'write "…" around text with a comma')
            if columns and cells:
                yield line, dict(zip(columns, cells, strict=True))
            columns = columns or cells
            line = reader.line_num + 1
    except csv.Error as error:
        raise _BadTable(line, f"no CSV: {error}", "correct it there") from error
