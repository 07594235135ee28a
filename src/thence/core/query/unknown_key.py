"""A key that a filter asks for and no event has: most often it is misspelt."""

from collections.abc import Iterable, Sequence
from typing import NamedTuple

from thence.core.nearest import nearest
from thence.core.query.comparison import Comparison, FilteredEvent

NEAREST_MAX = 3
_NAMES_MAX = 5_000


class UnknownKey(NamedTuple):
    """A path of which no event has more than all parts but the last, and the names most like it."""

    path: str
    nearest: tuple[str, ...]

    def told(self, of_last: int | None) -> str:
        """Says so of all events, or `of_last` so many, with the nearest names."""
        has = "no event has" if of_last is None else f"none of the last {of_last:,} events has"
        near = f"; nearest: {', '.join(self.nearest)}" if self.nearest else ""
        return f"{has} a key `{self.path}`{near}"


def unknown_key(where: Sequence[Comparison], events: Iterable[FilteredEvent]) -> UnknownKey | None:
    """Returns the first key that none of the events has, None if each is somewhere.

    Of a path such as payload.amont.cents it is the part up to the name that is unknown.
    """
    deepest = [0] * len(where)
    names: list[dict[str, None]] = [{} for _ in where]
    for event in events:
        for place, comparison in enumerate(where):
            if deepest[place] == len(comparison.path):
                continue
            depth, beside = comparison.reaches(event)
            if depth > deepest[place]:
                deepest[place], names[place] = depth, {}
            if depth == deepest[place] and len(names[place]) < _NAMES_MAX:
                names[place].update(dict.fromkeys(beside))
    for comparison, depth, beside in zip(where, deepest, names, strict=True):
        if depth < len(comparison.path):
            before = ".".join(map(str, comparison.path[:depth]))
            near = _nearest(str(comparison.path[depth]), beside)
            dotted = tuple(f"{before}.{name}" if before else name for name in near)
            return UnknownKey(".".join(map(str, comparison.path[: depth + 1])), dotted)
    return None


def _nearest(asked: str, names: Iterable[str]) -> list[str]:
    """Returns the names that are written most like one, and those that it is a part of."""
    others = [name for name in names if name != asked]
    near = nearest(asked, others, NEAREST_MAX)
    near += [name for name in others if asked.lower() in name.lower()]
    return list(dict.fromkeys(near))[:NEAREST_MAX]
