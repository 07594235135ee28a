"""The prose lines of a Markdown file: those outside code blocks and comments.

Only headings are distinguished from other lines. Lines end at `\\n` alone, so that a line's number
finds its bytes again; a `\\r` before it belongs to the end.
"""

import re
from typing import NamedTuple

_FENCE = re.compile(r" {0,3}(`{3,}|~{3,})(.*)")
_HEADING = re.compile(r" {0,3}(#{1,6})(?=[ \t]|\Z)")
_MARKER = re.compile(r"(?:<{7}|>{7})(?: |$)")


class MarkdownLine(NamedTuple):
    """One line; `number` counts from 1, `level` is that of a heading and 0 for others.

    The text of a heading is without its `#` signs.
    """

    number: int
    level: int
    text: str


class Prose(NamedTuple):
    """The lines of a file, and its faults: (line, message, hint)."""

    lines: tuple[MarkdownLine, ...]
    faults: tuple[tuple[int, str, str], ...]


def lines_of(data: bytes) -> Prose:
    """Reads a Markdown file; bytes that are no UTF-8 are reported and replaced.

    Faults are the first line that is no UTF-8, the first merge marker, and a code block or comment
    that never ends.
    """
    lines: list[MarkdownLine] = []
    faults: dict[str, tuple[int, str, str]] = {}
    fence, begin_line = "", 0
    is_comment = False
    for number, raw in enumerate(data.removeprefix(b"\xef\xbb\xbf").split(b"\n"), 1):
        try:
            text = raw.removesuffix(b"\r").decode()
        except UnicodeDecodeError:
            text = raw.removesuffix(b"\r").decode("utf-8", "replace")
            faults.setdefault("text", (number, "this is not UTF-8", "save the file as UTF-8"))
        if _MARKER.match(text):
            hint = "settle the merge first: git status names the files"
            faults.setdefault("merge", (number, "this is a merge marker of git", hint))
        mark = _FENCE.fullmatch(text)
        if is_comment:
            is_comment = "-->" not in text
        elif fence:
            ends = mark and mark[1].startswith(fence) and not mark[2].strip()
            fence = "" if ends else fence
        elif mark and not (mark[1][0] == "`" and "`" in mark[2]):
            fence, begin_line = mark[1], number
        elif text.rpartition("<!--")[1] and "-->" not in text.rpartition("<!--")[2]:
            is_comment, begin_line = True, number
        else:
            level = 0
            if heading := _HEADING.match(text):
                level, words = len(heading[1]), text[heading.end() :].strip(" \t")
                bare = words.rstrip("#")  # a row of # apart from the words ends a heading
                text = (bare if not bare or bare[-1] in " \t" else words).strip()
            lines.append(MarkdownLine(number, level, text))
    if fence or is_comment:
        what = "code block" if fence else "comment"
        faults["end"] = (begin_line, f"this {what} never ends", f"end it with {fence or '-->'}")
    return Prose(tuple(lines), tuple(faults.values()))
