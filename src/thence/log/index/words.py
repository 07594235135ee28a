"""The words of a log's events, for searches: a database beside the index, made at the first one.

A table of full text (FTS5) has, by its arrival, the words of each event's type, actor, subject,
stream, step and payload, of names and of values, large ones too; no text can be read from it. It
goes with the index, whenever that is rebuilt or has another generation, as after a redaction.
"""

import re
import sqlite3
from unicodedata import normalize

import msgspec

from thence.core.event import Event
from thence.errors import ThenceError
from thence.log.files.disk import monotonic_ns
from thence.log.index.connection import Index

WORDS_MAX = 20
# events whose words are added in one transaction
_TOGETHER = 2_000
_WORD = re.compile(r"[^\W_]+")
# what stands for a quote, a break or another sign in JSON, at which words end
_ESCAPES = re.compile(rb"\\(?:u....|.)")
_SCHEMA = (
    "CREATE TABLE words.state (generation, arrival)",
    "INSERT INTO words.state VALUES (0, 0)",
    """
    CREATE VIRTUAL TABLE words.found USING fts5(
        text, content = '', detail = none, columnsize = 0, prefix = '1 2 3', tokenize = 'unicode61'
    )
    """,
)
# a rebuild would end none of these
_OF_THE_DISK = (sqlite3.SQLITE_FULL, sqlite3.SQLITE_IOERR, sqlite3.SQLITE_READONLY)
_EXTENTS = """
    SELECT segment, offset, length, event_id FROM events
    WHERE arrival > :arrival ORDER BY arrival LIMIT :limit
"""


def question(text: str) -> str:
    """Returns a question of FTS5 for the events with words that begin as those of a text do.

    It is "" for a text without a word. Of more words than `WORDS_MAX` the first ones count.
    """
    words = _WORD.findall(normalize("NFC", text))[:WORDS_MAX]
    return " ".join(f'"{word}" *' for word in words)


def follow(index: Index, within_s: float) -> tuple[int, int]:
    """Adds the words of the events that have none yet; returns how many events have, of how many.

    It takes about `within_s` seconds at most, and goes on where it was the next time. Where another
    process adds words, it waits a moment. Raises `read_failed`.
    """
    until_ns = monotonic_ns() + int(within_s * 1e9)

    def work(connection: sqlite3.Connection) -> tuple[int, int]:
        one = connection.execute
        index.attach(connection, "words")
        meta = dict(one("SELECT key, value FROM meta").fetchall())
        arrival, events = 0, int(meta["events"])
        try:
            if one("SELECT 1 FROM words.sqlite_master LIMIT 1").fetchone() is None:
                for statement in (*_SCHEMA, "COMMIT", "BEGIN"):
                    one(statement)
            while True:
                generation, arrival = one("SELECT generation, arrival FROM words.state").fetchone()
                if generation != meta["generation"] or arrival > events:
                    one("INSERT INTO words.found (found) VALUES ('delete-all')")
                    arrival = 0
                if arrival == events or monotonic_ns() >= until_ns:
                    break
                extents = one(_EXTENTS, {"arrival": arrival, "limit": _TOGETHER}).fetchall()
                rows = enumerate(map(_text, index.fetch(connection, extents)), arrival + 1)
                connection.executemany("INSERT INTO words.found (rowid, text) VALUES (?, ?)", rows)
                arrival += len(extents)
                state = {"generation": meta["generation"], "arrival": arrival}
                one("UPDATE words.state SET generation = :generation, arrival = :arrival", state)
                one("COMMIT")
                one("BEGIN")
                # the lock comes first: what is read then, nobody changes
                one("UPDATE words.state SET arrival = arrival")
        except sqlite3.OperationalError as error:
            code = error.sqlite_errorcode & 0xFF
            if code in _OF_THE_DISK:
                hint = "see that the disk has room, and that its files can be written"
                raise ThenceError(
                    "could not add words to the index of",
                    place=index.folder,
                    cause=error,
                    hint=hint,
                    code="read_failed",
                ) from error
            if code != sqlite3.SQLITE_BUSY:
                raise
        return arrival, events

    return index.answer(work)


def _text(event: Event) -> str:
    """Returns all of an event that has words."""
    content = _ESCAPES.sub(b" ", msgspec.json.encode(event.readable_payload[0])).decode()
    about = (event.event_type, event.stream, event.subject, event.actor, event.step)
    return " ".join(filter(None, (*about, event.description, content)))
