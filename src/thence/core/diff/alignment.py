"""The alignment of two logs: pairs of events that correspond to each other.

Where both events have a `step` they are one when it is the same; of a step that a log holds
several times the n-th is the n-th. Any other two are one when they have the same type, subject
and payload, and the causes of one are, each by each, the causes of the other. Several that
are alike are paired so: first those that led to the same, then those with the same members, then
by total order. So the result depends on no order of the input.
"""

from collections import defaultdict, deque
from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence

from thence.core.diff.content import EventContent, canonical, has_same_bodies, members
from thence.core.diff.log_side import LogSide

ALONE = -1
_Key = Callable[[int], Hashable]


def aligned(a: LogSide, b: LogSide) -> list[int]:
    """Returns for each event of A the place of its partner in B, ALONE for one without."""
    pairs = _Pairs(a, b)
    pairs.join_by_step()
    pairs.join_by_content()
    return pairs.of_a


class _Pairs:
    """The pairs found so far, and the methods that find the others.

    `of_a` and `of_b` hold each event's partner. `names_a` and `names_b` give a pair the same
    number in both logs: its place in A.
    """

    def __init__(self, a: LogSide, b: LogSide) -> None:
        self.of_a = [ALONE] * len(a.contents)
        self.of_b = self.names_b = [ALONE] * len(b.contents)
        self.names_a = [ALONE] * len(a.contents)
        self._a, self._b = a, b
        self._contents = _Contents()
        self._futures: tuple[list[int], list[int]] | None = None

    def join(self, x: int, y: int) -> None:
        """Makes two events a pair."""
        self.of_a[x] = y
        self.of_b[y] = self.names_a[x] = x

    def join_by_step(self) -> None:
        """Pairs events with the same step."""
        mine, theirs = ([each.step for each in of.contents] for of in (self._a, self._b))
        if mine == theirs:  # usually two runs have the same steps in the same order
            for place, step in enumerate(mine):
                if step is not None:
                    self.join(place, place)
            return
        found = _counted(theirs)
        for key, x in _counted(mine).items():
            if key in found:
                self.join(x, found[key])

    def join_by_content(self) -> None:
        """Pairs events that are the same in type, subject, payload and paired causes.

        The search goes level by level: two such events are equally far from events without
        causes, and at their level all their causes have been checked.
        """
        if ALONE not in self.of_a or ALONE not in self.of_b:
            return
        a, b = self._a, self._b
        contents_a, contents_b = a.contents, b.contents
        of_a, of_b, names_a = self.of_a, self.of_b, self.names_a
        in_a, in_b = (any(each.step is None for each in of.contents) for of in (a, b))
        levels = zip(_levels(a, self.of_a, in_b), _levels(b, self.of_b, in_a), strict=False)
        for mine, theirs in levels:
            right = _alike(b, theirs, self.names_b)
            for likeness, xs in _alike(a, mine, self.names_a).items():
                ys = right.get(likeness)
                if ys is None:
                    continue
                if len(xs) == len(ys) == 1:
                    x, y = xs[0], ys[0]
                    one, other = contents_a[x], contents_b[y]
                    if (one.step is None or other.step is None) and has_same_bodies(one, other):
                        of_a[x] = y
                        of_b[y] = names_a[x] = x
                else:
                    self._join_by_bodies(xs, ys)

    def _join_by_bodies(self, xs: Sequence[int], ys: Sequence[int]) -> None:
        """Pairs those of the events of one type, subject and causes whose content is the same."""
        right = self._by_content(self._b, ys)
        for content, mine in self._by_content(self._a, xs).items():
            theirs = right.get(content)
            if theirs is None:
                continue
            if len(mine) == len(theirs) == 1 and self._may(mine[0], theirs[0]):
                self.join(mine[0], theirs[0])
            else:
                self._join_alike(mine, theirs)

    def _by_content(self, of: LogSide, places: Iterable[int]) -> Mapping[int, list[int]]:
        """Groups events by their content."""
        groups: dict[int, list[int]] = {}
        for place in places:
            groups.setdefault(self._contents.number(of.contents[place]), []).append(place)
        return groups

    def _may(self, x: int, y: int) -> bool:
        """Reports whether two events may be paired by content: not both have a step."""
        return self._a.contents[x].step is None or self._b.contents[y].step is None

    def _join_alike(self, xs: Sequence[int], ys: Sequence[int]) -> None:
        """Pairs those of many equal events that match best."""
        a, b = self._a.contents, self._b.contents
        future_a, future_b = self._futures = self._futures or self._effect_numbers()
        for stepped_a, stepped_b in ((False, False), (False, True), (True, False)):
            left = [x for x in xs if (a[x].step is not None) is stepped_a]
            right = [y for y in ys if (b[y].step is not None) is stepped_b]
            self._join_by(future_a.__getitem__, future_b.__getitem__, left, right)
            self._join_by(lambda x: members(a[x]), lambda y: members(b[y]), left, right)
            self._join_by(lambda x: None, lambda y: None, left, right)

    def _join_by(self, key_a: _Key, key_b: _Key, xs: Sequence[int], ys: Sequence[int]) -> None:
        """Pairs events that share a key and have no partner yet, in total order."""
        waiting: defaultdict[Hashable, deque[int]] = defaultdict(deque)
        for y in ys:
            if self.of_b[y] == ALONE:
                waiting[key_b(y)].append(y)
        for x in xs:
            if self.of_a[x] == ALONE and (fitting := waiting.get(key_a(x))):
                self.join(x, fitting.popleft())

    def _effect_numbers(self) -> tuple[list[int], list[int]]:
        """Numbers all events; events with the same content and the same effects share one."""
        numbers: dict[Hashable, int] = {}
        found: list[list[int]] = []
        for of in (self._a, self._b):
            effects = _effects_of(of.causes)
            above = [0] * len(of.contents)
            for place in reversed(of.order):
                led_to = tuple(sorted([above[effect] for effect in effects[place]]))
                content = self._contents.number(of.contents[place])
                key = (content, members(of.contents[place]), led_to)
                above[place] = numbers.setdefault(key, len(numbers))
            found.append(above)
        return found[0], found[1]


class _Contents:
    """Numbers of contents: two events share one if type, subject and payload agree."""

    def __init__(self) -> None:
        self._numbers: dict[Hashable, int] = {}
        self._known: dict[Hashable, int] = {}

    def number(self, content: EventContent) -> int:
        """Returns the number of an event's content."""
        raw = (content.event_type, content.subject, bytes(content.details), bytes(content.payload))
        number = self._known.get(raw)
        if number is None:
            bodies = canonical(content.details, "details"), canonical(content.payload, "payload")
            key = (content.event_type, content.subject, *bodies)
            number = self._known[raw] = self._numbers.setdefault(key, len(self._numbers))
        return number


def _alike(of: LogSide, level: Sequence[int], names: Sequence[int]) -> Mapping[Hashable, list[int]]:
    """Groups events whose causes all have a partner by causes, type and subject."""
    groups: dict[Hashable, list[int]] = {}
    contents, all_causes, name_of = of.contents, of.causes, names.__getitem__
    for place in level:
        causes = frozenset(map(name_of, all_causes[place]))
        if ALONE in causes:
            continue
        each = contents[place]
        key = (causes, each.event_type, each.subject)
        if key in groups:
            groups[key].append(place)
        else:
            groups[key] = [place]
    return groups


def _counted(steps: Sequence[str | None]) -> dict[Hashable, int]:
    """Returns the place of each step; a repeated step gets a count in its key."""
    found: dict[Hashable, int] = {}
    again: dict[str, int] = {}
    for place, step in enumerate(steps):
        if step is None:
            continue
        if step in found:
            again[step] = again.get(step, 1) + 1
            found[step, again[step]] = place
        else:
            found[step] = place
    return found


def _levels(of: LogSide, partners: Sequence[int], with_steps: bool) -> list[list[int]]:
    """Returns the places without a partner, by their distance from those that have one.

    Places with a step are included only with `with_steps`.
    """
    height = [0] * len(of.contents)
    levels: list[list[int]] = []
    for place in of.order:
        if partners[place] != ALONE:
            continue
        level = 0
        for cause in of.causes[place]:
            if height[cause] > level:
                level = height[cause]
        height[place] = level + 1
        if with_steps or of.contents[place].step is None:
            while level >= len(levels):
                levels.append([])
            levels[level].append(place)
    return levels


def _effects_of(causes: Sequence[Sequence[int]]) -> list[list[int]]:
    """Returns for each place the places of the events that name it as cause."""
    effects: list[list[int]] = [[] for _ in causes]
    for place, named in enumerate(causes):
        for cause in named:
            effects[cause].append(place)
    return effects
