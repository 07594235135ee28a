"""Tables, times and facts as pages show them."""

from collections.abc import Iterable, Sequence
from datetime import datetime

from thence.server.web.markup import Child, Html, cut, el

TEXT_CHARACTERS_MAX = 300
TIME_CHARACTERS_MAX = 32


def table(caption: str, heads: Sequence[tuple[str, str]], rows: Iterable[Html]) -> Html:
    """Returns a table; a head is its text and the class of its column.

    Its ARIA roles are explicit, as the style shows rows as blocks on a narrow screen.
    """
    cells = [
        el("th", text, scope="col", role="columnheader", class_=kind or None)
        for text, kind in heads
    ]
    head = el("thead", el("tr", *cells, role="row"), role="rowgroup")
    body = el("tbody", *rows, role="rowgroup")
    return el("table", el("caption", caption), head, body, role="table")


def row(*cells: Html) -> Html:
    """Returns a row of a table."""
    return el("tr", *cells, role="row")


def cell(content: Child, kind: str = "", name: str | None = None) -> Html:
    """Returns a cell; `name` is shown before it where columns have no heads."""
    return el("td", content, role="cell", class_=kind or None, data_name=name)


def head_cell(content: Child) -> Html:
    """Returns the cell that names its row."""
    return el("th", content, scope="row", role="rowheader")


def facts(pairs: Iterable[tuple[str, Child]]) -> Html:
    """Returns a list of names with values; a value of None is left out."""
    items = [(el("dt", name), el("dd", value)) for name, value in pairs if value is not None]
    return el("dl", *[part for pair in items for part in pair])


def moment(timestamp: str | None) -> Child:
    """Returns a time as people read it; a text that is no time is unchanged."""
    if not timestamp:
        return None
    try:
        time = datetime.fromisoformat(timestamp)
    except ValueError:
        return words(timestamp, TIME_CHARACTERS_MAX)
    shown = time.isoformat(" ", "milliseconds").partition("+")[0]
    return el("time", shown, datetime=timestamp, title=timestamp)


def words(text: str, characters_max: int = TEXT_CHARACTERS_MAX) -> Html:
    """Returns untrusted text, cut, with its own direction of writing."""
    return el("bdi", cut(text, characters_max))
