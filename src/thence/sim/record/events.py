"""The events that a simulation builds, before they are written.

Typed events are strict: a wrong value raises a ValueError that names its field, and so do
`details` given to a type with fields of its own. The base `Event` is lenient: any event_type,
any details. All are frozen. The own fields of a typed event are stored in the file, and in
`details`, under the same names.
"""

import re
from collections.abc import Callable, Mapping
from datetime import datetime
from enum import IntEnum
from functools import partial
from typing import Any, ClassVar, NamedTuple, TypeVar, cast

import msgspec
from msgspec.structs import force_setattr

from thence.core.clock import timestamp_of
from thence.core.json_values import repair
from thence.core.new_event import cause_ids
from thence.errors import InvalidEvent
from thence.log.open import new_id, now

DESCRIPTION_CHARACTERS_MAX = 500
_ID = re.compile(r"[0-9A-Za-z_.:-]{1,128}")
_E = TypeVar("_E", bound="Event")


class VerbosityLevel(IntEnum):
    """The level up to which events are written; each level includes those before it.

    SYSTEM events are written at DETAIL, but rejections, retries and changes of the agents from
    DECISION up, and failures and notices of the log itself always.
    """

    MILESTONE = 1
    DECISION = 2
    ACTION = 3
    STATE = 4
    DETAIL = 5


def level_of(verbosity: VerbosityLevel | str) -> VerbosityLevel:
    """Returns the level with a name, in any case; raises ValueError for another name."""
    try:
        if isinstance(verbosity, str):
            return VerbosityLevel[verbosity.upper()]
        return VerbosityLevel(verbosity)
    except (KeyError, ValueError) as error:
        hint = f"use one of {', '.join(level.name for level in VerbosityLevel)}"
        what, cause = "could not set the verbosity", "it is not a level"
        raise InvalidEvent(what, place=repr(verbosity), cause=cause, hint=hint) from error


class Field(NamedTuple):
    """A member of a typed event's details: its JSON Schema, what it holds in words, its check.

    A value of the type `quick` that is not empty needs no check.
    """

    schema: Mapping[str, Any]
    wording: str
    quick: type | None
    holds: Callable[[Any], object]


def _one_of(*choices: str) -> Field:
    wording = f"one of {', '.join(sorted(choices))}"
    return Field({"enum": list(choices)}, wording, None, lambda value: value in choices)


_TEXT = Field({"type": "string", "minLength": 1}, "text that is not empty", str, lambda _: False)
_MAP = Field({"type": "object"}, "a map", dict, lambda value: isinstance(value, Mapping))
_COUNT = Field(
    {"type": "integer", "minimum": 0},
    "an integer from 0",
    None,
    lambda value: type(value) is int and value >= 0,
)
_ANY = Field({}, "any value", None, lambda _: True)
_MILESTONE = _one_of(
    "turn_start", "turn_end", "phase_transition", "simulation_start", "simulation_end"
)
_STATUS = _one_of("success", "failure", "retry", "warning")


class _StoredCause(msgspec.Struct, frozen=True):
    """A cause in a stored line, with an id of any form."""

    event_id: str


class Event(msgspec.Struct, kw_only=True, frozen=True, gc=False):
    """One event of a simulation. `data` is another name for `details`.

    `turn_number` counts from 0, `timestamp` is UTC in ISO 8601 with microseconds (an aware
    datetime is accepted), `caused_by` takes an event, a ULID, several of these or None, a
    `description` over 500 characters is cut and flagged in `repairs`. `step` names the position
    in a run.
    """

    level: ClassVar[int] = 0
    fields: ClassVar[Mapping[str, Field]] = {}

    event_type: str = ""
    simulation_id: str = ""
    turn_number: int = 0
    agent_id: str | None = None
    caused_by: Any = ()
    description: str | None = None
    details: dict[str, Any] = {}
    data: dict[str, Any] | None = None
    step: str | None = None
    begins: bool = False
    ends: str | None = None
    repairs: tuple[dict[str, str], ...] = ()
    event_id: str = ""
    timestamp: str = ""

    def __post_init__(self) -> None:
        details = self.details if self.data is None else self.data
        if not isinstance(details, Mapping):
            raise wrong_value("details", details, "a map of names to values")
        if not isinstance(self.event_type, str) or not self.event_type:
            raise wrong_value("event_type", self.event_type, "text such as ACTION")
        _fill_in(self, details, self.event_type)

    def to_dict(self) -> dict[str, Any]:
        """Returns the event as plain data, without absent members."""
        members = {name: getattr(self, name) for name in _DICT_FIELDS}
        members["caused_by"] = list(self.caused_by)
        members["details"] = dict(self.details)
        return {
            name: value
            for name, value in members.items()
            if value is not None and value is not False and value != []
        }

    def to_json(self) -> str:
        """Returns the event as one line of JSON; values that JSON can't hold are repaired."""
        repaired, _ = repair(self.to_dict())
        return msgspec.json.encode(repaired).decode()

    @classmethod
    def from_dict(cls: type[_E], data: Mapping[str, Any]) -> _E:
        """Builds an event from the result of `to_dict`, or from a line's members.

        A typed class is strict. On `Event` itself the event_type chooses the class; details
        that don't fit that class give a plain `Event`.
        """
        members: dict[str, Any] = {k: data[k] for k in (*_DICT_FIELDS, "data") if k in data}
        causes = members.get("caused_by") or ()
        members["caused_by"] = (
            causes if isinstance(causes, str) else tuple(map(_StoredCause, causes))
        )
        event_class = TYPED.get(str(members.get("event_type")), Event) if cls is Event else cls
        if event_class is Event:
            return cls(**members)
        own = {name: value for name, value in members.items() if name not in ("details", "data")}
        details = members.get("details") or members.get("data") or {}
        own |= {name: details[name] for name in event_class.fields if name in details}
        if others := {k: v for k, v in details.items() if k not in event_class.fields}:
            own["details"] = others
        try:
            return event_class(**own)  # type: ignore[return-value]
        except InvalidEvent:
            if cls is not Event:
                raise
        return cls(**members)

    def __reduce__(self) -> tuple[Any, ...]:
        """Pickles the constructor's arguments: a typed event makes its details itself."""
        derived = ("details", "data") if self.fields else ()
        arguments = {n: getattr(self, n) for n in self.__struct_fields__ if n not in derived}
        return partial(type(self), **arguments), ()


def wrong_value(field: str, value: object, wording: str) -> InvalidEvent:
    """Returns the error for a field with a wrong value."""
    cause, hint = f"{value!r:.80} is not {wording}", f"pass {wording} as {field}"
    return InvalidEvent("could not make the event", place=f"field {field}", cause=cause, hint=hint)


def _reader_of(fields: Mapping[str, Field]) -> Callable[[Any], dict[str, Any]]:
    """Returns a function that checks an event's own fields and returns them as details.

    It is generated: a loop over the fields takes twice the time.
    """
    lines, scope = ["def details_of(event):"], {"fields": fields, "wrong_value": wrong_value}
    for name, field in fields.items():
        lines.append(f"    {name} = event.{name}")
        if field is not _ANY:
            quick = f"type({name}) is {field.quick.__name__} and {name}" if field.quick else "False"
            lines += [
                f"    if not ({quick} or fields[{name!r}].holds({name})):",
                f"        raise wrong_value({name!r}, {name}, fields[{name!r}].wording)",
            ]
    lines.append(f"    return {{{', '.join(f'{name!r}: {name}' for name in fields)}}}")
    exec("\n".join(lines), scope)
    return cast(Callable[[Any], dict[str, Any]], scope["details_of"])


class TypedEvent(Event, frozen=True, gc=False):
    """An event whose details hold the members of `fields`.

    `needs_agent` is True where it must have an agent, False where it must have none.
    """

    kind: ClassVar[str]
    needs_agent: ClassVar[bool | None] = None
    simulation_id: str = ""
    turn_number: int = 0
    _details_of: ClassVar[Callable[[Any], dict[str, Any]]]

    def __init_subclass__(cls) -> None:
        cls._details_of = _reader_of(cls.fields)

    def __post_init__(self) -> None:
        agent_id, needs_agent = self.agent_id, self.needs_agent
        if needs_agent is not None and (
            type(agent_id) is not str or not agent_id if needs_agent else agent_id is not None
        ):
            wording = _TEXT.wording if needs_agent else "absent from a milestone"
            raise wrong_value("agent_id", agent_id, wording)
        _fill_in(self, self._details_of(), self.kind)


class MilestoneEvent(TypedEvent, frozen=True, gc=False):
    """A point in a run: the start or end of the run, a turn, a phase. It has no agent."""

    level = VerbosityLevel.MILESTONE
    fields = {"milestone_type": _MILESTONE}
    needs_agent = False
    kind = "MILESTONE"
    milestone_type: str = ""


class DecisionEvent(TypedEvent, frozen=True, gc=False):
    """A choice that an agent made."""

    level = VerbosityLevel.DECISION
    fields = {"decision_type": _TEXT, "old_value": _ANY, "new_value": _ANY}
    needs_agent = True
    kind = "DECISION"
    agent_id: str | None = None
    decision_type: str = ""
    old_value: Any = None
    new_value: Any = None


class ActionEvent(TypedEvent, frozen=True, gc=False):
    """An action that an agent took, after a validator had accepted it."""

    level = VerbosityLevel.ACTION
    fields = {"action_type": _TEXT, "action_payload": _MAP}
    needs_agent = True
    kind = "ACTION"
    agent_id: str | None = None
    action_type: str = ""
    action_payload: dict[str, Any] = {}


class StateEvent(TypedEvent, frozen=True, gc=False):
    """A variable that changed. `scope` is its owner: `global`, `agent/<name>` or `place/<name>`."""

    level = VerbosityLevel.STATE
    fields = {"variable_name": _TEXT, "old_value": _ANY, "new_value": _ANY, "scope": _TEXT}
    kind = "STATE"
    variable_name: str = ""
    old_value: Any = None
    new_value: Any = None
    scope: str = "global"


class DetailEvent(TypedEvent, frozen=True, gc=False):
    """The calculation of a value."""

    level = VerbosityLevel.DETAIL
    fields = {"calculation_type": _TEXT, "intermediate_values": _MAP}
    kind = "DETAIL"
    calculation_type: str = ""
    intermediate_values: dict[str, Any] = {}


class SystemEvent(TypedEvent, frozen=True, gc=False):
    """An occurrence in the run itself, such as an error; one with more facts is an `Event`."""

    level = VerbosityLevel.DETAIL
    fields = {"error_type": _TEXT, "status": _STATUS, "retry_count": _COUNT}
    kind = "SYSTEM"
    error_type: str = ""
    status: str = ""
    retry_count: int = 0


_CLASSES = (MilestoneEvent, DecisionEvent, ActionEvent, StateEvent, DetailEvent, SystemEvent)
TYPED: Mapping[str, type[TypedEvent]] = {event_class.kind: event_class for event_class in _CLASSES}


_DICT_FIELDS = (
    "event_id",
    "timestamp",
    "turn_number",
    "event_type",
    "simulation_id",
    "agent_id",
    "caused_by",
    "description",
    "step",
    "begins",
    "ends",
    "details",
)


def _fill_in(event: Event, details: dict[str, Any], event_type: str) -> None:
    """Checks the common fields; fills in details, id and time; converts caused_by to ids."""
    turn_number = event.turn_number
    if type(turn_number) is not int or turn_number < 0:
        raise wrong_value("turn_number", turn_number, "an integer from 0")
    if not event.event_type:
        force_setattr(event, "event_type", event_type)
    elif event.event_type != event_type:
        raise wrong_value("event_type", event.event_type, event_type)
    if type(event.simulation_id) is not str:
        raise wrong_value("simulation_id", event.simulation_id, "text")
    passed = event.data or event.details
    if passed and passed is not details and passed != details:
        cause = f"{event.event_type} has no place for {passed!r:.80}"
        hint = f"pass {', '.join(event.fields)}, or build a base Event, which takes any details"
        what, place = "could not make the event", "field details"
        raise InvalidEvent(what, place=place, cause=cause, hint=hint)
    force_setattr(event, "details", details)
    if event.caused_by != ():
        force_setattr(event, "caused_by", tuple(dict.fromkeys(cause_ids(event.caused_by))))
    if not event.event_id and not event.timestamp:
        force_setattr(event, "event_id", new_id())
        force_setattr(event, "timestamp", now())
    else:  # the caller gave one, or both
        event_id = event.event_id or new_id()
        if not isinstance(event_id, str) or not _ID.fullmatch(event_id):
            raise wrong_value("event_id", event_id, "an id such as create_action_event makes")
        force_setattr(event, "event_id", event_id)
        time: Any = event.timestamp or now()
        try:
            time = timestamp_of(datetime.fromisoformat(time) if isinstance(time, str) else time)
        except (ValueError, AttributeError) as error:
            raise wrong_value("timestamp", time, "a UTC time in ISO 8601") from error
        force_setattr(event, "timestamp", time)
    if (description := event.description) is None:
        return
    if not isinstance(description, str):
        raise wrong_value("description", description, "text")
    if len(description) > DESCRIPTION_CHARACTERS_MAX:
        force_setattr(event, "description", description[:DESCRIPTION_CHARACTERS_MAX])
        cut = {"path": "description", "was": f"{len(description)} characters"}
        force_setattr(event, "repairs", (*event.repairs, cut))


# each with a new id and the present time; the members of its own may be given by their place
create_milestone_event = MilestoneEvent
create_decision_event = DecisionEvent
create_action_event = ActionEvent
create_state_event = StateEvent
create_detail_event = DetailEvent
create_system_event = SystemEvent
