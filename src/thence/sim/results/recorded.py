"""A run that is read back from its folder: its settings, its result, its tables.

The values of variables come from the STATE events: a variable has the old value of its first change
until then, and the new one of each change from its turn on. Those of an agent that was added begin
in that turn, with the values that the event of its addition has.
"""

import json
import warnings
from collections.abc import Iterable, Iterator, Mapping, Sequence
from fnmatch import fnmatchcase
from functools import lru_cache
from itertools import islice
from pathlib import Path
from typing import Any, NamedTuple, Self

import msgspec

from thence.core.event import Event
from thence.core.nearest import did_you_mean, nearest
from thence.core.query.filter import Names, names
from thence.core.ready import ready
from thence.core.sentences.table import INTEGER_MAX
from thence.errors import InvalidFilter, NotALog, ThenceError
from thence.log.open import Log, open_log
from thence.sim.populations.hooks import plain_value
from thence.sim.record.events import TYPED, VerbosityLevel, level_of
from thence.sim.results.table import Kind, Table, Values, joined, kind_of
from thence.sim.scenario.state import GLOBAL

COMMON: Mapping[str, Kind] = {
    "event_id": "str",
    "event_type": "str",
    "turn": "int",
    "step": "str",
    "agent": "str",
    "timestamp": "time",
    "caused_by": "ids",
}
# the members of details that are maps of a user's own, and stand flat
_SPREAD = {"ACTION": "action_payload", "DETAIL": "intermediate_values"}
# the columns of a STATE by the members of its details; other types name theirs as the members are
_COLUMNS = {"variable_name": "variable", "scope": "scope", "old_value": "old", "new_value": "new"}
VARIABLE_TYPES = ("MILESTONE", "STATE", "SYSTEM")
# the types of the members of result.json that are used
_RESULT: Mapping[str, Any] = {
    "status": str,
    "reason": str,
    "error": str | None,
    "turns": int,
    "decisions": int,
    "decisions_failed": int,
    "final_state": dict[str, dict[str, Any]],
}


def open_run(path: str | Path) -> "RecordedRun":
    """Opens the run in a folder for reading, while it grows as well as after its end.

    Raises NotALog if there is no simulation run, `read_failed`.
    """
    return RecordedRun(path)


class RecordedRun:
    """The run in a folder, read back; nothing is appended. Close it, or use `with`.

    `config` is the content of config.json, {} where there is none. `log` is the open log, with
    `query`, `why` and `effects`.
    """

    def __init__(self, path: str | Path) -> None:
        self.folder: Path = Path(path).absolute()
        self.log: Log = open_log(self.folder, create=False)
        if self.log.vocabulary.name != "sim":
            cause = f"it is a {self.log.vocabulary.name} log, not a simulation's run"
            hint = "`thence sim list` lists the runs, `thence log` the events of any log"
            self.log.close()
            raise NotALog("could not open the run", place=self.folder, cause=cause, hint=hint)
        self.config = read_object(self.folder / "config.json")

    @property
    def run_id(self) -> str:
        """The id of the run: the name that its folder got."""
        return str(self.config.get("run_id") or self.folder.resolve().name)

    @property
    def result(self) -> dict[str, Any]:
        """The content of result.json; {} until the run's end, and after a kill."""
        return read_result(self.folder)

    @property
    def verbosity(self) -> VerbosityLevel | None:
        """The verbosity of the run; None where config.json does not hold it."""
        events = self.config.get("events")
        try:
            return level_of(events["verbosity"]) if isinstance(events, dict) else None
        except (KeyError, TypeError, ValueError):
            return None

    def events(self, type: Names = None) -> Table:
        """Returns the table of all events, or of those of one type or several.

        A row is an event, in total order, with event_id, event_type, turn, step, agent,
        timestamp, caused_by, and the details as columns of their own: variable, scope, old and
        new of a STATE; decision_type, old and new of a DECISION; action_type and the members of
        the payload of an ACTION. The columns of the types that thence knows are there without any
        such event, too. Raises `not_recorded` for a type that the verbosity left out.
        """
        types = names("type", type)
        for event_type in types:
            self._check_recorded(event_type)
        columns = (name for event_type in types for name in _columns_of(event_type).values())
        table = Table.of(lambda: map(_row, self._read(types)), COMMON, columns)
        for event_type in () if len(table) else types:
            if event_type not in TYPED:
                hint = did_you_mean(event_type, TYPED)
                warnings.warn(f"the run holds no event of type {event_type}{hint}", stacklevel=2)
        return table

    def variables(self, scope: Names = None, name: Names = None) -> Table:
        """Returns the table of the variables' values after each complete turn.

        A row is a turn, from 0, before the first; the columns are `turn` and
        `<scope>/<name>` for each variable. `scope` and `name` choose among these, each a
        string or several, `*` for any characters. Until result.json is written, only variables
        that have changed are known. Warns if events with changes are missing. Raises
        `not_recorded` if the run's verbosity left out STATE events, InvalidFilter if no variable
        fits.
        """
        scopes, chosen = names("scope", scope), names("name", name)
        self._check_recorded("STATE")
        count = self.log.query(type=VARIABLE_TYPES, limit=1).total

        def read() -> Iterator[TurnChanges]:
            return turns_of(islice(self._read(VARIABLE_TYPES), count))

        history = self._history(read())
        columns = [
            variable
            for variable in history.initial
            if _fits(variable.rpartition("/")[0], scopes)
            and _fits(variable.rpartition("/")[2], chosen)
        ]
        if (scopes or chosen) and not columns:
            owners, own = ([one.rpartition("/")[at] for one in history.initial] for at in (0, 2))
            key, patterns, known = "name", chosen, own
            if scopes and not any(_fits(owner, scopes) for owner in owners):
                key, patterns, known = "scope", scopes, owners
            cause = f"no variable of the run has the {key} {', '.join(patterns)}"
            hint = _nearest(patterns[0], known)
            raise InvalidFilter("could not choose variables", key=key, cause=cause, hint=hint)

        def rows() -> Iterator[Values]:
            values = {variable: history.initial[variable] for variable in columns}
            for turn in read():
                for change in turn.changes:
                    if change.variable in values:
                        values[change.variable] = change.new
                yield (turn.number, *values.values())

        kinds = {variable: history.kinds[variable] for variable in columns}
        return Table({"turn": "int", **kinds}, rows, len(history.turns))

    def courses(self, patterns: Sequence[str]) -> tuple[list[int], dict[str, list[Any]]]:
        """Returns the turns, and of each variable that fits a pattern its value after each.

        The log is read once; otherwise it works as `variables` does. Raises `not_recorded`,
        InvalidFilter.
        """
        self._check_recorded("STATE")
        history = self._history(turns_of(self._read(VARIABLE_TYPES)), patterns)
        length = len(history.turns)
        return history.turns, {
            variable: history.columns.get(variable) or [history.initial[variable]] * length
            for variable in fitting([*history.initial], patterns)
        }

    def _history(self, turns: Iterable["TurnChanges"], patterns: Sequence[str] = ()) -> "History":
        """Reads the history of all variables, with the columns of those that fit a pattern.

        Variables are in the order of the scenario, with those that never changed, as result.json
        has them; without it that order is not known: then globals come first, then places.
        """
        initial: dict[str, Any] = {}
        current: dict[str, Any] = {}
        kinds: dict[str, Kind] = {}
        numbers: list[int] = []
        columns: dict[str, list[Any]] = {}
        gaps: list[str] = []
        for turn in turns:
            for variable, old, new, step in turn.changes:
                if variable not in initial:
                    initial[variable], kinds[variable] = old, kind_of(old)
                    if patterns and _fits(variable, patterns):
                        columns[variable] = [old] * len(numbers)
                elif current[variable] != old:
                    gaps.append(step)
                current[variable] = new
                kinds[variable] = joined(kinds[variable], kind_of(new))
            numbers.append(turn.number)
            for variable, column in columns.items():
                column.append(current[variable])
        final = final_values(self.result)
        others = [name for name in initial if name not in final]
        # globals, then those of places, then of agents
        others.sort(
            key=lambda name: (not name.startswith("global/"), not name.startswith("place/"))
        )
        initial = {name: initial.get(name, final.get(name)) for name in (*final, *others)}
        if not initial and self.verbosity is None:
            raise self._not_recorded("STATE", "the log holds none")
        if gaps:
            text = f"{len(gaps):,} changes follow others that are not in the log, the first at"
            text += f" {gaps[0]}; until then a variable keeps its last known value"
            warnings.warn(text, stacklevel=3)
        kinds = {name: kinds.get(name) or kind_of(value) for name, value in initial.items()}
        return History(initial, kinds, numbers, columns)

    def _repr_html_(self) -> str:
        from thence.core.notebook import facts_html

        result = self.result
        return facts_html(f"{self.run_id}: {result.get('status', 'no result')}", result)

    def close(self) -> None:
        """Closes the run's log."""
        self.log.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _read(self, types: Sequence[str]) -> Iterator[Event]:
        """Yields the events of some types, of all without any, a page in memory at once."""
        for page in self.log.pages(type=types):
            yield from page.events

    def _check_recorded(self, event_type: str) -> None:
        """Raises `not_recorded` for a type above the run's verbosity; SYSTEM comes at any."""
        written = self.verbosity
        level = TYPED[event_type].level if event_type in TYPED and event_type != "SYSTEM" else 0
        if written is not None and level > written:
            raise self._not_recorded(event_type, f"it ran with verbosity {written.name}")

    def _not_recorded(self, event_type: str, cause: str) -> ThenceError:
        what = f"could not read {event_type} events of the run"
        hint = f"run it again: thence sim run SCENARIO --verbosity {event_type}"
        place, code = self.folder, "not_recorded"
        return ThenceError(what, place=place, cause=cause, hint=hint, code=code)


def read_result(folder: Path) -> dict[str, Any]:
    """Returns the content of a run's result.json, {} where there is none.

    A member of another type than a run writes, which somebody changed, is left out.
    """
    content = read_object(folder / "result.json")
    for name in _RESULT.keys() & content.keys():
        try:
            msgspec.convert(content[name], ready(_RESULT[name]))
        except msgspec.ValidationError:
            del content[name]
    return content


def final_values(result: Mapping[str, Any]) -> dict[str, Any]:
    """Returns the values of a result's final state by `<scope>/<name>`."""
    return {
        f"{scope}/{name}": plain_value(value)
        for scope, variables in result.get("final_state", {}).items()
        for name, value in variables.items()
    }


def read_object(path: Path) -> dict[str, Any]:
    """Reads a JSON object that the run wrote; {} where there is none."""
    try:
        value = json.loads(path.read_bytes())
    except (OSError, ValueError):
        return {}
    return value if isinstance(value, dict) else {}


def _fits(text: str, patterns: Sequence[str]) -> bool:
    return not patterns or any(
        text == pattern or fnmatchcase(text, pattern) for pattern in patterns
    )


def _nearest(name: str, names: Iterable[str]) -> str:
    near = nearest(name, names, likeness=0)
    return f"the nearest is {near[0]}" if near else "the run has no variables"


def fitting(columns: Sequence[str], patterns: Sequence[str]) -> list[str]:
    """Returns the variables that fit the patterns, in their order; raises InvalidFilter."""
    chosen: dict[str, None] = {}
    for pattern in patterns:
        names = [name for name in columns if _fits(name, (pattern,))]
        if not names:
            what, cause = "could not draw the variable", "no variable of the run has this name"
            raise InvalidFilter(what, key=pattern, cause=cause, hint=_nearest(pattern, columns))
        chosen |= dict.fromkeys(names)
    return list(chosen)


@lru_cache
def _columns_of(event_type: str) -> Mapping[str, str]:
    """Returns the columns that each event of a type has, by the members of its details."""
    if event_type == "STATE":
        return _COLUMNS
    fields = TYPED[event_type].fields if event_type in TYPED else ()
    return {name: _COLUMNS.get(name, name) for name in fields if name != _SPREAD.get(event_type)}


def flat_members(event: Event) -> Iterator[tuple[str, Any]]:
    """Yields the columns of an event's details with their values.

    A member of a user's own map whose name another column has is named with its map:
    `action_payload.step`.
    """
    columns, spread = _columns_of(event.event_type), _SPREAD.get(event.event_type)
    for name, value in event.payload.items():
        if name in columns:
            yield columns[name], value
        elif name == spread and isinstance(value, dict):
            for inner, item in value.items():
                is_taken = inner in COMMON or inner in columns.values()
                yield f"{spread}.{inner}" if is_taken else inner, item
        else:
            yield f"details.{name}" if name in COMMON else name, value


def _row(event: Event) -> dict[str, Any]:
    header, turn = event.header, event.turn_number
    return {
        "event_id": header.event_id,
        "event_type": header.event_type,
        "turn": None if turn is None else max(-INTEGER_MAX, min(turn, INTEGER_MAX)),
        "step": header.step,
        "agent": header.agent_id,
        "timestamp": header.timestamp,
        "caused_by": header.caused_by,
        **dict(flat_members(event)),
    }


class Change(NamedTuple):
    """A change of a variable; `step` names the event.

    The first one of an agent that was added makes its variable: the old value is None.
    """

    variable: str
    old: Any
    new: Any
    step: str


class TurnChanges(NamedTuple):
    """A complete turn with its changes, in their order."""

    number: int
    changes: list[Change]


class History(NamedTuple):
    """What the turns of a run tell of its variables, each by `<scope>/<name>`.

    `initial` are the values before the first turn, None for what came later; `columns` are the
    values after each turn, of the chosen ones that changed.
    """

    initial: dict[str, Any]
    kinds: dict[str, Kind]
    turns: list[int]
    columns: dict[str, list[Any]]


def turns_of(events: Iterable[Event]) -> Iterator[TurnChanges]:
    """Yields the turns of a run, of events of VARIABLE_TYPES.

    The first turn is 0, before the first one that is played. A last turn that has begun, but
    not ended, is left out: its changes are not complete.
    """
    turn, is_begun, is_empty = TurnChanges(0, []), False, True
    for event in events:
        if event.turn_number is None:
            continue
        if event.event_type == "SYSTEM" and not (
            ".added" in (event.step or "")  # the payloads of others are not decoded
            and event.payload.get("error_type") == "agent_added"
            and isinstance(event.payload.get("initial"), dict)
        ):
            continue
        number = min(event.turn_number, INTEGER_MAX)  # another tool may write any
        if number > turn.number:
            yield turn
            turn, is_begun = TurnChanges(number, []), False
        is_empty = False
        if event.event_type == "MILESTONE":
            milestone = event.payload.get("milestone_type")
            is_begun = milestone == "turn_start" or (is_begun and milestone != "turn_end")
        turn.changes.extend(_changes(event))
    if not is_empty and not is_begun:
        yield turn


def _changes(event: Event) -> Iterator[Change]:
    if event.event_type == "MILESTONE":
        return
    details, step = event.payload, event.step or event.event_id
    if event.event_type == "SYSTEM":
        for name, value in details["initial"].items():
            yield Change(f"agent/{event.actor}/{name}", None, value, step)
        return
    scope, name = details.get("scope", GLOBAL), details.get("variable_name")
    if isinstance(scope, str) and isinstance(name, str):
        old, new = plain_value(details.get("old_value")), plain_value(details.get("new_value"))
        yield Change(f"{scope}/{name}", old, new, step)
