"""The table of a run's events: a row an event, its details as flat columns."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

from thence.core.event import Event
from thence.core.sentences.table import INTEGER_MAX
from thence.sim.events import TYPED
from thence.sim.recorded.table import Kind, Table, Values, joined, kind_of

COMMON: Mapping[str, Kind] = {
    "event_id": "str",
    "event_type": "str",
    "turn": "int",
    "step": "str",
    "agent": "str",
    "timestamp": "time",
    "caused_by": "ids",
}
# the most columns of details; other members of such events stand together in the column "rest"
COLUMNS_MAX = 1_000
_REST = "rest"
# the members of details that are maps of a user's own, and stand flat
_SPREAD = {"ACTION": "action_payload", "DETAIL": "intermediate_values"}
_NAMES = {"variable_name": "variable", "old_value": "old", "new_value": "new"}
_RENAMED = ("STATE", "DECISION")
_ORDER = {"STATE": ("variable", "scope", "old", "new")}


def event_table(read: Callable[[], Iterator[Event]], types: Iterable[str]) -> Table:
    """Returns the table of the events that `read` yields, each time anew.

    The columns of the given types that thence knows are there without any such event, too.
    """
    kinds: dict[str, Kind] = {name: "none" for each in types for name in fixed_columns(each)}
    length = 0
    for event in read():
        length += 1
        for name, value in flat_members(event):
            if name in kinds:
                kinds[name] = joined(kinds[name], kind_of(value))
            elif len(kinds) < COLUMNS_MAX:
                kinds[name] = kind_of(value)
            else:
                kinds[_REST] = "json"
    kinds = {**COMMON, **kinds}

    def rows() -> Iterator[Values]:
        for event in read():
            yield _row(event, kinds)

    return Table(kinds, rows, length)


def fixed_columns(event_type: str) -> tuple[str, ...]:
    """Returns the columns that each event of a type has in its details."""
    if event_type not in TYPED:
        return ()
    spread, is_renamed = _SPREAD.get(event_type), event_type in _RENAMED
    names = [name for name in TYPED[event_type].fields if name != spread]
    return _ORDER.get(event_type) or tuple(
        _NAMES.get(name, name) if is_renamed else name for name in names
    )


def flat_members(event: Event) -> Iterator[tuple[str, Any]]:
    """Yields the columns of an event's details with their values.

    A member of a user's own map whose name another column has is named with its map:
    `action_payload.step`.
    """
    kind = event.event_type
    fixed = fixed_columns(kind)
    spread, is_renamed = _SPREAD.get(kind), kind in _RENAMED
    for key, value in event.payload.items():
        name = _NAMES.get(key, key) if is_renamed else key
        if name in fixed:
            yield name, value
        elif key == spread and isinstance(value, dict):
            for inner, item in value.items():
                is_taken = inner in COMMON or inner in fixed or inner == _REST
                yield f"{spread}.{inner}" if is_taken else inner, item
        else:
            yield f"details.{name}" if name in COMMON or name == _REST else name, value


def _row(event: Event, columns: Mapping[str, Kind]) -> list[Any]:
    header = event.header
    row = dict.fromkeys(columns)
    row["event_id"] = header.event_id
    row["event_type"] = header.event_type
    turn = header.turn_number
    row["turn"] = None if turn is None else max(-INTEGER_MAX, min(turn, INTEGER_MAX))
    row["step"] = header.step
    row["agent"] = header.agent_id
    row["timestamp"] = header.timestamp
    row["caused_by"] = header.caused_by
    rest: dict[str, Any] = {}
    for name, value in flat_members(event):
        (row if name in columns else rest)[name] = value
    if rest and _REST in columns:
        row[_REST] = rest
    return list(row.values())
