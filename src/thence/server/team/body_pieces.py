"""The large values of a log: chains of pieces that are here before the lines that name them.

Each log has its own, so that who may not read a log learns nothing of what it holds. A piece is
kept only behind the piece before it, and if its bytes fit its digest; it goes once no line names a
value that it is part of. Every function works on the connection, in the transaction of its caller.
"""

from collections.abc import Iterator, Sequence
from hashlib import sha256
from typing import NamedTuple

from thence.core.bodies import BODIES_SIGN, PAYLOAD_BYTES_MAX, BodyEntry, has_place
from thence.core.codec import parse
from thence.core.event import Event
from thence.core.vocabulary import PLAIN, VOCABULARIES
from thence.errors import InvalidEvent
from thence.log.blobs.blob_files import (
    PIECE_BYTES_MAX,
    RawPiece,
    data_of,
    piece_line,
    piece_of,
    text_of,
)
from thence.server.team.database import LineRefusal, NewLine, StoredLog, Transaction, first
from thence.sync.wire.messages import BODIES_MISSING, CHAIN_PIECES_MAX

PIECE_COLUMNS = ("sha256", "previous", "size", "data")
NAME_COLUMNS = ("sha256", "digest")

_SIZES = """
    SELECT value, (
        SELECT size FROM body_pieces WHERE team = :team AND log = :log AND sha256 = value
    ) FROM unnest(:digests) AS value
"""
_CHAIN = """
    WITH RECURSIVE chain (sha256, previous, size) AS (
        SELECT sha256, previous, size FROM body_pieces
        WHERE team = :team AND log = :log AND sha256 = :sha256
        UNION ALL
        SELECT pieces.sha256, pieces.previous, pieces.size
        FROM chain JOIN body_pieces AS pieces ON pieces.sha256 = chain.previous
        WHERE pieces.team = :team AND pieces.log = :log
    ) SELECT sha256, previous, size FROM chain ORDER BY size
"""
_DATA = "SELECT data FROM body_pieces WHERE team = :team AND log = :log AND sha256 = :sha256"
_PIECE = """
    SELECT previous, size, data FROM body_pieces
    WHERE team = :team AND log = :log AND sha256 = :sha256
"""
_ALL = """
    SELECT sha256, previous, size FROM body_pieces WHERE team = :team AND log = :log ORDER BY size
"""
_ALL_NAMED = "SELECT sha256 FROM body_names WHERE team = :team AND log = :log"
_FORGET = "DELETE FROM body_names WHERE team = :team AND log = :log AND digest = :digest"
_SWEEP = """
    WITH RECURSIVE kept (sha256) AS (
        SELECT sha256 FROM body_names WHERE team = :team AND log = :log
        UNION
        SELECT pieces.previous
        FROM kept JOIN body_pieces AS pieces ON pieces.sha256 = kept.sha256
        WHERE pieces.team = :team AND pieces.log = :log
    )
    DELETE FROM body_pieces
    WHERE team = :team AND log = :log AND sha256 NOT IN (SELECT sha256 FROM kept)
    RETURNING size
"""


class NewPiece(NamedTuple):
    """A piece that a client pushes: its digest and that of the piece before, b"" for the first.

    `size` counts the bytes of the value up to its end.
    """

    sha256: bytes
    previous: bytes
    size: int
    data: bytes


def read_pieces(lines: Sequence[bytes]) -> list[NewPiece]:
    """Returns the pieces of lines; raises InvalidEvent for a line that is none."""
    pieces = []
    for raw in map(piece_of, lines):
        data = data_of(raw) if raw is not None else b""
        if raw is None or not 0 < len(data) <= PIECE_BYTES_MAX:
            raise _refused("it is not a line of a piece, of 1 byte to 256 KiB")
        digests = bytes.fromhex(raw.digest), bytes.fromhex(raw.before)
        pieces.append(NewPiece(*digests, raw.end, data))
    return pieces


def sizes(connection: Transaction, log: StoredLog, digests: Sequence[bytes]) -> dict[bytes, int]:
    """Returns the bytes of those values, of some digests, that the log holds."""
    if not digests:
        return {}
    params = {**_place(log), "digests": list(dict.fromkeys(digests))}
    rows = connection.execute(_SIZES, params)
    return {digest: size for digest, size in rows if size is not None}


def keep_pieces(connection: Transaction, log: StoredLog, pieces: Sequence[NewPiece]) -> int:
    """Keeps pieces of one value, in order; returns how many of them the log holds now.

    That is all of them, or none where the piece before the first is not there. Raises InvalidEvent
    for one whose bytes don't fit its digest, its size, or the piece before it.
    """
    held = sizes(connection, log, [piece.sha256 for piece in pieces])
    at = next((at for at, piece in enumerate(pieces) if piece.sha256 not in held), len(pieces))
    new = pieces[at:]
    if not new:
        return len(pieces)
    before = new[0].previous
    # digest, that of the one before, and end of each piece before, in order
    chain = connection.execute(_CHAIN, {**_place(log), "sha256": before}) if before else []
    if before and not chain:
        return 0
    state, size, depth = sha256(), chain[-1][2] if chain else 0, len(chain)
    for digest, *_ in chain:
        state.update(_data(connection, log, digest))
    for piece in new:
        state.update(piece.data)
        size, depth = size + len(piece.data), depth + 1
        if piece.previous != before or state.digest() != piece.sha256 or size != piece.size:
            raise _refused("it does not fit its digest, its size, or the piece before it")
        if size > PAYLOAD_BYTES_MAX or depth > CHAIN_PIECES_MAX:
            raise _refused("its value is larger than 64 MiB, or in too many pieces")
        before = piece.sha256
    rows = [(log.team, log.id, *piece) for piece in new if piece.sha256 not in held]
    connection.insert("body_pieces", ("team", "log", *PIECE_COLUMNS), rows)
    return len(pieces)


def given_pieces(
    connection: Transaction, log: StoredLog, digests: Sequence[bytes]
) -> Iterator[bytes]:
    """Yields the lines of the pieces of some digests."""
    for digest in digests:
        for previous, size, data in connection.execute(_PIECE, {**_place(log), "sha256": digest}):
            yield piece_line(RawPiece(digest.hex(), previous.hex(), size, text_of(data)))[:-1]


def entries_in(line: bytes) -> list[BodyEntry]:
    """Returns the large values that a stored line names."""
    event = _event_with_values(line)
    return event.body_entries if event else []


def _event_with_values(line: bytes) -> Event | None:
    """Returns the event of a line that names large values, None for any other line."""
    event = parse(line, PLAIN) if BODIES_SIGN in line else None
    return event if isinstance(event, Event) and event.body_entries else None


def lacking(
    connection: Transaction, log: StoredLog, lines: Sequence[NewLine]
) -> dict[bytes, LineRefusal]:
    """Returns why lines are not taken, by D.

    They name a value that is not here whole, or one that has no place in their payload.
    """
    events = {line.digest: event for line in lines if (event := _event_with_values(line.line))}
    digests = [bytes.fromhex(one.digest) for event in events.values() for one in event.body_entries]
    held = {name.hex(): size for name, size in sizes(connection, log, digests).items()}
    payload_key = VOCABULARIES[log.kind].payload_key
    refusals = {}
    for digest, event in events.items():
        entries, payload = event.body_entries, event.members.get(payload_key)
        values = payload if isinstance(payload, dict) else {}
        nowhere = [one.pointer for one in entries if not has_place(values, one.pointer)]
        wrong = [one for one in entries if held.get(one.digest, one.size) != one.size]
        missing = [one for one in entries if one.digest not in held]
        if nowhere:
            words = f"its pointer {nowhere[0]:.200} leads to neither text nor a list in its payload"
            refusals[digest] = LineRefusal(words, "bodies_refused")
        elif wrong or sum(one.size for one in entries) > PAYLOAD_BYTES_MAX:
            words = "it names a large value by another size than it has, or over 64 MiB in all"
            refusals[digest] = LineRefusal(words, "bodies_refused")
        elif missing:
            words = f"push the pieces of {missing[0].digest[:16]}, which it names, before"
            refusals[digest] = LineRefusal(words, BODIES_MISSING)
    return refusals


def add_names(connection: Transaction, log: StoredLog, lines: Sequence[NewLine]) -> None:
    """Keeps which values new lines name."""
    rows = [
        (log.team, log.id, digest, line.digest)
        for line in lines
        for digest in {bytes.fromhex(entry.digest) for entry in entries_in(line.line)}
    ]
    if rows:
        connection.insert("body_names", ("team", "log", *NAME_COLUMNS), rows)


def damaged_value(connection: Transaction, log: StoredLog) -> bytes | None:
    """Returns the digest of the first large value of a log that is not whole, None without one."""
    states = {b"": (sha256(), 0)}
    for digest, previous, size in connection.execute(_ALL, _place(log)):
        before, start = states.get(previous, (sha256(), 0))  # of a piece that is lost: fits none
        data, state = _data(connection, log, digest), before.copy()
        state.update(data)
        if state.digest() != digest or start + len(data) != size:
            return bytes(digest)
        states[digest] = (state, size)
    names = connection.execute(_ALL_NAMED, _place(log))
    return next((bytes(digest) for (digest,) in names if digest not in states), None)


def forget_names(connection: Transaction, log: StoredLog, digest: bytes) -> None:
    """Forgets what a line, given by D, named; `sweep` removes the pieces."""
    connection.execute(_FORGET, {**_place(log), "digest": digest})


def sweep(connection: Transaction, log: StoredLog) -> bool:
    """Removes all pieces that no line's value is made of; reports whether there were any.

    Also those of lines to come: their client pushes them again.
    """
    return bool(connection.execute(_SWEEP, _place(log)))


def _data(connection: Transaction, log: StoredLog, digest: bytes) -> bytes:
    """Returns the bytes of a piece, none for what a damaged database has in their place."""
    data = first(connection.execute(_DATA, {**_place(log), "sha256": digest}))
    return data if isinstance(data, bytes) else b""


def _place(log: StoredLog) -> dict[str, object]:
    return {"team": log.team, "log": log.id}


def _refused(cause: str) -> InvalidEvent:
    return InvalidEvent("could not take a piece of a large value", cause=cause)
