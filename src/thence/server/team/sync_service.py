"""The answers of a server to the logs of a team, without HTTP.

The store is all that a service knows: it reads no clock and has no threads, so that simulated
clients can meet at one too. Lines are checked before anything of them is stored.
docs/reference/formats/wire.md describes the messages.
"""

import re
from collections.abc import Callable, Iterable, Sequence
from contextlib import closing
from typing import NamedTuple, TypeVar

from thence.core.clock import CLOCK_AHEAD_MAX, CLOCK_MAX
from thence.core.codec import (
    LINE_BYTES_MAX,
    BadLine,
    decode_required,
    event_id_of,
    have_valid_crcs,
    is_too_deep,
    parse,
)
from thence.core.redaction import digests, same_event_key
from thence.core.vocabulary import PLAIN, VOCABULARIES
from thence.errors import InvalidEvent, NotALog, SyncRefused
from thence.server.team import body_pieces
from thence.server.team.accounts import is_node
from thence.server.team.database import LogPlace, NewLine, StoredLog, Transaction, is_storable
from thence.server.team.redactions import is_redacted
from thence.server.team.store import Ingested, Store
from thence.sync.wire.messages import (
    BATCH_EVENTS_MAX,
    BODIES_MISSING,
    DIGEST_BYTES,
    LOG_NAME,
    OWN_NODES_MAX,
    PAGE_BYTES_MAX,
    PAGE_EVENTS_MAX,
    BatchRefused,
    Cursors,
    EventVerdict,
    LogsPage,
    Missing,
    PulledPage,
    Results,
    TeamLog,
)

TITLE_CHARACTERS_MAX = 200
LOGS_PAGE_MAX = 1_000
REASONS_MAX = 100
_ID_BYTES_SHOWN = 128
_CURSOR = re.compile(r"([0-9a-z]{1,64})\.([1-9][0-9]{0,17})\.([0-9a-f]{16})", re.ASCII)
_BEGINNING = Cursors()

Row = TypeVar("Row")


class CheckedLines(NamedTuple):
    """The lines of a batch, which are events, and the clock of each, 0 if it has none."""

    rows: list[NewLine]
    clocks: list[int]


class SyncService:
    """The questions that clients ask about the logs of a team.

    Each raises NotALog if the team has no such log; other teams' logs do not exist for it.
    """

    def __init__(self, store: Store) -> None:
        self._store = store

    def batch(
        self,
        team: str,
        log: str,
        kind: str | None,
        lines: Sequence[bytes],
        new_kind: str = "plain",
        cursors: Cursors = _BEGINNING,
        *,
        login: str = "",
        nodes: Sequence[str] = (),
    ) -> Results:
        """Commits lines, without newlines, and returns a verdict for each, in order.

        A log that is missing is made, of the given kind; None is that of the log, else `new_kind`.
        The lines are kept with the login that pushes them; `nodes` are those under which its log
        wrote, and those that nobody has are the login's from then on.

        Raises BatchRefused if a line is no event, InvalidEvent for a bad name, kind or node and too
        many lines or nodes, VocabularyMismatch if the log is of another kind, SyncRefused if the
        team has too many logs, `cursor_unknown` for a place that the log does not have. Then
        nothing was committed.
        """
        _check_name(log)
        if kind is not None and kind not in VOCABULARIES:
            raise _unreadable("kind", kind, f"it is not one of {', '.join(VOCABULARIES)}")
        if len(lines) > BATCH_EVENTS_MAX:
            raise _unreadable("batch", "", f"it holds more than {BATCH_EVENTS_MAX} events")
        if len(nodes) > OWN_NODES_MAX or not all(map(is_node, nodes)):
            raise _unreadable(
                "nodes", "", f"at most {OWN_NODES_MAX}, of 12 hex digits in lower case"
            )
        incoming = checked(lines)
        stored = self._store.log(team, log)
        after = self.number(stored, cursors.after)
        self.number(stored, cursors.seen)
        clock_max = (stored.last if stored else 0) + CLOCK_AHEAD_MAX
        rows = [row for row, clock in zip(*incoming, strict=True) if clock <= clock_max]
        fresh = {row.digest: row for row in rows}
        if len(fresh) < len(rows):  # a whole line goes before the same one without its body
            fresh |= {row.digest: row for row in rows if not is_redacted(row.line)}
        kind = kind or (stored.kind if stored else new_kind)
        ingested = self._store.ingest(team, log, kind, list(fresh.values()), login, nodes)
        end = self.cursor(ingested.end)
        is_next = after == ingested.before
        verdicts = _verdicts(incoming, fresh, ingested)
        return Results(tuple(verdicts), end if is_next else cursors.after, end)

    def set_title(self, team: str, log: str, title: str) -> None:
        """Gives a log's pages a title, of which TITLE_CHARACTERS_MAX count, if it has none.

        The first one stays: each clone's folder has another name.
        """
        if title and not (stored := self._log(team, log)).title:
            self._store.set_title(stored, title[:TITLE_CHARACTERS_MAX])

    def page(
        self,
        team: str,
        log: str,
        after: str = "",
        limit: int = PAGE_EVENTS_MAX,
        *,
        seen: str = "",
    ) -> PulledPage:
        """Returns the lines behind a cursor, "" for the beginning: a page's, or one that is larger.

        Raises `cursor_unknown` if a cursor is of another history, InvalidEvent for a bad limit.
        """
        if not 1 <= limit <= PAGE_EVENTS_MAX:
            raise _unreadable("limit", limit, f"it is not from 1 to {PAGE_EVENTS_MAX}")
        stored = self._log(team, log)
        number = self.number(stored, after)
        self.number(stored, seen)
        with closing(self._store.page(stored, number, limit)) as rows:
            taken = _page(rows, lambda row: row.line)
        if not taken:
            return PulledPage([], after, False)
        last = taken[-1]
        behind = self.cursor(LogPlace(last.number, last.chain))
        lines = [row.line for row in taken]
        return PulledPage(lines, behind, last.number < stored.last)

    def lines(self, team: str, log: str, digests: Iterable[bytes]) -> list[bytes]:
        """Returns those lines that the log holds of these digests, as many as a page may hold.

        Raises InvalidEvent for what is no digest, and for too many.
        """
        stored = self._log(team, log)
        named = _checked_digests(digests)
        with closing(self._store.lines(stored, named)) as lines:
            return _page(lines, lambda line: line)

    def missing(self, team: str, log: str, digests: Iterable[bytes]) -> Missing:
        """Returns those of some digests that the log lacks, and how many lines it holds.

        Raises InvalidEvent for what is no digest, and for too many.
        """
        stored = self._log(team, log)
        named = _checked_digests(digests)
        held = self._store.known(stored, named)
        lacking = tuple(digest.hex() for digest in named if digest not in held)
        return Missing(lacking, stored.last)

    def lacking_pieces(self, team: str, log: str, digests: Iterable[bytes]) -> tuple[str, ...]:
        """Returns those of some digests, in hex, of which the log has no value.

        Raises InvalidEvent for what is no digest, and for too many.
        """
        stored = self._log(team, log)
        named = _checked_digests(digests)
        held = self._store.pieces(stored, lambda opened, of: body_pieces.sizes(opened, of, named))
        return tuple(digest.hex() for digest in named if digest not in held)

    def keep_pieces(self, team: str, log: str, kind: str, lines: Sequence[bytes]) -> int:
        """Keeps pieces of one large value, given as their lines in order, for events to come.

        A log that is missing is made, of the given kind. Returns how many are kept: all, or none
        where the piece before the first is not there. Raises InvalidEvent for a bad name or kind,
        and for a piece whose bytes don't fit its digest, VocabularyMismatch, SyncRefused.
        """
        _check_name(log)
        if kind not in VOCABULARIES:
            raise _unreadable("kind", kind, f"it is not one of {', '.join(VOCABULARIES)}")
        return self._store.keep_pieces(team, log, kind, body_pieces.read_pieces(lines))

    def given_pieces(self, team: str, log: str, digests: Iterable[bytes]) -> list[bytes]:
        """Returns the lines of the pieces of these digests, as many as a page may hold.

        What the log lacks is left out. Raises InvalidEvent for what is no digest, and for too many.
        """
        stored = self._log(team, log)
        named = _checked_digests(digests)

        def given(connection: Transaction, log: StoredLog) -> list[bytes]:
            return _page(body_pieces.given_pieces(connection, log, named), lambda line: line)

        return self._store.pieces(stored, given)

    def logs(self, team: str, after: str = "") -> LogsPage:
        """Returns the logs of a team whose names come after one, "" for the first."""
        rows = self._store.logs(team, after, LOGS_PAGE_MAX + 1)
        logs = [
            TeamLog(
                row.log.name,
                row.log.kind,
                row.log.title,
                # a redaction that counts late adds no line
                f"{self.cursor(row.end)}.{row.log.revision}" if row.end.number else "",
                row.first_by,
                row.last_by,
            )
            for row in rows[:LOGS_PAGE_MAX]
        ]
        return LogsPage(tuple(logs), len(rows) > LOGS_PAGE_MAX)

    def mark(self, team: str, log: str) -> str:
        """Returns the cursor behind the last line of a log, "" for one that is empty or missing.

        Raises InvalidEvent for a bad name.
        """
        _check_name(log)
        stored = self._store.log(team, log)
        place = self._store.place(stored, stored.last) if stored else None
        return self.cursor(place) if place else ""

    def _log(self, team: str, name: str) -> StoredLog:
        _check_name(name)
        stored = self._store.log(team, name)
        if stored is None:
            raise NotALog("could not find the log", place=name, cause="the team has no such log")
        return stored

    def cursor(self, place: LogPlace) -> str:
        """Returns the cursor of a place, "" for the beginning of a log."""
        return f"{self._store.epoch}.{place.number}.{place.chain.hex()}" if place.number else ""

    def number(self, log: StoredLog | None, cursor: str) -> int:
        """Returns the number that a cursor names in a log, 0 for ""; raises `cursor_unknown`."""
        if not cursor:
            return 0
        parts = _CURSOR.fullmatch(cursor)
        place = self._store.place(log, int(parts[2])) if log and parts else None
        if place is None or cursor != self.cursor(place):
            raise SyncRefused(
                "could not continue after the cursor",
                cause="this server has no such place in this log",
                hint="start again without a cursor; what was pulled before is known by its ids",
                code="cursor_unknown",
            )
        return place.number


def _page(rows: Iterable[Row], line_of: Callable[[Row], bytes]) -> list[Row]:
    """Returns the first rows whose lines a page may hold, one at least."""
    taken: list[Row] = []
    size_bytes = 0
    for row in rows:
        size_bytes += len(line_of(row)) + 1
        if taken and size_bytes > PAGE_BYTES_MAX:
            break
        taken.append(row)
    return taken


def _verdicts(
    incoming: CheckedLines, fresh: dict[bytes, NewLine], ingested: Ingested
) -> list[EventVerdict]:
    """Returns the verdicts of a batch of which some lines were in the log before."""
    verdicts = []
    held = set(ingested.known)
    for row, clock in zip(*incoming, strict=True):
        refusal = ingested.refusals.get(row.digest)
        if row.digest not in fresh:
            reason = f"its clock, {clock}, is too far above the number of events in the log"
            verdicts.append(EventVerdict(row.event_id, "rejected", reason, "clock_too_far_ahead"))
        elif refusal is not None:
            status = "retry" if refusal.code == BODIES_MISSING else "rejected"
            verdicts.append(EventVerdict(row.event_id, status, *refusal))
        elif row.digest in held:
            verdicts.append(EventVerdict(row.event_id, "duplicate"))
        else:
            held.add(row.digest)
            verdicts.append(EventVerdict(row.event_id, "success"))
    return verdicts


def _checked_digests(digests: Iterable[bytes]) -> list[bytes]:
    """Returns digests once each; raises InvalidEvent for what is none, and for too many."""
    named = list(dict.fromkeys(digests))
    if len(named) > PAGE_EVENTS_MAX or any(len(digest) != DIGEST_BYTES for digest in named):
        raise _unreadable("digests", "", f"at most {PAGE_EVENTS_MAX}, of 32 bytes each")
    return named


def _check_name(log: str) -> None:
    if not LOG_NAME.fullmatch(log):
        raise _unreadable(
            "log", repr(log)[:80], "a name has 1 to 128 of 0-9 A-Z a-z . _ -, no dot first"
        )


def _unreadable(part: str, value: object, cause: str) -> InvalidEvent:
    return InvalidEvent("could not read the request:", place=f"{part} {value}".strip(), cause=cause)


def checked(lines: Sequence[bytes]) -> CheckedLines:
    """Returns the lines of a batch with their digests, in order.

    Raises BatchRefused if one of them is no event; its `bad` has the first REASONS_MAX of those.
    """
    checked_lines = CheckedLines([], [])
    bad: dict[str, str] = {}
    read = _verified if lines and have_valid_crcs(lines) else _parsed
    for line in lines:
        try:
            row, clock = read(line)
        except InvalidEvent as error:
            bad[event_id_of(line)[:_ID_BYTES_SHOWN].decode(errors="replace")] = error.cause
            if len(bad) == REASONS_MAX:
                break
        else:
            checked_lines.rows.append(row)
            checked_lines.clocks.append(clock)
    if bad:
        raise BatchRefused(
            "could not take the batch",
            cause=f"a line in it is not an event: {next(iter(bad.values()))}",
            hint="send the other lines without it",
            bad=bad,
        )
    return checked_lines


def _verified(line: bytes) -> tuple[NewLine, int]:
    """Returns what `_parsed` does of a line whose checksum fits, in less time."""
    try:
        essence = decode_required(line)
    except (ValueError, RecursionError):
        return _parsed(line)
    seq, clock = essence.seq, essence.lamport_clock
    # the decoder does not check the texts that it skips
    if not (line.isascii() and 1 <= seq <= CLOCK_MAX and 1 <= clock <= CLOCK_MAX):
        return _parsed(line)
    if len(line) >= LINE_BYTES_MAX or is_too_deep(line):
        return _parsed(line)
    return _row(line, essence.event_id, essence.node_id, seq), clock


def _parsed(line: bytes) -> tuple[NewLine, int]:
    """Returns the row of a line and its clock; raises InvalidEvent."""
    if len(line) >= LINE_BYTES_MAX:
        raise _refused(f"the line is longer than {LINE_BYTES_MAX} bytes")
    event = parse(line, PLAIN)
    if isinstance(event, BadLine):
        raise _refused(event.reason)
    if event.seq > CLOCK_MAX:
        raise _refused("its seq is too large")
    if not event.is_foreign:
        return _row(line, event.event_id, event.node_id, event.seq), event.lamport_clock
    if b"\n" in event.line:
        raise _refused("it holds a newline")
    try:
        digest = same_event_key(event)
    except (ValueError, RecursionError):
        raise _refused("its members can't be written in UTF-8") from None
    return NewLine(_text(event.event_id), "", 0, digest, line), event.lamport_clock


def _row(line: bytes, event_id: str, node: str, seq: int) -> NewLine:
    return NewLine(_text(event_id), _text(node), seq, digests(line).line, line)


def _text(text: str) -> str:
    if not is_storable(text):
        raise _refused("its event_id or node_id holds U+0000 or half a surrogate pair")
    return text


def _refused(cause: str) -> InvalidEvent:
    return InvalidEvent("could not take a line", cause=cause)
