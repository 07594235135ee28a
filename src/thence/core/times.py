"""The parser of written times to microseconds since 1970 UTC.

It reads RFC 3339, and shorter forms: a date alone, no seconds, no zone (then the time is UTC,
as all times of a log are), a space for the T. Digits behind the microsecond are cut off. A leap
second counts as the second after it, as in POSIX.
"""

import re
from datetime import UTC, date, datetime, timedelta

# the form of an event's own time, and of nearly every text read here
_OWN = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}T(?:[01][0-9]|2[0-3]):[0-9]{2}:[0-9]{2}\.[0-9]{6}Z")
_ANY = re.compile(
    r"(?P<year>[0-9]{4})-(?P<month>[0-9]{2})-(?P<day>[0-9]{2})"
    r"(?:[Tt ](?P<hour>[0-9]{2}):(?P<minute>[0-9]{2})"
    r"(?::(?P<second>[0-9]{2})(?:\.(?P<fraction>[0-9]{1,30}))?)?"
    r" ?(?P<zone>[Zz]|[+-][0-9]{2}(?::?[0-9]{2})?)?)?"
)
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_EPOCH_DAY = date(1970, 1, 1).toordinal()
_MICROSECOND = timedelta(microseconds=1)
_SECOND_US = 1_000_000
_MINUTE_US = 60 * _SECOND_US
_DAY_US = 24 * 60 * _MINUTE_US
_FRACTION_DIGITS = 6


def microseconds(text: str) -> int | None:
    """Returns the first microsecond of a written time; None for a text that is no time."""
    if _OWN.fullmatch(text):
        try:
            return moment(datetime.fromisoformat(text))
        except ValueError:  # no such day or hour, or a leap second
            pass
    found = span(text)
    return None if found is None else found[0]


def moment(when: datetime) -> int:
    """Returns the microsecond of a datetime with a zone."""
    return (when - _EPOCH) // _MICROSECOND


def span(text: str) -> tuple[int, int] | None:
    """Returns the first and the last microsecond of a written time.

    A date means its whole day, a time without seconds its minute, and so on down to the single
    microsecond. None for a text that is no time.
    """
    found = _ANY.fullmatch(text)
    if found is None:
        return None
    part = found.groupdict()
    try:
        day = date(int(part["year"]), int(part["month"]), int(part["day"])).toordinal()
    except ValueError:
        return None
    hour, minute, second = (int(part[name] or 0) for name in ("hour", "minute", "second"))
    offset = _offset_us(part["zone"])
    if hour > 23 or minute > 59 or second > 60 or offset is None:
        return None
    digits = (part["fraction"] or "")[:_FRACTION_DIGITS]
    begin = (day - _EPOCH_DAY) * _DAY_US + (hour * 60 + minute) * _MINUTE_US + second * _SECOND_US
    begin += int(digits.ljust(_FRACTION_DIGITS, "0")) - offset
    if part["hour"] is None:
        return begin, begin + _DAY_US - 1
    if part["second"] is None:
        return begin, begin + _MINUTE_US - 1
    return begin, begin + int(10 ** (_FRACTION_DIGITS - len(digits))) - 1


def _offset_us(zone: str | None) -> int | None:
    """Returns a zone's offset from UTC in microseconds; None for an impossible zone."""
    if zone is None or zone in "Zz":
        return 0
    hours, minutes = int(zone[1:3]), int(zone[3:].removeprefix(":") or 0)
    if hours > 23 or minutes > 59:
        return None
    return (hours * 60 + minutes) * _MINUTE_US * (-1 if zone[0] == "-" else 1)
