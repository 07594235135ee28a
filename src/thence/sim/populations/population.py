"""Many rule agents as one component, which decides and applies by columns of numpy.

A row is an agent. Rows are never removed: the column `alive` of a dead row is false, and the row
decides nothing from then on. Two more arrays for each column keep the turn and the row that wrote
each value last, so the causes of one row are found by playing a few turns again.
"""

import io
from collections.abc import Mapping, Sequence
from hashlib import sha256
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, NamedTuple

import msgspec

from thence.errors import ScenarioError, ThenceError, needs_extra
from thence.sim.again.replay_input import Alterations
from thence.sim.populations.rows import Array, Read, Rows, Write, philox
from thence.sim.run.agents import Action, BaseAgent, Observation
from thence.sim.run.engine import View
from thence.sim.scenario.people import read_columns
from thence.sim.scenario.scenario import SimulationConfig

with needs_extra("populations", "numpy"):
    import numpy as np

if TYPE_CHECKING:
    from numpy.typing import ArrayLike

ROWS_MAX = 100_000_000
ALIVE = "alive"
# the writer of a value that was set from outside, or before the first turn
NO_ROW = -1
TYPES = (
    "bool",
    "int8",
    "int16",
    "int32",
    "int64",
    "uint8",
    "uint16",
    "uint32",
    "float32",
    "float64",
)
_SCOPES = ("agent", "global", "map", "place")
# of the rows that decide a second time, and of others beside them
_SAMPLE, _OTHERS = 16, 48
_CHANGED = "could not take the columns"


class Kept(NamedTuple):
    """Columns at one moment: the values, and the turn and row that wrote each of them last."""

    values: dict[str, Array]
    turns: dict[str, Array]
    writers: dict[str, Array]


class Traced(NamedTuple):
    """What the rows read and wrote in a decision, and the columns before it."""

    reads: list[Read]
    writes: list[Write]
    before: Kept


Summary = dict[str, Any]


class _Change(NamedTuple):
    """The next values of a column, the rows that differ, and who wrote them: None for itself."""

    values: Array
    rows: Array
    writers: Array | None


class Population(BaseAgent):
    """Many rule agents as one: `decide` is called once a turn for all rows.

    `columns` are the variables of a row by name: a type such as "int32" or "bool", or a pair of a
    type and the first value, of all rows or of each. With `table`, a CSV, JSON lines or Parquet
    file beside the scenario, each row of the table is a row, and columns have the values of the
    table's columns of the same names. Other components see a summary of a column: its type, the
    rows of its last change, its sum if it is of integers, its digest. Raises ScenarioError.
    """

    remembers = False
    is_many = True

    def __init__(
        self,
        name: str,
        size: int = 0,
        columns: Mapping[str, Any] = MappingProxyType({}),
        *,
        table: str | None = None,
        config: SimulationConfig | None = None,
    ) -> None:
        super().__init__(name)
        cells: Mapping[str, Any] = {}
        if table is not None:
            folder = config.source.parent if config and config.source else None
            size, cells = read_columns(table, folder)
        self._first: dict[str, Array] = {}
        for column, declared in columns.items():
            kind, first = (declared, None) if isinstance(declared, str) else declared
            if kind not in TYPES or not column.isidentifier():
                cause = f"{column!r:.60} is declared as {kind!r:.60}"
                hint = f"give it a name that Python allows, and a type of {', '.join(TYPES)}"
                raise ScenarioError(_CHANGED, place=name, cause=cause, hint=hint)
            first = np.zeros((), kind) if first is None else first
            self._first[column] = cast(column, cells.get(column, first), kind)
        is_fit = 0 < size <= ROWS_MAX and self._first and name not in _SCOPES
        if not is_fit or any(array.shape not in ((), (size,)) for array in self._first.values()):
            lengths = ", ".join(f"{key} of {array.size:,}" for key, array in self._first.items())
            cause = f"it has {size:,} rows, and the columns {lengths or 'none'}"
            hint = f"give columns, 1 to {ROWS_MAX:,} rows, and no name of {', '.join(_SCOPES)}"
            raise ScenarioError(_CHANGED, place=name, cause=cause, hint=hint)
        self.column_names = tuple(self._first)
        self.summaries: dict[str, Summary] = {}
        self.digest = ""
        self.is_traced = False
        self.traced: Traced | None = None
        self._size = size
        self._kept = Kept({}, {}, {})
        self._alterations = Alterations({})
        self._changes: dict[str, _Change] = {}
        self._payload: dict[str, object] = {}

    def start(self, rows: Rows) -> None:
        """Writes the first values of the rows, before turn 1; by default those declared stay."""

    def decide(self, rows: Rows) -> None:
        """Decides a turn of all rows, by what it reads from `rows`; what it writes there is done.

        The decision of a row may depend on what is read for this row, on nothing else. In some
        turns a sample of the rows decides a second time among others that have other values, and
        the run fails if that makes a difference.
        """
        raise NotImplementedError(f"{type(self).__name__} decides nothing")

    def begin(self, seed: int, alterations: Alterations | None = None) -> None:
        """Makes the rows as they are before the first turn."""
        self._alterations = alterations or self._alterations
        names, size = self.column_names, self._size
        self._kept = Kept(
            {name: np.broadcast_to(self._first[name], (size,)) for name in names},
            {name: np.zeros(size, np.int32) for name in names},
            {name: np.full(size, NO_ROW, np.int32) for name in names},
        )
        rows = Rows(self._kept.values, (str(seed), self.name, "0", "start", ""), None)
        self.start(rows)
        self.summaries = {name: self._summary(name, 0) for name in names}
        self._commit(self._applied(rows.writes), 0)
        for writers in self._kept.writers.values():
            writers[:] = NO_ROW

    def decide_action(self, observation: Observation) -> Action | None:
        """Lets all rows decide; the payload has, by column, in how many rows it changes.

        Raises ThenceError for an alteration that a row can't have, and for a sample that differs.
        """
        turn, seed = observation.turn, str(observation.ledger.seed)
        key = (seed, self.name, str(turn), observation.phase, str(observation.site))
        rows = Rows(self._kept.values, key, observation)
        self.decide(rows)
        if turn & (turn - 1) == 0:
            self._check_sample(rows, key, observation)
        acts = rows[ALIVE] if ALIVE in self.column_names else None
        for step, value in self._alterations.values_to_set(f"{turn}.decide.{self.name}/").items():
            row = self.row_of(f"{self.name}/{step.removesuffix('.0')}/{self.column_names[0]}")
            if value is not None or row is None:
                what, cause = "could not alter the decision", f"it is mapped to {value!r:.60}"
                hint = "a row's decision can be left out, by null"
                raise ThenceError(what, place=f"of row {step}", cause=cause, hint=hint)
            acts = np.ones(len(rows), bool) if acts is None else acts.copy()
            acts[row[0]] = False
        writes = rows.writes
        if acts is not None:
            wheres = [acts if write.where is None else acts & write.where for write in writes]
            writes = [one._replace(where=mask) for one, mask in zip(writes, wheres, strict=True)]
        self.traced = Traced(rows.reads, writes, self.kept()) if self.is_traced else None
        self._changes = self._applied(writes)
        self._payload = {name: len(change.rows) for name, change in self._changes.items()}
        return Action("write", self._payload) if self._changes else None

    def apply_own(self, view: View, action: Action) -> None:
        """Applies the decision of this turn; raises ThenceError for another action."""
        if action.payload is not self._payload:
            what, cause = "could not alter the decision", "its rows decided otherwise"
            hint = f"map it to null, or that of one row: {view.turn}.decide.{self.name}/0.0"
            raise ThenceError(what, place=f"of {self.name}", cause=cause, hint=hint)
        self._commit(self._changes, view.turn)
        own = view.agent(self.name)
        for name in self._changes:
            own[name] = self.summaries[name]

    def row_of(self, subject: str) -> tuple[int, str] | None:
        """Returns the row and column that `people/817/money` names; None for another subject.

        Raises ThenceError if the population has no such row or column.
        """
        name, _, rest = subject.partition("/")
        if name != self.name:
            return None
        row, _, column = rest.partition("/")
        size = max(self._size, len(self._kept.values.get(column, ())))
        if column not in self.column_names or not row.isdecimal() or int(row) >= size:
            cause = f"{name} has {size:,} rows, with {', '.join(self.column_names)}"
            hint = f"name a row and a column, such as {name}/0/{self.column_names[0]}"
            what = "could not find the variable"
            raise ThenceError(what, place=subject, cause=cause, hint=hint)
        return int(row), column

    def converted(self, column: str, value: Any) -> Any:
        """Returns a value as the column holds it; raises ThenceError if it can't."""
        return cast(column, value, self._first[column].dtype.name).item()

    def set_row(self, subject: str, value: object, turn: int) -> tuple[str, Summary]:
        """Sets a value of a row from outside; returns its column with the new summary."""
        row, column = self.row_of(subject) or (0, "")
        values = self._kept.values[column].copy()
        values[row] = self.converted(column, value)
        writers = np.full(len(values), NO_ROW, np.int32)
        self._commit({column: _Change(values, np.array([row]), writers)}, turn)
        summary = {**self.summaries[column], "set": {str(row): values[row].item()}}
        self.summaries = {**self.summaries, column: summary}
        return column, summary

    def kept(self) -> Kept:
        """Returns the columns as they are now; while `is_traced`, these arrays never change."""
        values, turns, writers = map(dict, self._kept)
        return Kept(values, turns, writers)

    def get_state(self) -> bytes:
        """Returns the columns with their writers, for a checkpoint."""
        file = io.BytesIO()
        file.write(msgspec.json.encode(self.summaries) + b"\n")
        for arrays in self._kept:
            for array in arrays.values():
                np.save(file, array, allow_pickle=False)
        return file.getvalue()

    def set_state(self, state: bytes) -> None:
        """Takes the columns that `get_state` returned."""
        file = io.BytesIO(state)
        self.summaries = msgspec.json.decode(file.readline())
        for arrays in self._kept:
            for name in self.column_names:
                arrays[name] = np.load(file, allow_pickle=False)
        for values in self._kept.values.values():
            values.flags.writeable = False
        self._digest()

    def _check_sample(self, rows: Rows, key: Sequence[str], observation: Observation) -> None:
        """Lets some rows decide again, among others with other values; raises if that differs."""
        numbers = np.random.Generator(philox((*key, "sample")))
        sample = np.sort(numbers.choice(len(rows), min(_SAMPLE, len(rows)), replace=False))
        ids = numbers.permutation(np.union1d(sample, numbers.integers(0, len(rows), _OTHERS)))
        is_other = ~np.isin(ids, sample)
        own = {}
        for name, values in self._kept.values.items():
            extreme = values.argmax() if numbers.integers(2) else values.argmin()
            own[name] = np.where(is_other, values[extreme], values[ids])
        again = Rows(self._kept.values, key, observation, ids, own)
        again.draws = rows.draws
        error: Exception | None = None
        try:
            self.decide(again)
        except Exception as raised:  # boundary: a user's code, which may count on all rows
            error = raised
        for row in sample:
            if error or _of_row(rows, row) != _of_row(again, np.flatnonzero(ids == row)[0]):
                raised_text = f"; it raised {error!r}" if error else ""
                cause = f"row {row} decides otherwise where other rows have other values"
                cause = f"{cause}: it depends on more than it reads{raised_text}"
                hint = "read others by rows.get(column, of=…), a column by rows.all(column)"
                what, place = "could not rely on the decision", f"of {self.name}"
                raise ThenceError(what, place=place, cause=cause, hint=hint) from error

    def _applied(self, writes: Sequence[Write]) -> dict[str, _Change]:
        """Returns what writes make of the columns; of a column that many write, all count."""
        values: dict[str, Array] = {}
        writers: dict[str, Array] = {}
        for write in writes:
            name = write.column
            if write.kind == "append":
                continue
            rows = slice(None) if write.where is None else np.flatnonzero(write.where)
            target = rows if write.of is None else write.of[rows]
            new = write.values if write.values.ndim == 0 else write.values[rows]
            current = values.get(name, self._kept.values[name])
            kind = current.dtype
            if write.kind == "set":
                next_values = current.copy()
                next_values[target] = cast(name, new, kind.name)
            else:
                wide = "float64" if kind.kind == "f" else "int64"
                next_values, new = current.astype(wide), cast(name, new, wide)
                if write.of is None:
                    next_values[target] += new
                else:  # of a row that is named twice both count
                    np.add.at(next_values, write.of[rows], new)
                next_values = cast(name, next_values, kind.name)
            values[name] = next_values
            if write.of is not None or name in writers:
                ids = np.arange(len(current), dtype=np.int32)
                writers.setdefault(name, ids.copy())[target] = ids[rows]
        births = [write for write in writes if write.kind == "append"]
        parents = [np.flatnonzero(np.asarray(write.where)) for write in births]
        if not sum(map(len, parents)):
            return {
                name: self._change(name, new, writers.get(name)) for name, new in values.items()
            }
        changes = {}
        for name in self.column_names:
            new = values.get(name, self._kept.values[name])
            by = writers.get(name, np.arange(len(new), dtype=np.int32))
            first = self._first[name] if self._first[name].ndim == 0 else np.zeros((), new.dtype)
            born = [
                np.broadcast_to(write.values.get(name, first), new.shape)[rows]
                for write, rows in zip(births, parents, strict=True)
            ]
            new = np.concatenate([new, *(cast(name, part, new.dtype.name) for part in born)])
            changes[name] = self._change(name, new, np.concatenate([by, *parents]))
        return changes

    def _change(self, name: str, values: Array, writers: Array | None) -> _Change:
        old = self._kept.values[name]
        changed = np.flatnonzero(values[: len(old)] != old)
        return _Change(values, np.append(changed, np.arange(len(old), len(values))), writers)

    def _commit(self, changes: Mapping[str, _Change], turn: int) -> None:
        values, turns, writers = self._kept
        for name, change in changes.items():
            born = len(change.values) - len(turns[name])
            if born or self.is_traced:
                turns[name] = np.append(turns[name], np.zeros(born, np.int32))
                writers[name] = np.append(writers[name], np.zeros(born, np.int32))
            turns[name][change.rows] = turn
            by = change.rows if change.writers is None else change.writers[change.rows]
            writers[name][change.rows] = by
            change.values.flags.writeable = False
            values[name] = change.values
            if len(change.rows):
                self.summaries = {**self.summaries, name: self._summary(name, len(change.rows))}
        self._digest()

    def _summary(self, name: str, changed: int) -> Summary:
        values = self._kept.values[name]
        summary: Summary = {"type": values.dtype.name, "rows": changed}
        if values.dtype.kind != "f":
            summary["sum"] = int(values.sum(dtype=np.int64))
        return {**summary, "digest": sha256(np.ascontiguousarray(values).data).hexdigest()}

    def _digest(self) -> None:
        size = len(self._kept.values[self.column_names[0]])
        columns = [[name, each["type"], each["digest"]] for name, each in self.summaries.items()]
        self.digest = sha256(msgspec.json.encode([size, columns])).hexdigest()


def cast(column: str, values: "ArrayLike", kind: str) -> Array:
    """Returns values as an array of a type; raises ThenceError if it can't hold one of them."""
    array, dtype = np.asarray(values), np.dtype(kind)
    if array.dtype.kind in {"b": "b", "f": "iuf"}.get(dtype.kind, "biu"):
        result = array.astype(dtype, copy=False)
        is_held = np.isfinite(result) if dtype.kind == "f" else result == array
        if (np.can_cast(array.dtype, dtype) and dtype.kind != "f") or is_held.all():
            return result
    example = np.unique(array)[-1] if array.size else array.dtype
    cause, hint = f"a column of {kind} can't hold {example!s:.60}", "declare another type"
    raise ThenceError("could not set", place=f"column {column}", cause=cause, hint=hint)


def _of_row(rows: Rows, place: int) -> list[object]:
    """Returns what the row at a place writes, as values to compare."""
    own: list[object] = []
    for kind, column, values, where, of in rows.writes:
        if where is None or where[place]:
            parts = values if kind == "append" else {column: values}
            new = {
                name: part.item() if part.ndim == 0 else part[place].item()
                for name, part in parts.items()
            }
            own.append((kind, new, None if of is None else int(of[place])))
    return own
