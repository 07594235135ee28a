"""The filter of events: by type, actor, subject, stream, time, turn or content.

`Filter.of` takes values of programs, and texts of a command line or a URL. `Filter.matches` is
slow and obvious; tests compare the index with it.
"""

from collections.abc import Collection, Iterable, Sequence
from datetime import date, datetime
from fnmatch import fnmatchcase
from itertools import islice

import msgspec

from thence.core.clock import microseconds, moment, span
from thence.core.event import Event
from thence.core.failures import is_failure
from thence.core.json_values import is_utf8, text_of
from thence.core.nearest import did_you_mean
from thence.core.query.where import UNREADABLE, Comparison, parse
from thence.errors import InvalidFilter

COMPARISONS_MAX = 100
NAMES_MAX = 1000
TURN_MAX = 2**63 - 1
_TURN_DIGITS_MAX = len(str(TURN_MAX))
_TURN_HINT = "write a number from 0, such as 5, or a range: 3..7, 3.. or ..7"

Names = str | Iterable[str] | None
Time = str | date | None
Turns = int | str | Sequence[int | str | None] | None


class Filter(msgspec.Struct, frozen=True, kw_only=True):
    """The conditions that an event must meet to be shown, all that are given.

    Any of the names in one part will do; an empty part asks for nothing. Types and actors may be
    patterns, as `is_named` reads them. Times are
    microseconds since 1970 UTC, turns are counted from 0; both ends are inclusive, None is
    open. `failed` asks for failures, as `core.failures` defines them, or for all others.
    """

    types: tuple[str, ...] = ()
    actors: tuple[str, ...] = ()
    subjects: tuple[str, ...] = ()
    streams: tuple[str, ...] = ()
    since: int | None = None
    until: int | None = None
    turn_first: int | None = None
    turn_last: int | None = None
    failed: bool | None = None
    where: tuple[Comparison, ...] = ()

    @classmethod
    def of(
        cls,
        *,
        type: Names = None,
        actor: Names = None,
        subject: Names = None,
        stream: Names = None,
        since: Time = None,
        until: Time = None,
        turn: Turns = None,
        failed: bool | None = None,
        where: Names = None,
    ) -> "Filter":
        """Reads a filter; raises InvalidFilter that names the part that can't be read.

        Names are a text or several. Times are a date, an aware datetime or ISO 8601 text;
        one that is written less exactly, as a date is, stands for all of it. A turn is a
        number, "3..7", "3..", "..7" or a pair. `failed` is a boolean. `where` is in the language
        of `core.query.where`; of several texts all must hold.
        """
        first, last = _turns(turn)
        filter = cls(
            types=names("type", type),
            actors=names("actor", actor),
            subjects=names("subject", subject),
            streams=names("stream", stream),
            since=moments("since", since)[0],
            until=moments("until", until)[1],
            turn_first=first,
            turn_last=last,
            failed=flag("failed", failed),
            where=tuple(one for text in names("where", where) for one in parse(text)),
        )
        if len(filter.where) > COMPARISONS_MAX:
            cause = f"there are more than {COMPARISONS_MAX} comparisons in all"
            raise invalid("where", cause, "ask in several steps")
        if filter.since is not None and filter.until is not None and filter.since > filter.until:
            raise invalid("until", "it is earlier than since", "swap the two")
        return filter

    def matches(self, event: Event) -> bool:
        """Returns whether an event is asked for; an event without what a part names is not."""
        if self.types and not is_named(event.event_type, self.types):
            return False
        if self.actors and not is_named(event.actor, self.actors):
            return False
        if self.subjects and event.subject not in self.subjects:
            return False
        if self.streams and event.stream not in self.streams:
            return False
        if self.turn_first is not None or self.turn_last is not None:
            turn = event.turn_number
            if turn is None or not _is_within(turn, self.turn_first, self.turn_last):
                return False
        if self.since is not None or self.until is not None:
            time = microseconds(event.timestamp)
            if time is None or not _is_within(time, self.since, self.until):
                return False
        if self.failed is not None and is_failure(event) is not self.failed:
            return False
        return all(comparison.matches(event) for comparison in self.where)


def is_pattern(name: str) -> bool:
    """Reports whether a name of a filter stands for all that fit it: it holds a * or a ?."""
    return "*" in name or "?" in name


def is_named(name: str | None, names: Collection[str]) -> bool:
    """Reports whether a name is one of several, or fits one that is a pattern.

    In a pattern * stands for any characters, ? for one; capitals count.
    """
    if not name or name in names:
        return name in names
    return any(is_pattern(one) and fnmatchcase(name, one.replace("[", "[[]")) for one in names)


def _is_within(value: int, first: int | None, last: int | None) -> bool:
    return (first is None or value >= first) and (last is None or value <= last)


def names(key: str, raw: Names) -> tuple[str, ...]:
    """Reads one text or several, each kept once; raises InvalidFilter naming the key."""
    if raw is None:
        return ()
    several = (raw,) if isinstance(raw, str) else raw
    try:
        values = list(islice(several, NAMES_MAX + 1))
    except TypeError as error:
        raise invalid(key, f"{shown(raw)} is not text", "pass a string, or several") from error
    for name in values:
        if not isinstance(name, str):
            raise invalid(key, f"{shown(name)} is not text", "pass a string, or several")
        if not name or not is_utf8(name):
            lone = "a lone surrogate is not a character"
            cause = lone if name else "an empty string names nothing"
            raise invalid(key, cause, "leave it out to ask for all")
    if len(values) > NAMES_MAX:
        raise invalid(key, f"it holds more than {NAMES_MAX:,} strings", "ask in several steps")
    return tuple(dict.fromkeys(values))


def moments(key: str, raw: Time) -> tuple[int | None, int | None]:
    """Returns the first and the last microsecond of a time; raises InvalidFilter naming the key."""
    if raw is None:
        return None, None
    if isinstance(raw, datetime):
        if raw.utcoffset() is None:
            cause = f"{raw.isoformat()} has no time zone"
            raise invalid(key, cause, "pass an aware datetime, such as datetime.now(timezone.utc)")
        return moment(raw), moment(raw)
    if isinstance(raw, date):
        raw = raw.isoformat()
    microsecond_span = span(raw.strip()) if isinstance(raw, str) else None
    if microsecond_span is None:
        hint = "write it as 2026-11-20, 2026-11-20T07:13:00Z or 2026-11-20T09:13:00+02:00"
        if not (isinstance(raw, str) and "T" in raw):
            hint += "; a command and Python also take 1h and yesterday"
        raise invalid(key, f"{shown(raw)} is not a time", hint)
    return microsecond_span


def turn(key: str, raw: object) -> int:
    """Reads the number of a turn; raises InvalidFilter naming the key."""
    if isinstance(raw, str):
        text = raw.strip()
        is_number = text.isascii() and text.isdigit() and len(text) <= _TURN_DIGITS_MAX
        raw = int(text) if is_number else raw
    if type(raw) is not int or not 0 <= raw <= TURN_MAX:
        raise invalid(key, f"{shown(raw)} is not an integer from 0 to 2^63-1", _TURN_HINT)
    return raw


def flag(key: str, raw: object) -> bool | None:
    """Reads a boolean that may be left out; raises InvalidFilter naming the key."""
    if raw is None or isinstance(raw, bool):
        return raw
    raise invalid(key, f"{shown(raw)} is not true or false", "leave it out to ask for all")


def _turns(raw: Turns) -> tuple[int | None, int | None]:
    """Reads one turn or a range of turns; an end that is left out is open."""
    if raw is None:
        return None, None
    if isinstance(raw, str) and ".." in raw:
        before, _, behind = raw.partition("..")
        raw = (before.strip() or None, behind.strip() or None)
    if not isinstance(raw, (tuple, list)):
        one = turn("turn", raw)
        return one, one
    if len(raw) != 2 or raw[0] is raw[1] is None:
        raise invalid("turn", f"{shown(raw)} is not a range", _TURN_HINT)
    first, last = (None if end is None else turn("turn", end) for end in raw)
    if first is not None and last is not None and first > last:
        raise invalid("turn", f"no turn is from {first} to {last}", "swap the two")
    return first, last


def refuse_unknown(names: Iterable[str], keys: Collection[str]) -> None:
    """Raises InvalidFilter for a key that no filter has, with the nearest that it has."""
    for key in names:
        if key not in keys:
            cause = f"there is no such key{did_you_mean(key, keys)}"
            raise invalid(key, cause, f"the keys are {', '.join(keys)}")


def invalid(key: str, cause: str, hint: str) -> InvalidFilter:
    """Returns the error for a part of a filter that can't be read."""
    return InvalidFilter(UNREADABLE, key=key, cause=cause, hint=hint)


def shown(value: object) -> str:
    """Returns the repr of an invalid value, cut where it is long."""
    return text_of(value, repr)[:80]
