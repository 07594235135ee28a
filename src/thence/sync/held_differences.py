"""The blocks in which a log and its server differ, in the database of the log's held lines.

A block may differ for good: of a line that one side can't take. Once nothing is left to send or to
fetch in it, the pair of sums is remembered, and the server is sent its own sum in place of the
log's: it lists the block again when either side's sum has changed.
"""

import sqlite3
from collections.abc import Iterable, Mapping

from thence.core.wire.blocks import DIGEST_BYTES, EMPTY, BlockDigest, Place
from thence.sync.held_database import writing

# lines of the differing blocks that the server lacks, but for those that are kept back
LACKING = (
    "SELECT node, block, digest, segment, offset, length FROM differing"
    " CROSS JOIN lines USING (node, block)"
    " WHERE NOT EXISTS (SELECT 1 FROM theirs WHERE theirs.node = lines.node"
    " AND theirs.block = lines.block AND theirs.digest = lines.digest)"
    " AND digest NOT IN (SELECT digest FROM parked WHERE direction = 'push')"
)


class HeldDifferences:
    """The differences between the lines of one log and of one target, as last compared."""

    def __init__(self, database: sqlite3.Connection) -> None:
        self._db = database
        # typed as in `lines`: SQLite uses no key whose columns have other types for a comparison
        database.execute(
            "CREATE TEMP TABLE differing (node TEXT, block INTEGER, PRIMARY KEY (node, block))"
        )
        database.execute(
            "CREATE TEMP TABLE theirs (node TEXT, block INTEGER, digest BLOB,"
            " PRIMARY KEY (node, block, digest)) WITHOUT ROWID"
        )

    def to_compare(self) -> dict[Place, BlockDigest]:
        """Returns the blocks to send to the server: of a settled one the sum that it had there."""
        own = self._blocks()
        found = dict(own)
        for row in self._db.execute("SELECT * FROM settled"):
            place, known, theirs = Place(*row[:2]), _block(row[2:4]), _block(row[4:])
            if own.get(place, EMPTY) != known:
                continue
            if theirs.count:
                found[place] = theirs
            else:
                found.pop(place, None)
        return found

    def compare(self, theirs: Mapping[Place, frozenset[bytes]]) -> int:
        """Takes over what the server holds in the blocks that differ; others are equal or settled.

        Returns how many lines are to be brought.
        """
        own = self._blocks()
        rows = self._db.execute("SELECT * FROM settled").fetchall()
        stale = [
            row[:2]
            for row in rows
            if Place(*row[:2]) in theirs or own.get(Place(*row[:2]), EMPTY) != _block(row[2:4])
        ]
        with writing(self._db):
            self._db.executemany("DELETE FROM settled WHERE node = ? AND block = ?", stale)
            self._db.execute("DELETE FROM differing")
            self._db.execute("DELETE FROM theirs")
            self._db.execute(
                "UPDATE blocks SET delivered_count = count"
                " WHERE (node, block) NOT IN (SELECT node, block FROM settled)"
            )
            self._db.executemany("INSERT INTO differing VALUES (?, ?)", theirs)
            for place, known in theirs.items():
                self._add((place, digest) for digest in known)
                self._db.execute(
                    "UPDATE blocks SET delivered_count = ? WHERE node = ? AND block = ?",
                    (len(self._digests("lines", place) & known), *place),
                )
            self._db.execute(
                # elsewhere the server has what the log has
                "DELETE FROM parked WHERE direction = 'push'"
                " AND (digest IN (SELECT digest FROM theirs)"
                " OR (node, block) NOT IN"
                " (SELECT node, block FROM differing UNION SELECT node, block FROM settled))"
            )
        return int(self._db.execute(f"SELECT count(*) FROM ({LACKING})").fetchone()[0])

    def count_missing(self, place: Place, theirs: frozenset[bytes]) -> int:
        """Returns how many of the server's digests in a block the log lacks."""
        return len(theirs - self._digests("lines", place))

    def missing_here(self) -> list[bytes]:
        """Returns the digests that the last comparison found on the server alone.

        Parked lines are left out.
        """
        sql = (
            "SELECT digest FROM theirs WHERE digest NOT IN (SELECT digest FROM parked)"
            " AND NOT EXISTS (SELECT 1 FROM lines WHERE lines.node = theirs.node"
            " AND lines.block = theirs.block AND lines.digest = theirs.digest)"
        )
        return [digest for (digest,) in self._db.execute(sql)]

    def deliver(self, delivered: Iterable[tuple[Place, bytes]]) -> None:
        """Records that the server holds these lines too, given by block and digest."""
        known = list(delivered)
        sql = (
            "UPDATE blocks SET delivered_count = (SELECT count(*) FROM lines"
            " JOIN theirs USING (node, block, digest)"
            " WHERE node = blocks.node AND block = blocks.block)"
            " WHERE node = ? AND block = ?"
            # in all others nothing is lacking but bodies
            " AND (node, block) IN (SELECT node, block FROM differing)"
        )
        with writing(self._db):
            self._add(known)
            self._db.executemany(sql, {place for place, _ in known})

    def settle(self) -> None:
        """Remembers the pairs of sums of those blocks in which parked lines alone differ now.

        Call it at the end of a round, when all that the log took in is known here.
        """
        own = self._blocks()
        parked = "SELECT DISTINCT node, block FROM differing JOIN parked USING (node, block)"
        for place in [Place(*row) for row in self._db.execute(parked)]:
            lines, theirs = self._digests("lines", place), self._digests("theirs", place)
            if lines != theirs and self._is_settled(place, lines, theirs):
                pair = (own.get(place, EMPTY), EMPTY.plus_all(tuple(theirs)))
                sums = [
                    part for one in pair for part in (one.count, one.sum.to_bytes(DIGEST_BYTES))
                ]
                with writing(self._db):
                    self._db.execute(
                        "INSERT OR REPLACE INTO settled VALUES (?, ?, ?, ?, ?, ?)", (*place, *sums)
                    )

    def _is_settled(self, place: Place, lines: frozenset[bytes], theirs: frozenset[bytes]) -> bool:
        kept_back = self._digests("parked", place)
        pushes = self._digests("parked", place, "AND direction = 'push'")
        return lines - theirs <= pushes and theirs - lines <= kept_back

    def _add(self, theirs: Iterable[tuple[Place, bytes]]) -> None:
        rows = ((*place, digest) for place, digest in theirs)
        self._db.executemany("INSERT OR IGNORE INTO theirs VALUES (?, ?, ?)", rows)

    def _blocks(self) -> dict[Place, BlockDigest]:
        rows = self._db.execute("SELECT node, block, count, sum FROM blocks WHERE count > 0")
        return {Place(*row[:2]): _block(row[2:]) for row in rows}

    def _digests(self, table: str, place: Place, where: str = "") -> frozenset[bytes]:
        sql = f"SELECT digest FROM {table} WHERE node = ? AND block = ? {where}"
        return frozenset(digest for (digest,) in self._db.execute(sql, place))


def _block(row: tuple[int, bytes]) -> BlockDigest:
    return BlockDigest(row[0], int.from_bytes(row[1]))
