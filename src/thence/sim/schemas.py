"""The rules of each event type of a simulation as JSON Schema, for other programs."""

from collections.abc import Mapping
from typing import Any

from thence.errors import InvalidEvent

__all__ = ["schema"]

MILESTONES = ("turn_start", "turn_end", "phase_transition", "simulation_start", "simulation_end")
STATUSES = ("success", "failure", "retry", "warning")

_TEXT = {"type": "string", "minLength": 1}
_MAP = {"type": "object"}
_ANY: dict[str, Any] = {}
_TYPES: Mapping[str, tuple[str, dict[str, dict[str, Any]]]] = {
    "MILESTONE": (
        "A point in a run: the start or end of the run, a turn, a phase.",
        {"milestone_type": {"enum": list(MILESTONES)}},
    ),
    "DECISION": (
        "What an agent chose.",
        {"decision_type": _TEXT, "old_value": _ANY, "new_value": _ANY},
    ),
    "ACTION": (
        "What an agent did, after it was found valid.",
        {"action_type": _TEXT, "action_payload": _MAP},
    ),
    "STATE": (
        "A variable that changed; scope says whose: global, agent/<name>, place/<name>.",
        {"variable_name": _TEXT, "old_value": _ANY, "new_value": _ANY, "scope": _TEXT},
    ),
    "DETAIL": (
        "How a value came about.",
        {"calculation_type": _TEXT, "intermediate_values": _MAP},
    ),
    "SYSTEM": (
        "What befell the machinery, with facts of its own: an error, a retry, a notice.",
        {
            "error_type": _TEXT,
            "status": {"enum": list(STATUSES)},
            "retry_count": {"type": "integer", "minimum": 0},
        },
    ),
}
EVENT_TYPES = tuple(_TYPES)


def schema(event_type: str) -> dict[str, Any]:
    """Returns the JSON Schema (draft 2020-12) of a type's `details`; raises InvalidEvent.

    It holds for each event of the type whose `repairs` name no cut of its details as a whole.
    """
    if event_type not in _TYPES:
        raise InvalidEvent(
            "could not return the schema",
            place="field event_type",
            cause=f"{event_type!r:.80} is no type of a simulation's events",
            hint=f"use one of {', '.join(EVENT_TYPES)}",
        )
    description, properties = _TYPES[event_type]
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": event_type,
        "description": description,
        "type": "object",
        "properties": {name: dict(rule) for name, rule in properties.items()},
        "required": list(properties),
        "additionalProperties": event_type == "SYSTEM",
    }
