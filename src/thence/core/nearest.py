"""The search for the known name most similar to an unknown one, which is usually a typo."""

from collections.abc import Iterable

_NAME_CHARACTERS_MAX = 100


def nearest(
    text: str, candidates: Iterable[str], names_max: int = 1, *, likeness: float = 0.6
) -> list[str]:
    """Returns the names most like one, whatever their case, the most alike first.

    `likeness` is how alike they are at least: 0 takes any name, 1 the same letters alone.
    """
    import difflib  # the import takes 2 ms, needed only for errors

    lowered = text[:_NAME_CHARACTERS_MAX].lower()
    names = {name.lower(): name for name in candidates}
    return [names[name] for name in difflib.get_close_matches(lowered, names, names_max, likeness)]


def did_you_mean(text: str, names: Iterable[str]) -> str:
    """Returns the end of a sentence that asks whether another name was meant; empty if none is."""
    near = nearest(text, names)
    return f"; did you mean {near[0]}?" if near else ""
