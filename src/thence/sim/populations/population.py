"""Many rule agents as one component, which decides and applies by columns of NumPy.

A row is an agent. Rows are never removed: the column `alive` of a dead row is false, and the row
decides nothing from then on. Two more arrays for each column keep the turn and the row that wrote
each value last, so the causes of one row are found by playing a few turns again.
"""

import io
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from hashlib import blake2b, sha256
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, NamedTuple

import msgspec

from thence.core.nearest import did_you_mean
from thence.errors import ScenarioError, ThenceError, needs_extra
from thence.sim.again.replay_input import Alterations
from thence.sim.run.agents import Action, BaseAgent, Observation, Owned
from thence.sim.run.engine import View
from thence.sim.scenario.people import read_columns
from thence.sim.scenario.scenario import SimulationConfig

with needs_extra("populations", "numpy"):
    import numpy as np

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray

    Array = NDArray[Any]
    Chosen = ArrayLike | None
else:
    Array = ArrayLike = Chosen = Any

ROWS_MAX = 100_000_000
ALIVE = "alive"
# the writer of a value that was set from outside, or before the first turn
NO_ROW = np.array(-1, np.int32)
TYPES = ("bool", "int8", "int16", "int32", "int64", "uint8", "uint16", "float32", "float64")
_SCOPES = ("agent", "global", "map", "place")
# of the rows that decide a second time, and of others beside them
_SAMPLE, _OTHERS = 16, 48
Summary = dict[str, Any]


class Column(NamedTuple):
    """A column at one moment: its values, and the turn and row that wrote each of them last."""

    values: Array
    turns: Array
    writers: Array

    def changed_in(self, turn: int) -> int:
        """Returns how many of the values a turn changed; turn 0 all of them."""
        return int(np.count_nonzero(self.turns == turn))

    def of_row(self, row: int) -> Any:
        """Returns the value of a row, None before it is appended."""
        return self.values[row].item() if row < len(self.values) else None


class Write(NamedTuple):
    """What rows write where `where` holds: to the rows `of`, or, for an append, to new rows."""

    kind: str
    values: dict[str, Array]
    where: Array
    of: Array


class Rows:
    """The rows of a population in one decision; all of them decide before any value changes.

    `ids` are the numbers of the rows. Each array that is read, drawn or written has one value per
    row, in this order. A decision uses no other data: what it reads here are its causes.
    `reads` holds columns with the rows that were read for each row, None for all.
    """

    def __init__(
        self,
        columns: Mapping[str, Column],
        key: Sequence[str],
        observation: Observation | None,
        altered: tuple[Array, Mapping[str, Array]] | None = None,
    ) -> None:
        self._columns, self._key, self._observation = columns, key, observation
        self._size = len(next(iter(columns.values())).values)
        self._altered = None if altered is None else altered[1]
        self.ids: Array = np.arange(self._size, dtype=np.int32) if altered is None else altered[0]
        self.ids.setflags(write=False)
        self.reads: list[tuple[str, Array | None]] = []
        self.writes: list[Write] = []
        self._draws: Counter[str] = Counter()

    def __len__(self) -> int:
        return len(self.ids)

    @property
    def size(self) -> int:
        """The number of rows of the population; what depends on it depends on each new row."""
        self._depend(next(iter(self._columns)))
        return self._size

    @property
    def observation(self) -> Observation:
        """The view of all other variables; each row's decision depends on what is read there."""
        assert self._observation is not None, "nothing can be read before the first turn"
        return self._observation

    @property
    def world(self) -> Owned:
        """The global variables."""
        return self.observation.world

    def __getitem__(self, column: str) -> Array:
        """Returns the rows' own values of a column, which can't be changed in place."""
        values = self._read(column, self.ids)
        return values if self._altered is None else self._altered[column]

    def get(self, column: str, *, of: ArrayLike) -> Array:
        """Returns the values of a column of other rows: for each row, that of the row `of`."""
        others = self._others(column, of)
        return self._read(column, others)[others]

    def all(self, column: str) -> Array:
        """Returns a whole column: each row's decision then depends on all rows."""
        return self._read(column, None)

    def random(self, purpose: str, dtype: Any = "float32") -> Array:
        """Returns a number from 0 up to, not including, 1 for each row, by its id.

        A second draw for the same purpose has other numbers; `dtype` is float32 or float64.
        """
        return self._draw(purpose, lambda numbers: numbers.random(self._size, dtype))

    def integers(self, purpose: str, low: int, high: int) -> Array:
        """Returns an integer from `low` up to, not including, `high` for each row, by its id."""
        kind: Any = np.int32 if low >= -(2**31) and high <= 2**31 else np.int64
        return self._draw(purpose, lambda numbers: numbers.integers(low, high, self._size, kind))

    def set(
        self, column: str, values: ArrayLike, *, where: ArrayLike = True, of: Chosen = None
    ) -> None:
        """Sets a column where `where` holds: of the rows themselves, else of the rows `of`.

        If several rows set the same one, the last of them does.
        """
        self._write("set", {column: values}, where, of)

    def add(
        self, column: str, values: ArrayLike, *, where: ArrayLike = True, of: Chosen = None
    ) -> None:
        """Adds to a column as `set` sets it; what several rows add to one row is summed up."""
        self._write("add", {column: values}, where, of)

    def append(self, where: ArrayLike, **values: ArrayLike) -> None:
        """Adds a new row for each row where `where` holds, with these values by column.

        Other columns begin as those of the first rows, or with 0. New rows decide in the next turn.
        """
        self._write("append", values, where, None)

    def _write(
        self, kind: str, values: Mapping[str, ArrayLike], where: ArrayLike, of: Chosen
    ) -> None:
        full = {name: self._aligned(name, new, "a value") for name, new in values.items()}
        column = next(iter(full), "")
        mask = self._aligned(column, where, "true or false", "b")
        others = self.ids if of is None else self._others(column, of)
        self.writes.append(Write(kind, full, mask, others))

    def _read(self, column: str, of: Array | None) -> Array:
        self._check(column)
        self.reads.append((column, of))
        self._depend(column)
        return self._columns[column].values

    def _depend(self, column: str) -> None:
        """Makes the summary of a column a cause; to read it would copy it."""
        if (view := self._observation) is not None:
            index = view.ledger.table.index(f"agent/{view.agent_id}", column)
            view.reads[index] = view.ledger.provenance[index]

    def _draw(self, purpose: str, draw: "Callable[[np.random.Generator], Array]") -> Array:
        """Returns a draw for these rows, of a stream that no other draw shares."""
        self._draws[purpose] += 1
        drawn = draw(generator(*self._key, purpose, str(self._draws[purpose])))
        return drawn if self._altered is None else drawn[self.ids]

    def _others(self, column: str, of: ArrayLike) -> Array:
        others = self._aligned(column, of, "the number of a row", "iu")
        if self._altered is not None:  # of rows with other values, whose result nobody looks at
            return others % self._size
        if not 0 <= others.min() <= others.max() < self._size:
            cause = f"of names the rows {others.min()} to {others.max()}"
            raise _fault(column, cause, f"give numbers from 0 to {self._size - 1}")
        return others

    def _aligned(self, column: str, values: ArrayLike, needs: str, kinds: str = "") -> Array:
        """Returns an array, of some kinds, with a value for each row; one value will do for all."""
        self._check(column)
        array = np.asarray(values)
        if array.shape in ((), (len(self),)) and array.dtype.kind in (kinds or array.dtype.kind):
            return array if array.ndim else np.broadcast_to(array, len(self))
        cause = f"it was given {array.dtype} in the shape {array.shape}"
        raise _fault(column, cause, f"give {needs} for each of the {len(self)} rows")

    def _check(self, column: str) -> None:
        if column and column not in self._columns:
            hint = f"it has {', '.join(self._columns)}{did_you_mean(column, self._columns)}"
            raise _fault(column, "the population has no such column", hint)


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
                cause = f"it is {table!r:.60}; name a file with all rows, give no size"
                raise _unfit("table", cause)
            size, cells = read_columns(table, config.source if config else None)
        if not isinstance(size, int | np.integer) or size is True or not 0 < size <= ROWS_MAX:
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
                cause = f"{column!r:.60} is declared as {declared!r:.60}"
                words = f"give a name that Python allows, and a type of {', '.join(TYPES)}"
                raise _unfit("columns", f"{cause}; {words}")
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
        self.decided: Rows | None = None
        self._size = int(size)
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
        columns = [[name, each["type"], each["digest"]] for name, each in self.summaries.items()]
        return sha256(msgspec.json.encode(columns)).hexdigest()

    def begin(self, seed: int, alterations: Alterations) -> None:
        """Makes the rows as they are before the first turn."""
        self._alterations, self.columns, self.summaries = alterations, {}, {}
        for name, first in self._first.items():
            turns = np.zeros(self._size, np.int32)
            self.columns[name] = Column(np.broadcast_to(first, self._size), turns, turns + NO_ROW)
        rows = Rows(self.columns, (str(seed), self.name, "0", "start", ""), None)
        self.start(rows)
        for name, column in {**self.columns, **self._written(rows, 0)}.items():
            nobody = np.full(len(column.values), NO_ROW)
            self._commit(name, column._replace(writers=nobody), 0)

    def decide_action(self, observation: Observation) -> Action | None:
        """Lets all rows decide; the payload has, by column, in how many rows it changes.

        Raises ThenceError for an alteration that a row can't have, and for a sample that differs.
        """
        turn, seed = observation.turn, str(observation.ledger.seed)
        key = (seed, self.name, str(turn), observation.phase, str(observation.site))
        rows = self.decided = Rows(self.columns, key, observation)
        self.decide(rows)
        acts = rows[ALIVE] != 0 if ALIVE in self.types else None
        left_out = self._alterations.values_to_set(f"{turn}.decide.{self.name}/")
        for step, value in left_out.items():
            row, _ = self.row_of(f"{self.name}/{step.removesuffix('.0')}/{next(iter(self.types))}")
            if value is not None:
                what, cause = "could not alter the decision", f"it is mapped to {value!r:.60}"
                hint = "a row's decision can be left out, by null"
                raise ThenceError(what, place=f"of row {step}", cause=cause, hint=hint)
            acts = (rows.ids != row) & (True if acts is None else acts)
        if turn & (turn - 1) == 0:
            self._check_sample(rows, key, observation)
        if acts is not None:
            rows.writes = [write._replace(where=write.where & acts) for write in rows.writes]
        self._next = self._written(rows, turn)
        self._payload = {name: column.changed_in(turn) for name, column in self._next.items()}
        return Action("write", self._payload) if self._next else None

    def apply_own(self, view: View, action: Action) -> None:
        """Applies the decision of this turn; raises ThenceError for another action."""
        if action.payload is not self._payload:
            what, cause = "could not alter the decision", "its rows decided differently"
            hint = f"map it to null, or that of one row: {view.turn}.decide.{self.name}/0.0"
            raise ThenceError(what, place=f"of {self.name}", cause=cause, hint=hint)
        for name, column in self._next.items():
            self._commit(name, column, view.turn)
            view.agent(self.name)[name] = self.summaries[name]

    def row_of(self, subject: str) -> tuple[int, str]:
        """Returns the row and column that `people/817/money` names.

        Raises ThenceError if the population has no such column, or in a run no such row.
        """
        _, row, column = [*subject.split("/"), "", ""][:3]
        size = len(self.columns[column].values) if column in self.columns else ROWS_MAX
        if column not in self.types or not row.isdecimal() or int(row) >= size:
            what, cause = "could not find the variable", f"{self.name} has {size:,} rows"
            hint = f"name a row and a column of {', '.join(self.types)}"
            raise ThenceError(what, place=subject, cause=cause, hint=hint)
        return int(row), column

    def converted(self, column: str, value: Any) -> Any:
        """Returns a value as the column holds it; raises ThenceError if it can't."""
        return cast(column, value, self.types[column]).item()

    def set_row(self, subject: str, value: object, turn: int) -> Summary:
        """Sets a value of a row from outside; returns the new summary of its column."""
        row, column = self.row_of(subject)
        values = self.columns[column].values.copy()
        values[row] = self.converted(column, value)
        self._commit(column, self._column(column, values, NO_ROW, turn), turn)
        self.summaries[column] |= {"rows": 1, "set": {str(row): value}}
        return self.summaries[column]

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
                cause = f"row {row} decides differently if other rows have other values"
                cause += ": it depends on more than it reads"
                cause += f"; it raised {error!r}" if error else ""
                hint = "read others by rows.get(column, of=…), a column by rows.all(column)"
                what, place = "could not rely on the decision", f"of {self.name}"
                raise ThenceError(what, place=place, cause=cause, hint=hint) from error

    def _written(self, rows: Rows, turn: int) -> dict[str, Column]:
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
                add_at(name, values, others, cast(name, new[at], wide))
            after[name] = values, by
        for name, kind in self.types.items() if any(len(at) for _, at in births) else ():
            values, by = after.get(name) or (self.columns[name].values, rows.ids)
            for write, at in births:
                first = np.zeros((), kind) if self._first[name].ndim else self._first[name]
                new = write.values.get(name, np.broadcast_to(first, len(rows)))[at]
                values, by = np.append(values, cast(name, new, kind)), np.append(by, at)
            after[name] = values, by
        return {name: self._column(name, new, by, turn) for name, (new, by) in after.items()}

    def _column(self, name: str, values: Array, by: Array, turn: int) -> Column:
        """Returns a column with other values, which the rows `by` wrote where they differ."""
        old, new = self.columns[name], cast(name, values, self.types[name])
        born = np.zeros(len(new) - len(old.values), np.int32)
        turns, writers = np.append(old.turns, born), np.append(old.writers, born)
        changed = np.ones(len(new), bool)
        np.not_equal(new[: len(old.values)], old.values, out=changed[: len(old.values)])
        # by a mask that no processor foresees, `where` would take ten times as long
        np.maximum(turns, changed * np.int32(turn), out=turns)
        writers += changed * (by - writers)
        new.flags.writeable = False
        return Column(new, turns, writers)

    def _commit(self, name: str, column: Column, turn: int) -> None:
        self.columns = {**self.columns, name: column}
        if count := column.changed_in(turn):
            values = np.ascontiguousarray(column.values)
            summary: Summary = {"type": self.types[name], "rows": count}
            if values.dtype.kind != "f":
                summary["sum"] = exact_sum(values)
            summary["digest"] = sha256(values.data).hexdigest()
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
    example = repr(array.flat[:1].tolist()[0]) if array.size else array.dtype
    cause, hint = f"a column of {kind} can't hold {example!s:.60}", "give another value or type"
    raise ThenceError("could not set", place=f"column {column}", cause=cause, hint=hint)


def add_at(column: str, values: Array, others: Array, added: Array) -> None:
    """Adds to some rows in place; raises ThenceError where 64 bits can't hold the sum."""
    if values.dtype.kind == "i" and len(others):
        most = [max(-int(array.min()), int(array.max())) for array in (values, added)]
        if most[0] + most[1] * len(others) >= 2**63:  # else NumPy can't pass its bounds unseen
            sums = values.astype(object)
            np.add.at(sums, others, added.astype(object))
            for beyond in sums[abs(sums) > 2**63 - 1][:1]:
                cast(column, beyond, "int64")
    np.add.at(values, others, added)


def exact_sum(values: Array) -> int | str:
    """Returns the sum of integers, as text where it needs more than 64 bits."""
    if values.dtype.itemsize < 8:
        return int(values.sum(dtype=np.int64))
    total = (int((values >> 32).sum()) << 32) + int((values & 0xFFFFFFFF).sum())
    return total if -(2**63) <= total < 2**63 else str(total)


def generator(*key: str) -> "np.random.Generator":
    """Returns the source of random numbers of a key, always from its beginning."""
    digest = blake2b("\x00".join(key).encode(), digest_size=16).digest()
    return np.random.Generator(np.random.Philox(key=np.frombuffer(digest, "<u8")))


def _of_row(rows: Rows, place: int) -> str:
    """Returns what the row at a place writes, as a text to compare: a NaN is like itself."""
    return repr(
        [
            (kind, int(of[place]), {name: new[[place]].tolist() for name, new in values.items()})
            for kind, values, where, of in rows.writes
            if where[place]
        ]
    )


def _fault(column: str, cause: str, hint: str) -> ThenceError:
    place = f"of column {column}" if column else "of the rows"
    return ThenceError("could not take the decision", place=place, cause=cause, hint=hint)


def _unfit(setting: str, cause: str) -> ScenarioError:
    return ScenarioError(f"{setting} of a population can't be taken", cause=cause)
