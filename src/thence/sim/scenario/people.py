"""Agents from the rows of a table: one entry of a scenario stands for all of them.

A table is CSV, JSON lines or Parquet. Each text of the entry is filled from a row: `{age}` is the
value of the column age, `{{` a brace.
"""

import csv
import io
import re
from collections.abc import Iterator, Mapping
from hashlib import sha256
from pathlib import Path
from typing import Any, NamedTuple

import msgspec

from thence.core.nearest import nearest
from thence.errors import needs_extra
from thence.sim.scenario.scenario_file import KeyPath, Row

ROWS_MAX = 100_000
_BYTES_MAX = 100_000_000
_COLUMNS_SHOWN_MAX = 12
_PLACEHOLDER = re.compile(r"\{\{|\}\}|\{([^{}]*)\}|\{")
# a text of these keys stays one, whatever it looks like
_TEXTS = ("name", "type", "initial_location", "prompt", "prompt_file")


class Fault(NamedTuple):
    """A problem with the value at a path; `row` is the place of the table that has it."""

    path: KeyPath
    message: str
    hint: str
    row: Row | None = None


class People(NamedTuple):
    """A scenario's input with an entry for each agent of a table.

    `rows` are the rows of these entries by index, `tables` the SHA-256 of each table by name.
    """

    raw: Mapping[str, Any]
    rows: dict[int, Row]
    tables: dict[str, str]
    faults: list[Fault]


class _Cell(str):
    """A value of CSV, which may be the text of a number."""

    __slots__ = ()


class _BadTable(Exception):
    """A table that can't be used, with the line to blame; 0 where it is the whole table."""

    def __init__(self, line: int, message: str, hint: str) -> None:
        super().__init__(message)
        self.line, self.hint = line, hint


def with_people(raw: Mapping[str, Any], folder: Path) -> People:
    """Returns the input of a scenario with the entries that have `from` filled from their tables.

    Raises ExtraMissing for Parquet without pyarrow.
    """
    people = People(raw, {}, {}, [])
    entries = raw.get("agents")
    if not isinstance(entries, list | tuple) or not any(map(_has_table, entries)):
        return people
    agents: list[Any] = []
    for place, entry in enumerate(entries):
        if not _has_table(entry):
            people.rows[len(agents)] = Row(place)
            agents.append(entry)
            continue
        path, name = ("agents", place, "from"), str(entry["from"])
        try:
            columns, rows, people.tables[name] = _read(folder / name)
        except _BadTable as fault:
            row = Row(place, str(folder / name), fault.line, {path[2:]} if fault.line else ())
            message = str(fault) if fault.line else f"{name} {fault}"
            people.faults.append(Fault(path, message, fault.hint, row))
            continue
        template = {key: value for key, value in entry.items() if key != "from"}
        filling = _Filling(place, columns, folder, people.faults)
        for line, cells in rows:
            row = Row(place, str(folder / name), line, filling.filled)
            people.rows[len(agents)] = row
            agents.append(filling.agent(template, cells, row))
    return people._replace(raw={**raw, "agents": agents})


def _has_table(entry: object) -> bool:
    return isinstance(entry, Mapping) and "from" in entry


class _Filling:
    """The filling of one entry; `filled` are the paths in it whose values differ by row."""

    def __init__(self, entry: int, columns: list[str], folder: Path, faults: list[Fault]) -> None:
        self._entry = entry
        self._columns = columns
        self._folder = folder
        self._faults = faults
        self._prompts: dict[str, str] = {}
        self.filled: set[KeyPath] = set()

    def agent(
        self, template: Mapping[str, Any], cells: Mapping[str, Any], row: Row
    ) -> dict[str, Any]:
        """Returns the entry of one row, with the text of its `prompt_file` in place of that."""
        agent: dict[str, Any] = self._fill(template, cells, (), row)
        name = agent.get("prompt_file")
        if agent.get("type") == "llm_agent" and isinstance(name, str):
            try:
                if name not in self._prompts:
                    self._prompts[name] = (self._folder / name).read_text(encoding="utf-8")
            except (OSError, ValueError):
                return agent  # the check of the agent says why
            del agent["prompt_file"]
            agent["prompt"] = self._fill(self._prompts[name], cells, ("prompt",), row)
        return agent

    def _fill(self, value: Any, cells: Mapping[str, Any], path: KeyPath, row: Row) -> Any:
        if isinstance(value, Mapping):
            (key, part), *others = [*value.items()] or [("", 0)]
            if part is None and not others and key in self._columns:  # {id} is a map to YAML
                self._add(path, "a placeholder is a text", f'write it in quotes: "{{{key}}}"')
            return {k: self._fill(v, cells, (*path, str(k)), row) for k, v in value.items()}
        if isinstance(value, list | tuple):
            return [self._fill(v, cells, (*path, at), row) for at, v in enumerate(value)]
        if not isinstance(value, str) or {*"{}"}.isdisjoint(value):
            return value
        text = _PLACEHOLDER.sub(lambda match: self._filled(match, cells, path, row), value)
        name = value[1:-1]
        if name not in cells or value != f"{{{name}}}" or path[0] in _TEXTS:
            return text
        return _number(text) if isinstance(cells[name], _Cell) else cells[name]

    def _filled(
        self, match: re.Match[str], cells: Mapping[str, Any], path: KeyPath, row: Row
    ) -> str:
        name = match[1]
        if match[0] in ("{{", "}}"):
            return match[0][0]
        if name is None:
            self._add(path, "a brace has no end", "write {{ for a brace")
        elif name not in self._columns:
            near = nearest(name, self._columns)
            listed = ", ".join(self._columns[:_COLUMNS_SHOWN_MAX])
            hint = f"the nearest is {near[0]}" if near else f"it has {listed}; {{{{ is a brace"
            self._add(path, f"the table has no column {name!r:.60}", hint)
        else:
            self.filled.add(path)
            if name in cells:
                return _text(cells[name])
            self._add(path, f"this row has no {name!r}", "add it", row)
        return match[0]

    def _add(self, path: KeyPath, message: str, hint: str, row: Row | None = None) -> None:
        row = row or Row(self._entry)
        self._faults.append(Fault(("agents", self._entry, *path), message, hint, row))


def _text(value: object) -> str:
    if isinstance(value, str):
        return str(value)
    if isinstance(value, float) and value.is_integer():  # as pandas writes ages with a gap
        value = int(value)
    return "" if value is None else msgspec.json.encode(value).decode()


def _number(text: str) -> object:
    """Returns the number, or the true or false, that a text of CSV is; else the text."""
    try:
        value = msgspec.json.decode(text.lower())
    except (msgspec.DecodeError, ValueError):
        return text
    return value if isinstance(value, int | float) else text


def _read(path: Path) -> tuple[list[str], list[tuple[int, Mapping[str, Any]]], str]:
    """Returns the columns of a table, its rows with their lines, and its SHA-256."""
    readers = {".csv": _csv_rows, ".jsonl": _json_rows, ".ndjson": _json_rows}
    readers[".parquet"] = _parquet_rows
    reader = readers.get(path.suffix.lower())
    if reader is None:
        raise _BadTable(0, "is no table", "name a file .csv, .jsonl or .parquet")
    try:
        with path.open("rb") as file:
            data = file.read(_BYTES_MAX + 1)
        if len(data) > _BYTES_MAX:
            raise ValueError(f"it has more than {_BYTES_MAX:,} bytes")
        rows: list[tuple[int, Mapping[str, Any]]] = []
        for line, cells in reader(data):
            if len(rows) == ROWS_MAX:
                raise _BadTable(line, f"the table has more than {ROWS_MAX:,} rows", "shorten it")
            rows.append((line, cells))
    except (OSError, ValueError) as error:
        hint = "a table lies beside the scenario, in UTF-8"
        reason = getattr(error, "strerror", None) or error
        raise _BadTable(0, f"can't be read: {reason}", hint) from error
    if not rows:
        raise _BadTable(0, "has no rows", "write one for each agent, behind a line of names")
    columns = list(dict.fromkeys(name for _, cells in rows for name in cells))
    return columns, rows, sha256(data).hexdigest()


def _csv_rows(data: bytes) -> Iterator[tuple[int, Mapping[str, Any]]]:
    reader = csv.reader(
        io.StringIO(data.decode("utf-8-sig"), newline=""), strict=True, skipinitialspace=True
    )
    columns: list[str] = []
    line = 1
    try:
        for cells in reader:
            if not columns and len({*cells, ""}) <= len(cells):
                message = "columns need names, each its own"
                raise _BadTable(line, message, "write them in the first line")
            if columns and cells and len(cells) != len(columns):
                message = f"{len(cells)} values in {len(columns)} columns"
                raise _BadTable(line, message, 'write "…" around a text with a comma')
            if columns and cells:
                yield line, dict(zip(columns, map(_Cell, cells), strict=True))
            columns = columns or cells
            line = reader.line_num + 1
    except csv.Error as error:
        raise _BadTable(max(line, 1), f"no CSV: {error}", "correct it there") from error


def _json_rows(data: bytes) -> Iterator[tuple[int, Mapping[str, Any]]]:
    for line, text in enumerate(data.decode("utf-8-sig").split("\n"), 1):
        if not text.strip():
            continue
        try:
            yield line, msgspec.json.decode(text, type=dict[str, Any])
        except msgspec.DecodeError as error:
            raise _BadTable(line, f"no JSON object: {error}", "correct it there") from error


def _parquet_rows(data: bytes) -> Iterator[tuple[int, Mapping[str, Any]]]:
    with needs_extra("tables", "pyarrow"):
        from pyarrow import parquet
    rows = parquet.read_table(io.BytesIO(data)).to_pylist()
    yield from enumerate(map(_plain_row, rows), 1)


def _plain_row(row: Mapping[str, Any]) -> Mapping[str, Any]:
    """Returns a row as JSON values: a date, say, as text."""
    plain: dict[str, Any] = msgspec.to_builtins(row, enc_hook=str)
    return plain
