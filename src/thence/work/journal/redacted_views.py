"""Copies of lines that were redacted, which go where a clone shows and shares its journal.

A day file of the main working tree is made anew from the journal: other tools append to it, so it
is emptied in place, after the journal took in their lines. Other files are replaced. The tip of the
board's branch gets the redacted line by the next `thence sync now`. Each step may be repeated:
after a kill, doing all of it again completes it.
"""

import os
from collections.abc import Collection, Iterator
from contextlib import contextmanager, suppress
from hashlib import sha256
from typing import NamedTuple

from thence.errors import GitFailed
from thence.files import replace_file
from thence.git.files import TreeFiles
from thence.git.locks import locked, take
from thence.git.repository import list_worktrees
from thence.log.open import Log
from thence.log.recovery.writers import redactions_of
from thence.work.day_lines import FOLDER, RedactedLines, lines_in, made_anew, with_more
from thence.work.journal import refusals
from thence.work.journal.shared_view import forget, show_events, stats_of_days, writing_lock
from thence.work.journal.store import redactions_in
from thence.work.project.project import Project

_WAIT_S = 10.0
_DONE = "redacted.txt"


class SharedCopies(NamedTuple):
    """The number of lines that were redacted in files.

    `unwritten` names files that could not be written, with the reason: try again.
    """

    redacted_count: int = 0
    unwritten: tuple[str, ...] = ()


def redact_files(project: Project, log: Log) -> SharedCopies:
    """Removes redacted lines from the files of this clone.

    The `log` is the project's journal. Raises OSError, GitFailed, and what reading the log raises.
    """
    if not log.redactions.digests():
        return SharedCopies()
    redactions = redactions_in(project.home, log.arrived())
    count = 0
    unwritten: list[str] = []
    others = (one.path for one in list_worktrees(project.repo) if not one.is_missing)
    trees = (TreeFiles(path) for path in others if path != project.root)
    for files in (project.files, *trees):
        for path in (f"{FOLDER}/{name}" for name in sorted(stats_of_days(files))):
            with _reported(files, path, unwritten):
                kept, lines = made_anew(files.read(path), redactions)
                if lines and files.top == project.root:
                    _empty(project, log, path, redactions)
                elif lines:
                    with locked(writing_lock(project)):
                        files.replace(path, kept)
                count += lines
    show_events(project, log)
    for path in refusals.paths(project.files):
        with _reported(project.files, path, unwritten):
            data = project.files.read(path)
            kept = refusals.without(data, redactions.by_id)
            if kept != data:
                with locked(writing_lock(project)):
                    project.files.replace(path, kept)
                count += data.count(b"\n") - kept.count(b"\n")
    if not unwritten:
        replace_file(project.home / _DONE, _name(redactions.digests).encode())
    return SharedCopies(count, tuple(unwritten))


def is_redacted(project: Project) -> bool:
    """Reports whether `redact_files` has done all that it can for the redactions of the journal.

    A project without redactions costs one look at the disk.
    """
    digests = redactions_of(project.home)
    with suppress(OSError):
        return not digests or (project.home / _DONE).read_text() == _name(digests)
    return False


def _name(digests: Collection[bytes]) -> str:
    return sha256(b"".join(sorted(digests))).hexdigest()


@contextmanager
def _reported(files: TreeFiles, path: str, unwritten: list[str]) -> Iterator[None]:
    """Reports why a file could not be written; one that is gone meanwhile holds nothing."""
    try:
        yield
    except FileNotFoundError:
        return
    except (OSError, GitFailed) as error:
        cause = error.cause if isinstance(error, GitFailed) else error.strerror
        unwritten.append(f"{files.top / path}: {cause or error}")


def _empty(project: Project, log: Log, path: str, redactions: RedactedLines) -> None:
    """Empties a day file of the view, in place, once the journal has its lines.

    `show_events` shows them again; of what is no event of the journal, parked lines stay. Raises
    OSError, GitFailed, and what a relay raises.
    """
    files = project.files
    with (
        locked(writing_lock(project)),
        open(files.open(path, os.O_RDWR), "r+b", buffering=0) as file,
    ):
        take(file.fileno(), files.top / path, _WAIT_S)
        data = file.read()
        relayed = log.relay([redactions.redacted_form(line) for line in lines_in(data)])
        forget(project)
        if relayed.parked:  # they stand nowhere else: once more at the end, then nothing before
            files.append(path, with_more(b"", [event.line for event in relayed.parked]))
            os.fsync(file.fileno())
            os.pwrite(file.fileno(), b"\n" * len(data), 0)
        else:
            file.truncate(0)
        os.fsync(file.fileno())
