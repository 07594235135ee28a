"""Small charts as SVG: paths and numbers in attributes, without script or style."""

from collections.abc import Sequence

from thence.core.markup import Html, el

_HEIGHT, _SPARK_WIDTH = 20, 100
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
    return el(
        "svg",
        el("path", d=bars, fill="currentColor"),
        viewBox=f"0 0 {len(counts) * 2} {_HEIGHT}",
        preserveAspectRatio="none",
        width=_SPARK_WIDTH,
        height=_HEIGHT,
        role="img",
        aria_label=name,
    )


def spread(values: tuple[float, ...], axis: tuple[float, float], name: str) -> Html:
    """Returns a bar between the first and the last of three values, with a mark at the middle."""
    least, extent = axis[0], axis[1] - axis[0]
    places = [_WIDTH * (value - least) / extent if extent else _WIDTH / 2 for value in values]
    low, middle, high = (f"{place:.2f}" for place in places)
    return _stretched(
        name,
        _line(f"M0 10H{_WIDTH}", 1, "0.4"),
        _line(f"M{low} 10H{high}", 8, "0.4"),
        _line(f"M{middle} 2V18", 3),
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
    return _stretched(
        name,
        el("path", d=bars, fill="currentColor", fill_opacity="0.5"),
        el("path", d=parts, class_="differs"),
        el("g", _line(f"M{line * wide:.2f} 0V{_HEIGHT}", 2), class_="parting"),
    )


def _line(way: str, wide: int, opacity: str | None = None) -> Html:
    kept = {"vector_effect": "non-scaling-stroke", "stroke_opacity": opacity}
    return el("path", d=way, stroke="currentColor", stroke_width=wide, **kept)


def _stretched(name: str, *parts: Html) -> Html:
    """Returns a chart as wide as its place."""
    box, size = f"0 0 {_WIDTH} {_HEIGHT}", {"width": "100%", "height": f"{_HEIGHT}"}
    ratio = {"viewBox": box, "preserveAspectRatio": "none", **size}
    return el("svg", *parts, role="img", aria_label=name, **ratio)
