"""Texts as HTML: markdown as models write it, and code in colours, by classes alone."""

from functools import cache
from pathlib import PurePosixPath
from typing import TYPE_CHECKING

from thence.core.markup import TEXT_CHARACTERS_MAX, Html, cut, el, joined, visible, words

if TYPE_CHECKING:
    from markdown_it import MarkdownIt

# a longer file has no colours
COLOURED_CHARACTERS_MAX = 200_000
# few and well known: others would read what strangers wrote, with patterns that may take for ever
_LANGUAGES = (
    *("py", "js", "ts", "c", "cpp", "yaml", "sh"),
    *("css", "go", "java", "json", "rs", "sql", "toml"),
)


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
