"""Events dropped by a full queue, counted in gaps between accepted events."""

from threading import RLock

from thence.core.values.codec import Draft
from thence.log.write.writer import Notice


class Gap:
    """A run of dropped events behind an accepted one."""

    def __init__(self, after_event_id: str | None) -> None:
        self.after_event_id = after_event_id
        self.count = 0


class Drops:
    """The number of events one queue dropped, and the gap that no notice reports yet."""

    def __init__(self, notice: Notice) -> None:
        self._notice = notice
        self._state = RLock()
        self.count = 0
        self.gap: Gap | None = None

    def add(self, last: Draft | None) -> bool:
        """Counts an event dropped behind the last accepted one; True for the very first drop."""
        with self._state:
            self.gap = self.gap or Gap(last.event_id if last else None)
            self.gap.count += 1
            self.count += 1
            return self.count == 1

    def close_gap(self, before_event_id: str | None) -> list[Draft]:
        """Returns the notice to write at the end of the gap, none if another thread took it."""
        with self._state:
            gap, self.gap = self.gap, None
        if gap is None:
            return []
        facts = {
            "count": gap.count,
            "after_event_id": gap.after_event_id,
            "before_event_id": before_event_id,
        }
        return [self._notice("events_dropped", facts)]
