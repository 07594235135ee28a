"""The result of a command, as its caller shows it."""

from collections.abc import Mapping
from typing import Any

import msgspec

from thence.core.event import Event


class CommandResult(msgspec.Struct, frozen=True):
    """The result of a command.

    `events` are the appended events, None if the journal could not be written: then the same
    command typed again appends them. `data` are the command's own members of the JSON,
    `lines` its text, `warnings` go to stderr beside either. `exit_code` is not 0 where the
    requested thing is missing, or where conflicts were found.
    """

    events: tuple[Event, ...] | None = ()
    data: Mapping[str, Any] = msgspec.field(default_factory=dict)
    lines: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()
    exit_code: int = 0

    def as_json(self) -> dict[str, Any]:
        """Returns the members of the command's JSON; `notes` where there are some."""
        ids: Any = "unwritten"
        if self.events is not None:
            ids = [event.event_id for event in self.events]
        warnings = {"notes": list(self.warnings)} if self.warnings else {}
        return {"ok": True, "events": ids, **self.data, **warnings}
