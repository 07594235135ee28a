"""The events that a simulation builds, before they are written.

Typed events are strict: a wrong value raises a ValueError that names its field, and so do
`details` given to a type with fields of its own. The base `Event` is lenient: any event_type,
any details. All are frozen. The own fields of a typed event are stored in the file, and in
`details`, under the same names.
"""

import re
from collections.abc import Iterable, Mapping
from datetime import datetime
from enum import IntEnum
from functools import partial
from typing import Any, ClassVar, TypeVar

import msgspec
from msgspec.structs import force_setattr

from thence.core.clock import timestamp_of
from thence.core.values.codec import Members
from thence.core.values.new_event import Causes, cause_ids
from thence.core.values.payload import is_plain, is_scalar, repair
from thence.errors import InvalidEvent
from thence.replica import new_id, now
from thence.sim.schemas import MILESTONES, STATUSES


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
        names = ", ".join(level.name for level in VerbosityLevel)
        raise InvalidEvent(
            "could not set the verbosity",
            place=repr(verbosity),
            cause="it is no level",
            hint=f"use one of {names}",
        ) from error


DESCRIPTION_CHARACTERS_MAX = 500
_ID = re.compile(r"[0-9A-Za-z_.:-]{1,128}")

_E = TypeVar("_E", bound="Event")


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
    fields: ClassVar[tuple[str, ...]] = ()

    event_type: str = ""
    simulation_id: str = ""
    turn_number: int = 0
    agent_id: str | None = None
    caused_by: tuple[str, ...] = ()
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
            raise wrong_value("event_type", self.event_type, "a text such as ACTION")
        _fill_in(self, details, self.event_type)

    def is_plain(self) -> bool:
        """Reports, quickly, whether the given values need no repair; False if unsure."""
        return is_plain(self.details)

    def to_dict(self) -> dict[str, Any]:
        """Returns the event as plain data, without absent members."""
        found = {name: getattr(self, name) for name in _DICT_FIELDS}
        found["caused_by"] = list(self.caused_by)
        found["details"] = dict(self.details)
        return {
            name: value
            for name, value in found.items()
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
        if event_class is not Event:
            try:
                return event_class(**_arguments(event_class, members))  # type: ignore[return-value]
            except InvalidEvent:
                if cls is not Event:
                    raise
        return cls(**members)

    def __reduce__(self) -> tuple[Any, ...]:
        """Pickles the constructor's arguments: a typed event makes its details itself."""
        derived = ("details", "data") if self.fields else ()
        given = {n: getattr(self, n) for n in self.__struct_fields__ if n not in derived}
        return partial(type(self), **given), ()


class MilestoneEvent(Event, kw_only=True, frozen=True, gc=False):
    """A point in a run: the start or end of the run, a turn, a phase. It has no agent."""

    level: ClassVar[int] = VerbosityLevel.MILESTONE
    fields: ClassVar[tuple[str, ...]] = ("milestone_type",)
    event_type: str = "MILESTONE"
    milestone_type: str = ""

    def __post_init__(self) -> None:
        if self.milestone_type not in MILESTONES:
            raise wrong_value("milestone_type", self.milestone_type, _one_of(MILESTONES))
        if self.agent_id is not None:
            raise wrong_value("agent_id", self.agent_id, "absent from a milestone")
        _fill_in(self, {"milestone_type": self.milestone_type}, "MILESTONE")

    def is_plain(self) -> bool:
        return True


class DecisionEvent(Event, kw_only=True, frozen=True, gc=False):
    """A choice that an agent made."""

    level: ClassVar[int] = VerbosityLevel.DECISION
    fields: ClassVar[tuple[str, ...]] = ("decision_type", "old_value", "new_value")
    event_type: str = "DECISION"
    decision_type: str = ""
    old_value: Any = None
    new_value: Any = None

    def __post_init__(self) -> None:
        _need_texts(self.agent_id, self.decision_type, ("agent_id", "decision_type"))
        details = {
            "decision_type": self.decision_type,
            "old_value": self.old_value,
            "new_value": self.new_value,
        }
        _fill_in(self, details, "DECISION")

    def is_plain(self) -> bool:
        return is_scalar(self.old_value) and is_scalar(self.new_value)


class ActionEvent(Event, kw_only=True, frozen=True, gc=False):
    """An action that an agent took, after a validator had accepted it."""

    level: ClassVar[int] = VerbosityLevel.ACTION
    fields: ClassVar[tuple[str, ...]] = ("action_type", "action_payload")
    event_type: str = "ACTION"
    action_type: str = ""
    action_payload: dict[str, Any] = {}

    def __post_init__(self) -> None:
        agent_id, action_type, payload = self.agent_id, self.action_type, self.action_payload
        if not (agent_id and action_type and type(agent_id) is type(action_type) is str):
            _need_texts(agent_id, action_type, ("agent_id", "action_type"))
        if type(payload) is not dict and not isinstance(payload, Mapping):
            raise wrong_value("action_payload", payload, "a map of names to values")
        details = {"action_type": action_type, "action_payload": payload}
        _fill_in(self, details, "ACTION")

    def is_plain(self) -> bool:
        return is_plain(self.action_payload)


class StateEvent(Event, kw_only=True, frozen=True, gc=False):
    """A variable that changed. `scope` is its owner: `global`, `agent/<name>` or `place/<name>`."""

    level: ClassVar[int] = VerbosityLevel.STATE
    fields: ClassVar[tuple[str, ...]] = ("variable_name", "old_value", "new_value", "scope")
    event_type: str = "STATE"
    variable_name: str = ""
    old_value: Any = None
    new_value: Any = None
    scope: str = "global"

    def __post_init__(self) -> None:
        _need_texts(self.variable_name, self.scope, ("variable_name", "scope"))
        details = {
            "variable_name": self.variable_name,
            "old_value": self.old_value,
            "new_value": self.new_value,
            "scope": self.scope,
        }
        _fill_in(self, details, "STATE")

    def is_plain(self) -> bool:
        return is_scalar(self.old_value) and is_scalar(self.new_value)


class DetailEvent(Event, kw_only=True, frozen=True, gc=False):
    """The calculation of a value."""

    level: ClassVar[int] = VerbosityLevel.DETAIL
    fields: ClassVar[tuple[str, ...]] = ("calculation_type", "intermediate_values")
    event_type: str = "DETAIL"
    calculation_type: str = ""
    intermediate_values: dict[str, Any] = {}

    def __post_init__(self) -> None:
        _need_texts(self.calculation_type, "-", ("calculation_type", ""))
        if not isinstance(self.intermediate_values, Mapping):
            raise wrong_value("intermediate_values", self.intermediate_values, "a map")
        details = {
            "calculation_type": self.calculation_type,
            "intermediate_values": self.intermediate_values,
        }
        _fill_in(self, details, "DETAIL")


class SystemEvent(Event, kw_only=True, frozen=True, gc=False):
    """An occurrence in the run itself, such as an error. `extra` adds facts to details."""

    level: ClassVar[int] = VerbosityLevel.DETAIL
    fields: ClassVar[tuple[str, ...]] = ("error_type", "status", "retry_count")
    event_type: str = "SYSTEM"
    error_type: str = ""
    status: str = ""
    retry_count: int = 0
    extra: dict[str, Any] = {}

    def __post_init__(self) -> None:
        _need_texts(self.error_type, "-", ("error_type", ""))
        if self.status not in STATUSES:
            raise wrong_value("status", self.status, _one_of(STATUSES))
        if type(self.retry_count) is not int or self.retry_count < 0:
            raise wrong_value("retry_count", self.retry_count, "an integer from 0")
        details = {
            "error_type": self.error_type,
            "status": self.status,
            "retry_count": self.retry_count,
            **self.extra,
        }
        _fill_in(self, details, "SYSTEM")


TYPED: Mapping[str, type[Event]] = {
    "MILESTONE": MilestoneEvent,
    "DECISION": DecisionEvent,
    "ACTION": ActionEvent,
    "STATE": StateEvent,
    "DETAIL": DetailEvent,
    "SYSTEM": SystemEvent,
}


def event_of(members: Members) -> Event:
    """Returns the event with the members of a simulation's line."""
    details = dict(members.details or {})
    event_class = TYPED[members.event_type]
    own = {name: details.pop(name) for name in event_class.fields}
    if event_class is SystemEvent:
        own["extra"] = details
    return event_class(
        simulation_id=members.simulation_id or "",
        turn_number=members.turn_number or 0,
        agent_id=members.agent_id,
        caused_by=members.caused_by,
        description=members.description,
        step=members.step,
        begins=members.begins,
        ends=members.ends,
        event_id=members.event_id,
        timestamp=members.timestamp,
        **own,
    )


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


def wrong_value(field: str, value: object, wanted: str) -> InvalidEvent:
    """Returns the error for a field with a wrong value."""
    return InvalidEvent(
        "could not make the event",
        place=f"field {field}",
        cause=f"{value!r:.80} is not {wanted}",
        hint=f"pass {wanted} as {field}",
    )


def _fill_in(event: Event, details: dict[str, Any], event_type: str) -> None:
    """Checks the common fields; fills in details, id and time; converts caused_by to ids."""
    turn_number = event.turn_number
    if type(turn_number) is not int or turn_number < 0:
        raise wrong_value("turn_number", turn_number, "an integer from 0")
    if event.event_type != event_type:
        raise wrong_value("event_type", event.event_type, event_type)
    if type(event.simulation_id) is not str:
        raise wrong_value("simulation_id", event.simulation_id, "a text")
    given = event.data or event.details
    if given and given is not details and given != details:
        _refuse_details(event, given)
    force_setattr(event, "details", details)
    if event.caused_by != ():
        force_setattr(event, "caused_by", tuple(dict.fromkeys(cause_ids(event.caused_by))))
    if not event.event_id and not event.timestamp:
        force_setattr(event, "event_id", new_id())
        force_setattr(event, "timestamp", now())
    else:
        _check_given(event)
    if event.description is not None:
        _cut_description(event, event.description)


def _check_given(event: Event) -> None:
    """Checks an id or a time that the caller gave, and fills in the other."""
    event_id = event.event_id or new_id()
    if not isinstance(event_id, str) or not _ID.fullmatch(event_id):
        raise wrong_value("event_id", event_id, "an id such as create_action_event makes")
    force_setattr(event, "event_id", event_id)
    force_setattr(event, "timestamp", _timestamp(event.timestamp) if event.timestamp else now())


def _refuse_details(event: Event, given: Any) -> None:
    own = ", ".join((*event.fields, *(("extra",) if isinstance(event, SystemEvent) else ())))
    raise InvalidEvent(
        "could not make the event",
        place="field details",
        cause=f"{event.event_type} has no place for {given!r:.80}",
        hint=f"pass {own}, or build a base Event, which takes any details",
    )


def _timestamp(value: Any) -> str:
    try:
        return timestamp_of(datetime.fromisoformat(value) if isinstance(value, str) else value)
    except (ValueError, AttributeError) as error:
        raise wrong_value("timestamp", value, "a UTC time in ISO 8601") from error


def _cut_description(event: Event, description: str) -> None:
    if not isinstance(description, str):
        raise wrong_value("description", description, "a text")
    if len(description) > DESCRIPTION_CHARACTERS_MAX:
        force_setattr(event, "description", description[:DESCRIPTION_CHARACTERS_MAX])
        cut = {"path": "description", "was": f"{len(description)} characters"}
        force_setattr(event, "repairs", (*event.repairs, cut))


def _need_texts(first: Any, second: Any, fields: tuple[str, str]) -> None:
    if type(first) is not str or not first:
        raise wrong_value(fields[0], first, "a text that is not empty")
    if type(second) is not str or not second:
        raise wrong_value(fields[1], second, "a text that is not empty")


def _one_of(choices: Iterable[str]) -> str:
    return f"one of {', '.join(sorted(choices))}"


def _arguments(event_class: type[Event], members: dict[str, Any]) -> dict[str, Any]:
    """Returns constructor arguments: typed fields out of details, for SYSTEM the rest as extra."""
    arguments = {name: value for name, value in members.items() if name not in ("details", "data")}
    details = members.get("details") or members.get("data") or {}
    arguments |= {name: details[name] for name in event_class.fields if name in details}
    if others := {k: v for k, v in details.items() if k not in event_class.fields}:
        arguments["extra" if event_class is SystemEvent else "details"] = others
    return arguments


def create_milestone_event(
    simulation_id: str,
    turn_number: int,
    milestone_type: str,
    *,
    caused_by: Causes = None,
    description: str | None = None,
    step: str | None = None,
) -> MilestoneEvent:
    """Returns a milestone event, for a point in a run, with a new id and the present time."""
    return MilestoneEvent(
        simulation_id=simulation_id,
        turn_number=turn_number,
        milestone_type=milestone_type,
        caused_by=caused_by,  # type: ignore[arg-type]
        description=description,
        step=step,
    )


def create_decision_event(
    simulation_id: str,
    turn_number: int,
    agent_id: str,
    decision_type: str,
    old_value: Any = None,
    new_value: Any = None,
    *,
    caused_by: Causes = None,
    description: str | None = None,
    step: str | None = None,
) -> DecisionEvent:
    """Returns a decision event, for an agent's choice, with a new id and the present time."""
    return DecisionEvent(
        simulation_id=simulation_id,
        turn_number=turn_number,
        agent_id=agent_id,
        decision_type=decision_type,
        old_value=old_value,
        new_value=new_value,
        caused_by=caused_by,  # type: ignore[arg-type]
        description=description,
        step=step,
    )


def create_action_event(
    simulation_id: str,
    turn_number: int,
    agent_id: str,
    action_type: str,
    action_payload: dict[str, Any] | None = None,
    *,
    caused_by: Causes = None,
    description: str | None = None,
    step: str | None = None,
) -> ActionEvent:
    """Returns an action event, for an agent's action, with a new id and the present time."""
    return ActionEvent(
        simulation_id=simulation_id,
        turn_number=turn_number,
        agent_id=agent_id,
        action_type=action_type,
        action_payload=action_payload or {},
        caused_by=caused_by,  # type: ignore[arg-type]
        description=description,
        step=step,
    )


def create_state_event(
    simulation_id: str,
    turn_number: int,
    variable_name: str,
    old_value: Any = None,
    new_value: Any = None,
    scope: str = "global",
    *,
    agent_id: str | None = None,
    caused_by: Causes = None,
    description: str | None = None,
    step: str | None = None,
) -> StateEvent:
    """Returns a state event, for a changed variable, with a new id and the present time."""
    return StateEvent(
        simulation_id=simulation_id,
        turn_number=turn_number,
        variable_name=variable_name,
        old_value=old_value,
        new_value=new_value,
        scope=scope,
        agent_id=agent_id,
        caused_by=caused_by,  # type: ignore[arg-type]
        description=description,
        step=step,
    )


def create_detail_event(
    simulation_id: str,
    turn_number: int,
    calculation_type: str,
    intermediate_values: dict[str, Any] | None = None,
    *,
    agent_id: str | None = None,
    caused_by: Causes = None,
    description: str | None = None,
    step: str | None = None,
) -> DetailEvent:
    """Returns a detail event, for a calculation, with a new id and the present time."""
    return DetailEvent(
        simulation_id=simulation_id,
        turn_number=turn_number,
        calculation_type=calculation_type,
        intermediate_values=intermediate_values or {},
        agent_id=agent_id,
        caused_by=caused_by,  # type: ignore[arg-type]
        description=description,
        step=step,
    )


def create_system_event(
    simulation_id: str,
    turn_number: int,
    error_type: str,
    status: str,
    retry_count: int = 0,
    *,
    agent_id: str | None = None,
    caused_by: Causes = None,
    description: str | None = None,
    step: str | None = None,
) -> SystemEvent:
    """Returns a system event, for an error or retry, with a new id and the present time."""
    return SystemEvent(
        simulation_id=simulation_id,
        turn_number=turn_number,
        error_type=error_type,
        status=status,
        retry_count=retry_count,
        agent_id=agent_id,
        caused_by=caused_by,  # type: ignore[arg-type]
        description=description,
        step=step,
    )
