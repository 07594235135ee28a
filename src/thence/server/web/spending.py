"""Where time, tokens, cost and failures of a log went: tables whose rows are filters of its events.

A short log has them on its own page, a longer one on theirs.
"""

from collections.abc import Sequence

from starlette.responses import Response

from thence.core.markup import Child, Column, Html, el, link, path, table, words
from thence.core.sentences.events import duration
from thence.log.index.overview import LogFacts
from thence.log.index.spending import CALLS_MAX, FAILURES_READ_MAX, Key, said, spending
from thence.server.logs.root import OpenLog
from thence.server.web.layout import page
from thence.server.web.parts import log_link, numbers

# events of a log that has the tables on its own page
SHORT_EVENTS_MAX = 20_000
MESSAGES_SHOWN_MAX = 30
# how many names of each key are shown, and those that have the most of something
NAMES_SHOWN_MAX = 12
_KEYS: Sequence[tuple[Key, str]] = (
    ("actor", "Agent"),
    ("model", "Model"),
    ("tool", "Tool"),
    ("type", "Type"),
)
_COMPARED = ("failed", "longest_s", "tokens", "cost")
_NUMBERS = numbers("Calls", "Failed", "Median", "Longest", "Tokens", "Cost")


def spending_section(log: OpenLog, facts: LogFacts) -> Html | None:
    """Returns the tables of a short log, folded, and the link to those of a longer one.

    Raises `read_failed`.
    """
    heading = "Where did it go: time, tokens, failures"
    if facts.events > SHORT_EVENTS_MAX:
        return el("p", link(heading, path("runs", log.id, "spending")))
    tables = _tables(log, facts)
    return el("details", el("summary", heading), *tables) if tables else None


def spending_page(log: OpenLog, facts: LogFacts) -> Response:
    """Returns the page of the tables; raises `read_failed`."""
    parts = _tables(log, facts)
    if not parts:
        parts = [el("p", "It holds no calls that ended, and no failures.", class_="empty")]
    heading = "Where did it go"
    current = el("span", heading, aria_current="page")
    return page(heading, el("h1", heading), *parts, trail=(log_link(log), current))


def _tables(log: OpenLog, facts: LogFacts) -> list[Html]:
    """Returns what calls of each agent, model, tool and type took, and what failures said."""
    parts, spent = [], spending(log.index)
    for key, name in _KEYS:
        if not (found := spent[key]):
            continue
        rows: list[Sequence[Child]] = []
        columns_of = ([getattr(one, number) or 0 for one in found] for number in _COMPARED)
        most = {column.index(max(column)) for column in columns_of}
        for at, one in enumerate(found):
            if at >= NAMES_SHOWN_MAX and at not in most:
                continue
            its = {"calls": f"{key}:{one.name}"}
            failed = path("runs", log.id, **its, failed="1") + "#events"
            rows.append(
                (
                    link(words(one.name, 60), path("runs", log.id, **its) + "#events"),
                    f"{one.calls:,}",
                    link(f"{one.failed:,}", failed) if one.failed else None,
                    None if one.median_s is None else duration(one.median_s),
                    None if one.longest_s is None else duration(one.longest_s),
                    None if one.tokens is None else f"{one.tokens:,}",
                    None if one.cost is None else f"{one.cost:,.4g}",
                )
            )
        columns = (Column(name, names_row=True), *_NUMBERS)
        used = [at for at in range(len(columns)) if any(row[at] is not None for row in rows)]
        caption = f"Calls by {name.lower()}"
        if len(found) > len(rows):
            caption += f", {len(rows)} of {len(found)}, with the most of each column"
        if sum(one.calls for one in spent["type"]) >= CALLS_MAX:
            caption += f"; the newest {CALLS_MAX:,}"
        cells = [[row[at] for at in used] for row in rows]
        parts.append(table(caption, [columns[at] for at in used], cells))
    if facts.failures:
        parts.append(_failures(log, facts.failures))
    return parts


def _failures(log: OpenLog, count: int) -> Html:
    """Returns how often the newest failures said what, each a link to these."""
    found = log.index.answer(lambda connection: said(log.index, connection))
    most = sorted(found, key=lambda text: -len(found[text]))[:MESSAGES_SHOWN_MAX]
    rows = [
        (link(words(text), path("runs", log.id, said=text) + "#events"), f"{len(found[text]):,}")
        for text in most
    ]
    caption = "Failures by message"
    if len(found) > len(most):
        caption += f", {len(most)} of {len(found):,}, the most frequent"
    if count > FAILURES_READ_MAX:
        caption += f", of the newest {FAILURES_READ_MAX:,}"
    return table(caption, (Column("Message", "what"), *numbers("Failures")), rows)
