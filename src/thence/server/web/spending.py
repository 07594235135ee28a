"""Where time, tokens, cost and failures of a log went: tables whose rows are filters of its events.

A short log has them on its own page, a longer one on theirs.
"""

import json
from collections import Counter
from collections.abc import Sequence

from starlette.responses import Response

from thence.core.bodies import first_key
from thence.core.markup import Child, Column, Html, el, link, path, table, words
from thence.core.query.filter import Filter
from thence.core.sentences.events import clipped, duration
from thence.core.sentences.events import line as in_line
from thence.log.index import query
from thence.log.index.overview import LogFacts
from thence.log.index.spending import CALLS_MAX, Key, spending
from thence.server.logs.root import OpenLog
from thence.server.web.layout import page
from thence.server.web.parts import log_link

# events of a log that has the tables on its own page
SHORT_EVENTS_MAX = 20_000
# failures whose lines are read; of more the newest
FAILURES_READ_MAX = 10_000
MESSAGE_CHARACTERS_MAX = 200
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
# the members in which a failure says what went wrong, the first that is a text
_MESSAGES = ("error", "error_message", "message", "reason", "exception.message")
_NUMBERS = (
    Column("Calls", "number", "calls"),
    Column("Failed", "number", "failed"),
    Column("Median", "number", "median"),
    Column("Longest", "number", "longest"),
    Column("Tokens", "number", "tokens"),
    Column("Cost", "number", "cost"),
)


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
        if sum(one.calls for one in found) >= CALLS_MAX:
            caption += f"; the newest {CALLS_MAX:,}"
        cells = [[row[at] for at in used] for row in rows]
        parts.append(table(caption, [columns[at] for at in used], cells))
    if facts.failures:
        parts.append(_failures(log, facts.failures))
    return parts


def _failures(log: OpenLog, count: int) -> Html:
    """Returns how often the newest failures said what, each with the filter that finds those.

    Of a large message the beginning counts.
    """
    told = Counter[tuple[str, str, str]]()
    newest = query.page(log.index, Filter(failed=True), limit=FAILURES_READ_MAX, descending=True)
    for event in newest:
        said = ((key, event.cut_payload.get(key)) for key in _MESSAGES)
        key, text = next(((key, text) for key, text in said if isinstance(text, str)), ("", ""))
        is_cut = any(first_key(entry.pointer) == key for entry in event.body_entries)
        quoted = json.dumps(text, ensure_ascii=False)
        where = f"{key} {'~' if is_cut else '='} {quoted}" if text else ""
        text = text or log.vocabulary.in_columns(event) or event.event_type
        message = clipped(in_line(text), MESSAGE_CHARACTERS_MAX)
        told[message, "where" if where else "type", where or event.event_type] += 1
    rows = [
        (link(words(text), path("runs", log.id, failed="1", **{key: asked}) + "#events"), f"{n:,}")
        for (text, key, asked), n in told.most_common(MESSAGES_SHOWN_MAX)
    ]
    caption = "Failures by message"
    if count > FAILURES_READ_MAX:
        caption += f", of the newest {FAILURES_READ_MAX:,}"
    columns = (Column("Message", "what"), Column("Failures", "number", "failures"))
    return table(caption, columns, rows)
