"""What a tracer or a logger could not record: counted, and said by the log itself when it can."""

from contextlib import suppress
from typing import TYPE_CHECKING

from thence.core.json_values import text_of

if TYPE_CHECKING:
    from thence.log.open import Log

_REASON_CHARACTERS_MAX = 500


class Losses:
    """The number of events that could not be recorded; a notice in the log has it as it doubles."""

    def __init__(self, log: "Log") -> None:
        self._log = log
        self.count = self._noted = 0

    def add(self, error: Exception) -> None:
        """Counts an event; never raises."""
        self.count += 1
        if self.count & (self.count - 1):
            return
        reason = text_of(error)[:_REASON_CHARACTERS_MAX]
        with suppress(Exception):  # boundary: a log that takes no event takes no notice either
            facts = {"count": self.count - self._noted, "reason": reason}
            self._log._host_append_note("events_dropped", facts)
            self._noted = self.count
