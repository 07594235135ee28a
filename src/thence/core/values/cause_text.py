"""A cause passed to another process as one text: `<event_id>@<lamport_clock>@<log_id>`.

The environment variable THENCE_CAUSE carries the text. `external_causes` of an event holds the
same text for a cause in another log.
"""

import re
from typing import NamedTuple

from thence.core.clock import CLOCK_MAX

VARIABLE = "THENCE_CAUSE"
_FORM = re.compile(
    r"(?P<event_id>[0-9A-Za-z_.:-]{1,128})@(?P<clock>\d{1,16})@(?P<log_id>[0-9A-Z]{26})", re.ASCII
)


class HandedCause(NamedTuple):
    """An event of some log, with the clock that its effects must exceed."""

    event_id: str
    lamport_clock: int
    log_id: str

    @property
    def text(self) -> str:
        """The text form of the cause."""
        return f"{self.event_id}@{self.lamport_clock}@{self.log_id}"


def handed(text: str) -> HandedCause | None:
    """Reads a cause from its text; None if the text is no cause."""
    found = _FORM.fullmatch(text)
    if found is None or int(found["clock"]) > CLOCK_MAX:
        return None
    return HandedCause(found["event_id"], int(found["clock"]), found["log_id"])
