"""Small charts as SVG: paths and numbers in attributes, without script or style."""

from collections.abc import Sequence

from thence.core.markup import Html, el

_HEIGHT = 20


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
