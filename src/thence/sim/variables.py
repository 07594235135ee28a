"""The variables of a simulation, each with a fixed index.

A variable belongs to a scope: `global`, `place/<name>` or `agent/<name>`. Its index is its
position in the scenario's list of variables and never changes during a run; the `step` of an
event that changes the variable contains that index.
"""

import copy
from collections.abc import Iterable, Iterator, Mapping
from typing import Literal

import msgspec

from thence.core.nearest import nearest
from thence.errors import ThenceError

GLOBAL = "global"
Kind = Literal["float", "int", "bool", "categorical", "str", "list", "dict"]
_IMMUTABLE = frozenset((float, int, bool, str))
_PYTHON_TYPES: dict[str, tuple[type, ...]] = {
    "float": (float, int),
    "int": (int,),
    "bool": (bool,),
    "categorical": (str,),
    "str": (str,),
    "list": (list, tuple),
    "dict": (Mapping,),
}


class Declaration(msgspec.Struct, frozen=True, kw_only=True):
    """One variable as a scenario declares it, without an owner.

    `minimum` and `maximum` bound a float or int and the length of a list, inclusive;
    `choices` are the values of a categorical variable.
    """

    name: str
    kind: Kind
    default: object
    minimum: float | None = None
    maximum: float | None = None
    choices: tuple[str, ...] = ()

    def fault(self, value: object) -> str:
        """Returns the reason why this variable can't hold a value; "" if it can."""
        expected = _PYTHON_TYPES[self.kind]
        if not isinstance(value, expected) or (isinstance(value, bool) and self.kind != "bool"):
            return f"needs {_article(self.kind)}, not {value!r}"
        if self.kind == "categorical" and value not in self.choices:
            return f"knows no {value!r}, only {', '.join(self.choices)}"
        return self._fault_of_bounds(value)

    def nearest(self, value: float) -> float:
        """Returns the number within the bounds that is nearest to `value`."""
        if self.maximum is not None and value > self.maximum:
            value = self.maximum
        if self.minimum is not None and value < self.minimum:
            value = self.minimum
        return int(value) if self.kind == "int" else float(value)

    def _fault_of_bounds(self, value: object) -> str:
        if isinstance(value, list | tuple):
            size: float = len(value)
        elif self.kind in ("float", "int") and isinstance(value, int | float):
            size = value
        else:
            return ""
        if self.minimum is not None and not size >= self.minimum:
            return f"can't be {value!r}, its minimum is {self.minimum:g}"
        if self.maximum is not None and not size <= self.maximum:
            return f"can't be {value!r}, its maximum is {self.maximum:g}"
        return ""


class Variable(msgspec.Struct, frozen=True):
    """One variable of one owner."""

    index: int
    scope: str
    declaration: Declaration

    @property
    def subject(self) -> str:
        """The subject of its STATE events: scope and name."""
        return f"{self.scope}/{self.declaration.name}"

    def converted(self, value: object) -> object:
        """Returns the value to store: floats as float, lists and maps as copies.

        Raises ThenceError if the variable can't hold it.
        """
        fault = self.declaration.fault(value)
        if fault:
            raise ThenceError(
                "could not set",
                place=self.subject,
                cause=f"it {fault}",
                hint="keep the value within the bounds of state_variables",
            )
        if self.declaration.kind == "float":
            return float(value)  # type: ignore[arg-type]
        return own_copy(value)


class VariableTable:
    """All variables of a run, found by index or by scope and name."""

    def __init__(
        self,
        *,
        global_vars: Iterable[Declaration] = (),
        place_vars: Iterable[Declaration] = (),
        agent_vars: Iterable[Declaration] = (),
        places: Iterable[str] = (),
        agents: Iterable[str] = (),
    ) -> None:
        per_place, per_agent = tuple(place_vars), tuple(agent_vars)
        declarations = [(GLOBAL, declaration) for declaration in global_vars]
        declarations += [
            (f"place/{name}", declaration) for name in places for declaration in per_place
        ]
        declarations += [
            (f"agent/{name}", declaration) for name in agents for declaration in per_agent
        ]
        self._variables = tuple(
            Variable(index, scope, declaration)
            for index, (scope, declaration) in enumerate(declarations)
        )
        self._indices = {(v.scope, v.declaration.name): v.index for v in self._variables}
        self._by_scope: dict[str, list[int]] = {}
        for variable in self._variables:
            self._by_scope.setdefault(variable.scope, []).append(variable.index)

    def __len__(self) -> int:
        return len(self._variables)

    def __iter__(self) -> Iterator[Variable]:
        return iter(self._variables)

    def __getitem__(self, index: int) -> Variable:
        return self._variables[index]

    def index(self, scope: str, name: str) -> int:
        """Returns the index of a variable; ThenceError, with the nearest name, if it is unknown."""
        try:
            return self._indices[scope, name]
        except KeyError:
            raise self._unknown(scope, name) from None

    def of_scope(self, scope: str) -> tuple[int, ...]:
        """Returns the indices of all variables of one owner."""
        return tuple(self._by_scope.get(scope, ()))

    def scopes(self) -> tuple[str, ...]:
        """Returns the owners of variables, in the order of the indices."""
        return tuple(self._by_scope)

    def defaults(self) -> tuple[object, ...]:
        """Returns each variable's default, in the order of the indices."""
        return tuple(variable.converted(variable.declaration.default) for variable in self)

    def _unknown(self, scope: str, name: str) -> ThenceError:
        near = nearest(f"{scope}/{name}", (each.subject for each in self), likeness=0)
        return ThenceError(
            "could not find the variable",
            place=f"{scope}/{name}",
            cause="the scenario declares no such one",
            hint=f"the nearest is {near[0]}" if near else "declare it in state_variables",
        )


def own_copy(value: object) -> object:
    """Returns a value that shares no list or map with `value`."""
    if type(value) in _IMMUTABLE:
        return value
    return copy.deepcopy(value) if isinstance(value, list | tuple | Mapping) else value


def _article(kind: str) -> str:
    return f"an {kind}" if kind == "int" else f"a {kind}"
