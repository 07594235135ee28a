"""The frozen state of a simulation after a turn."""

from collections.abc import Mapping
from typing import Any

from thence.sim.variables import GLOBAL, VariableTable, own_copy


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
