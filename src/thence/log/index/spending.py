"""Where time, tokens and cost of a log went: its calls by agent, model, tool or type.

A call is a step that ended, or an event that names what a model took and ends no step. Failures are
counted by what they said.
"""

import re
from collections import defaultdict
from collections.abc import Sequence
from sqlite3 import Connection
from statistics import median
from typing import Any, Literal, NamedTuple, get_args

from thence.core.sentences.events import clipped
from thence.core.sentences.events import line as in_line
from thence.log.index.connection import Index, answered
from thence.log.index.lookup import events_at

# calls that are counted; of a log with more the newest
CALLS_MAX = 200_000
# failures whose lines are read; of more the newest
FAILURES_READ_MAX = 10_000
_MESSAGE_CHARACTERS_MAX = 200
# the members in which a failure says what went wrong, the first that is a text
_MESSAGES = ("error", "error_message", "message", "reason", "exception.message")
# more messages that differ in nothing but names, numbers and ids are counted as one
_APART_MAX = 5
_WITH_DIGIT = r"[\w-]*\d(?:[\w.:-]*\w)?"

Key = Literal["actor", "model", "tool", "type"]

_CALLS = f"""
    WITH calls AS (
        SELECT begin, end AS at FROM steps WHERE end IS NOT NULL
        UNION ALL
        SELECT arrival, arrival FROM usage
        WHERE coalesce(model, tokens_in, tokens_out, cost) IS NOT NULL
            AND NOT EXISTS (SELECT 1 FROM steps WHERE end = arrival)
            AND NOT EXISTS (SELECT 1 FROM steps WHERE begin = arrival)
        ORDER BY at DESC LIMIT {CALLS_MAX}
    ), told AS (
        SELECT
            at, begun.actor, begun.type, ended.failed,
            CASE WHEN at <> begin THEN ended.time - begun.time END AS lasted,
            coalesce(after.model, before.model) AS model,
            coalesce(after.tool, before.tool) AS tool,
            CASE WHEN coalesce(
                after.tokens_in, after.tokens_out, before.tokens_in, before.tokens_out
            ) IS NOT NULL THEN
                coalesce(after.tokens_in, before.tokens_in, 0)
                + coalesce(after.tokens_out, before.tokens_out, 0)
            END AS tokens,
            coalesce(after.cost, before.cost) AS cost
        FROM calls
        JOIN events AS begun ON begun.arrival = begin
        JOIN events AS ended ON ended.arrival = at
        LEFT JOIN usage AS after ON after.arrival = at
        LEFT JOIN usage AS before ON before.arrival = begin
    )
"""


def calls_of(row: str) -> tuple[str, str]:
    """Returns the SQL that selects the arrivals of the ends of the calls of a row, with its name.

    A row is named by a key and a name: `model:NAME`.
    """
    key, _, name = row.partition(":")
    column = get_args(Key)[get_args(Key).index(key)]
    return f"{_CALLS} SELECT at FROM told WHERE {column} = :name", name


class Spending(NamedTuple):
    """What calls of one name took: seconds of those that are steps, tokens and cost if told."""

    name: str
    calls: int
    failed: int
    median_s: float | None
    longest_s: float | None
    tokens: int | None
    cost: float | None


@answered
def spending(index: Index, connection: Connection) -> dict[Key, Sequence[Spending]]:
    """Returns what calls took by each key, the most of them first; raises `read_failed`."""
    keys: Sequence[Key] = get_args(Key)
    sql = f"{_CALLS} SELECT {', '.join(keys)}, failed, lasted, tokens, cost FROM told"
    calls: dict[Key, dict[str, list[Any]]] = {key: defaultdict(list) for key in keys}
    for row in connection.execute(sql):
        for key, name in zip(keys, row, strict=False):
            if name:
                calls[key][name].append(row[len(keys) :])
    return {
        key: [
            _spent(name, by_name[name])
            for name in sorted(by_name, key=lambda one: (-len(by_name[one]), one))
        ]
        for key, by_name in calls.items()
    }


def _spent(name: str, calls: Sequence[Any]) -> Spending:
    failed, lasted, tokens, cost = (
        [value for value in column if value is not None] for column in zip(*calls, strict=True)
    )
    return Spending(
        name,
        len(calls),
        sum(failed),
        median(lasted) / 1e6 if lasted else None,
        max(lasted) / 1e6 if lasted else None,
        sum(tokens) if tokens else None,
        sum(cost) if cost else None,
    )


def said(index: Index, connection: Connection) -> dict[str, list[int]]:
    """Returns the arrivals of the newest failures by what they said, the beginning of it.

    Where many messages differ in nothing but names of their agents and words with digits, such as
    turns and ids, these are told as one, with … for each.
    """
    sql = (
        "SELECT arrival FROM events INDEXED BY failures WHERE failed = 1"
        f" ORDER BY lamport DESC, stamp DESC LIMIT {FAILURES_READ_MAX}"
    )
    arrivals = [arrival for (arrival,) in connection.execute(sql)]
    found = defaultdict[str, dict[str, list[int]]](dict)
    for arrival, event in zip(arrivals, events_at(index, connection, arrivals), strict=True):
        payload = event.cut_payload
        messages = (payload[key] for key in _MESSAGES if isinstance(payload.get(key), str))
        text = next(filter(None, messages), "")
        text = in_line(text or index.vocabulary.in_columns(event) or event.event_type)
        own = rf"(?<!\w){re.escape(event.actor)}(?!\w)|" if event.actor else ""
        alike = re.sub(own + _WITH_DIGIT, "…", text)
        alike, text = (clipped(one, _MESSAGE_CHARACTERS_MAX) for one in (alike, text))
        found[alike].setdefault(text, []).append(arrival)
    told = defaultdict[str, list[int]](list)
    for alike, texts in found.items():
        for text, its in texts.items():
            told[text if len(texts) <= _APART_MAX else alike] += its
    return told
