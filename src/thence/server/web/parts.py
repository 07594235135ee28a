"""What several pages share: links, the status of a run, forms, charts as SVG, texts as HTML.

Charts are paths and numbers in attributes, texts have classes alone: no script, no style.
"""

from collections.abc import Iterable, Sequence
from functools import cache
from pathlib import PurePosixPath
from typing import TYPE_CHECKING

from thence.core.clock import microseconds
from thence.core.event import Event
from thence.core.failures import is_failure, is_rejection
from thence.core.markup import (
    TEXT_CHARACTERS_MAX,
    Child,
    Column,
    Html,
    cut,
    el,
    joined,
    link,
    path,
    visible,
    words,
)
from thence.server.logs.root import FoundLog
from thence.server.logs.summaries import RunRecord
from thence.sync.wire.messages import MirroredLog

if TYPE_CHECKING:
    from markdown_it import MarkdownIt

NUMBER_MAX = 1e300
_WIDTH = 200  # of a chart that is stretched to its place
_HEIGHT, _SPARK_WIDTH = 20, 100
# a longer file has no colours
COLOURED_CHARACTERS_MAX = 200_000
# few and well known: others would read what strangers wrote, with patterns that may take for ever
_LANGUAGES = (
    *("py", "js", "ts", "c", "cpp", "yaml", "sh"),
    *("css", "go", "java", "json", "rs", "sql", "toml"),
)


def log_link(log: FoundLog) -> Html:
    """Returns the link to the page of a log."""
    return link(words(log.id, 60), path("runs", log.id))


def event_address(log: FoundLog, event_id: str) -> str:
    """Returns the address of the page of an event."""
    return path("runs", log.id, "events", event_id)


def event_link(
    log: FoundLog,
    event: Event,
    text: str | None = None,
    characters_max: int = TEXT_CHARACTERS_MAX,
) -> Html:
    """Returns the sentence of an event, or another text, as a link to its page."""
    sentence = log.vocabulary.summary(event) if text is None else text
    return link(words(sentence, characters_max), event_address(log, event.event_id))


def event_items(log: FoundLog, events: Iterable[Event]) -> list[Html]:
    """Returns the sentences of events as list items, each a link."""
    return [el("li", event_link(log, event)) for event in events]


def seconds_between(begin: str, end: str) -> float:
    """Returns the seconds from one timestamp to another; 0 where one of them is no time."""
    start, last = microseconds(begin), microseconds(end)
    return 0 if start is None or last is None else (last - start) / 1e6


def mark(event: Event) -> Html | None:
    """Returns the mark of an event that records a failure or a refused action; None of another."""
    text = "rejected" if is_rejection(event) else "failed" if is_failure(event) else None
    return None if text is None else el("span", text, class_=f"mark {text}")


def failures_link(log: FoundLog, count: int, text: str = "", class_: str | None = None) -> Child:
    """Returns the number of a log's failures, or a text about them, which leads to them."""
    text = text or f"{count:,}"
    address = path("runs", log.id, failed="1") + "#events"
    return el("a", text, href=address, class_=class_) if count else text


def status(run: RunRecord, failures: int | None) -> Html:
    """Returns the status of a run in words; the colour adds no information.

    A run that completed, and whose decisions nothing counts, is as good as its `failures` say.
    """
    is_good: bool | None = run.ended.is_good
    if run.status == "completed" and not run.ended.decisions:
        is_good = None if failures is None else failures == 0
    is_bad = is_good is False and run.status in ("completed", "failed")
    style = "completed" if is_good else "failed" if is_bad else None
    return el("span", words(run.ended.text), class_=f"status-{style}" if style else None)


def mirrored_words(mirrored: MirroredLog) -> str:
    """Returns which log of a team is mirrored, and who pushed its first and its last line."""
    of = mirrored.log
    text = f"the log {of.log} of team {mirrored.team} at {mirrored.server}"
    text += f", begun by {of.first_by}" if of.first_by else ""
    text += f", last pushed by {of.last_by}" if of.last_by else ""
    return text + (f"; not up to date: {mirrored.withdrawn}" if mirrored.withdrawn else "")


def numbers(*heads: str) -> list[Column]:
    """Returns columns of numbers."""
    return [Column(head, "number", head.lower()) for head in heads]


def choice(name: str, label: str, value: str, choices: Iterable[tuple[str, str]]) -> Html:
    """Returns a field of a form with some values and their texts, of which one is chosen."""
    options = [
        el("option", cut(text, 80), value=key, selected=key == value) for key, text in choices
    ]
    return el("div", el("label", label, for_=name), el("select", *options, id=name, name=name))


def form(fields: Sequence[Html], *do: Html, **attributes: str) -> Html:
    """Returns a form of fields, with what one does with them below."""
    return el(
        "form",
        el("div", *fields, class_="fields"),
        el("div", *do, class_="do"),
        **attributes,
    )


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


def markdown(text: str, characters_max: int) -> Html:
    """Returns a text as markdown, cut where it is longer; links, images and HTML stay text.

    What looks like JSON is shown as it is.
    """
    shown = cut(text, characters_max)
    if text.lstrip()[:1] in ("{", "["):
        return el("pre", shown, tabindex="0")
    tokens = _reader().parse(visible(shown))
    for token in tokens:
        if token.type.startswith("heading"):
            token.tag = "h4"  # below those of the page
    return el("div", Html(_reader().renderer.render(tokens, _reader().options, {})), class_="said")


@cache
def _reader() -> "MarkdownIt":
    from markdown_it import MarkdownIt  # 20 ms, for pages with a conversation alone

    options = {"html": False, "breaks": True, "xhtmlOut": False}
    off = ["link", "image", "autolink", "reference", "escape", "entity"]
    return MarkdownIt("commonmark", options).disable(off)


def coloured(name: str, lines: list[str]) -> list[Html]:
    """Returns the lines of a file in the colours of its language, plain ones where that is unknown.

    Of a long line the beginning is shown, without colours.
    """
    plain = [words(line) for line in lines]
    language, text = PurePosixPath(name).suffix[1:], "\n".join(lines)
    if language not in _LANGUAGES or len(text) > COLOURED_CHARACTERS_MAX:
        return plain
    from pygments.lexers import get_lexer_by_name
    from pygments.token import Comment, Keyword, Number, String

    kinds = {Comment: "comment", Keyword: "keyword", Number: "digits", String: "string"}
    shown: list[list[Html]] = [[]]
    read = [""]
    for token, part in get_lexer_by_name(language, stripnl=False, ensurenl=False).get_tokens(text):
        kind = next((name for of, name in kinds.items() if token in of), None)
        for at, piece in enumerate(part.split("\n")):
            if at:
                shown.append([])
                read.append("")
            read[-1] += piece
            shown[-1].append(el("span", piece, class_=kind) if kind else joined(piece))
    if read != lines:  # a line holds what the language takes for the end of one
        return plain
    return [
        el("bdi", *pieces) if len(line) <= TEXT_CHARACTERS_MAX else short
        for line, pieces, short in zip(lines, shown, plain, strict=True)
    ]
