"""Small charts as SVG: paths and numbers in attributes, without script or style."""

from collections.abc import Sequence

from thence.core.markup import Html, el

_HEIGHT, _SPARK_WIDTH = 20, 100
NUMBER_MAX = 1e300
_WIDTH = 200  # of a chart that is stretched to its place


def sparkline(counts: Sequence[int], name: str) -> Html | None:
    """Returns a bar for each count, in the colour of the text; None of none.

    `name` is read out in place of the picture. A count above 0 is seen however small it is.
    """
    top = max(counts, default=0)
    if top <= 0:
        return None
    return el(
        "svg",
        el("path", d=_bars(counts, top, 2), fill="currentColor"),
        viewBox=f"0 0 {len(counts) * 2} {_HEIGHT}",
        preserveAspectRatio="none",
        width=_SPARK_WIDTH,
        height=_HEIGHT,
        role="img",
        aria_label=name,
    )


def _bars(counts: Sequence[int], top: int, wide: float) -> str:
    """Returns the path of a bar for each count, which with its gap is so many units wide."""
    return "".join(
        f"M{round(at * wide, 2):g} {_HEIGHT}v-{-(-n * _HEIGHT // top)}h{wide * 0.8:.3g}V{_HEIGHT}z"
        for at, n in enumerate(counts)
        if n
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
    return _stretched(
        name,
        el("path", d=_bars(counts, top, wide), fill="currentColor", fill_opacity="0.5"),
        el("path", d=_bars(marked, top, wide), class_="differs"),
        el("g", _line(f"M{line * wide:.2f} 0V{_HEIGHT}", 2), class_="parting"),
    )


def stairs(
    sides: Sequence[Sequence[tuple[int, float]]], ends: tuple[int, int], at: int, name: str
) -> Html:
    """Returns a line for each side's values by turn, each up to the next, and where they part.

    `ends` are the first and the last turn; each side has a value.
    """
    first, wide = ends[0], _WIDTH / (ends[1] - ends[0] + 1)
    values = [value for side in sides for _, value in side]
    least, extent = min(values), (max(values) - min(values)) or 1
    ways = []
    for side in sides:
        places = [
            ((turn - first) * wide, 18 - 16 * (value - least) / extent) for turn, value in side
        ]
        (x, y), *rest = places
        steps = "".join(f"H{x:.2f}V{y:.2f}" for x, y in rest)
        ways.append(f"M{x:.2f} {y:.2f}{steps}H{_WIDTH}")
    return _stretched(
        name,
        el("g", _line(f"M{(at - first) * wide:.2f} 0V{_HEIGHT}", 1), class_="parting"),
        *(el("g", _line(way, 2), class_=f"side-{side}") for side, way in enumerate(ways)),
        high=120,
    )


def _line(way: str, wide: int, opacity: str | None = None) -> Html:
    kept = {"vector_effect": "non-scaling-stroke", "stroke_opacity": opacity, "fill": "none"}
    return el("path", d=way, stroke="currentColor", stroke_width=wide, **kept)


def _stretched(name: str, *parts: Html, high: int = _HEIGHT) -> Html:
    """Returns a chart as wide as its place, and so many pixels `high`."""
    box, size = f"0 0 {_WIDTH} {_HEIGHT}", {"width": "100%", "height": f"{high}"}
    ratio = {"viewBox": box, "preserveAspectRatio": "none", **size}
    return el("svg", *parts, role="img", aria_label=name, **ratio)
