"""The seam between what a team's server keeps and the engine that keeps it.

Statements are written once, in what SQLite and PostgreSQL have in common: `:name` parameters,
RETURNING, `= ANY(:names)` for a sequence of values, FOR UPDATE for rows that are locked to the end
of a transaction. An engine puts its own words in their place. Where it lets one writer in at a
time, FOR UPDATE says nothing.
"""

from collections.abc import Generator, Iterable, Mapping, Sequence
from contextlib import AbstractContextManager
from functools import cache
from hashlib import sha256
from importlib.resources import files
from pathlib import Path
from typing import Any, NamedTuple, Protocol

from thence.errors import ThenceError

Row = tuple[Any, ...]
Parameters = Mapping[str, object]
_CHAIN_BYTES = 8


class Transaction(Protocol):
    """What runs statements, within a transaction."""

    def execute(self, sql: str, parameters: Parameters | None = None) -> list[Row]:
        """Runs a statement and returns its rows."""

    def script(self, sql: str) -> None:
        """Runs statements that make or change tables, in the words of schema.sql."""

    def stream(self, sql: str, parameters: Parameters) -> Generator[Row, None, None]:
        """Yields the rows of a query as they are read; closed if not read to the end."""

    def many(self, sql: str, parameters: Iterable[Parameters]) -> None:
        """Runs a statement once for each of some parameters."""

    def insert(self, table: str, columns: Sequence[str], rows: Iterable[Row]) -> None:
        """Inserts new rows in the fastest way that the engine has."""


class Database(Protocol):
    """An open database; safe from threads. `epoch` names its history."""

    epoch: str

    def reading(self, team: int | None = None) -> AbstractContextManager[Transaction]:
        """Gives a connection that sees one committed state; of a team alone, if the engine can."""

    def writing(self) -> AbstractContextManager[Transaction]:
        """Gives a connection in a transaction: all of it is kept, durable at the end, or nothing.

        Each statement sees what is committed as it begins.
        """

    def erased(self) -> None:
        """Removes from the files what the last transaction replaced in stored lines.

        Where that fails, the engine does it later.
        """

    def close(self) -> None:
        """Closes all connections."""


def first(rows: Sequence[Row]) -> Any:
    """Returns the first value of the first row, None if there is none."""
    return rows[0][0] if rows else None


def schema() -> str:
    """Returns the statements that make the tables of a server."""
    return files("thence.server.team").joinpath("schema.sql").read_text("utf-8")


@cache
def schema_digest() -> str:
    """Returns the SHA-256 of schema.sql in hex, which a database carries as `schema` in meta."""
    return sha256(schema().encode()).hexdigest()


def check_schema(digest: str | None, place: str | Path) -> None:
    """Raises `not_a_server` for a database with the digest of other tables, or None: with none."""
    if digest == schema_digest():
        return
    operation = "could not open the server's database"
    if digest is None:
        cause, hint = "no server is in it", "create one: thence server init"
    else:
        cause = f"its tables are those of schema.sql {digest:.12}, not {schema_digest():.12}"
        hint = "run the version that created it, or create a new server: clones push again"
    code = "not_a_server"
    raise ThenceError(operation, place=place, cause=cause, hint=hint, code=code)


class StoredLog(NamedTuple):
    """A log of a team: the numbers of its team and of itself, its name, kind and last number.

    `revision` counts how often lines were replaced by other forms of themselves. `title` is what
    its pages call it, "" if no client said so.
    """

    team: int
    id: int
    name: str
    kind: str
    last: int
    revision: int
    title: str


class NewLine(NamedTuple):
    """A line that was checked, with its D."""

    event_id: str
    node: str
    seq: int
    digest: bytes
    line: bytes


# the columns of a stored line
EVENT_COLUMNS = ("team", "log", "number", *NewLine._fields, "chain", "pushed_by")


class LineRefusal(NamedTuple):
    """The reason why a line is never taken, in words and as a code."""

    message: str
    code: str


class LogPlace(NamedTuple):
    """A place behind a line of a log: its number, and the digest of all lines up to it."""

    number: int
    chain: bytes


class NumberedLine(NamedTuple):
    """A stored line with its number in the log, and the digest of all lines up to it."""

    number: int
    chain: bytes
    line: bytes


BEGINNING = LogPlace(0, b"")


def chained(chain: bytes, digest: bytes) -> bytes:
    """Returns the digest of all lines up to one, by that of those before it and its D."""
    return sha256(chain + digest).digest()[:_CHAIN_BYTES]


def is_storable(text: str) -> bool:
    """Reports whether every engine can keep a text: PostgreSQL has no U+0000."""
    if "\0" in text:
        return False
    if not text.isascii():
        try:
            text.encode()
        except UnicodeEncodeError:  # half a surrogate pair
            return False
    return True
