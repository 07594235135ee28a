"""The steps of a log by its index: what one event began and another ended, or none yet."""

import json
import sqlite3
from collections.abc import Sequence
from typing import NamedTuple

from msgspec import structs

from thence.core.event import Event
from thence.core.query.filter import Filter
from thence.index.connection import Index
from thence.index.lookup import events_at
from thence.index.query import matching, scan_of

_FAILED = "end IN (SELECT arrival FROM events WHERE failed = 1)"


class Step(NamedTuple):
    """What lasted, by the events of its begin and its end; no end while it is open."""

    begin: Event
    end: Event | None


class LatestSteps(NamedTuple):
    """Steps by the time of their begin, the number of all that match, the log's latest time.

    `until_us` is in microseconds since 1970, None if no event has a time.
    """

    steps: Sequence[Step]
    total: int
    until_us: int | None


def latest_steps(index: Index, filter: Filter, last: int) -> LatestSteps:
    """Returns the `last` steps that began, of those whose begin matches; `failed` asks of the end.

    Steps whose begin has no time that can be read are left out. Raises `read_failed`.
    """
    begin_filter = structs.replace(filter, failed=None)

    def work(connection: sqlite3.Connection) -> LatestSteps:
        (until_us,) = connection.execute("SELECT max(time_last) FROM zones").fetchone()
        scan = scan_of(connection, begin_filter)
        if scan is None:
            return LatestSteps((), 0, until_us)
        values = dict(scan.values)
        conditions = ["time IS NOT NULL"]
        if filter.where:
            values["arrivals"] = json.dumps([*matching(index, connection, scan, begin_filter)])
            conditions.append("begin IN (SELECT value FROM json_each(:arrivals))")
        elif scan.conditions:
            conditions.append(f"begin IN (SELECT arrival FROM {scan.source()})")
        if filter.failed is not None:
            conditions.append(_FAILED if filter.failed else f"(end IS NULL OR NOT {_FAILED})")
        source = f"FROM steps WHERE {' AND '.join(conditions)}"
        (total,) = connection.execute(f"SELECT count(*) {source}", values).fetchone()
        sql = f"SELECT begin, end {source} ORDER BY time DESC, begin DESC LIMIT :last"
        rows = connection.execute(sql, {**values, "last": last}).fetchall()
        arrivals = sorted({arrival for row in rows for arrival in row if arrival is not None})
        events = dict(zip(arrivals, events_at(index, connection, arrivals), strict=True))
        steps = [Step(events[begin], events.get(end)) for begin, end in reversed(rows)]
        return LatestSteps(steps, total, until_us)

    return index.answer(work)
