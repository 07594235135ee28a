"""The frozen state of a simulation after a turn."""

from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, overload

from thence.sim.variables import GLOBAL, VariableTable, own_copy

# the last states are kept as far as they hold so many values, two at least
_HISTORY_VALUES_MAX = 1_000_000


class StateHistory(Sequence["State"]):
    """The states of a run: `history[n]` is the one after turn n, `history[0]` the first.

    Only the last states are kept, of a million values together; an older one raises IndexError.
    `len` counts all of them, iteration yields those kept.
    """

    def __init__(self) -> None:
        self._kept: deque[State] = deque()
        self._count = 0

    def append(self, state: "State", turn: int | None = None) -> None:
        """Adds the state after the next turn, or the first state that is known, after `turn`."""
        self._count = self._count + 1 if turn is None else turn + 1
        self._kept.append(state)
        while len(self._kept) > max(2, _HISTORY_VALUES_MAX // max(1, len(state.values()))):
            self._kept.popleft()

    def clear(self) -> None:
        """Forgets all states."""
        self._kept.clear()
        self._count = 0

    def __len__(self) -> int:
        return self._count

    def __iter__(self) -> Iterator["State"]:
        return iter(self._kept)

    @overload
    def __getitem__(self, place: int) -> "State": ...
    @overload
    def __getitem__(self, place: slice) -> list["State"]: ...
    def __getitem__(self, place: int | slice) -> "State | list[State]":
        if isinstance(place, slice):
            return [self[each] for each in range(*place.indices(self._count))]
        number = place + self._count if place < 0 else place
        kept_from = self._count - len(self._kept)
        if 0 <= number < kept_from:
            raise IndexError(f"the state after turn {number} is kept no more; see open_run")
        if not 0 <= number < self._count:
            raise IndexError(f"there is no state after turn {number} yet")
        return self._kept[number - kept_from]


class State:
    """The value of every variable after one turn; a state never changes.

    `state.agent("ada")["money"]`, `state.place("Harbour")["stock"]`, `state.world["season"]`.
    `turn` is 0 before the first turn. Lists and maps are returned as copies. An agent that was
    added later is not in it.
    """

    __slots__ = ("_table", "_values", "turn")

    def __init__(self, table: VariableTable, values: tuple[object, ...], turn: int = 0) -> None:
        self._table = table
        self._values = values
        self.turn = turn

    def get(self, scope: str, name: str) -> Any:
        """Returns one variable's value; ThenceError if there is no such variable."""
        return own_copy(self._values[self._index(scope, name)])

    def agent(self, name: str) -> Mapping[str, Any]:
        """Returns the variables of an agent by name."""
        return self._variables_of(f"agent/{name}")

    def place(self, name: str) -> Mapping[str, Any]:
        """Returns the variables of a place by name."""
        return self._variables_of(f"place/{name}")

    @property
    def world(self) -> Mapping[str, Any]:
        """The global variables by name."""
        return self._variables_of(GLOBAL)

    def replace(self, changes: Mapping[tuple[str, str], object]) -> "State":
        """Returns a state of the same turn with other values, by (scope, name)."""
        values = list(self._values)
        for (scope, name), value in changes.items():
            index = self._index(scope, name)
            values[index] = self._table[index].converted(value)
        return State(self._table, tuple(values), self.turn)

    def values(self) -> tuple[object, ...]:
        """Returns all values in the order of the variables' indices."""
        return self._values

    def as_dict(self) -> dict[str, dict[str, Any]]:
        """Returns scope → name → value, as result.json holds it."""
        return {
            scope: variables
            for scope in self._table.scopes()
            if (variables := dict(self._variables_of(scope)))
        }

    def __eq__(self, other: object) -> bool:
        return isinstance(other, State) and self._values == other._values

    __hash__ = None  # type: ignore[assignment]

    def _index(self, scope: str, name: str) -> int:
        index = self._table.index(scope, name)
        if index >= len(self._values):
            raise self._table.unknown(scope, name)
        return index

    def _variables_of(self, scope: str) -> Mapping[str, Any]:
        return {
            name: own_copy(self._values[index])
            for name, index in self._table.names(scope).items()
            if index < len(self._values)
        }
