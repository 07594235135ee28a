"""The rules of each event type of a simulation as JSON Schema, for other programs."""

from typing import Any

from thence.errors import InvalidEvent
from thence.sim.record.events import TYPED

__all__ = ["schema"]

EVENT_TYPES = tuple(TYPED)


def schema(event_type: str) -> dict[str, Any]:
    """Returns the JSON Schema (draft 2020-12) of a type's `details`; raises InvalidEvent.

    It holds for each event of the type whose `repairs` name no cut of its details as a whole.
    """
    if event_type not in TYPED:
        cause = f"{event_type!r:.80} is not a type of a simulation's events"
        what, hint = "could not return the schema", f"use one of {', '.join(EVENT_TYPES)}"
        raise InvalidEvent(what, place="field event_type", cause=cause, hint=hint)
    event_class = TYPED[event_type]
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": event_type,
        "description": event_class.__doc__,
        "type": "object",
        "properties": {name: dict(field.schema) for name, field in event_class.fields.items()},
        "required": list(event_class.fields),
        "additionalProperties": event_type == "SYSTEM",
    }
