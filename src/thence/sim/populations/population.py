"""Many rule agents as one component, which decides and applies by columns of NumPy.

A row is an agent. Rows are never removed: the column `alive` of a dead row is false, and the row
decides nothing from then on. Two more arrays for each column keep the turn and the row that wrote
each value last, so the causes of one row are found by playing a few turns again.
"""

import io
from collections import Counter
from collections.abc import Mapping
from hashlib import blake2b, sha256
from typing import Any, NamedTuple

from thence.core.nearest import did_you_mean
from thence.errors import ScenarioError, ThenceError, needs_extra
from thence.sim.again.replay_input import Alterations
from thence.sim.run.agents import Action, BaseAgent, Observation
from thence.sim.run.engine import View
from thence.sim.scenario.people import read_columns
from thence.sim.scenario.scenario import SimulationConfig

with needs_extra("populations", "numpy"):
    import numpy as np
    from numpy.typing import ArrayLike, NDArray

Array = NDArray[Any]
Others = ArrayLike | None
ROWS_MAX = 100_000_000
ALIVE = "alive"
# the writer of a value that was set from outside, or that no row has written
NO_ROW = np.array(-1, np.int32)
TYPES = ("bool", "int8", "int16", "int32", "int64", "uint8", "uint16", "float32", "float64")
# of the rows that decide a second time, and of others beside them
_SAMPLE, _OTHERS = 16, 48
_ALTERED = "could not alter the decision"


class Column(NamedTuple):
    """A column at one moment: its values, and the turn and row that wrote each of them last.

    `summary` is what the log and other components see of it.
    """

    values: Array
    turns: Array
    writers: Array
    summary: Mapping[str, Any]

    def of_row(self, row: int) -> Any:
        """Returns the value of a row, None before it is appended."""
        return self.values[row].item() if row < len(self.values) else None


class Write(NamedTuple):
    """What rows write where `where` holds: to the rows `of`, or, for an append, to new rows."""

    kind: str
    values: Mapping[str, Array]
    where: Array
    of: Array


class Rows:
    """The rows of a population in one decision; all of them decide before any value changes.

    `ids` are the numbers of the rows. Each array that is read, drawn or written has one value per
    row, in this order, or one for all. A decision uses no other data: what it reads here are its
    causes. `observation` is the view of all other variables: what is read there, each row reads.
    `reads` holds columns with the rows that were read for each row, None for all. `sample` are the
    ids of some rows, and the values by which they decide.
    """

    def __init__(
        self,
        columns: Mapping[str, Column],
        key: tuple[str, ...],
        observation: Observation,
        sample: tuple[Array, Mapping[str, Array]] | None = None,
    ) -> None:
        self.observation = observation
        self._columns, self._key = columns, key
        self._size = len(next(iter(columns.values())).values)
        self._at = slice(None) if sample is None else sample[0]  # where the rows are among all
        whole = {name: column.values for name, column in columns.items()}
        self._values: Mapping[str, Array] = whole if sample is None else sample[1]
        self.ids: Array = np.arange(self._size, dtype=np.int32)[self._at]
        for array in (self.ids, *whole.values()):
            array.flags.writeable = False
        self.reads: list[tuple[str, Array | None]] = []
        self.writes: list[Write] = []
        self._draws: Counter[str] = Counter()

    @property
    def size(self) -> int:
        """The number of rows of the population; what depends on it depends on each new row."""
        _ = self.observation[next(iter(self._columns))]
        return self._size

    def __getitem__(self, column: str) -> Array:
        """Returns the rows' own values of a column, which can't be changed in place."""
        self._read(column, self.ids)
        return self._own(column)

    def get(self, column: str, *, of: ArrayLike) -> Array:
        """Returns the values of a column of other rows: for each row, that of the row `of`."""
        others = self._others(of)
        return self._read(column, others)[others]

    def all(self, column: str) -> Array:
        """Returns a whole column: each row's decision then depends on all rows."""
        return self._read(column, None)

    def random(self, purpose: str, dtype: Any = "float32") -> Array:
        """Returns a number from 0 up to, not including, 1 for each row, by its id.

        A second draw for the same purpose has other numbers; `dtype` is float32 or float64.
        """
        return self._generator(purpose).random(self._size, dtype)[self._at]

    def integers(self, purpose: str, low: int, high: int) -> Array:
        """Returns an integer from `low` up to, not including, `high` for each row, by its id.

        Both have 32 bits.
        """
        return self._generator(purpose).integers(low, high, self._size, np.int32)[self._at]

    def set(
        self, column: str, values: ArrayLike, *, where: ArrayLike = True, of: Others = None
    ) -> None:
        """Sets a column where `where` holds: of the rows themselves, else of the rows `of`.

        If several rows set the same one, the last of them does.
        """
        self._write("set", {column: values}, where, of)

    def add(
        self, column: str, values: ArrayLike, *, where: ArrayLike = True, of: Others = None
    ) -> None:
        """Adds to a column as `set` sets it; what several rows add to one row is summed up."""
        self._write("add", {column: values}, where, of)

    def append(self, where: ArrayLike, **values: ArrayLike) -> None:
        """Adds a new row for each row where `where` holds, with these values by column.

        Other columns begin as those of the first rows, or with 0. New rows decide in the next turn.
        """
        self._write("append", values, where, None)

    def _write(
        self, kind: str, values: Mapping[str, ArrayLike], where: ArrayLike, of: Others
    ) -> None:
        full = {name: np.broadcast_to(new, self._own(name).shape) for name, new in values.items()}
        others = self.ids if of is None else self._others(of)
        mask = np.broadcast_to(np.asarray(where, bool), self.ids.shape)
        self.writes.append(Write(kind, full, mask, others))

    def _read(self, column: str, of: Array | None) -> Array:
        _ = self._own(column), self.observation[column]  # the summary is a cause
        self.reads.append((column, of))
        return self._columns[column].values

    def _own(self, column: str) -> Array:
        if column in self._values:
            return self._values[column]
        cause = f"it is none of {', '.join(self._values)}{did_you_mean(column, self._values)}"
        raise ThenceError("could not find", place=f"column {column}", cause=cause)

    def _generator(self, purpose: str) -> np.random.Generator:
        """Returns the numbers of a draw, which no other draw shares."""
        self._draws[purpose] += 1
        return generator(*self._key, purpose, str(self._draws[purpose]))

    def _others(self, of: ArrayLike) -> Array:
        others = np.broadcast_to(of, self.ids.shape)
        if not isinstance(self._at, slice):  # of other values: nobody looks at the result
            return others % self._size
        if others.dtype.kind not in "iu" or not 0 <= others.min() <= others.max() < self._size:
            cause = f"of names the rows {others.min()} to {others.max()}"
            hint = f"give numbers from 0 to {self._size - 1}"
            raise ThenceError("could not take the decision", cause=cause, hint=hint)
        return others


class Population(BaseAgent):
    """Many rule agents as one: `decide` is called once a turn for all rows.

    `columns` are the variables of a row by name: a type such as "int32" or "bool", or a pair of a
    type and the first value, of all rows or of each. With `table`, a CSV file next to the scenario,
    each line is a row, and columns have the values of its columns of the same names. Other
    components see a summary of a column: its type, the rows of its last change, its sum if it is of
    integers, its digest. Raises ScenarioError.
    """

    remembers = False
    is_many = True

    def __init__(
        self,
        name: str,
        size: int,
        columns: Mapping[str, Any],
        *,
        table: str | None = None,
        config: SimulationConfig | None = None,
    ) -> None:
        super().__init__(name)
        cells: dict[str, Any] = {}
        if table is not None:
            lines, cells = read_columns(table, config.source if config else None)
            size = size or lines
        if not columns or not 0 < size <= ROWS_MAX:
            cause = f"it is {size!r:.60}; give 1 to {ROWS_MAX:,} rows, and the type of each column"
            raise _unfit("size", cause)
        self.first: dict[str, Array] = {}  # values by column, of its type
        for column, declared in columns.items():
            kind, first = declared if isinstance(declared, tuple | list) else (declared, 0)
            if not column.isidentifier() or kind not in TYPES:
                cause = f"{column} is declared as {declared!r:.60}"
                words = f"give a name that Python allows, and a type of {', '.join(TYPES)}"
                raise _unfit("columns", f"{cause}; {words}")
            values: Any = cells.get(column, first)
            try:
                self.first[column] = cast(column, values, np.dtype(kind))
                np.broadcast_to(self.first[column], size)
            except (ThenceError, OverflowError, TypeError, ValueError) as error:
                setting = "table" if column in cells else "columns"
                raise _unfit(setting, f"{column}: {error}") from error
        self.columns: dict[str, Column] = {}
        self.decided: Rows | None = None
        self._size = size
        self._alterations = Alterations({})
        self._next: dict[str, Column] = {}
        self._payload: dict[str, object] = {}

    def start(self, rows: Rows) -> None:
        """Writes the first values of the rows, before turn 1; by default those declared stay."""

    def decide(self, rows: Rows) -> None:
        """Decides a turn of all rows, by what it reads from `rows`; what it writes there is done.

        The decision of a row may depend only on what is read for this row. In some
        turns a sample of the rows decides a second time among others that have other values, and
        the run fails if that makes a difference.
        """
        raise NotImplementedError(f"{type(self).__name__} decides nothing")

    @property
    def digest(self) -> str:
        """The SHA-256 of the types and digests of all columns."""
        summaries = [(name, column.summary) for name, column in self.columns.items()]
        digests = [(name, one["type"], one["digest"]) for name, one in summaries]
        return sha256(repr(digests).encode()).hexdigest()

    def begin(self, seed: int, alterations: Alterations) -> None:
        """Makes the rows as they are before the first turn."""
        self._alterations, size = alterations, self._size
        turns, writers = np.zeros(size, np.int32), np.full(size, NO_ROW)
        self.columns = {
            name: Column(np.broadcast_to(first, size), turns, writers, {})
            for name, first in self.first.items()
        }
        unseen: Any = dict.fromkeys(self.columns)  # before the first turn there is no view
        rows = Rows(self.columns, (str(seed), self.name, "0", "start", ""), unseen)
        self.start(rows)
        for name, column in {**self.columns, **self._written(rows, 0)}.items():
            summary = summary_of(column.values, len(column.values))
            self.columns[name] = column._replace(summary=summary)

    def decide_action(self, observation: Observation) -> Action:
        """Lets all rows decide; the payload has, by column, how many rows it changes.

        Raises ThenceError for an alteration that a row can't have, and for a sample that differs.
        """
        turn, seed = observation.turn, str(observation.ledger.seed)
        key = (seed, self.name, str(turn), observation.phase, str(observation.site))
        rows = self.decided = Rows(self.columns, key, observation)
        self.decide(rows)
        if turn & (turn - 1) == 0:
            self._check_sample(rows, key, observation)
        acts = rows[ALIVE] != 0 if ALIVE in self.columns else np.True_
        left_out = self._alterations.values_to_set(f"{turn}.decide.{self.name}/")
        for step, value in left_out.items():
            row, _ = self.row_of(f"{self.name}/{step.removesuffix('.0')}/{next(iter(self.first))}")
            if value is not None:
                cause, hint = f"it is mapped to {value!r:.60}", "a row's can be left out, by null"
                raise ThenceError(_ALTERED, place=f"of row {row}", cause=cause, hint=hint)
            acts = acts & (rows.ids != row)
        rows.writes = [write._replace(where=write.where & acts) for write in rows.writes]
        self._next = self._written(rows, turn)
        self._payload = {name: column.summary["rows"] for name, column in self._next.items()}
        return Action("write", self._payload)

    def apply_own(self, view: View, action: Action) -> None:
        """Applies the decision of this turn; raises ThenceError for another action."""
        if action.payload is not self._payload:
            hint = f"map it to null, or that of one row: {view.turn}.decide.{self.name}/0.0"
            cause, place = "its rows decided differently", f"of {self.name}"
            raise ThenceError(_ALTERED, place=place, cause=cause, hint=hint)
        self.columns = {**self.columns, **self._next}
        for name, column in self._next.items():
            view.agent(self.name)[name] = column.summary

    def row_of(self, subject: str) -> tuple[int, str]:
        """Returns the row and column that `people/817/money` names.

        Raises ThenceError if the population has no such column, or in a run no such row.
        """
        _, row, column = [*subject.split("/"), "", ""][:3]
        size = len(next(iter(self.columns.values())).values) if self.columns else ROWS_MAX
        if column not in self.first or not row.isdecimal() or int(row) >= size:
            cause = f"{self.name} has {size:,} rows, each with {', '.join(self.first)}"
            hint = f"name a row and a column{did_you_mean(column, self.first)}"
            raise ThenceError("could not find the variable", place=subject, cause=cause, hint=hint)
        return int(row), column

    def converted(self, column: str, value: Any) -> Any:
        """Returns a value as the column holds it; raises ThenceError if it can't."""
        return cast(column, value, self.first[column].dtype).item()

    def set_row(self, row: int, column: str, value: object, turn: int) -> Mapping[str, Any]:
        """Sets a value of a row from outside; returns the new summary of its column."""
        values = self.columns[column].values.copy()
        values[row] = value
        new = self._column(column, values, NO_ROW, turn)
        self.columns = {**self.columns, column: new}
        return {**new.summary, "rows": 1, "set": {str(row): value}}

    def get_state(self) -> bytes:
        """Returns the columns with their writers, for a checkpoint."""
        file = io.BytesIO()
        for *arrays, _ in self.columns.values():
            for array in arrays:
                np.save(file, array)
        return file.getvalue()

    def set_state(self, state: bytes) -> None:
        """Takes the columns that `get_state` returned."""
        file = io.BytesIO(state)
        for name in self.columns:
            values, turns, writers = [np.load(file) for _ in range(3)]
            self.columns[name] = Column(values, turns, writers, summary_of(values, 0))

    def _check_sample(self, rows: Rows, key: tuple[str, ...], observation: Observation) -> None:
        """Lets some rows decide again, among others with other values; raises if that differs."""
        numbers, size = generator(*key, "sample"), len(rows.ids)
        sample = np.sort(numbers.choice(size, min(_SAMPLE, size), replace=False))
        ids = numbers.permutation(np.union1d(sample, numbers.integers(0, size, _OTHERS)))
        is_sample, altered = np.isin(ids, sample), {}
        for name, (values, *_) in self.columns.items():
            extreme = values.argmax() if numbers.integers(2) else values.argmin()
            altered[name] = np.where(is_sample, values[ids], values[extreme])
        again = Rows(self.columns, key, observation, (ids, altered))
        error: Exception | None = None
        try:
            self.decide(again)
        except Exception as raised:  # boundary: a user's code, which may count on all rows
            error = raised
        for at in np.flatnonzero(is_sample):
            if error or _of_row(rows, ids[at]) != _of_row(again, at):
                cause = f"row {ids[at]} decides differently if other rows have other values"
                cause += ": it depends on more than it reads"
                cause += f"; it raised {error!r}" if error else ""
                hint = "read others by rows.get(column, of=…), a column by rows.all(column)"
                what, place = "could not rely on the decision", f"of {self.name}"
                raise ThenceError(what, place=place, cause=cause, hint=hint) from error

    def _written(self, rows: Rows, turn: int) -> dict[str, Column]:
        """Returns the columns that rows change; of a column that many write, all count."""
        after: dict[str, tuple[Array, Array]] = {}
        for kind, written, where, of in rows.writes:
            at = np.flatnonzero(where)
            for name in written if kind != "append" else self.columns if len(at) else ():
                values, by = after.get(name) or (self.columns[name].values.copy(), rows.ids)
                first, others = self.first[name], at
                if kind == "append":
                    default = np.broadcast_to(0 if first.ndim else first, len(rows.ids))
                    born = cast(name, written.get(name, default)[at], first.dtype)
                    values, by = np.append(values, born), np.append(by, at)
                elif of is not rows.ids or by is not rows.ids:
                    others, by = of[at].astype(np.intp), by.copy()
                    by[others] = at
                if kind == "set":
                    values[others] = cast(name, written[name][at], first.dtype)
                elif kind == "add":
                    values = sums(name, values, others, written[name][at], first.dtype)
                after[name] = values, by
        made = {name: self._column(name, new, by, turn) for name, (new, by) in after.items()}
        return {name: column for name, column in made.items() if column is not self.columns[name]}

    def _column(self, name: str, values: Array, by: Array, turn: int) -> Column:
        """Returns a column with other values, which the rows `by` wrote where they differ."""
        old, new = self.columns[name], cast(name, values, self.first[name].dtype)
        size = len(old.values)
        born = np.zeros(len(new) - size, np.int32)
        changed = np.append(new[:size] != old.values, born == 0)
        if not (count := int(np.count_nonzero(changed))):
            return old
        turns, writers = np.append(old.turns, born), np.append(old.writers, born)
        # by a mask that no processor foresees, `where` would take ten times as long
        np.maximum(turns, changed * np.int32(turn), out=turns)
        writers += changed * (by - writers)
        return Column(new, turns, writers, summary_of(new, count))


def summary_of(values: Array, changed: int) -> dict[str, Any]:
    """Returns the summary of a column in which so many rows changed.

    The sum, of integers, is exact: a text where it needs more than 64 bits.
    """
    values = np.ascontiguousarray(values)
    summary: dict[str, Any] = {"type": values.dtype.name, "rows": changed}
    if values.dtype == np.int64:
        total = (int((values >> 32).sum()) << 32) + int((values & 0xFFFFFFFF).sum())
        summary["sum"] = total if -(2**63) <= total < 2**63 else str(total)
    elif values.dtype.kind != "f":
        summary["sum"] = int(values.sum(dtype=np.int64))
    return {**summary, "digest": sha256(values.data).hexdigest()}


def cast(column: str, values: ArrayLike, kind: np.dtype[Any]) -> Array:
    """Returns values as an array of a type; raises ThenceError if it can't hold one of them."""
    array = np.asarray(values)
    if array.dtype == kind and kind.kind != "f":
        return array
    with np.errstate(invalid="ignore", over="ignore"):
        result = array.astype(kind)
    is_held = np.isfinite(result) if kind.kind == "f" else result == array
    if not np.all(is_held):
        cause = f"a column of {kind} can't hold {array[~is_held].tolist()[0]!r:.60}"
        hint = "give another value or type"
        raise ThenceError("could not set", place=f"column {column}", cause=cause, hint=hint)
    return result


def sums(column: str, values: Array, others: Array, added: Array, kind: np.dtype[Any]) -> Array:
    """Returns values with what is added to those of some rows; of one named twice both count.

    Raises ThenceError where 64 bits can't hold a sum; other bounds are not looked at here.
    """
    wide = np.dtype("float64" if kind.kind == "f" else "int64")
    added, result = cast(column, added, wide), values.astype(wide)
    span = int(added.max(initial=0)) - int(added.min(initial=0)) if wide == np.int64 else 0
    about = result.astype("float64") if kind == np.int64 or span >= 2**31 else None
    np.add.at(result, others, added)
    if about is not None:  # integers pass their bounds unseen, floats do not
        np.add.at(about, others, added)
        cast(column, about[abs(about - result) > 2**62], wide)
    return result


def generator(*key: str) -> np.random.Generator:
    """Returns the source of random numbers of a key, always from its beginning."""
    digest = blake2b("\x00".join(key).encode(), digest_size=16).digest()
    return np.random.Generator(np.random.Philox(key=np.frombuffer(digest, "<u8")))


def _of_row(rows: Rows, place: Any) -> str:
    """Returns what the row at a place writes, as a text to compare: a NaN is like itself."""
    writes = [
        (kind, int(of[place]), {name: new[[place]].tolist() for name, new in values.items()})
        for kind, values, where, of in rows.writes
        if where[place]
    ]
    return repr(writes)


def _unfit(setting: str, cause: str) -> ScenarioError:
    return ScenarioError(f"{setting} of a population can't be taken", cause=cause)
