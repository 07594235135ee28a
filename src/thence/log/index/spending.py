"""Where time, tokens and cost of a log went: its calls by agent, model, tool or type.

A call is a step that ended, or an event that names what a model took and ends no step.
"""

from collections import defaultdict
from collections.abc import Sequence
from sqlite3 import Connection
from statistics import median
from typing import Any, Literal, NamedTuple, get_args

from thence.log.index.connection import Index, answered

# calls that are counted; of a log with more the newest
CALLS_MAX = 200_000
GROUPS_MAX = 50

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


def calls_of(key: Key, name: str) -> tuple[str, str]:
    """Returns the SQL that selects the arrivals of the ends of a name's calls, with its value."""
    return f"{_CALLS} SELECT at FROM told WHERE {key} = :name", name


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
            for name in sorted(by_name, key=lambda one: (-len(by_name[one]), one))[:GROUPS_MAX]
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
