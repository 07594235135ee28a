"""The rows of a population as they decide: what they read, draw and write, by columns."""

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from hashlib import blake2b
from typing import TYPE_CHECKING, Any, NamedTuple

from thence.core.nearest import did_you_mean
from thence.errors import ThenceError, needs_extra
from thence.sim.run.agents import Observation, Owned

with needs_extra("populations", "numpy"):
    import numpy as np

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray

    Array = NDArray[Any]
    Chosen = ArrayLike | None
else:
    Array = ArrayLike = Chosen = Any


class Column(NamedTuple):
    """A column at one moment: its values, and the turn and row that wrote each of them last."""

    values: Array
    turns: Array
    writers: Array


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


def generator(*key: str) -> "np.random.Generator":
    """Returns the source of random numbers of a key, always from its beginning."""
    digest = blake2b("\x00".join(key).encode(), digest_size=16).digest()
    return np.random.Generator(np.random.Philox(key=np.frombuffer(digest, "<u8")))


def _fault(column: str, cause: str, hint: str) -> ThenceError:
    place = f"of column {column}" if column else "of the rows"
    return ThenceError("could not take the decision", place=place, cause=cause, hint=hint)
