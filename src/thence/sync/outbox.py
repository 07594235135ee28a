"""The outbox of a log: which of its lines the server is known to hold, which wait or are parked.

The database `.thence/sync/outbox.db` can be deleted at any time; one that is damaged, or of another
schema, is made anew: then all lines wait, and the server calls those that it holds duplicates. Only
lines that are on the device are in it: no line is sent that a power cut can take back.
"""

import os
import sqlite3
from collections.abc import Collection, Iterable, Iterator
from contextlib import closing, contextmanager, suppress
from errno import EEXIST
from pathlib import Path
from typing import Any, NamedTuple
from weakref import finalize

from thence.core.codec import BadLine, event_id_of, parse
from thence.core.event import Event
from thence.core.pruned import NOT_PRUNED, PRUNED, pruned_by
from thence.core.redaction import (
    BODY_DIGEST,
    REDACTED,
    Redaction,
    digests,
    redacted,
    redaction_in,
    same_event_key,
    same_line_key,
)
from thence.core.vocabulary import Vocabulary
from thence.errors import InvalidEvent, ThenceError
from thence.log.files.disk import DiskError, reading
from thence.log.files.identity import known_node_id, known_node_ids
from thence.log.files.segment import PresentSegment, Stale, present_segments
from thence.log.index.rows import schema_digest, statements
from thence.log.index.segments import (
    Intake,
    LineReader,
    SegmentSnapshot,
    match_segments,
    snapshots,
)
from thence.log.open import OS_DISK
from thence.log.read.reader import lines_of
from thence.sync.target import enabled_target, read_target, sync_folder
from thence.sync.wire.messages import Cursors

_NAME, _ROOM, _SCHEMA = "outbox.db", "thence.sync", "outbox.sql"
_BUSY_S = 10.0
_TRIES_MAX = 5
_READ_LINES = 1_000
_REASON_CHARACTERS_MAX = 500
_OWN, _FOREIGN, _REDACTED = "redaction", "foreign", "redacted"
_BODY_DIGEST = f'"{BODY_DIGEST}"'.encode()


class LineKey(NamedTuple):
    """The key of a line: its node and number, "" and 0 for a line without numbers, and D."""

    node: str
    seq: int
    digest: bytes


class OutboxLine(NamedTuple):
    """A line of the log, as it is sent. `is_let_out`: it may hold a secret, and the user let it."""

    key: LineKey
    event_id: str
    line: bytes
    is_let_out: bool = False


class ParkedLine(NamedTuple):
    """A line that stays behind: `direction` is "push" or "pull"; a secret is a push never sent."""

    direction: str
    event_id: str
    reason: str
    is_secret: bool = False

    @property
    def way_out(self) -> str:
        """What would let the line through."""
        if self.is_secret:
            return f"thence redact {self.event_id}, or as it is: thence sync parked send"
        if self.direction == "push":
            return "once the server takes it: thence sync parked retry"
        return "each round tries it again"


def key_of(event: Event) -> LineKey:
    """Returns the key of an event's line; raises InvalidEvent for one that has no digests.

    The digest of a line without numbers is that of its decoded members.
    """
    if event.is_foreign:
        return LineKey("", 0, same_event_key(event))
    return LineKey(event.node_id, event.seq, digests(event.line).line)


def outbox_of(folder: Path, vocabulary: Vocabulary) -> "Outbox":
    """Returns the outbox of a log, up to date; nothing is asked of the server. Close it.

    Raises SyncRefused for a log without a target, `read_failed`.
    """
    target = read_target(folder) or enabled_target(folder)
    outbox = Outbox(folder, vocabulary, target.key)
    outbox.update()
    return outbox


def waiting_count(folder: Path, vocabulary: Vocabulary) -> int:
    """Returns how many lines of a log wait for a round, 0 where that can't be known."""
    with (
        suppress(OSError, sqlite3.Error, ThenceError),
        closing(outbox_of(folder, vocabulary)) as outbox,
    ):
        return outbox.pending()
    return 0


class Outbox:
    """The open database of one log and one target. Close it.

    `target` names server, team and log: what was known of another target is forgotten. Raises
    `read_failed` where the folder can't be written or the log can't be read.
    """

    def __init__(self, folder: Path, vocabulary: Vocabulary, target: str = "") -> None:
        self._folder = folder
        self._vocabulary = vocabulary
        self._pruned = NOT_PRUNED
        with reading(folder):
            self._own = known_node_ids(OS_DISK, folder)
            OS_DISK.make_folder(sync_folder(folder))
            self._db = _opened(sync_folder(folder) / _NAME)
        finalize(self, self._db.close).atexit = False  # of who forgets `close`
        if self._db.execute("SELECT target FROM state").fetchone() != (target,):
            with self.at_once():
                for table in ("segments", "lines", "pulled", "state"):
                    self._db.execute(f"DELETE FROM {table}")
                self._db.execute("INSERT INTO state VALUES (?, '', '')", (target,))

    @contextmanager
    def at_once(self) -> Iterator[None]:
        """Keeps all that the block records, or nothing; within another such block, with that."""
        if self._db.in_transaction:
            yield
            return
        self._db.execute("BEGIN IMMEDIATE")
        try:
            yield
        except BaseException:
            self._db.execute("ROLLBACK")
            raise
        self._db.execute("COMMIT")

    def update(self, pulled: Collection[bytes] = ()) -> None:
        """Reads what was appended since; syncs it first. Raises `read_failed`.

        New lines among `pulled` came from the server, all others wait.
        """
        with reading(self._folder):
            for _ in range(_TRIES_MAX):
                with suppress(Stale):
                    self._read_new(pulled)
                    return
        cause, code = "its segments change", "read_failed"
        raise ThenceError("could not read the log", place=self._folder, cause=cause, code=code)

    def pending(self) -> int:
        """Returns how many lines the server is not known to hold, without those parked."""
        return int(self._db.execute(_PENDING).fetchone()[0])

    def keys(self) -> set[LineKey]:
        """Returns the keys of all lines of the log that a server takes."""
        sql = "SELECT node, seq, digest FROM lines WHERE segment IS NOT NULL"
        return {LineKey(*row) for row in self._db.execute(sql)}

    def unsynced(self) -> dict[str, int]:
        """Returns how many lines of each segment the server is not known to hold, parked ones too.

        Segments without such a line are left out.
        """
        return dict(self._db.execute(_UNSYNCED).fetchall())

    def waiting(self, *, are_redactions: bool) -> Iterator[OutboxLine]:
        """Yields the own redactions, or all other lines, that wait.

        They come in the order of their arrival, and may be synced meanwhile.
        """
        at = (-1, -1)
        while rows := self._db.execute(_WAITING, (are_redactions, *at, _READ_LINES)).fetchall():
            at = rows[-1][5:7]
            yield from self._lines(rows)

    def _lines(self, rows: Iterable[Any]) -> Iterator[OutboxLine]:
        """Yields the lines of rows: node, seq, digest, kind, is_secret, and the extent."""
        chosen = list(rows)
        extents = [row[5:8] for row in chosen]
        reader = LineReader(OS_DISK, self._folder, self._db)
        with closing(reader), reading(self._folder):
            lines = list(reader.lines(extents, self._vocabulary))
        for row, line in zip(chosen, lines, strict=True):
            yield OutboxLine(LineKey(*row[:3]), event_id_of(line).decode(), line, bool(row[4]))

    @property
    def cursors(self) -> Cursors:
        """The places at the server up to which lines were pulled, and are known to be held."""
        return Cursors(*self._db.execute("SELECT after, seen FROM state").fetchone())

    def record_synced(
        self,
        keys: Iterable[LineKey],
        cursors: Cursors,
        before: Cursors,
        *,
        are_pulled: bool = False,
    ) -> None:
        """Records that the server holds lines, also parked ones, and the cursors of its answer.

        Call it when all lines before `after` are durable. `before` are the cursors of the request:
        `after` stays if the log was found to have lost lines since. An own redaction that is pulled
        goes on waiting: it counts for the login that pushes it, and another one may have been
        faster.
        """
        with self.at_once():
            self._db.executemany(_COME_BACK if are_pulled else _SYNCED, keys)
            self._db.execute(_MOVE, (before.after, *cursors))

    def begin_anew(self) -> None:
        """Forgets what the server held: it is another one, or was restored from a backup."""
        with self.at_once():
            for statement in _BEGIN_ANEW:
                self._db.execute(statement)

    def redactions(self, *, are_own: bool) -> list[Redaction]:
        """Returns the redactions that the log wrote itself, or all others, that can be read.

        They come by node and number; nothing of them is checked.
        """
        redactions = []
        for one in self._lines(self._db.execute(_OF_KIND, (_OWN if are_own else _FOREIGN,))):
            event = parse(one.line, self._vocabulary)
            redaction = None if isinstance(event, BadLine) else redaction_in(event)
            if redaction is not None:
                redactions.append(redaction)
        return redactions

    def redacted_lines(self) -> frozenset[bytes]:
        """Returns D of all lines that have no body any more, whoever redacted it."""
        sql = "SELECT digest FROM lines WHERE kind = ?"
        return frozenset(digest for (digest,) in self._db.execute(sql, (_REDACTED,)))

    def leave(self, key: LineKey) -> None:
        """Leaves a line without its value to the logins from which the server takes it."""
        self._db.execute(_LEAVE, key)

    def left(self) -> list[OutboxLine]:
        """Returns the lines that other logins are to push: foreign redactions, and what is left.

        A line without its value is left where the server takes none from this login.
        """
        return list(self._lines(self._db.execute(_LEFT)))

    def park(self, key: LineKey, reason: str, *, is_secret: bool = False) -> None:
        """Keeps a line of the log back, with the reason."""
        self._db.execute(_PARK, (reason[:_REASON_CHARACTERS_MAX], is_secret, *key))

    def park_pulled(self, parked: Iterable[tuple[Event, str]], *, are_all: bool = False) -> None:
        """Keeps lines of the server that the log can't take, whole, with the reasons.

        If they `are_all`, those of before are forgotten.
        """
        if are_all:
            self._db.execute("DELETE FROM pulled")
        rows = [(same_line_key(event), event.event_id, why, event.line) for event, why in parked]
        self._db.executemany("INSERT OR REPLACE INTO pulled VALUES (?, ?, ?, ?)", rows)

    def parked_count(self) -> int:
        """Returns how many lines are parked."""
        return int(self._db.execute(_PARKED_COUNT).fetchone()[0])

    def parked(self) -> list[ParkedLine]:
        """Returns the parked lines, in the order of their ids; raises `read_failed`."""
        self.update()
        rows = self._db.execute(_PARKED).fetchall()
        parked = [
            ParkedLine("push", one.event_id, row[8], bool(row[4]))
            for one, row in zip(self._lines(rows), rows, strict=True)
        ]
        pulled = self._db.execute("SELECT 'pull', event_id, reason FROM pulled").fetchall()
        parked += [ParkedLine(*row) for row in pulled]
        return sorted(parked, key=lambda one: one.event_id)

    def pulled(self) -> list[bytes]:
        """Returns the lines that were parked when they came from the server."""
        sql = "SELECT line FROM pulled ORDER BY event_id"
        return [line for (line,) in self._db.execute(sql)]

    def retry(self) -> int:
        """Lets parked and left lines of the log wait again, but no secrets; returns how many."""
        return self._db.execute(_RETRY).rowcount

    def let_out(self, event_id: str) -> int:
        """Lets the lines of an id be sent that were parked as secrets; returns how many."""
        self.update()
        secrets = [row for row in self._db.execute(_PARKED) if row[4]]
        named = [one.key for one in self._lines(secrets) if one.event_id == event_id]
        with self.at_once():
            self._db.executemany(_LET_OUT, named)
        return len(named)

    def redact_pulled(self, digests: Iterable[bytes]) -> None:
        """Removes the bodies of lines that the log can't take: it can take their heads."""
        for digest in digests:
            sql = "SELECT line FROM pulled WHERE digest = ?"
            for (line,) in self._db.execute(sql, (digest,)).fetchall():
                sql = "UPDATE pulled SET line = ? WHERE digest = ?"
                self._db.execute(sql, (redacted(line), digest))

    def close(self) -> None:
        """Closes the database."""
        self._db.close()

    def _read_new(self, pulled: Collection[bytes]) -> None:
        self._present = known_node_id(OS_DISK, self._folder)
        segments = present_segments(OS_DISK, self._folder)
        read = match_segments(OS_DISK, self._folder, snapshots(self._db), segments)
        if read is None:  # redacted, cut or restored
            with self.at_once():
                for statement in _READ_ANEW:
                    self._db.execute(statement)
            read = {}
        for segment in segments:
            before = read.get(segment.state.file)
            if before is None or (before.name, before.state) != segment:
                self._read(segment, before, pulled)
        if self._db.execute(_HAS_UNPLACED).fetchone():  # not found again, now that all is read
            with self.at_once():
                for node, ranges in self._pruned.numbers.items():
                    self._db.executemany(_PRUNE, [(node, *span) for span in ranges])
                if self._db.execute(_DROP_UNPLACED).rowcount:  # the server may have them
                    self._db.execute("UPDATE state SET after = ''")

    def _read(
        self, segment: PresentSegment, before: SegmentSnapshot | None, pulled: Collection[bytes]
    ) -> None:
        """Reads what a segment holds behind its snapshot, once it is on the device."""
        with (
            self.at_once(),
            closing(Intake(OS_DISK, self._folder, segment, before, self._db)) as intake,
        ):
            intake.sync()
            for block in intake.blocks():
                rows: list[tuple[object, ...]] = []
                for line in lines_of(block, self._vocabulary):
                    event = line.content
                    if isinstance(event, BadLine):
                        continue
                    try:
                        key = key_of(event)
                    except InvalidEvent:  # no server takes a line without digests
                        continue
                    notice = None if event.is_foreign else self._vocabulary.notice_kind(event)
                    if notice == PRUNED and event.node_id in self._own:
                        self._pruned = pruned_by(event)
                    kind = None
                    if _BODY_DIGEST in event.line and BODY_DIGEST in event.members:
                        kind = None if event.is_foreign else _REDACTED
                    elif notice == REDACTED:
                        kind = _OWN if event.node_id == self._present else _FOREIGN
                    state = "left" if kind == _FOREIGN else "waiting"
                    if event.line in pulled:
                        state = "synced"
                    place = (intake.id, line.offset, len(event.line))
                    rows.append((*key, *place, kind, state))
                self._db.executemany(_KEEP, rows)
            intake.save(self._db)


_KEEP = """
    INSERT INTO lines (node, seq, digest, segment, offset, length, kind, state)
    VALUES (?, ?, ?, ?, ?, ?, ?, ?)
    ON CONFLICT DO UPDATE SET segment = coalesce(segment, excluded.segment),
        offset = coalesce(offset, excluded.offset), length = coalesce(length, excluded.length),
        kind = CASE WHEN kind IS 'redaction' THEN kind WHEN segment IS NULL THEN excluded.kind
            ELSE coalesce(excluded.kind, kind) END
"""
# SQLite uses the index of unsynced lines only where its condition is written out
_WAITS = "state = 'waiting' AND state <> 'synced'"
_PARKS = "state = 'parked' AND state <> 'synced'"
_PENDING = f"SELECT count(*) FROM lines WHERE {_WAITS}"
_PARKED_COUNT = f"SELECT (SELECT count(*) FROM pulled) + count(*) FROM lines WHERE {_PARKS}"
_UNSYNCED = """
    SELECT name, count(*) FROM lines JOIN segments ON segments.id = segment
    WHERE state <> 'synced' GROUP BY name
"""
_HAS_UNPLACED = "SELECT 1 FROM lines WHERE segment IS NULL LIMIT 1"
_DROP_UNPLACED = "DELETE FROM lines WHERE segment IS NULL"
_PRUNE = "DELETE FROM lines WHERE segment IS NULL AND node = ? AND seq BETWEEN ? AND ?"
_LINE = "node, seq, digest, kind, is_secret, segment, offset, length"
_WAITING = f"""
    SELECT {_LINE} FROM lines WHERE {_WAITS} AND (kind IS 'redaction') = ?
    AND (segment, offset) > (?, ?) ORDER BY segment, offset LIMIT ?
"""
_LEFT = f"""
    SELECT {_LINE} FROM lines WHERE state = 'left' AND state <> 'synced'
    ORDER BY segment, offset
"""
_OF_KIND = f"SELECT {_LINE} FROM lines WHERE kind = ? ORDER BY node, seq, digest"
_PARKED = f"SELECT {_LINE}, reason FROM lines WHERE {_PARKS} ORDER BY segment, offset"
_BY_KEY = "WHERE node = ? AND seq = ? AND digest = ?"
_SYNCED = f"""
    UPDATE lines SET state = 'synced', reason = '', is_secret = is_secret AND state = 'waiting'
    {_BY_KEY} AND state <> 'synced'
"""
_COME_BACK = f"{_SYNCED} AND kind IS NOT 'redaction'"
_MOVE = "UPDATE state SET after = CASE after WHEN ? THEN ? ELSE after END, seen = ?"
_LEAVE = f"UPDATE lines SET state = 'left' {_BY_KEY}"
_PARK = f"UPDATE lines SET state = 'parked', reason = ?, is_secret = ? {_BY_KEY}"
_RETRY = """
    UPDATE lines SET state = 'waiting', reason = ''
    WHERE state IN ('parked', 'left') AND state <> 'synced'
    AND NOT is_secret AND kind IS NOT 'foreign'
"""
_LET_OUT = f"UPDATE lines SET state = 'waiting', reason = '' {_BY_KEY}"
_BEGIN_ANEW = (
    """
    UPDATE lines SET state = CASE WHEN kind IS 'foreign' THEN 'left' ELSE 'waiting' END
    WHERE state IN ('synced', 'left')
    """,
    "UPDATE state SET after = '', seen = ''",
)
_READ_ANEW = (
    "UPDATE lines SET segment = NULL, offset = NULL, length = NULL",
    "DELETE FROM segments",
)


def _opened(path: Path) -> sqlite3.Connection:
    """Opens the database, made where it is missing, anew where it is damaged or of another schema.

    Raises sqlite3.Error, OSError.
    """
    schema = int(schema_digest(_ROOM, _SCHEMA)[:8], 16) >> 1  # a version has 31 bits
    for is_again in (False, True):
        # SQLite would make it 0644 at most; one that is there is not opened here, because closing
        # it would take the locks of this process's other connections away
        try:
            OS_DISK.write_new(path, b"")
        except DiskError as error:
            if error.errno != EEXIST:
                raise
        connection = sqlite3.connect(
            os.fspath(path), isolation_level=None, timeout=_BUSY_S, check_same_thread=False
        )
        try:
            connection.execute("PRAGMA synchronous = NORMAL")
            connection.execute("PRAGMA secure_delete = ON")  # what was taken back leaves the file
            (version,) = connection.execute("PRAGMA user_version").fetchone()
            if version not in (0, schema):
                raise sqlite3.DatabaseError("it is of another schema")
            if not version:  # of several processes each may be the one that makes it
                script = "; ".join(("BEGIN IMMEDIATE", *statements(_SCHEMA, _ROOM)))
                connection.executescript(f"{script}; PRAGMA user_version = {schema}; COMMIT")
            return connection
        except sqlite3.DatabaseError as error:
            connection.close()
            # locked, or the disk is full
            if is_again or isinstance(error, sqlite3.OperationalError):
                raise
            path.unlink(missing_ok=True)
    raise AssertionError  # it was returned, or raised
