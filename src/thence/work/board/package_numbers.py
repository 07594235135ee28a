"""Package numbers that two clones gave concurrently, and the package that each event means.

Two WPCreated of one number, neither caused by the other, that differ in title or dependencies are
two packages. The first in total order has the number; another is called `WP10-ab12`, by the end of
its event's id. Events name both by the number. An event that was written with both in sight and
means the other has as causes, side by side, that package's beginning and then the beginning of the
number's holder (`by_number`). Any other event means the package whose beginning under that
number is among the event's causes, direct or indirect; among several the first. An event without
such a cause means the package that its own clone made, else the first.
"""

from collections.abc import Mapping, Sequence
from itertools import pairwise
from operator import attrgetter
from types import MappingProxyType
from typing import Any, NamedTuple

import msgspec

from thence.core.event import Event
from thence.core.merge.ancestry import CausalHistory, history, in_turn
from thence.core.merge.conflicts import Conflict
from thence.errors import PlanningError
from thence.work.board.replay import text, texts
from thence.work.board.state import PackageState
from thence.work.names import derived_id, is_derived, number_in

SLOT = "number"
RULE = "first_in_order"
_CREATES = "WPCreated"
_ID_CHARACTERS_MIN = 4
_NAMING_MEMBERS = ("wp_id", "work_package_id", "dependency_wp_id")
_SAME: Mapping[str, str] = MappingProxyType({})


class PackageNumbers(msgspec.Struct, frozen=True):
    """The packages that have another name on the board than in events.

    `names` maps ids of events to the packages that each event means by a number. `conflicts` are
    the numbers that were given twice, resolved ones too.
    """

    names: Mapping[str, Mapping[str, str]] = msgspec.field(default_factory=dict)
    conflicts: tuple[Conflict, ...] = ()

    def of(self, event: Event) -> Mapping[str, str]:
        """Returns the package names by number, where an event means not the number's holder."""
        return self.names.get(event.header.event_id, _SAME) if self.names else _SAME

    def subjects(
        self, ordered: Sequence[Event], subjects: Sequence[str | None]
    ) -> Sequence[str | None]:
        """Returns the events' subjects, with packages by their names on the board."""
        if not self.names:
            return subjects
        renamed = []
        for event, subject in zip(ordered, subjects, strict=True):
            feature, slash, number = (subject or "").rpartition("/")
            name = self.of(event).get(number)
            renamed.append(f"{feature}{slash}{name}" if name else subject)
        return renamed


def names_of(number: str, events: Sequence[Event]) -> list[str]:
    """Returns the names of packages that were given one number by these events, in their order."""
    ids = [event.event_id.lower() for event in events]
    length = _ID_CHARACTERS_MIN
    while len({id_[-length:] for id_ in ids}) < len({*ids}):
        length += 1
    return [number, *(derived_id(number, id_[-length:]) for id_ in ids[1:])]


def by_number(
    payload: Mapping[str, Any], packages: Mapping[str, PackageState]
) -> tuple[Mapping[str, Any], tuple[str, ...]]:
    """Returns a new event's payload with packages by their numbers, and the causes that tell them.

    The causes of WP10-ab12 are its beginning and that of WP10. Raises PlanningError for
    dependencies on two packages of one number, which no event can tell apart.
    """
    if not any(map(is_derived, packages)):
        return payload, ()
    members, causes = {**payload}, list[str]()

    def number(wp_id: Any) -> Any:
        if wp_id not in packages or not is_derived(wp_id):
            return wp_id
        pair = (packages[wp_id], packages.get(number_in(wp_id)))
        causes.extend(
            package.created_event for package in pair if package and package.created_event
        )
        return number_in(wp_id)

    for name in _NAMING_MEMBERS:
        if name in members:
            members[name] = number(members[name])
    dependencies = members.get("dependencies")
    if isinstance(dependencies, list):
        members["dependencies"] = numbers = [number(wp_id) for wp_id in dependencies]
        if len({*numbers}) < len({*dependencies}):
            raise PlanningError(
                "could not depend on several packages of one number",
                cause=f"{', '.join(dependencies)}: events name them alike",
                hint="leave one of them out, and let that one depend on the other",
            )
    status = members.get("dependency_status")
    if isinstance(status, Mapping):
        members["dependency_status"] = {number(wp_id): lane for wp_id, lane in status.items()}
    return members, tuple(causes)


def numbers_given(
    ordered: Sequence[Event], subjects: Sequence[str | None], duplicates: Mapping[str, str]
) -> PackageNumbers:
    """Returns the packages that events in total order mean; duplicates don't count.

    In a log without a number given twice only the beginnings are read.
    """
    features = _features(ordered, subjects, duplicates)
    if not features:
        return PackageNumbers()
    extra_causes = {
        **in_turn(ordered, subjects),
        **{duplicate: (one,) for duplicate, one in duplicates.items()},
    }
    causal_history = history([event.header for event in ordered], extra_causes)
    return _NumberResolution(ordered, subjects, duplicates, causal_history, features).numbers()


def _features(
    ordered: Sequence[Event], subjects: Sequence[str | None], duplicates: Mapping[str, str]
) -> set[str]:
    """Returns the features in which a number may have been given twice."""
    first: dict[str, Event] = {}
    features: set[str] = set()
    for event, subject in zip(ordered, subjects, strict=True):
        header = event.header
        if subject is None or header.event_type != _CREATES or header.event_id in duplicates:
            continue
        other = first.setdefault(subject, event)
        if other is not event and _content(other) != _content(event):
            features.add(subject.rpartition("/")[0])
    return features


def _content(event: Event) -> object:
    payload = event.payload
    return text(payload.get("title")), frozenset(texts(payload.get("dependencies")))


class _Package:
    """A package while its beginnings are read; `content` is that of its first WPCreated."""

    __slots__ = ("content", "name")

    def __init__(self, content: object) -> None:
        self.content = content
        self.name = ""


class _Beginning(NamedTuple):
    """A WPCreated: its rank in total order, its position in causal order, its bit."""

    event: Event
    rank: int
    position: int
    bit: int
    subject: str


_RANK = attrgetter("rank")


class _NumberResolution:
    """The resolution of numbers in the features in which one may have been given twice."""

    def __init__(
        self,
        ordered: Sequence[Event],
        subjects: Sequence[str | None],
        duplicates: Mapping[str, str],
        causal_history: CausalHistory,
        features: set[str],
    ) -> None:
        self._ordered = ordered
        self._subjects = subjects
        self._history = causal_history
        self._beginnings: list[_Beginning] = []
        for position, rank in enumerate(causal_history.ranks):
            event, subject = ordered[rank], subjects[rank]
            is_one = event.event_type == _CREATES and event.event_id not in duplicates
            if is_one and subject is not None and subject.rpartition("/")[0] in features:
                bit = 1 << len(self._beginnings)
                self._beginnings.append(_Beginning(event, rank, position, bit, subject))
        self._reachable = self._reachable_beginnings()
        self._packages: dict[int, _Package] = {}

    def _reachable_beginnings(self) -> list[int]:
        """Returns for each position the beginnings among its causes and itself, as bits."""
        bits = {one.position: one.bit for one in self._beginnings}
        masks = [0] * len(self._ordered)
        for position, causes in enumerate(self._history.causes):
            mask = bits.get(position, 0)
            for cause in causes:
                mask |= masks[cause]
            masks[position] = mask
        return masks

    def numbers(self) -> PackageNumbers:
        self._make_packages()
        by_subject: dict[str, list[_Beginning]] = {}
        for beginning in sorted(self._beginnings, key=_RANK):
            by_subject.setdefault(beginning.subject, []).append(beginning)
        conflicts = [self._name_packages(*pair) for pair in by_subject.items()]
        others = {
            subject: beginnings
            for subject, beginnings in by_subject.items()
            if any(self._packages[one.bit].name != _number(subject) for one in beginnings)
        }
        return PackageNumbers(self._names_by_event(others), tuple(filter(None, conflicts)))

    def _make_packages(self) -> None:
        """Assigns to each WPCreated the package that it makes, or describes anew."""
        by_subject: dict[str, list[_Beginning]] = {}
        for beginning in self._beginnings:
            earlier = by_subject.setdefault(beginning.subject, [])
            seen = [other for other in earlier if self._reachable[beginning.position] & other.bit]
            content = _content(beginning.event)
            like = seen or [b for b in earlier if self._packages[b.bit].content == content]
            first = min(like, key=_RANK, default=None)
            package = self._packages[first.bit] if first else _Package(content)
            self._packages[beginning.bit] = package
            earlier.append(beginning)

    def _name_packages(self, subject: str, beginnings: Sequence[_Beginning]) -> Conflict | None:
        """Names the packages that have a number; returns the conflict if it was given twice."""
        first = {self._packages[one.bit]: one for one in reversed(beginnings)}
        pairs = sorted(first.items(), key=lambda pair: pair[1].rank)
        events = tuple(one.event for _, one in pairs)
        for (package, _), name in zip(pairs, names_of(_number(subject), events), strict=True):
            package.name = name
        if len(events) < 2:
            return None
        lacks_causes = any(self._history.lacks_causes[one.position] for one in first.values())
        # each package has a name of its own: nothing is left to do
        return Conflict(subject, SLOT, events, RULE, events[0], lacks_causes, events[-1], events)

    def _names_by_event(
        self, others: Mapping[str, Sequence[_Beginning]]
    ) -> dict[str, dict[str, str]]:
        """Maps events to the packages that they mean by numbers given more than once."""
        names: dict[str, dict[str, str]] = {}
        for position, rank in enumerate(self._history.ranks):
            event, about = self._ordered[rank], self._subjects[rank]
            feature = about.rpartition("/")[0] if about else None
            for subject, beginnings in others.items():
                if subject.rpartition("/")[0] != feature:
                    continue
                name = self._package_for(event, position, beginnings).name
                if name != _number(subject):
                    names.setdefault(event.event_id, {})[_number(subject)] = name
        return names

    def _package_for(
        self, event: Event, position: int, beginnings: Sequence[_Beginning]
    ) -> _Package:
        stated = _stated(event, beginnings)
        if stated is not None:
            return self._packages[stated.bit]
        mask = self._reachable[position]
        candidates: Sequence[_Beginning] = [one for one in beginnings if mask & one.bit]
        if not candidates:
            candidates = [
                one for one in beginnings if one.event.node_id == event.node_id
            ] or beginnings
        return self._packages[candidates[0].bit]


def _stated(event: Event, beginnings: Sequence[_Beginning]) -> _Beginning | None:
    """Returns the beginning of the package that an event states; None if it states none.

    Causes that are merely heads of the subject stand in total order, and so state nothing.
    """
    by_id = {one.event.event_id: one for one in beginnings}
    for cause, next_cause in pairwise(event.header.caused_by):
        beginning, holder = by_id.get(cause), by_id.get(next_cause)
        if beginning and holder and beginning.rank > holder.rank:
            return beginning
    return None


def _number(subject: str) -> str:
    return subject.rpartition("/")[2]
