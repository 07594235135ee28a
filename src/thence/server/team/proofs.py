"""The proofs that the seals of a stored log give: which lines the keys of a team have sealed.

Every function works on its caller's connection, within one transaction.
"""

from collections.abc import Iterable, Sequence
from itertools import groupby
from typing import Any

import apsw

from thence.core.wire.seals import (
    SEALED_NUMBERS_MAX,
    LinePlace,
    NumberedDigests,
    Seal,
    sealed_lines,
)
from thence.server.team.rows import StoredLog

# so many lines are looked at, the first ones that came, where some have the same number
RANGE_LINES_MAX = 8 * SEALED_NUMBERS_MAX
# how far from a line the other end of a seal that covers it can be
REACH = SEALED_NUMBERS_MAX - 1

_CLAIM = "SELECT public_key FROM claims WHERE team = :team AND node = :node"
_SEALS = """
    SELECT node, first, last, count, lines_sha256, '', public_key FROM seals
    WHERE team = :team AND log = :log AND node = :node AND public_key IN carray(:keys)
        AND first BETWEEN :first - :reach AND :last AND last >= :first
"""
_RANGE = """
    SELECT seq, digest FROM events
    WHERE team = :team AND log = :log AND node = :node
        AND block BETWEEN (:first - 1) / :numbers AND (:last - 1) / :numbers
        AND seq BETWEEN :first AND :last
    ORDER BY number LIMIT :most
"""
_REVISE_SEALED = """
    UPDATE logs SET revision = revision + 1 WHERE team = :team AND EXISTS (
        SELECT 1 FROM seals
        WHERE seals.team = logs.team AND seals.log = logs.id AND seals.node IN carray(:nodes)
    )
"""


class Proofs:
    """The seals of a log, and the digests of the lines that they cover, for one transaction."""

    def __init__(self, connection: apsw.Connection, log: StoredLog) -> None:
        self._connection = connection
        self._log = log
        self._last: tuple[Seal, NumberedDigests] | None = None

    def sealed(self, lines: Sequence[LinePlace], keys: Sequence[str]) -> set[bytes]:
        """Returns D of those lines of one node that a seal by one of some keys covers."""
        numbers = [line.seq for line in lines]
        given = {
            **self._names(lines[0].node_id),
            "keys": apsw.carray(tuple(keys)),
            "first": min(numbers),
            "last": max(numbers),
            "reach": REACH,
        }
        rows: list[tuple[Any, ...]] = self._connection.execute(_SEALS, given).fetchall()
        # only seals with a good signature are stored
        return sealed_lines(lines, (Seal(*row) for row in rows), self._lines, lambda _: True)

    def _lines(self, seal: Seal) -> NumberedDigests:
        """Returns the digests of the lines in a range; those of the last one are kept."""
        if self._last is not None and self._last[0] == seal:
            return self._last[1]
        given = {
            **self._names(seal.node_id),
            "first": seal.first,
            "last": seal.last,
            "numbers": SEALED_NUMBERS_MAX,
            "most": RANGE_LINES_MAX,
        }
        lines: dict[int, list[bytes]] = {}
        for seq, digest in self._connection.execute(_RANGE, given):
            lines.setdefault(seq, []).append(digest)
        self._last = seal, lines
        return lines

    def _names(self, node: str) -> dict[str, int | str]:
        return {"team": self._log.team, "log": self._log.id, "node": node}


def claim_of(connection: apsw.Connection, team: int, node: str) -> str | None:
    """Returns the key that has claimed a node in a team."""
    found: str | None = connection.execute(_CLAIM, {"team": team, "node": node}).get
    return found


def authored(connection: apsw.Connection, log: StoredLog, lines: Iterable[LinePlace]) -> set[bytes]:
    """Returns D of those lines that a seal covers by the key that has claimed their node."""
    proofs = Proofs(connection, log)
    found: set[bytes] = set()
    for node, group in groupby(sorted(lines), lambda line: line.node_id):
        key = claim_of(connection, log.team, node)
        if key is not None:
            found |= proofs.sealed(list(group), (key,))
    return found


def revise_sealed(connection: apsw.Connection, team: int, nodes: Sequence[str]) -> None:
    """Counts a revision of each log of a team with seals over nodes that another key has now.

    Which lines are authored there may be another matter, so their folders are made anew.
    """
    if nodes:
        given = {"team": team, "nodes": apsw.carray(tuple(nodes))}
        connection.execute(_REVISE_SEALED, given)
