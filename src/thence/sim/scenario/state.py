"""The variables of a simulation, each with a fixed index, and their frozen state after a turn.

A variable belongs to a scope: `global`, `place/<name>` or `agent/<name>`. Its index is its
position in the list of variables and never changes during a run; the `step` of an event that
changes the variable contains its scope and name.
"""

import copy
import math
from collections import deque
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Annotated, Any, Literal, overload

import msgspec
from msgspec.structs import force_setattr

from thence.core.nearest import nearest
from thence.errors import ThenceError

GLOBAL = "global"
MAP = "map"  # whose variables nobody sets: who is present, and who is where, see worlds.py
PRESENT = "present"
WHEREABOUTS = "whereabouts"
# \Z, for $ would let a line's end pass
Name = Annotated[str, msgspec.Meta(pattern=r"^[A-Za-z0-9_-]+\Z", max_length=100)]
Kind = Literal["float", "int", "bool", "categorical", "str", "list", "dict"]
Sight = Literal["external", "internal"]
IMMUTABLE = frozenset((float, int, bool, str))
NO_NAMES: Mapping[str, int] = {}
_NUMBERS: Mapping[str, type] = {"int": int, "float": float}
_PYTHON_TYPES: dict[str, tuple[type, ...]] = {
    "float": (float, int),
    "int": (int,),
    "bool": (bool,),
    "categorical": (str,),
    "str": (str,),
    "list": (list, tuple),
    "dict": (dict, Mapping),
}
# the fields whose keys in a scenario have other names
_KEYS = {"kind": "type", "minimum": "min", "maximum": "max"}
# the last states are kept as far as they hold so many values, two at least
_HISTORY_VALUES_MAX = 1_000_000


class Declaration(
    msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, rename=_KEYS
):
    """One variable as a scenario declares it, without an owner.

    `minimum` and `maximum` bound a float or int and the length of a list, inclusive;
    `choices` are the values of a categorical variable. A missing default is the smallest value of
    the type. An internal variable is seen only by its owner and by insiders.
    """

    name: Name
    kind: Kind
    default: object = msgspec.UNSET
    minimum: float | None = None
    maximum: float | None = None
    choices: tuple[str, ...] = ()
    sight: Sight = "external"

    def __post_init__(self) -> None:
        if self.default is not msgspec.UNSET:
            return
        lowest = self.minimum if self.minimum is not None and math.isfinite(self.minimum) else 0
        make = _PYTHON_TYPES[self.kind][0]
        smallest = make(lowest) if self.kind in _NUMBERS else make()
        if self.kind == "categorical" and self.choices:
            smallest = self.choices[0]
        force_setattr(self, "default", smallest)

    def fault(self, value: object) -> str:
        """Returns the reason why this variable can't hold a value; "" if it can."""
        expected = _PYTHON_TYPES[self.kind]
        if not isinstance(value, expected) or (isinstance(value, bool) and self.kind != "bool"):
            return f"needs {'an' if self.kind == 'int' else 'a'} {self.kind}, not {value!r}"
        if self.kind == "categorical" and value not in self.choices:
            return f"knows no {value!r}, only {', '.join(self.choices)}"
        size: Any = len(value) if isinstance(value, list | tuple) else value
        if not isinstance(size, int | float) or self.kind == "bool":
            return ""
        if self.minimum is not None and not size >= self.minimum:
            return f"can't be {value!r}, its minimum is {self.minimum:g}"
        if self.maximum is not None and not size <= self.maximum:
            return f"can't be {value!r}, its maximum is {self.maximum:g}"
        return ""

    def nearest(self, value: float) -> float:
        """Returns the number within the bounds that is nearest to `value`."""
        if self.maximum is not None:
            value = min(value, self.maximum)
        if self.minimum is not None:
            value = max(value, self.minimum)
        return int(value) if self.kind == "int" else float(value)


class Variable(msgspec.Struct, frozen=True):
    """One variable of one owner."""

    index: int
    scope: str
    declaration: Declaration
    subject: str = ""
    """The subject of its STATE events: scope and name."""

    def __post_init__(self) -> None:
        force_setattr(self, "subject", f"{self.scope}/{self.declaration.name}")

    def converted(self, value: object) -> object:
        """Returns the value to store: floats as float, lists and maps as copies.

        Raises ThenceError if the variable can't hold it.
        """
        fault = self.declaration.fault(value)
        if fault:
            hint = "keep the value within the bounds of state_variables"
            raise ThenceError("could not set", place=self.subject, cause=f"it {fault}", hint=hint)
        if self.declaration.kind == "float":
            return float(value)  # type: ignore[arg-type]
        return own_copy(value)


NO_DECLARATIONS: Mapping[str, Iterable[Declaration]] = {}


class VariableTable:
    """All variables of a run, found by index or by scope and name.

    A scope is added with all its variables; their indices follow those of earlier scopes.
    `own_vars` are those of agents that have others than `agent_vars`, by name.
    `by_scope` has the index of each variable by scope and name, `present` is that of who is there.
    """

    def __init__(
        self,
        *,
        global_vars: Iterable[Declaration] = (),
        place_vars: Iterable[Declaration] = (),
        agent_vars: Iterable[Declaration] = (),
        places: Iterable[str] = (),
        agents: Iterable[str] = (),
        has_map: bool = False,
        own_vars: Mapping[str, Iterable[Declaration]] = NO_DECLARATIONS,
    ) -> None:
        per_place, self._per_agent = tuple(place_vars), tuple(agent_vars)
        self._variables: list[Variable] = []
        self.by_scope: dict[str, dict[str, int]] = {}
        self._fast: list[tuple[type | None, float, float]] = []
        self._add(GLOBAL, tuple(global_vars))
        of_map = (PRESENT, WHEREABOUTS) if has_map else (PRESENT,)
        self._add(MAP, [Declaration(name=name, kind="int") for name in of_map])
        self.present = self.index(MAP, PRESENT)
        for name in places:
            self._add(f"place/{name}", per_place)
        for name in agents:
            self._add(f"agent/{name}", own_vars.get(name, self._per_agent))

    def __len__(self) -> int:
        return len(self._variables)

    def __iter__(self) -> Iterator[Variable]:
        return iter(self._variables)

    def __getitem__(self, index: int) -> Variable:
        return self._variables[index]

    def add_agent(self, name: str) -> None:
        """Adds the variables of an agent."""
        self._add(f"agent/{name}", self._per_agent)

    def agent_values(self, name: str, initial: Mapping[str, object]) -> dict[str, object]:
        """Returns the first values of an agent that is not added yet, by variable.

        Raises ThenceError for a variable that is not declared, or can't hold its value.
        """
        scope = f"agent/{name}"
        for unknown in initial.keys() - {declaration.name for declaration in self._per_agent}:
            raise self.unknown(scope, unknown)
        return {
            own.name: Variable(-1, scope, own).converted(initial.get(own.name, own.default))
            for own in self._per_agent
        }

    def names(self, scope: str) -> Mapping[str, int]:
        """Returns the index of each variable of one owner by name; {} for an unknown owner."""
        return self.by_scope.get(scope, NO_NAMES)

    def index(self, scope: str, name: str) -> int:
        """Returns the index of a variable; ThenceError, with the nearest name, if it is unknown."""
        try:
            return self.by_scope[scope][name]
        except KeyError:
            raise self.unknown(scope, name) from None

    def of_scope(self, scope: str) -> tuple[int, ...]:
        """Returns the indices of all variables of one owner."""
        return tuple(self.names(scope).values())

    def scopes(self) -> tuple[str, ...]:
        """Returns the owners of variables, in the order of the indices."""
        return tuple(scope for scope, names in self.by_scope.items() if names)

    def defaults(self) -> tuple[object, ...]:
        """Returns each variable's default, in the order of the indices."""
        return tuple(variable.converted(variable.declaration.default) for variable in self)

    def converted(self, index: int, value: object) -> object:
        """Returns the value to store in a variable, as `Variable.converted` does.

        Numbers of the declared type within the bounds, the most common values, take a short way.
        """
        kind, minimum, maximum = self._fast[index]
        if type(value) is kind and minimum <= value <= maximum:  # type: ignore[operator]
            return value
        return self._variables[index].converted(value)

    def unknown(self, scope: str, name: str) -> ThenceError:
        """Returns the error for a variable that is not declared, with the nearest name."""
        subject, cause = f"{scope}/{name}", "the scenario declares no such one"
        near = nearest(subject, (variable.subject for variable in self), likeness=0)
        hint = f"the nearest is {near[0]}" if near else "declare it in state_variables"
        return ThenceError("could not find the variable", place=subject, cause=cause, hint=hint)

    def _add(self, scope: str, declarations: Iterable[Declaration]) -> None:
        names = self.by_scope[scope] = {}
        for declaration in declarations:
            names[declaration.name] = index = len(self._variables)
            self._variables.append(Variable(index, scope, declaration))
            kind = _NUMBERS.get(declaration.kind)  # values of other kinds are checked at length
            low = -math.inf if declaration.minimum is None else declaration.minimum
            high = math.inf if declaration.maximum is None else declaration.maximum
            self._fast.append((kind, low, high))


def own_copy(value: object) -> object:
    """Returns a value that shares no list or map with `value`."""
    if type(value) in IMMUTABLE:
        return value
    if type(value) is dict and IMMUTABLE.issuperset(map(type, value.values())):
        return {**value}
    return copy.deepcopy(value) if isinstance(value, list | tuple | Mapping) else value


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
            return [self[number] for number in range(*place.indices(self._count))]
        number = place + self._count if place < 0 else place
        if not 0 <= number < self._count:
            raise IndexError(f"there is no state after turn {number} yet")
        if number < self._count - len(self._kept):
            raise IndexError(f"the state after turn {number} is no longer kept; see open_run")
        return self._kept[number - self._count]


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
            if scope != MAP and (variables := dict(self._variables_of(scope)))
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
