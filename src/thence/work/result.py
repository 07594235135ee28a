"""What a command has done, as its caller shows it."""

from collections.abc import Mapping
from typing import Any

import msgspec

from thence.core.event import Event


class CommandResult(msgspec.Struct, frozen=True):
    """What a command has done.

    `events` are what it appended, None if the journal could not be written: then they are
    pending, and the next command makes them good. `data` are its own members of the JSON,
    `lines` its text, `notes` what goes to stderr beside either. `exit_code` is not 0 where what was
    asked for is not there, or where conflicts were found.
    """

    events: tuple[Event, ...] | None = ()
    data: Mapping[str, Any] = msgspec.field(default_factory=dict)
    lines: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    exit_code: int = 0

    def as_json(self) -> dict[str, Any]:
        """Returns the members of the command's JSON; `notes` where there are some."""
        told: Any = "pending"
        if self.events is not None:
            told = [event.event_id for event in self.events]
        notes = {"notes": list(self.notes)} if self.notes else {}
        return {"ok": True, "events": told, **self.data, **notes}
