"""The events of a project: their types, each with what its payload must hold.

`checked` is strict: a member that is missing, unknown or of another kind is refused by its
name. Reading is not done here, and is tolerant: a payload that another program wrote is
kept and shown as it is. `schema` gives the same rules as JSON Schema, for other programs.
"""

import re
from collections.abc import Mapping
from math import isfinite
from typing import Annotated, Any, Literal

import msgspec
from msgspec import UNSET, Meta, UnsetType

from thence.core.clock import microseconds
from thence.core.json_values import Plain
from thence.core.nearest import nearest
from thence.core.ready import ready
from thence.errors import InvalidEvent
from thence.work.names import SLUG_PATTERN

NO_FEATURE = "-"  # the aggregate_id of an error that belongs to no package and no feature

_END = "$(?!\\n)"  # in Python `$` alone lets a line end pass
Text = Annotated[str, Meta(min_length=1)]
Line = Annotated[str, Meta(pattern=f"^[^\\n]+{_END}")]
WpId = Annotated[str, Meta(pattern=f"^WP[0-9]{{2,4}}{_END}")]
Slug = Annotated[str, Meta(pattern=f"{SLUG_PATTERN}(?!\\n)")]
SubtaskId = Annotated[str, Meta(pattern=f"^T[0-9]{{3,5}}{_END}")]
GateId = Annotated[str, Meta(pattern=f"^[0-7][0-9A-HJKMNP-TV-Z]{{25}}{_END}")]
Oid = Annotated[str, Meta(pattern=f"^(?:[0-9a-f]{{40}}|[0-9a-f]{{64}}){_END}")]
Moment = Annotated[str, Meta(extra_json_schema={"format": "date-time"})]
Count = Annotated[int, Meta(ge=0)]
Seconds = Annotated[str, Meta(pattern=f"^[0-9]+(\\.[0-9]+)?{_END}")]
Lane = Literal["planned", "doing", "for_review", "done", "rejected"]
GateType = Literal["CI_CHECK", "SECURITY_SCAN", "MANUAL_REVIEW", "ARCHITECTURE_REVIEW"]
GateStatus = Literal["pending", "passed", "failed"]
# how a gate stood when its package moved: both members, each a text
GateResult = Annotated[dict[Literal["gate_type", "status"], Text], Meta(min_length=2)]
_strict = Plain(is_strict=True)


class _Payload(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """The members of one type; those with a default may be absent."""


class WPStatusChanged(_Payload, frozen=True):
    """A package went from one lane to another; what it left may be a lane that nobody knows.

    `overruled` are the guards that refused it, and that `--force` overruled.
    """

    wp_id: WpId
    previous_status: Line
    new_status: Lane
    changed_by: Line | UnsetType = UNSET
    feature_slug: Slug | UnsetType = UNSET
    reason: str | UnsetType = UNSET
    gate_results: tuple[GateResult, ...] | UnsetType = UNSET
    dependency_status: dict[str, Any] | list[Any] | UnsetType = UNSET
    overruled: tuple[Text, ...] | UnsetType = UNSET


class WPCreated(_Payload, frozen=True):
    """A package was cut out of a feature."""

    wp_id: WpId
    title: Line
    feature_slug: Slug
    dependencies: tuple[WpId, ...]


class WPAssigned(_Payload, frozen=True):
    """An agent was given a package; `retry_count` is 0 at the first try."""

    wp_id: WpId
    agent_id: Line
    phase: Literal["implementation", "review"]
    retry_count: Count | UnsetType = UNSET


class WPReviewed(_Payload, frozen=True):
    """A package's code as it went to review; `patch` is empty where nothing was changed."""

    wp_id: WpId
    commit: Oid
    base: Oid
    patch: Annotated[str, Meta(pattern=f"^(?:[0-9a-f]{{40}}(?:[0-9a-f]{{24}})?)?{_END}")]
    patches: tuple[Oid, ...]
    commits: tuple[Oid, ...] | UnsetType = UNSET


class WPLanded(_Payload, frozen=True):
    """The code of a package is in its target; `commit` is the target's commit that has it."""

    wp_id: WpId
    how: Literal["ancestor", "patch", "patches", "merge", "stated", "no_code"]
    commit: Oid | UnsetType = UNSET
    reason: str | UnsetType = UNSET


class FeatureCreated(_Payload, frozen=True):
    """A feature has its packages and the branch that they go to; a mission has no number.

    `folder` is that of its planning files since it was renamed; its slug stays.
    """

    feature_slug: Slug
    target_branch: Line
    wp_count: Count
    feature_number: Annotated[str, Meta(pattern=f"^[0-9]{{3}}{_END}")] | UnsetType = UNSET
    created_at: Moment | UnsetType = UNSET
    folder: Slug | UnsetType = UNSET


class FeatureCompleted(_Payload, frozen=True):
    """All packages of a feature are done; `total_duration` is in seconds, as text.

    A feature without packages was ended for the `reason`.
    """

    feature_slug: Slug
    total_wps: Count
    completed_at: Moment | UnsetType = UNSET
    total_duration: Seconds | UnsetType = UNSET
    reason: Text | UnsetType = UNSET


class HistoryAdded(_Payload, frozen=True):
    """An entry was added to the history of a package."""

    wp_id: WpId
    entry_type: Literal["note", "review", "error", "comment"]
    entry_content: Text
    author: Line | UnsetType = UNSET


class ErrorLogged(_Payload, frozen=True):
    """A command failed or was refused; without `wp_id` the error is the feature's."""

    error_type: Literal["validation", "runtime", "network", "auth", "unknown"]
    error_message: Text
    wp_id: WpId | UnsetType = UNSET
    stack_trace: str | UnsetType = UNSET
    agent_id: Line | UnsetType = UNSET


class DependencyResolved(_Payload, frozen=True):
    """A package need not wait for another any more."""

    wp_id: WpId
    dependency_wp_id: WpId
    resolution_type: Literal["completed", "skipped", "merged"]


class SpecCreated(_Payload, frozen=True):
    """A feature began with its specification; `mission` names the kind of work."""

    feature_slug: Slug
    title: Line
    mission: Line
    target_branch: Line | UnsetType = UNSET


class WorkspaceCreated(_Payload, frozen=True):
    """A package has a worktree and a branch of its own."""

    work_package_id: WpId
    worktree_path: Line
    branch_name: Line


class SubtaskCompleted(_Payload, frozen=True):
    """A subtask was ticked; `subtask_index` is its id or the number in it, T001 or 1."""

    work_package_id: WpId
    subtask_index: SubtaskId | Annotated[int, Meta(ge=0, le=99999)]
    subtask_text: str


class SubtaskReopened(SubtaskCompleted, frozen=True):
    """The tick of a subtask was undone; the members are those of SubtaskCompleted."""


class GateCreated(_Payload, frozen=True):
    """A package is done only when this gate, too, has been passed."""

    work_package_id: WpId
    gate_type: GateType
    gate_id: GateId


class GateResultChanged(_Payload, frozen=True):
    """A gate was passed, failed or opened again."""

    gate_id: GateId
    old_status: Line
    new_status: GateStatus
    result_data: dict[str, Any] | UnsetType = UNSET


# the payload, the aggregate_type and the member that is the aggregate_id
_TYPES: Mapping[str, tuple[type[_Payload], str, str]] = {
    "WPStatusChanged": (WPStatusChanged, "WorkPackage", "wp_id"),
    "WPCreated": (WPCreated, "WorkPackage", "wp_id"),
    "WPAssigned": (WPAssigned, "WorkPackage", "wp_id"),
    "WPReviewed": (WPReviewed, "WorkPackage", "wp_id"),
    "WPLanded": (WPLanded, "WorkPackage", "wp_id"),
    "FeatureCreated": (FeatureCreated, "Feature", "feature_slug"),
    "FeatureCompleted": (FeatureCompleted, "Feature", "feature_slug"),
    "HistoryAdded": (HistoryAdded, "WorkPackage", "wp_id"),
    "ErrorLogged": (ErrorLogged, "WorkPackage", "wp_id"),
    "DependencyResolved": (DependencyResolved, "WorkPackage", "wp_id"),
    "SpecCreated": (SpecCreated, "FeatureSpec", "feature_slug"),
    "WorkspaceCreated": (WorkspaceCreated, "Workspace", "work_package_id"),
    "SubtaskCompleted": (SubtaskCompleted, "Subtask", "subtask_index"),
    "SubtaskReopened": (SubtaskReopened, "Subtask", "subtask_index"),
    "GateCreated": (GateCreated, "Gate", "gate_id"),
    "GateResultChanged": (GateResultChanged, "Gate", "gate_id"),
}
EVENT_TYPES: tuple[str, ...] = tuple(_TYPES)
_MOMENTS = ("created_at", "completed_at")
_PLACE = re.compile(r" - at `\$\.?([^`]*)`$|field `([^`]*)`$")


def checked(event_type: str, payload: Mapping[str, Any]) -> dict[str, Any]:
    """Returns a payload as it is written: members in the order of the type, aliases replaced.

    None stands for an absent member. Raises InvalidEvent that names the field for a type that is
    none of these, and for a member that is missing, unknown or wrong.
    """
    kind = _kind(event_type)[0]
    if not isinstance(payload, Mapping):
        raise _unfit(event_type, "payload", f"it is a {type(payload).__name__}", "pass a map")
    members = {name: value for name, value in payload.items() if value is not None}
    if event_type == "WPStatusChanged" and "old_status" in members:
        value = members.pop("old_status")
        if members.setdefault("previous_status", value) != value:
            cause = f"old_status is another name of it and says {value!r:.80}"
            raise _unfit(event_type, "previous_status", cause, "leave old_status out")
    duration = members.get("total_duration")
    if isinstance(duration, int | float) and type(duration) is not bool and isfinite(duration):
        members["total_duration"] = f"{duration:.6f}".rstrip("0").rstrip(".")
    if event_type == "WPCreated":
        members.setdefault("dependencies", [])
    _strict(members)
    try:
        msgspec.convert(members, ready(kind))
    except msgspec.ValidationError as error:
        raise _refused(event_type, kind, str(error)) from error
    for name, value in members.items():  # what a schema can't describe
        if name in _MOMENTS and microseconds(value) is None:
            hint = "write it like 2026-11-20T07:13:00Z"
            raise _unfit(event_type, name, f"{value!r:.80} is not a time", hint)
    return {name: members[name] for name in kind.__struct_fields__ if name in members}


def aggregate_of(
    event_type: str, payload: Mapping[str, Any], feature_slug: str | None = None
) -> tuple[str, str]:
    """Returns aggregate_type and aggregate_id of a checked payload, such as WorkPackage, WP01.

    An error without a package is its feature's, and NO_FEATURE's if there is none. Raises
    InvalidEvent for a type that is none of these.
    """
    _, aggregate_type, name = _kind(event_type)
    if event_type == "ErrorLogged" and name not in payload:
        return "Feature", feature_slug or NO_FEATURE
    identity = payload[name]
    return aggregate_type, f"T{identity:03}" if isinstance(identity, int) else str(identity)


def member_names(event_type: str) -> tuple[str, ...]:
    """Returns the members that a type's payload may hold; raises InvalidEvent."""
    return _kind(event_type)[0].__struct_fields__


def schema(event_type: str) -> dict[str, Any]:
    """Returns the JSON Schema (draft 2020-12) of a type's payload; raises InvalidEvent."""
    whole = msgspec.json.schema(_kind(event_type)[0])
    inner: dict[str, Any] = whole["$defs"][event_type]
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **inner}


def _kind(event_type: str) -> tuple[type[_Payload], str, str]:
    if event_type not in _TYPES:
        raise InvalidEvent(
            "could not make the event",
            place="field event_type",
            cause=f"{event_type!r:.80} is not a type of a project's events",
            hint=_nearest(event_type, EVENT_TYPES) or f"use one of {', '.join(EVENT_TYPES)}",
        )
    return _TYPES[event_type]


def _refused(event_type: str, kind: type[_Payload], message: str) -> InvalidEvent:
    match = _PLACE.search(message)
    field = (match[1] or match[2] or "payload") if match else "payload"
    names = kind.__struct_fields__
    if "unknown field" in message:
        hint = _nearest(field, names) or f"{event_type} holds {', '.join(names)}"
        return _unfit(event_type, field, f"{event_type} has no such field", hint)
    if "missing" in message:
        return _unfit(event_type, field, "it is missing", f"pass {field}")
    cause = message[: match.start()] if match else message
    cause = cause[0].lower() + cause[1:]
    return _unfit(event_type, field, cause, f"{event_type} holds {', '.join(names)}")


def _nearest(word: object, names: tuple[str, ...]) -> str:
    near = nearest(str(word), names)
    return f"did you mean {near[0]}?" if near else ""


def _unfit(event_type: str, field: str, cause: str, hint: str) -> InvalidEvent:
    place = f"{event_type}, field {field}"
    return InvalidEvent("could not make the event", place=place, cause=cause, hint=hint)
