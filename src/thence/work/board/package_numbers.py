"""Which package an event means, where clones that knew nothing of each other gave a number twice.

Two WPCreated of one number, neither caused by the other, that differ in title or dependencies are
two packages. The first in total order has the number; another is called `WP10~ab12`, by the end of
its event's id, until a WPRenumbered gives it one of its own. An event means the package whose
beginning under that number it goes back to, of several the first. One that goes back to none means
what its own clone made, else the first.
"""

from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import NamedTuple

import msgspec

from thence.core.event import Event
from thence.merge.ancestry import CausalHistory, history, in_turn
from thence.merge.conflicts import Conflict
from thence.merge.policies import SETTLES, settled_for
from thence.work.board.replay import text, texts

SLOT = "number"
RULE = "first_in_order"
_CREATES, _RENUMBERS = "WPCreated", "WPRenumbered"
_BEGINNINGS = (_CREATES, _RENUMBERS)
_ID_CHARACTERS_MIN = 4
_SAME: Mapping[str, str] = MappingProxyType({})


class PackageNumbers(msgspec.Struct, frozen=True):
    """What is called otherwise on the board than events say.

    `names` maps ids of events to what each means by a number; `conflicts` are the numbers that were
    given twice, settled ones too.
    """

    names: Mapping[str, Mapping[str, str]] = msgspec.field(default_factory=dict)
    conflicts: tuple[Conflict, ...] = ()

    def of(self, event: Event) -> Mapping[str, str]:
        """Maps the numbers by which an event means another package than the one that has it."""
        return self.names.get(event.header.event_id, _SAME) if self.names else _SAME

    def subjects(
        self, ordered: Sequence[Event], subjects: Sequence[str | None]
    ) -> Sequence[str | None]:
        """Returns what the events are about, packages by their names on the board."""
        if not self.names:
            return subjects
        found = []
        for event, subject in zip(ordered, subjects, strict=True):
            feature, slash, number = (subject or "").rpartition("/")
            name = self.of(event).get(number)
            found.append(f"{feature}{slash}{name}" if name else subject)
        return found


def origin(event: Event) -> str:
    """Returns the id of the event that made the package whose number an event gave."""
    made = text(event.payload.get("created_event_id")) if event.event_type == _RENUMBERS else None
    return made or event.event_id


def names_of(number: str, events: Sequence[Event]) -> list[str]:
    """Returns the names of packages that were given one number by these events, in their order."""
    ids = [origin(event).lower() for event in events]
    length = _ID_CHARACTERS_MIN
    while len({each[-length:] for each in ids}) < len({*ids}):
        length += 1
    return [number, *(f"{number}~{each[-length:]}" for each in ids[1:])]


def numbers_given(
    ordered: Sequence[Event], subjects: Sequence[str | None], twins: Mapping[str, str]
) -> PackageNumbers:
    """Tells which packages events in total order mean; twins don't count (`merge.fold`).

    A log in which no number was given twice is only read for its beginnings.
    """
    features = _features(ordered, subjects, twins)
    if not features:
        return PackageNumbers()
    beside = {**in_turn(ordered, subjects), **{twin: (one,) for twin, one in twins.items()}}
    found = history([event.header for event in ordered], beside)
    return _Reading(ordered, subjects, twins, found, features).numbers()


def _features(
    ordered: Sequence[Event], subjects: Sequence[str | None], twins: Mapping[str, str]
) -> set[str]:
    """Returns the features in which a number may have been given twice."""
    first: dict[str, Event] = {}
    found: set[str] = set()
    for event, subject in zip(ordered, subjects, strict=True):
        header = event.header
        if subject is None or header.event_type not in _BEGINNINGS or header.event_id in twins:
            continue
        other = first.setdefault(subject, event)
        is_new = header.event_type == _RENUMBERS
        if is_new or (other is not event and _content(other) != _content(event)):
            found.add(subject.rpartition("/")[0])
    return found


def _content(event: Event) -> object:
    payload = event.payload
    return text(payload.get("title")), frozenset(texts(payload.get("dependencies")))


class _Package:
    """A package while its beginnings are read; `subject` is that of the number it has."""

    __slots__ = ("marks", "name", "subject")

    def __init__(self, subject: str) -> None:
        self.subject = subject
        self.name = ""
        self.marks: set[object] = set()


class _Beginning(NamedTuple):
    """An event that gave a number: its places in the total order and behind its causes, its bit."""

    event: Event
    rank: int
    place: int
    bit: int
    subject: str


class _Reading:
    """One reading of the features in which a number may have been given twice."""

    def __init__(
        self,
        ordered: Sequence[Event],
        subjects: Sequence[str | None],
        twins: Mapping[str, str],
        found: CausalHistory,
        features: set[str],
    ) -> None:
        self._ordered = ordered
        self._subjects = subjects
        self._found = found
        self._features = features
        self._beginnings: list[_Beginning] = []
        for place, rank in enumerate(found.ranks):
            event, subject = ordered[rank], subjects[rank]
            is_one = event.event_type in _BEGINNINGS and event.event_id not in twins
            if is_one and subject is not None and subject.rpartition("/")[0] in features:
                bit = 1 << len(self._beginnings)
                self._beginnings.append(_Beginning(event, rank, place, bit, subject))
        self._seen = self._swept()
        self._packages: dict[int, _Package] = {}
        self._renumberings: dict[int, _Beginning] = {}

    def _swept(self) -> list[int]:
        """Returns for each place which beginnings it goes back to, itself too, as bits."""
        bits = {each.place: each.bit for each in self._beginnings}
        masks = [0] * len(self._ordered)
        for _ in range(1 + self._found.has_circles):
            for place, causes in enumerate(self._found.causes):
                mask = bits.get(place, 0)
                for cause in causes:
                    mask |= masks[cause]
                masks[place] = mask
        return masks

    def numbers(self) -> PackageNumbers:
        self._make_packages()
        self._renumber()
        at: dict[str, list[_Beginning]] = {}
        for each in sorted(self._beginnings, key=lambda each: each.rank):
            if each.bit in self._packages:
                at.setdefault(each.subject, []).append(each)
        conflicts = [found for each in at.items() if (found := self._named(*each))]
        others = {
            subject: given
            for subject, given in at.items()
            if any(self._packages[each.bit].name != _number(subject) for each in given)
        }
        return PackageNumbers(self._names(others), tuple(conflicts))

    def _make_packages(self) -> None:
        """Tells of each WPCreated which package it makes, or tells anew."""
        together = self._together()
        made: dict[str, list[_Beginning]] = {}
        for each in self._beginnings:
            if each.event.event_type != _CREATES:
                continue
            known = made.setdefault(each.subject, [])
            seen = [other for other in known if self._seen[each.place] & other.bit]
            marks = {_content(each.event), together.get(each.event.event_id)} - {None}
            like = seen or [b for b in known if self._packages[b.bit].marks & marks]
            first = min(like, key=lambda other: other.rank, default=None)
            package = self._packages[first.bit] if first else _Package(each.subject)
            if not seen:
                package.marks |= marks
            self._packages[each.bit] = package
            known.append(each)

    def _together(self) -> dict[str, str]:
        """Maps WPCreated to the one that somebody chose for all of them: they are one package."""
        found: dict[str, str] = {}
        for event, subject in zip(self._ordered, self._subjects, strict=True):
            if event.event_type == SETTLES and (subject or "").rpartition("/")[0] in self._features:
                sides = texts(event.payload.get("events"))
                winner = settled_for(event)
                found |= dict.fromkeys(sides, winner) if winner in sides else {}
        return found

    def _renumber(self) -> None:
        """Gives packages the numbers that they have now: the last; of several at once the first."""
        by_id = {each.event.event_id: each for each in self._beginnings}
        last: dict[int, list[_Beginning]] = {}
        for each in self._beginnings:
            made = by_id.get(origin(each.event))
            if each.event.event_type == _RENUMBERS and made and made.bit in self._packages:
                package = self._packages[each.bit] = self._packages[made.bit]
                last.setdefault(id(package), []).append(each)
        for given in last.values():
            heads = [
                each
                for each in given
                if not any(self._seen[b.place] & each.bit for b in given if b.bit != each.bit)
            ]
            chosen = min(heads or given, key=lambda each: each.rank)
            self._packages[chosen.bit].subject = chosen.subject
            self._renumberings[id(self._packages[chosen.bit])] = chosen

    def _named(self, subject: str, given: Sequence[_Beginning]) -> Conflict | None:
        """Names the packages that have a number; returns the conflict if it was given twice."""
        first = {id(self._packages[each.bit]): each for each in reversed(given)}
        ever = sorted(first.values(), key=lambda each: each.rank)
        now = [each for each in ever if self._packages[each.bit].subject == subject]
        names = names_of(_number(subject), [each.event for each in now])
        for each, name in zip(now, names, strict=False):
            self._packages[each.bit].name = name
        if len(ever) < 2:
            return None
        is_open = len(now) > 1
        chosen = now if is_open else ever
        gone = [self._renumberings.get(package) for package in first if first[package] not in now]
        events = tuple(each.event for each in chosen)
        behind = max(filter(None, gone), key=lambda each: each.rank, default=None)
        return Conflict(
            subject,
            SLOT,
            events,
            RULE,
            events[0],
            any(self._found.lacks_causes[each.place] for each in chosen),
            None if is_open or behind is None else behind.event,
            events,
        )

    def _names(self, others: Mapping[str, Sequence[_Beginning]]) -> dict[str, dict[str, str]]:
        """Maps events to what they mean by the numbers that are not, or not only, the first's."""
        found: dict[str, dict[str, str]] = {}
        for place, rank in enumerate(self._found.ranks):
            event, about = self._ordered[rank], self._subjects[rank]
            feature = about.rpartition("/")[0] if about else None
            for subject, given in others.items():
                if subject.rpartition("/")[0] != feature:
                    continue
                name = self._meant(event, place, given).name
                if name != _number(subject):
                    found.setdefault(event.event_id, {})[_number(subject)] = name
        return found

    def _meant(self, event: Event, place: int, given: Sequence[_Beginning]) -> _Package:
        seen: Sequence[_Beginning] = [each for each in given if self._seen[place] & each.bit]
        seen = seen or [each for each in given if each.event.node_id == event.node_id] or given
        chosen = next((each for each in seen if not self._has_lost(each)), seen[0])
        return self._packages[chosen.bit]

    def _has_lost(self, given: _Beginning) -> bool:
        """Tells whether a package got another number at once, so that this one is free."""
        is_new = given.event.event_type == _RENUMBERS
        return is_new and self._packages[given.bit].subject != given.subject


def _number(subject: str) -> str:
    return subject.rpartition("/")[2]
