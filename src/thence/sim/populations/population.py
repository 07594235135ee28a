"""Many rule agents as one component, which decides and applies by columns of NumPy.

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
from thence.sim.populations.rows import Array, Column, Rows, Write, generator
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
NO_ROW = np.array(-1, np.int32)
TYPES = ("bool", "int8", "int16", "int32", "int64", "uint8", "uint16", "float32", "float64")
_SCOPES = ("agent", "global", "map", "place")
# of the rows that decide a second time, and of others beside them
_SAMPLE, _OTHERS = 16, 48
Summary = dict[str, Any]


class _Next(NamedTuple):
    """The next values of a column, the rows that wrote them, and where they are other ones."""

    values: Array
    writers: Array
    changed: Array


class Population(BaseAgent):
    """Many rule agents as one: `decide` is called once a turn for all rows.

    `columns` are the variables of a row by name: a type such as "int32" or "bool", or a pair of a
    type and the first value, of all rows or of each. With `table`, a CSV file beside the scenario,
    each line is a row, and columns have the values of its columns of the same names. Other
    components see a summary of a column: its type, the rows of its last change, its sum if it is of
    integers, its digest. Raises ScenarioError.
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
        cells: dict[str, list[Any]] = {}
        if table is not None:
            if size or not isinstance(table, str):
                raise _unfit(
                    "table", f"it is {table!r:.60}; name a file with all rows, give no size"
                )
            folder = config.source.parent if config and config.source else None
            try:
                size, cells = read_columns(table, folder)
            except ScenarioError as error:
                raise _unfit("table", f"{error.place}: {error.cause}; {error.hint}") from error
        is_number = isinstance(size, int | np.integer) and not isinstance(size, bool)
        if not is_number or not 0 < size <= ROWS_MAX:
            raise _unfit("size", f"it is {size!r:.60}; give 1 to {ROWS_MAX:,} rows")
        if not isinstance(columns, Mapping) or not columns:
            raise _unfit("columns", f"they are {columns!r:.60}; give the type of each by its name")
        if name in _SCOPES:
            raise _unfit("name", f"it is {name}, as the names of other variables begin")
        self.types: dict[str, str] = {}
        self._first: dict[str, Array] = {}
        for column, declared in columns.items():
            is_pair = isinstance(declared, tuple | list) and len(declared) == 2
            kind, first = declared if is_pair else (declared, None)
            if not (str(column).isidentifier() and isinstance(kind, str) and kind in TYPES):
                words = "give a name that Python allows, and a type of"
                cause = f"{column!r:.60} is declared as {declared!r:.60}"
                raise _unfit("columns", f"{cause}; {words} {', '.join(TYPES)}")
            texts = [cell for cell in cells.get(column, ()) if isinstance(cell, str)]
            first = np.zeros((), kind) if first is None else first
            try:
                array = cast(column, texts or cells.get(column, first), kind)
                if array.shape not in ((), (size,)):
                    raise ValueError(f"first values in the shape {array.shape} for {size:,} rows")
            except (ThenceError, ValueError) as error:
                setting = "table" if column in cells else "columns"
                raise _unfit(setting, f"{column}: {error}") from error
            self.types[column], self._first[column] = kind, array
        self.columns: dict[str, Column] = {}
        self.summaries: dict[str, Summary] = {}
        self.is_traced = False
        self.traced: Rows | None = None
        self._size = int(size)
        self._alterations = Alterations({})
        self._next: dict[str, _Next] = {}
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

    @property
    def digest(self) -> str:
        """The SHA-256 of the types and digests of all columns."""
        columns = [[name, each["type"], each["digest"]] for name, each in self.summaries.items()]
        return sha256(msgspec.json.encode(columns)).hexdigest()

    def begin(self, seed: int, alterations: Alterations) -> None:
        """Makes the rows as they are before the first turn."""
        self._alterations, size = alterations, self._size
        self.columns, self.summaries = {}, {}
        for name, first in self._first.items():
            turns = np.zeros(size, np.int32)
            self.columns[name] = Column(np.broadcast_to(first, size), turns, turns + NO_ROW)
        rows = Rows(self.columns, (str(seed), self.name, "0", "start", ""), None)
        self.start(rows)
        written = self._written(rows)
        for name, (values, _, _) in self.columns.items():
            after = written.get(name) or _Next(values, NO_ROW, np.zeros(size, bool))
            self._commit(name, after._replace(writers=NO_ROW), 0)

    def decide_action(self, observation: Observation) -> Action | None:
        """Lets all rows decide; the payload has, by column, in how many rows it changes.

        Raises ThenceError for an alteration that a row can't have, and for a sample that differs.
        """
        turn, seed = observation.turn, str(observation.ledger.seed)
        key = (seed, self.name, str(turn), observation.phase, str(observation.site))
        rows = Rows(self.columns, key, observation)
        self.decide(rows)
        acts = rows[ALIVE] != 0 if ALIVE in self.types else None
        left_out = self._alterations.values_to_set(f"{turn}.decide.{self.name}/")
        for step, value in left_out.items():
            place = self.row_of(f"{self.name}/{step.removesuffix('.0')}/{next(iter(self.types))}")
            if value is not None or place is None:
                what, cause = "could not alter the decision", f"it is mapped to {value!r:.60}"
                hint = "a row's decision can be left out, by null"
                raise ThenceError(what, place=f"of row {step}", cause=cause, hint=hint)
            acts = (rows.ids != place[0]) & (True if acts is None else acts)
        if turn & (turn - 1) == 0:
            self._check_sample(rows, key, observation)
        if acts is not None:
            rows.writes = [write._replace(where=write.where & acts) for write in rows.writes]
        self._next = self._written(rows)
        self.traced = rows if self.is_traced else None
        self._payload = {
            name: int(np.count_nonzero(one.changed)) for name, one in self._next.items()
        }
        return Action("write", self._payload) if self._next else None

    def apply_own(self, view: View, action: Action) -> None:
        """Applies the decision of this turn; raises ThenceError for another action."""
        if action.payload is not self._payload:
            what, cause = "could not alter the decision", "its rows decided otherwise"
            hint = f"map it to null, or that of one row: {view.turn}.decide.{self.name}/0.0"
            raise ThenceError(what, place=f"of {self.name}", cause=cause, hint=hint)
        for name, after in self._next.items():
            self._commit(name, after, view.turn)
            view.agent(self.name)[name] = self.summaries[name]

    def row_of(self, subject: str) -> tuple[int, str] | None:
        """Returns the row and column that `people/817/money` names; None for another subject.

        Raises ThenceError if the population has no such row or column.
        """
        name, _, rest = subject.partition("/")
        if name != self.name:
            return None
        row, _, column = rest.partition("/")
        size = len(self.columns[column].values) if column in self.columns else self._size
        if column not in self.types or not row.isdecimal() or int(row) >= size:
            what, cause = "could not find the variable", f"{name} has {size:,} rows"
            hint = f"name a row and a column of {', '.join(self.types)}"
            raise ThenceError(what, place=subject, cause=cause, hint=hint)
        return int(row), column

    def converted(self, column: str, value: Any) -> Any:
        """Returns a value as the column holds it; raises ThenceError if it can't."""
        return cast(column, value, self.types[column]).item()

    def set_row(self, subject: str, value: object, turn: int) -> tuple[str, Summary]:
        """Sets a value of a row from outside; returns its column with the new summary."""
        row, column = self.row_of(subject) or (0, "")
        values = self.columns[column].values.copy()
        values[row] = self.converted(column, value)
        self._commit(column, _Next(values, NO_ROW, np.arange(len(values)) == row), turn)
        self.summaries[column] |= {"set": {str(row): value}}
        return column, self.summaries[column]

    def get_state(self) -> bytes:
        """Returns the columns with their writers, for a checkpoint."""
        file = io.BytesIO()
        file.write(msgspec.json.encode(self.summaries) + b"\n")
        for array in [array for column in self.columns.values() for array in column]:
            np.save(file, array, allow_pickle=False)
        return file.getvalue()

    def set_state(self, state: bytes) -> None:
        """Takes the columns that `get_state` returned."""
        file = io.BytesIO(state)
        self.summaries = msgspec.json.decode(file.readline())
        for name in self.types:
            self.columns[name] = Column(*[np.load(file, allow_pickle=False) for _ in range(3)])
            self.columns[name].values.flags.writeable = False

    def _check_sample(self, rows: Rows, key: Sequence[str], observation: Observation) -> None:
        """Lets some rows decide again, among others with other values; raises if that differs."""
        numbers = generator(*key, "sample")
        sample = np.sort(numbers.choice(len(rows), min(_SAMPLE, len(rows)), replace=False))
        ids = numbers.permutation(np.union1d(sample, numbers.integers(0, len(rows), _OTHERS)))
        altered = {}
        for name, (values, _, _) in self.columns.items():
            extreme = values.argmax() if numbers.integers(2) else values.argmin()
            altered[name] = np.where(np.isin(ids, sample), values[ids], values[extreme])
        again = Rows(self.columns, key, observation, (ids, altered))
        error: Exception | None = None
        try:
            self.decide(again)
        except Exception as raised:  # boundary: a user's code, which may count on all rows
            error = raised
        for row in sample:
            if error or _of_row(rows, row) != _of_row(again, np.flatnonzero(ids == row)[0]):
                cause = f"row {row} decides otherwise where other rows have other values"
                cause += ": it depends on more than it reads"
                cause += f"; it raised {error!r}" if error else ""
                hint = "read others by rows.get(column, of=…), a column by rows.all(column)"
                what, place = "could not rely on the decision", f"of {self.name}"
                raise ThenceError(what, place=place, cause=cause, hint=hint) from error

    def _written(self, rows: Rows) -> dict[str, _Next]:
        """Returns what rows make of the columns; of a column that many write, all count."""
        after: dict[str, tuple[Array, Array]] = {}
        births: list[tuple[Write, Array]] = []
        for write in rows.writes:
            at = np.flatnonzero(write.where)
            if write.kind == "append":
                births.append((write, at))
                continue
            ((name, new),) = write.values.items()
            values, by = after.get(name) or (self.columns[name].values.copy(), rows.ids)
            others, kind = at, self.types[name]
            if write.of is not rows.ids or by is not rows.ids:
                others = write.of[at].astype(np.intp)
                by = by.copy() if by is rows.ids else by
                by[others] = at
            if write.kind == "set":
                values[others] = cast(name, new[at], kind)
            else:  # of a row that is named twice both count, and the sum alone has to fit
                wide = "float64" if kind.startswith("float") else "int64"
                values = values.astype(wide, copy=False)
                np.add.at(values, others, cast(name, new[at], wide))
            after[name] = values, by
        for name, kind in self.types.items() if any(len(at) for _, at in births) else ():
            values, by = after.get(name) or (self.columns[name].values, rows.ids)
            for write, at in births:
                first = np.zeros((), kind) if self._first[name].ndim else self._first[name]
                new = write.values.get(name, np.broadcast_to(first, len(rows)))[at]
                values, by = np.append(values, cast(name, new, kind)), np.append(by, at)
            after[name] = values, by
        nexts = {}
        for name, (values, by) in after.items():
            old, new = self.columns[name].values, cast(name, values, self.types[name])
            changed = np.ones(len(new), bool)
            np.not_equal(new[: len(old)], old, out=changed[: len(old)])
            nexts[name] = _Next(new, by, changed)
        return nexts

    def _commit(self, name: str, after: _Next, turn: int) -> None:
        values, turns, writers = after.values, *self.columns[name][1:]
        if (born := len(values) - len(turns)) or self.is_traced:
            turns, writers = (np.append(old, np.zeros(born, np.int32)) for old in (turns, writers))
        # by a mask that no processor foresees, `where` would take ten times as long
        np.maximum(turns, after.changed * np.int32(turn), out=turns)
        writers += after.changed * (after.writers - writers)
        values.flags.writeable = False
        self.columns = {**self.columns, name: Column(values, turns, writers)}
        if (count := np.count_nonzero(after.changed)) or turn == 0:
            summary: Summary = {"type": self.types[name], "rows": int(count)}
            if values.dtype.kind != "f":
                summary["sum"] = int(values.sum(dtype=np.int64))
            summary["digest"] = sha256(np.ascontiguousarray(values).data).hexdigest()
            self.summaries = {**self.summaries, name: summary}


def cast(column: str, values: "ArrayLike", kind: str) -> Array:
    """Returns values as an array of a type; raises ThenceError if it can't hold one of them."""
    array, dtype = np.asarray(values), np.dtype(kind)
    if dtype.kind != "f" and np.can_cast(array.dtype, dtype):
        return array.astype(dtype, copy=False)
    if array.dtype.kind in {"b": "", "f": "iuf"}.get(dtype.kind, "iu"):
        result = array.astype(dtype, copy=False)
        is_held = np.isfinite(result) if dtype.kind == "f" else result == array
        if is_held.all():
            return result
        array = array[~is_held]
    example = repr(array.flat[0].item()) if array.size else array.dtype
    cause, hint = f"a column of {kind} can't hold {example!s:.60}", "give another value or type"
    raise ThenceError("could not set", place=f"column {column}", cause=cause, hint=hint)


def _of_row(rows: Rows, place: int) -> str:
    """Returns what the row at a place writes, as a text to compare: a NaN is like itself."""
    return repr(
        [
            (kind, int(of[place]), {name: new[place].item() for name, new in values.items()})
            for kind, values, where, of in rows.writes
            if where[place]
        ]
    )


def _unfit(setting: str, cause: str) -> ScenarioError:
    return ScenarioError(f"{setting} of a population can't be taken", cause=cause)
