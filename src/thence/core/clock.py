"""The clocks of a log: Lamport's logical clock, which orders; the wall clock, for people.

L. Lamport, "Time, Clocks, and the Ordering of Events in a Distributed System", 1978.
"""

from collections.abc import Callable
from datetime import UTC, datetime

from thence.errors import ClockExhausted, InvalidEvent

__all__ = ["LamportClock"]

CLOCK_MAX = 2**53 - 1
_ENDINGS = tuple(f"{number:03d}Z" for number in range(1000))


class LamportClock:
    """A logical clock that only grows: an empty log is 0, its first event is 1."""

    def __init__(self, value: int = 0) -> None:
        if value < 0 or value > CLOCK_MAX:
            raise InvalidEvent(
                "could not set a Lamport clock",
                cause=f"{value} is outside 0 .. 2^53-1",
                hint="pass the clock value of the last event",
            )
        self._value = value

    @property
    def current(self) -> int:
        """The last value issued or received."""
        return self._value

    def tick(self) -> int:
        """Returns the value of the next event; raises ClockExhausted behind 2^53-1."""
        if self._value >= CLOCK_MAX:
            raise exhausted()
        self._value += 1
        return self._value

    def update(self, received: int) -> int:
        """Witnesses a received value and returns the next own one, larger than both."""
        self._value = max(self._value, received)
        return self.tick()


def exhausted(place: object = "") -> ClockExhausted:
    """Returns the error for an event without a clock value left."""
    return ClockExhausted(
        "could not number an event" if not place else "could not append to",
        place=place,
        cause="its clock stands at 2^53-1 or near it, and a reader takes no larger one",
        hint="begin a new log; this one can still be read",
    )


def _millisecond(millisecond: int) -> str:
    second, rest = divmod(millisecond, 1000)
    return datetime.fromtimestamp(second, UTC).strftime("%Y-%m-%dT%H:%M:%S.") + f"{rest:03d}"


def timestamps(wall_ns: Callable[[], int]) -> Callable[[], str]:
    """Returns the function that writes a clock's present time: UTC ISO 8601, 6 digits, Z.

    The clock returns nanoseconds since 1970. Between calls only the text of the last
    millisecond is cached.
    """
    last = (-1, "")

    def now() -> str:
        nonlocal last
        ns = wall_ns()
        millisecond = ns // 1_000_000
        known, text = last
        if known != millisecond:
            text = _millisecond(millisecond)
            last = (millisecond, text)
        return text + _ENDINGS[ns // 1000 - millisecond * 1000]

    return now


def timestamp_of(moment: datetime) -> str:
    """Writes an aware datetime in the same form; a naive one raises InvalidEvent."""
    if moment.tzinfo is None:
        raise InvalidEvent(
            "could not write the timestamp",
            cause=f"{moment.isoformat()} has no time zone",
            hint="use datetime.now(timezone.utc)",
        )
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
