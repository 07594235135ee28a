"""Copies of a server's database: made beside a server that runs, checked line by line, put back.

A copy is one file without a file of commits beside it, for its owner alone. It says when it was
made, so that a server that goes on from one can tell its operator.
"""

import os
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from shutil import rmtree

import apsw

from thence.errors import (
    BatchRefused,
    DamagedCopy,
    FileBusy,
    InvalidEvent,
    NotAServer,
    ServerExists,
    ThenceError,
)
from thence.files import file_lock
from thence.server.team.accounts import Accounts
from thence.server.team.body_pieces import damage
from thence.server.team.database import first
from thence.server.team.incoming import checked
from thence.server.team.log_cache import FOLDER
from thence.server.team.rows import StoredLog, chained
from thence.server.team.sqlite import (
    SqliteDatabase,
    is_single_file,
    make_single_file,
    sync_folder,
)
from thence.server.team.store import Store

# of the process that answers from a folder, and of one that puts a copy there
LOCK = "run.lock"
_COPIED = "copied"
# what stands behind the name of a database, itself last
_FILES = ("-journal", "-wal", "-shm", "")
_PAGES = 4_096  # of 4 KiB, between which writers have their turn
_LINES = 10_000

# called with what is done so far, and how much there is
Progress = Callable[[int, int], None]


@dataclass(frozen=True)
class Contents:
    """How much a database holds; `copied_at` is empty for one that is no copy."""

    teams: int
    logs: int
    events: int
    copied_at: str


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


def back_up(database: Path, copy: Path, at: str, progress: Progress) -> None:
    """Copies a server's database, also while it runs, to a file that must not exist yet.

    The copy holds each batch that was acknowledged before it began, and is on the device at the
    end. Raises NotAServer, ServerExists, and ThenceError where the file can't be written.
    """
    if os.path.lexists(copy):
        hint = "name a file that does not exist"
        raise ServerExists("could not copy to", place=copy, cause="it exists", hint=hint)
    SqliteDatabase(database).close()
    draft = copy.with_name(f".{copy.name}.{os.getpid()}")
    with _failures("could not copy to", copy), _draft(draft):
        _copy(database, draft, progress)
        with closing(apsw.Connection(str(draft))) as connection:
            insert = "INSERT OR REPLACE INTO meta (key, value) VALUES (:key, :at)"
            connection.execute(insert, {"key": _COPIED, "at": at})
        make_single_file(draft)
        os.link(draft, copy)  # unlike a rename it replaces nothing
        sync_folder(copy.parent)


def verify(database: Path, progress: Progress) -> Contents:
    """Reads each line of a database or of a copy, which it does not change.

    The file must be sound, each line must have the digest under which it is kept, and the numbers
    of a log must have no gap. Raises NotAServer, and DamagedCopy for the first that is wrong.
    """
    with _failures("could not read", database), closing(_opened(database)) as opened:
        return _verified(opened, database, progress)


def restore(copy: Path, database: Path, aside: Path, progress: Progress) -> Contents:
    """Puts a copy in the place of a server's database; what was there is moved to `aside`.

    The copy is verified before; it stays. The folders of logs, which answer questions, are removed:
    they are made anew. Raises what `verify` raises, FileBusy while a server runs, and ThenceError
    where the folder can't be written.
    """
    draft = database.with_name(f".{database.name}.{os.getpid()}")
    with _failures("could not restore", database):
        _opened(copy, may_be_older=True).close()
        database.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        with serving(database.parent), _draft(draft):
            _copy(copy, draft, lambda done, total: None)
            with closing(SqliteDatabase(draft)) as opened:
                contents = _verified(opened, copy, progress)
            make_single_file(draft)
            rmtree(database.parent / FOLDER, ignore_errors=True)
            _move_aside(database, aside)
            draft.replace(database)
            sync_folder(database.parent)
    return contents


def told_copy(database: Path) -> str:
    """Returns when the copy was made from which a server goes on, once; "" for no copy."""
    with closing(SqliteDatabase(database)) as opened, opened.writing() as connection:
        delete = "DELETE FROM meta WHERE key = :key RETURNING value"
        return first(connection.execute(delete, {"key": _COPIED})) or ""


@contextmanager
def _draft(draft: Path) -> Iterator[None]:
    """Removes what is left of a draft behind the enclosed block."""
    try:
        yield
    finally:
        for end in _FILES:
            Path(f"{draft}{end}").unlink(missing_ok=True)


@contextmanager
def _failures(operation: str, place: Path) -> Iterator[None]:
    """Raises a failed call of the system or of SQLite as a ThenceError."""
    try:
        yield
    except (OSError, apsw.Error) as error:
        if isinstance(error, ThenceError):
            raise
        cause = getattr(error, "strerror", None) or error
        if str(error) == "not an error":  # apsw's words where a backup fails
            is_full = isinstance(error, apsw.FullError)
            cause = "database or disk is full" if is_full else "disk I/O error"
        hint = "see that the file can be read, and that its folder has room and may be written"
        raise ThenceError(operation, place=place, cause=cause, hint=hint) from error


def _opened(database: Path, *, may_be_older: bool = False) -> SqliteDatabase:
    """Opens a database, or a copy so that it stays as it is; raises NotAServer."""
    if not database.is_file():
        hint = "name a file that `thence server backup` made"
        raise NotAServer("could not open", place=database, cause="there is no such file", hint=hint)
    if is_single_file(database):
        return SqliteDatabase.to_read(database, may_be_older=may_be_older)
    return SqliteDatabase(database)


def _verified(database: SqliteDatabase, place: Path, progress: Progress) -> Contents:
    store = Store(database)
    accounts = Accounts(database, str)
    with database.reading() as connection:
        report = str(first(connection.execute("PRAGMA integrity_check(1)")))
        query = "SELECT value FROM meta WHERE key = :key"
        copied = first(connection.execute(query, {"key": _COPIED}))
    if report != "ok":
        raise _damaged(place, report.replace("\n", " "))
    teams = accounts.teams()
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
    return Contents(len(teams), len(logs), total, copied or "")


def _numbers(store: Store, log: StoredLog, name: str, place: Path) -> Iterator[int]:
    """Yields the numbers of a log's lines, each behind the check of its line."""
    numbers, chain = count(1), b""
    for after in range(0, log.last, _LINES):
        with closing(store.page(log, after, min(_LINES, log.last - after))) as rows:
            for row in rows:
                number = next(numbers)
                if row.number != number:
                    raise _damaged(place, f"{name} lacks the line {number}")
                chain = chained(chain, row.digest)
                if _digest(row.line) != row.digest or row.chain != chain:
                    raise _damaged(place, f"the line {number} of {name} is not what was stored")
                yield number
    if next(numbers) != log.last + 1:
        raise _damaged(place, f"{name} lacks its last line, {log.last}")


def _digest(line: bytes) -> bytes | None:
    try:
        return checked([line]).rows[0].digest
    except (InvalidEvent, BatchRefused, TypeError):  # the last: of no bytes at all
        return None


def _copy(source: Path, draft: Path, progress: Progress) -> None:
    """Copies what is committed into a new file for its owner alone."""
    os.close(os.open(draft, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600))
    with (
        closing(apsw.Connection(str(source), flags=apsw.SQLITE_OPEN_READONLY)) as read,
        closing(apsw.Connection(str(draft))) as written,
        written.backup("main", read, "main") as backup,
    ):
        read.execute("BEGIN").execute("SELECT count(*) FROM meta")  # one state, else it begins anew
        while not backup.done:
            backup.step(_PAGES)
            progress(backup.page_count - backup.remaining, backup.page_count)


def _move_aside(database: Path, aside: Path) -> None:
    """Moves a database with its file of commits into a folder, where it can be opened again."""
    if not database.exists():
        return
    aside.mkdir(mode=0o700)
    with suppress(NotAServer):  # one that can't be opened is moved as it is
        SqliteDatabase(database).close()
    for end in _FILES:
        # the file itself stays until the copy takes its place, so that a kill leaves one of them
        move = Path.rename if end else os.link
        with suppress(FileNotFoundError):
            move(Path(f"{database}{end}"), aside / f"{database.name}{end}")
    sync_folder(aside)


def _damaged(place: Path, cause: str) -> ThenceError:
    hint = "put back a copy that `thence server verify` finds whole: thence server restore COPY"
    return DamagedCopy("could not use the database", place=place, cause=cause, hint=hint)
