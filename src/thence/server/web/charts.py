"""Small charts as SVG: paths and numbers in attributes, without script or style."""

from collections.abc import Callable, Sequence

from thence.core.markup import Html, el

_HEIGHT = 20
_WIDTH = 200  # of a chart that is stretched to its place


def sparkline(counts: Sequence[int], name: str) -> Html | None:
    """Returns a bar for each count, in the colour of the text; None of none.

    `name` is read out in place of the picture. A count above 0 is seen however small it is.
    """
    top = max(counts, default=0)
    if top <= 0:
        return None
    heights = [-(-count * _HEIGHT // top) for count in counts]
    bars = "".join(
        f"M{at * 2} {_HEIGHT}v-{height}h1.6v{height}z"
        for at, height in enumerate(heights)
        if height
    )
    width = len(counts) * 2
    return el(
        "svg",
        el("path", d=bars, fill="currentColor"),
        viewBox=f"0 0 {width} {_HEIGHT}",
        width=width,
        height=_HEIGHT,
        role="img",
        aria_label=name,
    )


def spread(low: float, middle: float, high: float, at: Callable[[float], float], name: str) -> Html:
    """Returns a bar from `low` to `high` with a mark; `at` returns the share of an axis, 0 to 1."""
    left, mark, right = (round(at(value) * _WIDTH, 2) for value in (low, middle, high))
    lines = (f"M0 10H{_WIDTH}", 1, 0.4), (f"M{left} 10H{right}", 8, 0.4), (f"M{mark} 2V18", 3, None)
    return _stretched(
        name,
        *(
            el(
                "path",
                d=path,
                stroke="currentColor",
                stroke_width=width,
                stroke_opacity=None if opacity is None else f"{opacity}",
                vector_effect="non-scaling-stroke",
            )
            for path, width, opacity in lines
        ),
    )


def strip(counts: Sequence[int], marked: Sequence[int], top: int, line: int, name: str) -> Html:
    """Returns a bar for each count, `marked` of it in another colour, with a line before one.

    A bar of `top` has the whole height.
    """
    wide = _WIDTH / len(counts)
    bars, parts = (
        "".join(
            f"M{at * wide:.2f} {_HEIGHT}v-{-(-count * _HEIGHT // top)}h{wide * 0.8:.2f}V{_HEIGHT}z"
            for at, count in enumerate(numbers)
            if count
        )
        for numbers in (counts, marked)
    )
    way, thin = f"M{line * wide:.2f} 0V{_HEIGHT}", "non-scaling-stroke"
    return _stretched(
        name,
        el("path", d=bars, fill="currentColor", fill_opacity="0.5"),
        el("path", d=parts, class_="differs"),
        el("path", d=way, class_="parting", stroke_width=2, vector_effect=thin),
    )


def _stretched(name: str, *parts: Html) -> Html:
    """Returns a chart as wide as its place."""
    return el(
        "svg",
        *parts,
        viewBox=f"0 0 {_WIDTH} {_HEIGHT}",
        width="100%",
        height=_HEIGHT,
        preserveAspectRatio="none",
        role="img",
        aria_label=name,
    )
