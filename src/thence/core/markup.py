"""HTML made of elements, tables and lists of facts, with every text in it escaped.

The content of an event is untrusted: it is shown as text, and characters that would distort it,
such as those that turn the direction of writing, are shown as escapes.
"""

import re
from collections.abc import Iterable, Sequence
from datetime import datetime
from html import escape
from typing import NamedTuple, TypeAlias
from urllib.parse import quote, urlencode

ADDRESS_CHARACTERS_MAX = 8_000
TEXT_CHARACTERS_MAX = 300
TIME_CHARACTERS_MAX = 32

_VOID = frozenset(("input", "link", "meta", "br"))
_INVISIBLE = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200b\u200e\u200f\u2028-\u202e\u2060-\u2069\ufeff"
    "\ufff9-\ufffb\ud800-\udfff]"
)


class Html(str):
    """A text that is HTML already."""

    __slots__ = ()


Child: TypeAlias = str | int | None


def el(name: str, /, *children: Child, **attributes: str | int | bool | None) -> Html:
    """Returns an element; children that are no Html are escaped, None is left out.

    An underscore in an attribute's name stands for a hyphen, one at its end for nothing. None
    and False leave the attribute out, True gives it no value.
    """
    attribute_text = "".join(
        f" {key.rstrip('_').replace('_', '-')}"
        + ("" if value is True else f'="{escape(str(value))}"')
        for key, value in attributes.items()
        if value is not None and value is not False
    )
    if name in _VOID:
        return Html(f"<{name}{attribute_text}>")
    return Html(f"<{name}{attribute_text}>{joined(*children)}</{name}>")


def joined(*children: Child) -> Html:
    """Returns children joined into one piece of HTML."""
    texts = [
        child or "" if child is None or isinstance(child, Html) else escape(visible(str(child)))
        for child in children
    ]
    return Html("".join(texts))


def link(content: Child, address: str) -> Html:
    """Returns a link, or its content alone where no browser would send so long an address."""
    if len(address) > ADDRESS_CHARACTERS_MAX:
        return el("span", content)
    return el("a", content, href=address)


def visible(text: str) -> str:
    """Returns a text with its invisible characters as escapes."""
    return _INVISIBLE.sub(lambda match: f"\\u{ord(match[0]):04x}", text)


def cut(text: str, characters_max: int) -> str:
    """Returns a text, or the beginning of one that is longer, marked as such."""
    if len(text) <= characters_max:
        return text
    return f"{text[:characters_max]}… ({len(text):,} characters)"


def path(*parts: str, **query: str | list[str] | None) -> str:
    """Returns the address of a page from the parts of its path and its query."""
    address = "/" + "/".join(quote(part, safe="", errors="surrogatepass") for part in parts if part)
    fields = {key.rstrip("_"): value for key, value in query.items() if value}
    return f"{address}?{urlencode(fields, doseq=True)}" if fields else address


class Column(NamedTuple):
    """A column of a table: the text of its head, and its class.

    `name` is shown before each cell where columns have no heads. One column may name its row.
    """

    head: str
    kind: str | None = None
    name: str | None = None
    names_row: bool = False


def table(caption: str, columns: Sequence[Column], rows: Iterable[Sequence[Child]]) -> Html:
    """Returns a table of rows of cells; a cell of None is empty.

    Its ARIA roles are explicit, as the style shows rows as blocks on a narrow screen.
    """
    heads = [
        el("th", column.head, scope="col", role="columnheader", class_=column.kind)
        for column in columns
    ]
    head = el("thead", el("tr", *heads, role="row"), role="rowgroup")

    def cell(column: Column, content: Child) -> Html:
        if column.names_row:
            return el("th", content, scope="row", role="rowheader")
        name = column.name if content is not None else None
        return el("td", content, role="cell", class_=column.kind, data_name=name)

    lines = [el("tr", *map(cell, columns, cells), role="row") for cells in rows]
    body = el("tbody", *lines, role="rowgroup")
    return el("table", el("caption", caption), head, body, role="table")


def facts(pairs: Iterable[tuple[str, Child]]) -> Html:
    """Returns a list of names with values, of which a text is untrusted as in `words`.

    A value of None and an empty text are left out.
    """
    items = [
        (el("dt", name), el("dd", words(value) if type(value) is str else value))
        for name, value in pairs
        if value not in (None, "")
    ]
    return el("dl", *[part for pair in items for part in pair])


def moment(timestamp: str | None) -> Child:
    """Returns a time as people read it; a text that is no time is unchanged."""
    if not timestamp:
        return None
    try:
        time = datetime.fromisoformat(timestamp)
    except ValueError:
        return words(timestamp, TIME_CHARACTERS_MAX)
    readable = time.isoformat(" ", "milliseconds").partition("+")[0]
    return el("time", readable, datetime=timestamp, title=timestamp)


def words(text: str, characters_max: int = TEXT_CHARACTERS_MAX) -> Html:
    """Returns untrusted text, cut, with its own direction of writing."""
    return el("bdi", cut(text, characters_max))
