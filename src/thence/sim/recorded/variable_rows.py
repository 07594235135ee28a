"""The table of a run's variables: a row a turn, a column a variable.

The values come from the STATE events: a variable has the old value of its first change until
then, and the new one of each change from its turn on.
"""

from collections.abc import Callable, Iterator, Mapping
from typing import Any, NamedTuple

from thence.core.event import Event
from thence.core.sentences.table import INTEGER_MAX
from thence.sim.recorded.table import Kind, Table, Values, joined, kind_of
from thence.sim.variables import GLOBAL

Key = tuple[str, str]
Selects = Callable[[str, str], bool]
TYPES = ("MILESTONE", "STATE")
_TURN: Mapping[str, Kind] = {"turn": "int"}


class Change(NamedTuple):
    """A change of a variable, by scope and name."""

    key: Key
    old: Any
    new: Any


class History(NamedTuple):
    """All that the STATE events of a run tell of its variables.

    `initial` are the values before the first turn; `gaps` counts the changes whose old value is
    not the last new one, since events between them are missing, `first_gap` names one's step.
    """

    initial: dict[Key, Any]
    kinds: dict[Key, Kind]
    turns: int
    gaps: int
    first_gap: str


def read_history(events: Iterator[Event], final_state: Mapping[str, Any]) -> History:
    """Reads the history of all variables; `final_state` is that of result.json, or empty."""
    initial: dict[Key, Any] = {}
    current: dict[Key, Any] = {}
    kinds: dict[Key, Kind] = {}
    turns = gaps = 0
    first_gap = ""
    for event, item in moments(events):
        if not isinstance(item, Change):
            turns += 1
            continue
        key, old, new = item
        if key not in initial:
            initial[key], kinds[key] = old, kind_of(old)
        elif current[key] != old:
            gaps += 1
            first_gap = first_gap or event.step or event.event_id
        current[key] = new
        kinds[key] = joined(kinds[key], kind_of(new))
    return History(*_in_order(initial, kinds, final_state), turns, gaps, first_gap)


def variable_table(
    read: Callable[[], Iterator[Event]], history: History, selects: Selects
) -> Table:
    """Returns the table of the variables that `selects` takes, by scope and name."""
    keys = [key for key in history.initial if selects(*key)]
    kinds: dict[str, Kind] = {**_TURN, **{"/".join(key): history.kinds[key] for key in keys}}

    def rows() -> Iterator[Values]:
        values = {key: history.initial[key] for key in keys}
        for _, item in moments(read()):
            if not isinstance(item, Change):
                yield (item, *values.values())
            elif item.key in values:
                values[item.key] = item.new

    return Table(kinds, rows, history.turns)


def moments(events: Iterator[Event]) -> Iterator[tuple[Event, Change | int]]:
    """Yields each change, and each turn's number after its last change, with an event of it.

    The first turn is 0, before the first one that is played. A last turn that has begun, but
    not ended, is left out: its changes are not complete.
    """
    turn, is_begun, last = 0, False, None
    for event in events:
        number = event.turn_number
        if number is None:
            continue
        number = min(number, INTEGER_MAX)  # another tool may write any
        if number > turn:
            yield last or event, turn
            turn, is_begun = number, False
        last = event
        details = event.payload
        if event.event_type == "MILESTONE":
            milestone = details.get("milestone_type")
            is_begun = milestone == "turn_start" or (is_begun and milestone != "turn_end")
            continue
        scope, name = details.get("scope", GLOBAL), details.get("variable_name")
        if isinstance(scope, str) and isinstance(name, str):
            yield event, Change((scope, name), details.get("old_value"), details.get("new_value"))
    if last is not None and not is_begun:
        yield last, turn


def _in_order(
    initial: dict[Key, Any], kinds: dict[Key, Kind], final_state: Mapping[str, Any]
) -> tuple[dict[Key, Any], dict[Key, Kind]]:
    """Returns values and kinds in the order of the scenario, with what never changed.

    Without a final state the scenario's order is not known: then globals come first, then places.
    """
    final = {
        (scope, name): value
        for scope, variables in final_state.items()
        if isinstance(variables, Mapping)
        for name, value in variables.items()
    }
    others = sorted((key for key in initial if key not in final), key=lambda key: rank(key[0]))
    values = {key: initial.get(key, final.get(key)) for key in (*final, *others)}
    return values, {key: kinds.get(key) or kind_of(value) for key, value in values.items()}


def rank(scope: str) -> int:
    """Returns the place of a scope: globals, then places, then agents."""
    return 0 if scope == GLOBAL else 1 if scope.startswith("place/") else 2
