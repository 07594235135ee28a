"""What was written on a subject, with which of it each event goes back to.

Subjects on which each event names the one before need none of this; the others are taken
together, as many as a sweep over the history can tell apart.
"""

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence

import msgspec

from thence.core.event import Event
from thence.merge.ancestry import CHOSEN_MAX, history, seen


class SubjectHistory(msgspec.Struct, frozen=True):
    """What was written on one subject, in an order that extends causes.

    `ranks` are the places in the total order. Bit n of `seen` says that an event goes back to
    the n-th of them.
    """

    events: Sequence[Event]
    ranks: Sequence[int]
    seen: Sequence[int]
    lacks_causes: Sequence[bool]

    def heads(self, among: Sequence[int] | None = None) -> list[int]:
        """Returns the numbers of those events that none of them, or of some, goes back to."""
        numbers = range(len(self.events)) if among is None else among
        passed = 0
        for number in numbers:
            passed |= self.seen[number]
        return [number for number in numbers if not passed >> number & 1]

    def told(self, numbers: Iterable[int]) -> tuple[Event, ...]:
        """Returns events by their numbers, in total order."""
        return tuple(
            [self.events[number] for number in sorted(numbers, key=self.ranks.__getitem__)]
        )

    def side(self, number: int) -> int:
        """Returns an event with all that it goes back to, as bits."""
        return self.seen[number] | 1 << number

    def is_beside(self, one: int, other: int) -> bool:
        """Tells whether neither of two events goes back to the other."""
        is_seen = self.seen[one] >> other & 1 or self.seen[other] >> one & 1
        return one != other and not is_seen


def swept(
    ordered: Sequence[Event],
    subjects: Sequence[str | None],
    tangled: Collection[str],
    twins: Collection[str],
    beside: Mapping[str, Sequence[str]],
) -> Iterator[tuple[str, SubjectHistory]]:
    """Yields what was written on each tangled subject; many share a sweep over the history.

    Twins are left out; `beside` holds causes that the events don't name (`merge.ancestry`).
    """
    headers = [event.header for event in ordered]
    events = history(headers, beside)
    on: dict[str, list[int]] = {subject: [] for subject in sorted(tangled)}
    for place, rank in enumerate(events.ranks):
        subject = subjects[rank]
        if subject in on and not (twins and headers[rank].event_id in twins):
            on[subject].append(place)
    for shared in _shared(on):
        masks = seen(events, [place for subject in shared for place in on[subject]])
        first = 0
        for subject in shared:
            places = on[subject]
            own = (1 << len(places)) - 1
            ranks = [events.ranks[place] for place in places]
            yield (
                subject,
                SubjectHistory(
                    [ordered[rank] for rank in ranks],
                    ranks,
                    [mask >> first & own for mask in masks[first : first + len(places)]],
                    [events.lacks_causes[place] for place in places],
                ),
            )
            first += len(places)


def _shared(on: Mapping[str, Sequence[int]]) -> list[list[str]]:
    """Divides subjects into groups that a sweep each takes."""
    groups: list[list[str]] = []
    room = 0
    for subject, places in on.items():
        if not groups or len(places) > room:
            groups.append([])
            room = CHOSEN_MAX
        groups[-1].append(subject)
        room -= len(places)
    return groups
