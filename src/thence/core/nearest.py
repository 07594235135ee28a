"""The search for the known name most similar to an unknown one, which is usually a typo."""

from collections.abc import Iterable

_NAME_CHARACTERS_MAX = 100
# a typo is as alike as this: verison to version, wy to why; ls is not to last, with 0.67
TYPO_LIKENESS = 0.7


def nearest(
    unknown: str, names: Iterable[str], names_max: int = 1, *, likeness: float = 0.6
) -> list[str]:
    """Returns the names most like one, whatever their case, the most alike first.

    `likeness` is how alike they are at least: 0 takes any name, 1 the same letters alone.
    """
    import difflib  # the import takes 2 ms, needed only for errors

    lowered = unknown[:_NAME_CHARACTERS_MAX].lower()
    by_lowered = {name.lower(): name for name in names}
    near = difflib.get_close_matches(lowered, by_lowered, names_max, likeness)
    return [by_lowered[name] for name in near]


def did_you_mean(unknown: str, names: Iterable[str]) -> str:
    """Returns the end of a sentence that asks whether another name was meant; empty if none is.

    A name of the same letters is a likely typo too, however short.
    """
    candidates = list(names)
    letters = sorted(unknown[:_NAME_CHARACTERS_MAX].lower())
    near = nearest(unknown, candidates, likeness=TYPO_LIKENESS)
    near += [name for name in candidates if sorted(name.lower()) == letters]
    return f"; did you mean {near[0]}?" if near else ""
