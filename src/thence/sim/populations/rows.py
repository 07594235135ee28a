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

# the column that stands for the number of rows
SIZE = ""


class Read(NamedTuple):
    """A read of a column: of the rows' own values, of the rows `of`, or of all rows."""

    column: str
    of: Array | None = None
    is_whole: bool = False


class Write(NamedTuple):
    """A write of a column where `where` holds: of the rows' own values, or of the rows `of`.

    `kind` is set, add or append; an append has the new rows' values by column.
    """

    kind: str
    column: str
    values: Any
    where: Array | None
    of: Array | None = None


class Rows:
    """The rows of a population in one decision; all of them decide before any value changes.

    `ids` are the numbers of the rows. Each array that is read, drawn or written has one value per
    row, in this order. A decision uses no other data: what it reads here are its causes.
    """

    def __init__(
        self,
        columns: Mapping[str, Array],
        key: Sequence[str],
        observation: Observation | None,
        ids: Array | None = None,
        own: Mapping[str, Array] | None = None,
    ) -> None:
        self._columns, self._key, self._observation = columns, key, observation
        self._own = columns if own is None else own
        self._size = len(next(iter(columns.values())))
        self._is_sample = ids is not None
        self.ids: Array = np.arange(self._size) if ids is None else ids
        self.reads: list[Read] = []
        self.writes: list[Write] = []
        self.draws: dict[tuple[str, int], Array] = {}
        self._draw_counts: Counter[str] = Counter()

    def __len__(self) -> int:
        return len(self.ids)

    @property
    def size(self) -> int:
        """The number of rows of the population; what depends on it depends on each new row."""
        self.reads.append(Read(SIZE, is_whole=True))
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
        self._note(Read(self._checked(column)))
        return self._own[column]

    def get(self, column: str, *, of: ArrayLike) -> Array:
        """Returns the values of a column of other rows: for each row, that of the row `of`."""
        others = self._others(column, of)
        self._note(Read(self._checked(column), others))
        return self._columns[column][others]

    def all(self, column: str) -> Array:
        """Returns a whole column: each row's decision then depends on all rows."""
        self._note(Read(self._checked(column), is_whole=True))
        return self._columns[column]

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
        self, column: str, values: ArrayLike, *, where: Chosen = None, of: Chosen = None
    ) -> None:
        """Sets a column where `where` holds: of the rows themselves, else of the rows `of`.

        If several rows set the same one, the last of them does.
        """
        self._write("set", column, values, where, of)

    def add(
        self, column: str, values: ArrayLike, *, where: Chosen = None, of: Chosen = None
    ) -> None:
        """Adds to a column as `set` sets it; what several rows add to one row is summed up."""
        self._write("add", column, values, where, of)

    def append(self, where: ArrayLike, **values: ArrayLike) -> None:
        """Adds a new row for each row where `where` holds, with these values by column.

        Other columns begin as those of the first rows, or with 0. New rows decide in the next turn.
        """
        full = {self._checked(name): self._aligned(name, "", new) for name, new in values.items()}
        self.writes.append(Write("append", SIZE, full, self._aligned(SIZE, "b", where)))

    def _write(self, kind: str, column: str, values: ArrayLike, where: Chosen, of: Chosen) -> None:
        full = self._aligned(self._checked(column), "", values)
        mask = None if where is None else self._aligned(column, "b", where)
        others = None if of is None else self._others(column, of)
        self.writes.append(Write(kind, column, full, mask, others))

    def _note(self, read: Read) -> None:
        self.reads.append(read)
        if self._observation is not None:
            self._observation[read.column]

    def _draw(self, purpose: str, draw: "Callable[[np.random.Generator], Array]") -> Array:
        """Returns a draw for these rows, of a stream that no other draw shares."""
        nth = self._draw_counts[purpose] = self._draw_counts[purpose] + 1
        if (purpose, nth) not in self.draws:
            numbers = np.random.Generator(philox((*self._key, purpose, str(nth))))
            drawn = self.draws[purpose, nth] = draw(numbers)
            drawn.flags.writeable = False
        drawn = self.draws[purpose, nth]
        return drawn[self.ids] if self._is_sample else drawn

    def _checked(self, column: str) -> str:
        if column not in self._columns:
            hint = f"it has {', '.join(self._columns)}{did_you_mean(column, self._columns)}"
            raise _fault(column, "the population has no such column", hint)
        return column

    def _aligned(self, column: str, kinds: str, values: ArrayLike) -> Array:
        """Returns an array of some kinds with a value per row; one value will do for any kind."""
        array = np.asarray(values)
        if array.shape == (len(self),) and (not kinds or array.dtype.kind in kinds):
            return array
        if array.shape == () and not kinds:
            return array
        cause = f"it was given {array.dtype} in the shape {array.shape}"
        needs = {"b": "true or false", "iu": "the number of a row"}.get(kinds, "a value")
        raise _fault(column, cause, f"give {needs} for each of the {len(self)} rows")

    def _others(self, column: str, of: ArrayLike) -> Array:
        others = self._aligned(column, "iu", of)
        if self._is_sample:  # of rows whose values were altered, nobody looks at the result
            return others % self._size
        if others.size and not (others.min() >= 0 and others.max() < self._size):
            cause = f"of names the rows {others.min()} to {others.max()}"
            raise _fault(column, cause, f"give numbers from 0 to {self._size - 1}")
        return others


def philox(key: Sequence[str]) -> "np.random.Philox":
    """Returns the source of random numbers of a key, always from its beginning."""
    digest = blake2b("\x00".join(key).encode(), digest_size=16).digest()
    return np.random.Philox(key=np.frombuffer(digest, "<u8"))


def _fault(column: str, cause: str, hint: str) -> ThenceError:
    place = f"of column {column}" if column else "of the rows"
    return ThenceError("could not take the decision", place=place, cause=cause, hint=hint)
