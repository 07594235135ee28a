"""Where time, tokens and cost of a log went: its calls by agent, model, tool or type.

A call is a step that ended, or an event that names what a model took and ends no step.
"""

import json
import sqlite3
from statistics import median
from typing import Literal, NamedTuple

from thence.log.index.connection import Index

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
            at, begun.actor, begun.type, ended.failed, ended.time - begun.time AS lasted,
            calls.at <> calls.begin AS is_step,
            coalesce(after.model, before.model) AS model,
            coalesce(after.tool, before.tool) AS tool,
            coalesce(after.tokens_in, before.tokens_in) AS tokens_in,
            coalesce(after.tokens_out, before.tokens_out) AS tokens_out,
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


def spending(index: Index, key: Key) -> tuple[Spending, ...]:
    """Returns what calls took by a key, the most of them first; raises `read_failed`."""
    sql = f"""{_CALLS}
        SELECT {key}, count(*), sum(failed), json_group_array(lasted) FILTER (WHERE is_step),
            sum(coalesce(tokens_in, 0) + coalesce(tokens_out, 0))
                FILTER (WHERE tokens_in IS NOT NULL OR tokens_out IS NOT NULL),
            sum(cost)
        FROM told WHERE {key} <> '' GROUP BY {key} ORDER BY 2 DESC, 1 LIMIT :groups
    """
    values = {"groups": GROUPS_MAX}

    def work(connection: sqlite3.Connection) -> tuple[Spending, ...]:
        found = []
        for name, calls, failed, lasted, *spent in connection.execute(sql, values):
            seconds = [us / 1e6 for us in json.loads(lasted) if us is not None]
            times = (median(seconds), max(seconds)) if seconds else (None, None)
            found.append(Spending(name, calls, failed, *times, *spent))
        return tuple(found)

    return index.answer(work)
