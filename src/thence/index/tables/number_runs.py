"""The numbers that lines of each node have, kept in an index as runs.

A node's own lines come in the order of its numbers: a log has few runs however long it is, so
that they cost no index of two columns (decision 0026).
"""

import sqlite3
from collections.abc import Iterable, Iterator, Sequence
from operator import lt

from thence.index.tables.rows import INTEGER_MAX

Run = tuple[int, int, int]  # node, first, last


def add_numbers(
    connection: sqlite3.Connection, nodes: Sequence[float], seqs: Sequence[int]
) -> None:
    """Adds the numbers of lines, given with the names of their nodes; 0 is none."""
    for run in _runs(nodes, seqs):
        _add(connection, *run)


def taken_numbers(
    connection: sqlite3.Connection, wanted: Iterable[tuple[str, int]]
) -> set[tuple[str, int]]:
    """Returns those of some (node_id, seq) that a line has."""
    found = set()
    sql = (
        "SELECT last FROM number_runs WHERE node = (SELECT id FROM names WHERE text = :node)"
        " AND first <= :seq ORDER BY first DESC LIMIT 1"
    )
    for node_id, seq in wanted:
        asked = {"node": node_id, "seq": min(seq, INTEGER_MAX)}
        row = connection.execute(sql, asked).fetchone()
        if row is not None and row[0] >= asked["seq"]:
            found.add((node_id, seq))
    return found


def _runs(nodes: Sequence[float], seqs: Sequence[int]) -> Iterator[Run]:
    """Yields the numbers of lines as runs; those of one node in order are one at once."""
    first, last = seqs[0], seqs[-1]
    is_run = first and last - first == len(seqs) - 1 and all(map(lt, seqs, seqs[1:]))
    if is_run and len(set(nodes)) == 1:
        yield int(nodes[0]), first, last
        return
    node = first = last = 0
    for each, seq in sorted(set(zip(map(int, nodes), seqs, strict=True))):
        if (each, seq) == (node, last + 1) and first:
            last = seq
            continue
        if first:
            yield node, first, last
        node, first, last = each, seq, seq
    if first:
        yield node, first, last


def _add(connection: sqlite3.Connection, node: int, first: int, last: int) -> None:
    """Adds a run, joined with those that it touches."""
    before = connection.execute(
        "SELECT first, last FROM number_runs WHERE node = :node AND first <= :first"
        " ORDER BY first DESC LIMIT 1",
        {"node": node, "first": first},
    ).fetchone()
    if before is not None and before[1] >= last:
        return
    if before is not None and before[1] >= first - 1:
        first = before[0]
    run = {"node": node, "first": first, "last": last, "reach": min(last + 1, INTEGER_MAX)}
    touched = "node = :node AND first BETWEEN :first AND :reach"
    (end,) = connection.execute(
        f"SELECT max(last) FROM number_runs WHERE {touched}", run
    ).fetchone()
    if end is not None:
        connection.execute(f"DELETE FROM number_runs WHERE {touched}", run)
        run["last"] = max(last, end)
    connection.execute("INSERT INTO number_runs VALUES (:node, :first, :last)", run)
