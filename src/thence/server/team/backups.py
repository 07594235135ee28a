"""Copies of a server's database in SQLite, made beside a server that runs and put back; its check.

A copy is made by SQLite's own backup. It is one file without a file of commits beside it, for its
owner alone, and has its name only once each line in it was checked.
"""

import os
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from shutil import rmtree

import apsw

from thence.errors import InvalidEvent, SuppressCodes, ThenceError
from thence.files import FileBusy, file_lock
from thence.server.team.accounts import Accounts
from thence.server.team.body_pieces import damage
from thence.server.team.database import Database, first
from thence.server.team.engines import is_address, open_database, shown
from thence.server.team.log_cache import FOLDER
from thence.server.team.rows import StoredLog, chained
from thence.server.team.sqlite import (
    SqliteDatabase,
    is_single_file,
    make_single_file,
    sync_folder,
)
from thence.server.team.store import Store
from thence.server.team.validation import checked
from thence.sync.wire.messages import BatchRefused

# of the process that answers from a folder, and of one that puts a copy there
LOCK = "run.lock"
# what stands behind the name of a database, itself last
_FILES = ("-journal", "-wal", "-shm", "")
_LINES = 10_000

# called with what is done so far, and how much there is
Progress = Callable[[int, int], None]


@dataclass(frozen=True)
class Contents:
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


def back_up(database: Path, copy: Path, progress: Progress) -> Contents:
    """Copies a server's database, also while it runs, to a file that must not exist yet.

    The copy holds each batch that was acknowledged before it began, was checked as `verify` does,
    and is on the device at the end. Raises `not_a_server`, `damaged_copy`, `server_exists`, and
    ThenceError where the file can't be written.
    """
    if os.path.lexists(copy):
        cause, hint, code = "it exists", "name a file that does not exist", "server_exists"
        raise ThenceError("could not copy to", place=copy, cause=cause, hint=hint, code=code)
    SqliteDatabase(database).close()
    draft = copy.with_name(f".{copy.name}.{os.getpid()}")
    with _failures("could not copy to", copy), _draft(draft):
        _copy(database, draft)
        make_single_file(draft)
        with closing(SqliteDatabase.to_read(draft)) as opened:
            contents = _verified(opened, database, progress)
        os.link(draft, copy)  # unlike a rename it replaces nothing
        sync_folder(copy.parent)
    return contents


def verify(place: str | Path, progress: Progress) -> Contents:
    """Reads each line of a database or of a copy, which it does not change.

    The file must be sound, each line must have the digest under which it is kept, the numbers of a
    log must have no gap, and each large value that a line names must be whole. `place` is a file or
    an address of PostgreSQL. Raises `not_a_server`, `database_unavailable`, and `damaged_copy` for
    the first that is wrong.
    """
    with _failures("could not read", place), closing(_opened(place)) as opened:
        return _verified(opened, place, progress)


def restore(copy: Path, database: Path, aside: Path, progress: Progress) -> Contents:
    """Puts a copy in the place of a server's database; what was there is moved to `aside`.

    The copy is verified before; it stays. The folders of logs, which answer questions, are removed:
    they are made anew. Raises what `verify` raises, FileBusy while a server runs, and ThenceError
    where the folder can't be written.
    """
    draft = database.with_name(f".{database.name}.{os.getpid()}")
    with _failures("could not restore", database):
        database.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        with serving(database.parent), _draft(draft):
            _opened(copy).close()
            _copy(copy, draft)
            with closing(SqliteDatabase(draft)) as opened:
                contents = _verified(opened, copy, progress)
            make_single_file(draft)
            rmtree(database.parent / FOLDER, ignore_errors=True)
            _move_aside(database, aside)
            draft.replace(database)
            sync_folder(database.parent)
    return contents


@contextmanager
def _draft(draft: Path) -> Iterator[None]:
    """Removes what is left of a draft behind the enclosed block."""
    try:
        yield
    finally:
        for end in _FILES:
            Path(f"{draft}{end}").unlink(missing_ok=True)


@contextmanager
def _failures(operation: str, place: str | Path) -> Iterator[None]:
    """Raises a failed call of the system or of SQLite as a ThenceError."""
    try:
        yield
    except (OSError, apsw.Error) as error:
        cause = getattr(error, "strerror", None) or error
        if str(error) == "not an error":  # apsw's words where a backup fails
            is_full = isinstance(error, apsw.FullError)
            cause = "database or disk is full" if is_full else "disk I/O error"
        hint = "see that the file can be read, and that its folder has room and may be written"
        raise ThenceError(operation, place=place, cause=cause, hint=hint) from error


def _opened(place: str | Path) -> Database:
    """Opens a database, or a copy so that it stays as it is; raises `not_a_server`."""
    if is_address(place):
        return open_database(place)
    database = Path(place)
    if not database.is_file():
        cause, hint = "there is no such file", "name a file that `thence server backup` made"
        code = "not_a_server"
        raise ThenceError("could not open", place=database, cause=cause, hint=hint, code=code)
    if is_single_file(database):
        return SqliteDatabase.to_read(database)
    return SqliteDatabase(database)


def _verified(database: Database, place: str | Path, progress: Progress) -> Contents:
    if isinstance(database, SqliteDatabase):
        with database.reading() as connection:
            report = str(first(connection.execute("PRAGMA integrity_check(1)")))
        if report != "ok":
            raise _damaged(place, report.replace("\n", " "))
    store = Store(database)
    teams = Accounts(database, str).teams()
    logs = [(team, log) for team in teams for log in store.logs(team)]
    total = sum(log.last for _, log in logs)
    done = 0
    for team, log in logs:
        for number in _numbers(store, log, f"{team}/{log.name}", place):
            if not (done + number) % _LINES:
                progress(done + number, total)
        done += log.last
        if words := store.bodies(log).asked(damage):
            raise _damaged(place, f"{words}, in {team}/{log.name}")
    return Contents(len(teams), len(logs), total)


def _numbers(store: Store, log: StoredLog, name: str, place: str | Path) -> Iterator[int]:
    """Yields the numbers of a log's lines, each behind the check of its line."""
    numbers, chain = count(1), b""
    for after in range(0, log.last, _LINES):
        with closing(store.page(log, after, min(_LINES, log.last - after))) as rows:
            for row in rows:
                number = next(numbers)
                if row.number != number:
                    raise _damaged(place, f"{name} has no line {number}")
                chain = chained(chain, row.digest)
                if _digest(row.line) != row.digest or row.chain != chain:
                    raise _damaged(place, f"the line {number} of {name} is not what was stored")
                yield number
    if next(numbers) != log.last + 1:
        raise _damaged(place, f"{name} has no last line, {log.last}")


def _digest(line: bytes) -> bytes | None:
    try:
        return checked([line]).rows[0].digest
    except (InvalidEvent, BatchRefused, TypeError):  # the last: of no bytes at all
        return None


def _copy(source: Path, draft: Path) -> None:
    """Copies what is committed into a new file for its owner alone."""
    os.close(os.open(draft, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600))
    with (
        closing(apsw.Connection(str(source), flags=apsw.SQLITE_OPEN_READONLY)) as read,
        closing(apsw.Connection(str(draft))) as written,
        written.backup("main", read, "main") as backup,
    ):
        read.execute("BEGIN").execute("SELECT count(*) FROM meta")  # one state, else it begins anew
        backup.step()


def _move_aside(database: Path, aside: Path) -> None:
    """Moves a database with its file of commits into a folder, where it can be opened again."""
    if not database.exists():
        return
    aside.mkdir(mode=0o700)
    with SuppressCodes("not_a_server"):  # one that can't be opened is moved as it is
        SqliteDatabase(database).close()
    for end in _FILES:
        # the file itself stays until the copy takes its place, so that a kill leaves one of them
        move = Path.rename if end else os.link
        with suppress(FileNotFoundError):
            move(Path(f"{database}{end}"), aside / f"{database.name}{end}")
    sync_folder(aside)


def _damaged(place: str | Path, cause: str) -> ThenceError:
    if is_address(place):
        place, hint = shown(str(place)), "put back a whole dump by pg_restore"
    else:
        hint = "put back a copy that `thence server verify` finds whole: thence server restore COPY"
    operation, code = "could not use the database", "damaged_copy"
    return ThenceError(operation, place=place, cause=cause, hint=hint, code=code)
