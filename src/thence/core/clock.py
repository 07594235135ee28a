"""The clocks of a log: Lamport's logical clock, which orders; the wall clock, for people.

L. Lamport, "Time, Clocks, and the Ordering of Events in a Distributed System", 1978.
"""

import re
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

from thence.errors import InvalidEvent

__all__ = ["LamportClock"]

CLOCK_MAX = 2**53 - 1
# a clock from elsewhere that exceeds by more how many events a log holds is not taken over
CLOCK_AHEAD_MAX = 2**40
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
        """Returns the value of the next event."""
        self._value += 1
        return self._value

    def update(self, received: int) -> int:
        """Witnesses a received value and returns the next own one, larger than both."""
        self._value = max(self._value, received)
        return self.tick()


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
        previous, text = last
        if previous != millisecond:
            second, rest = divmod(millisecond, 1000)
            moment = datetime.fromtimestamp(second, UTC)
            text = f"{moment:%Y-%m-%dT%H:%M:%S}.{rest:03d}"
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
    return moment.astimezone(UTC).isoformat(timespec="microseconds")[:26] + "Z"


# the form of an event's own time, and of nearly every text read here
_OWN = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}T(?:[01][0-9]|2[0-3]):[0-9]{2}:[0-9]{2}\.[0-9]{6}Z")
# what `datetime.fromisoformat` reads in every Python, with what RFC 3339 allows besides
_FORM = re.compile(
    r"[0-9]{4}-[0-9]{2}-[0-9]{2}"
    r"(?P<minute>[Tt ](?:[01][0-9]|2[0-3]):[0-9]{2}"
    r"(?P<second>:[0-9]{2}(?P<fraction>\.[0-9]{1,30})?)?"
    r" ?(?:[Zz]|[+-](?:[01][0-9]|2[0-3])(?::?[0-5][0-9])?)?)?"
)
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)
_SECOND_US = 1_000_000
_MINUTE_US = 60 * _SECOND_US
_DAY_US = 24 * 60 * _MINUTE_US


def microseconds(text: str) -> int | None:
    """Returns the first microsecond of a written time; None for a text that is no time."""
    if _OWN.fullmatch(text):
        try:
            return moment(datetime.fromisoformat(text))
        except ValueError:  # no such day
            pass
    microsecond_span = span(text)
    return None if microsecond_span is None else microsecond_span[0]


def moment(when: datetime) -> int:
    """Returns the microsecond of a datetime with a zone."""
    return (when - _EPOCH) // _MICROSECOND


def span(text: str) -> tuple[int, int] | None:
    """Returns the first and the last microsecond of a written time.

    A date means its whole day, a time without seconds its minute, and so on down to the single
    microsecond. None for a text that is no time.
    """
    match = _FORM.fullmatch(text)
    if match is None:
        return None
    minute, second, fraction = match.groups()
    text = text.upper()
    if minute is None:
        length = _DAY_US
    elif second is None:
        length = _MINUTE_US
    else:
        length = int(10 ** (6 - min(len(fraction or ".") - 1, 6)))
    try:
        when = datetime.fromisoformat(text[:11] + text[11:].replace(" ", ""))
    except ValueError:  # no such day or minute
        return None
    begin = moment(when if when.tzinfo else when.replace(tzinfo=UTC))
    return begin, begin + length - 1


_LENGTH = re.compile(r"([0-9]{1,5})([smhdw])")
_UNITS_US = {"s": _SECOND_US, "m": _MINUTE_US, "h": 60 * _MINUTE_US, "d": _DAY_US, "w": 7 * _DAY_US}
_DAYS_AGO = {"today": 0, "yesterday": 1}


def length_us(text: str) -> int | None:
    """Returns the microseconds of a length such as 90s, 5m, 1h, 2d or 1w; None for other text."""
    match = _LENGTH.fullmatch(text)
    return None if match is None else int(match[1]) * _UNITS_US[match[2]]


def dated(text: str, now_us: int) -> str:
    """Writes a time that is told from now on as one of the calendar, in UTC.

    1h and -1h are an hour ago, yesterday is a date; any other text is returned unchanged. No
    time is before 1970.
    """
    text = text.strip()
    days = _DAYS_AGO.get(text)
    length = length_us(text.removeprefix("-")) if days is None else days * _DAY_US
    if length is None:
        return text
    timestamp = timestamp_at(max(0, now_us - length))
    return timestamp if days is None else timestamp[:10]


def timestamp_at(us: int) -> str:
    """Writes a microsecond since 1970 as timestamps are written."""
    return timestamp_of(_EPOCH + us * _MICROSECOND)
