"""Two logs aligned as docs/reference/commands.md tells it, by comparing each with each."""

from collections.abc import Hashable, Mapping, Sequence

from tests.core.twins import causes_of, effects_of, words

from thence.core.event import Event

Pairs = dict[str, str]


def slowly_paired(a: Sequence[Event], b: Sequence[Event]) -> Pairs:
    """Maps the ids of events of one log to those of their partners; both are in total order."""
    paired = _by_step(a, b)
    causes_a, causes_b = causes_of(a), causes_of(b)
    numbers: dict[Hashable, int] = {}
    ahead = {**_ahead(a, numbers), **_ahead(b, numbers)}
    levels_a, levels_b = _levels(a, causes_a, paired), _levels(b, causes_b, set(paired.values()))

    def fits(x: Event, y: Event) -> bool:
        named = {paired.get(cause) for cause in causes_a[x.event_id]}
        return words(x) == words(y) and named == set(causes_b[y.event_id])

    for level in range(len(a)):
        left = [x for x in a if levels_a.get(x.event_id) == level]
        right = [y for y in b if levels_b.get(y.event_id) == level]
        for steps in ((False, False), (False, True), (True, False)):
            for likeness in (lambda e: ahead[e.event_id], lambda e: e.actor, lambda e: None):
                for x in left:
                    for y in right:
                        is_free = x.event_id not in paired and y.event_id not in paired.values()
                        is_asked = (x.step is not None, y.step is not None) == steps
                        if is_free and is_asked and fits(x, y) and likeness(x) == likeness(y):
                            paired[x.event_id] = y.event_id
    return paired


def _by_step(a: Sequence[Event], b: Sequence[Event]) -> Pairs:
    """Pairs the n-th event of a step with the n-th."""
    paired: Pairs = {}
    for step in {event.step for event in a} - {None}:
        mine, theirs = ([e.event_id for e in log if e.step == step] for log in (a, b))
        paired.update(zip(mine, theirs, strict=False))
    return paired


def _levels(
    log: Sequence[Event], causes: Mapping[str, Sequence[str]], paired: Pairs | set[str]
) -> dict[str, int]:
    """Tells of each event without a partner how many such events lead to it, one by one."""
    levels: dict[str, int] = {}
    for event in log:
        if event.event_id not in paired:
            before = [levels[cause] + 1 for cause in causes[event.event_id] if cause in levels]
            levels[event.event_id] = max(before, default=0)
    return levels


def _ahead(log: Sequence[Event], numbers: dict[Hashable, int]) -> dict[str, int]:
    """Numbers events so that those share a number that say the same and led to the same."""
    effects = effects_of(log)
    found: dict[str, int] = {}
    for event in reversed(log):
        led_to = tuple(sorted(found[effect] for effect in effects[event.event_id]))
        key = (words(event), event.actor, led_to)
        found[event.event_id] = numbers.setdefault(key, len(numbers))
    return found
