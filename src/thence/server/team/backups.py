"""Copies of a server's database in SQLite, made beside a server that runs and put back; its check.

A copy is one file without a file of commits beside it, for its owner alone. It has its name only
once each line in it was checked.
"""

import os
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from typing import NamedTuple

import apsw

from thence.errors import InvalidEvent, ThenceError
from thence.files import FileBusy, file_lock
from thence.server.team.body_pieces import damaged_value
from thence.server.team.database import StoredLog, Transaction, chained, first
from thence.server.team.engines import is_address, open_database, shown
from thence.server.team.sqlite import opened_to_read, sync_folder
from thence.server.team.sync_service import checked
from thence.sync.wire.messages import BatchRefused

# of the process that answers from a folder, and of one that puts a copy there
LOCK = "run.lock"
_LOGS = f"""
    SELECT teams.slug, {", ".join(f"logs.{name}" for name in StoredLog._fields)}
    FROM logs JOIN teams ON teams.id = logs.team ORDER BY teams.slug, logs.name
"""
_LINES = """
    SELECT number, digest, chain, line FROM events WHERE team = :team AND log = :log ORDER BY number
"""


class Contents(NamedTuple):
    """How much a database holds."""

    teams: int
    logs: int
    events: int


@contextmanager
def serving(data: Path) -> Iterator[None]:
    """Holds the folder of a server for one process that answers from it; raises FileBusy."""
    try:
        lock = file_lock(data / LOCK, mode=0o600)
    except FileBusy as error:
        hint = "end that process, then try again"
        cause = "another process answers from it, or puts a copy there"
        raise FileBusy("could not use", place=data, cause=cause, hint=hint) from error
    with lock:
        yield


def back_up(database: Path, copy: Path) -> Contents:
    """Copies a server's database, also while it runs, to a file that must not exist yet.

    The copy holds each batch that was acknowledged before it began, was checked as `check` does,
    and is on the device at the end. Raises `server_exists`, ThenceError where the file can't be
    written, and what `check` raises.
    """
    if os.path.lexists(copy):
        cause, hint, code = "it exists", "name a file that does not exist", "server_exists"
        raise ThenceError("could not copy to", place=copy, cause=cause, hint=hint, code=code)
    with _failures("could not copy to", copy), _copied(database, copy) as (draft, contents):
        os.link(draft, copy)  # unlike a rename it replaces nothing
        sync_folder(copy.parent)
    return contents


def restore(copy: Path, database: Path, aside: Path) -> Contents:
    """Puts a copy in the place of a server's database; what was there is moved to `aside`.

    The copy is checked before; it stays. Raises what `check` raises, FileBusy while a server runs,
    and ThenceError where the folder can't be written.
    """
    if not database.parent.exists():
        check(copy)  # a refused one leaves no folder
    with _failures("could not restore", database):
        database.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        with serving(database.parent), _copied(copy, database) as (draft, contents):
            if database.exists():
                # one file holds all then; one that can't be opened is moved as it is
                with suppress(apsw.Error), closing(apsw.Connection(str(database))) as former:
                    former.execute("PRAGMA journal_mode = DELETE")
                # the file itself stays until the copy takes its place: a kill leaves one of them
                os.link(database, aside)
                for end in ("-wal", "-shm"):
                    with suppress(FileNotFoundError):
                        Path(f"{database}{end}").rename(f"{aside}{end}")
            draft.replace(database)
            sync_folder(database.parent)
    return contents


def check(place: str | Path, source: str | Path | None = None) -> Contents:
    """Reads each line of a database or of a copy, which it does not change.

    The file must be sound, each line must have the digest under which it is kept, the numbers of a
    log must have no gap, and each large value that a line names must be whole. `place` is a file or
    an address of PostgreSQL; an error names it, or else the `source` of which it is a copy. Raises
    `not_a_server`, `database_unavailable`, and `damaged_copy` for the first that is wrong.
    """
    source = source or place
    events = 0
    with _failures("could not read", source), _opened(place) as connection:
        if not is_address(place):
            report = first(connection.execute("PRAGMA integrity_check(1)"))
            if report != "ok":
                raise _damaged(source, str(report).replace("\n", " "))
        rows = connection.execute(_LOGS)
        for team, *columns in rows:
            log = StoredLog(*columns)
            name, number, chain = f"{team}/{log.name}", 0, b""
            with closing(connection.stream(_LINES, {"team": log.team, "log": log.id})) as lines:
                for stored_number, digest, stored_chain, line in lines:
                    number, chain = number + 1, chained(chain, digest)
                    if stored_number != number:
                        raise _damaged(source, f"{name} has no line {number}")
                    if chain != stored_chain or not _has_digest(line, digest):
                        cause = f"the line {number} of {name} is not what was stored"
                        raise _damaged(source, cause)
            if number != log.last:
                raise _damaged(source, f"{name} has no last line, {log.last}")
            if value := damaged_value(connection, log):
                raise _damaged(source, f"the large value {value.hex()[:16]} of {name} is damaged")
            events += number
        teams = first(connection.execute("SELECT count(*) FROM teams"))
    return Contents(teams, len(rows), events)


@contextmanager
def _opened(place: str | Path) -> Iterator[Transaction]:
    """Gives a connection that sees one state of a database, which stays as it is."""
    if is_address(place):
        with closing(open_database(place)) as database, database.reading() as transaction:
            yield transaction
    else:
        with closing(opened_to_read(Path(place))) as connection:
            connection.execute("BEGIN")
            yield connection


@contextmanager
def _copied(source: Path, target: Path) -> Iterator[tuple[Path, Contents]]:
    """Gives a draft beside `target` with all that is committed in `source`, checked; removes it."""
    draft = target.with_name(f".{target.name}.{os.getpid()}")
    try:
        with open(os.open(draft, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600)) as file:
            with _failures("could not copy", source), closing(opened_to_read(source)) as connection:
                connection.execute("VACUUM INTO :draft", {"draft": str(draft)})
            contents = check(draft, source)
            os.fsync(file)
        yield draft, contents
    finally:
        draft.unlink(missing_ok=True)


@contextmanager
def _failures(operation: str, place: str | Path) -> Iterator[None]:
    """Raises a failed call of the system or of SQLite as a ThenceError."""
    try:
        yield
    except apsw.CorruptError as error:
        raise _damaged(place, str(error)) from error
    except (OSError, apsw.Error) as error:
        cause = getattr(error, "strerror", None) or error
        hint = "see that the file can be read, and that its folder has room and may be written"
        raise ThenceError(operation, place=place, cause=cause, hint=hint) from error


def _has_digest(line: bytes, digest: bytes) -> bool:
    try:
        return checked([line]).rows[0].digest == digest
    except (InvalidEvent, BatchRefused, TypeError):  # the last: of no bytes at all
        return False


def _damaged(place: str | Path, cause: str) -> ThenceError:
    hint = "restore an intact copy: thence server restore COPY"
    if is_address(place):
        place, hint = shown(place), "restore an intact dump with pg_restore"
    operation, code = "could not use the database", "damaged_copy"
    return ThenceError(operation, place=place, cause=cause, hint=hint, code=code)
