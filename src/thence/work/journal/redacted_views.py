"""Copies of lines that were redacted, overwritten where a clone shows and shares its journal.

Day files and `.kittify/errors/` are overwritten in place, with blanks to the old length, because
other tools append to them; an own file is replaced. The tip of the board's branch gets the redacted
line by the next `thence work publish`. Each step may be repeated: after a kill, doing all of it
again completes it.
"""

import os
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import contextmanager, suppress
from functools import partial
from hashlib import sha256
from typing import NamedTuple

from thence.core.event import Event
from thence.errors import GitFailed, ThenceError
from thence.files import replace_file
from thence.git.files import TreeFiles
from thence.git.locks import locked, take
from thence.git.refs import OURS, REMOTES, refs_of
from thence.git.repository import HEADS, Repository, list_worktrees
from thence.log.open import Log
from thence.log.recovery.writers import redactions_of
from thence.work.day_lines import (
    FOLDER,
    LineEdit,
    RedactedLines,
    edits_of,
    more_of,
    path_of,
    redact_parked,
)
from thence.work.journal import refusals
from thence.work.journal.shared_view import stats_of_days, writing_lock
from thence.work.journal.store import redactions_in
from thence.work.project.project import Project

_WAIT_S = 10.0
_DONE = "redacted.txt"
_REFS_MAX = 1_000
_SHOWN_MAX = 8
# types of events that repeat what planning files say
_PLANNED = frozenset(("FeatureCreated", "SpecCreated", "WPCreated", "SubtaskCompleted"))
FindEdits = Callable[[bytes], Sequence[LineEdit]]


class SharedCopies(NamedTuple):
    """The lines that were overwritten, and in words the copies that this clone can't reach.

    `unwritten` names files that could not be overwritten, with the reason: try again.
    """

    redacted_count: int = 0
    unreached: tuple[str, ...] = ()
    unwritten: tuple[str, ...] = ()


def redact_shared(project: Project, log: Log) -> SharedCopies:
    """Overwrites the copies of lines that were redacted in the files of this clone.

    The `log` is the project's journal. Raises OSError, GitFailed, and what reading the log raises.
    """
    digests = log.redactions.digests()
    if not digests:
        return SharedCopies()
    events = log.arrived()
    redactions = redactions_in(project.home, events)
    copies = redact_files(project, redactions)
    return copies._replace(unreached=tuple(_elsewhere(project, events, redactions)))


def redact_files(project: Project, redactions: RedactedLines) -> SharedCopies:
    """Overwrites lines in the files of this clone. Raises OSError, GitFailed."""
    redact_parked(project.home, redactions)
    count = 0
    unwritten: list[str] = []
    for files in _trees(project):
        for path in (f"{FOLDER}/{name}" for name in sorted(stats_of_days(files))):
            with _reported(files, path, unwritten):
                if not edits_of(files.read(path), redactions):
                    continue
                with locked(writing_lock(project)):
                    count += _overwrite(files, path, lambda data: edits_of(data, redactions))
    for path in refusals.paths(project.files):
        with _reported(project.files, path, unwritten):
            edits = partial(refusals.edits, event_ids=redactions.by_id)
            count += _overwrite(project.files, path, edits)
    if not unwritten:
        _save_done(project, redactions.digests)
    return SharedCopies(count, (), tuple(unwritten))


def is_redacted(project: Project) -> bool:
    """Reports whether `redact_files` has done all that it can for the redactions of the journal.

    A project without redactions costs one look at the disk.
    """
    digests = redactions_of(project.home)
    with suppress(OSError):
        return not digests or (project.home / _DONE).read_text() == _name(digests)
    return False


def _save_done(project: Project, digests: Collection[bytes]) -> None:
    replace_file(project.home / _DONE, _name(digests).encode())


def _name(digests: Collection[bytes]) -> str:
    return sha256(b"".join(sorted(digests))).hexdigest()


def _trees(project: Project) -> Iterator[TreeFiles]:
    """Yields the working trees of the project, the main one first."""
    yield project.files
    for checkout in list_worktrees(project.repo):
        if not checkout.is_missing and checkout.path != project.root:
            yield TreeFiles(checkout.path)


@contextmanager
def _reported(files: TreeFiles, path: str, unwritten: list[str]) -> Iterator[None]:
    """Reports why a file could not be overwritten; one that is gone meanwhile holds nothing."""
    try:
        yield
    except FileNotFoundError:
        return
    except (OSError, GitFailed) as error:
        cause = error.cause if isinstance(error, GitFailed) else error.strerror
        unwritten.append(f"{files.top / path}: {cause or error}")


def _overwrite(files: TreeFiles, path: str, edits: FindEdits) -> int:
    """Overwrites lines of a file in place, synced; returns how many. Raises OSError, GitFailed.

    A line that is longer than the one it replaces is added at the end before.
    """
    with open(files.open(path, os.O_RDWR), "r+b", buffering=0) as file:
        take(file.fileno(), files.top / path, _WAIT_S)
        data = file.read()
        line_edits = edits(data)
        if not line_edits:
            return 0
        longer = [edit.instead for edit in line_edits if len(edit.instead) > edit.length]
        if longer:
            files.append(path, more_of(data[-1:], longer))
            os.fsync(file.fileno())
        for edit in line_edits:
            fits = len(edit.instead) <= edit.length
            rest = memoryview((edit.instead if fits else b"").ljust(edit.length))
            file.seek(edit.offset)
            while rest:
                rest = rest[file.write(rest) :]
        os.fsync(file.fileno())
    return len(line_edits)


def _elsewhere(
    project: Project, events: Sequence[Event], redactions: RedactedLines
) -> Iterator[str]:
    """Yields in words the copies that stay, as far as this clone can know."""
    about = [event for event in events if event.event_id.encode() in redactions.by_id]
    if any(event.event_type in _PLANNED for event in about):
        yield "planning files, and commits of them, that say the same"
    sources = {event.header.source for event in about} - {None}
    for source in sorted(map(str, sources)):
        yield f"what an event was imported from ({source:.80})"
    if (project.home / "agents").exists():
        yield f"the output of agents, if it is in there: {project.home / 'agents'}"
    try:
        names, is_all = _branches(project.repo, about)
    except ThenceError as error:
        yield f"commits of branches, which could not be looked at: {error}"
        return
    if names:
        others = f" and {len(names) - _SHOWN_MAX} more" if len(names) > _SHOWN_MAX else ""
        yield (
            f"commits of {', '.join(names[:_SHOWN_MAX])}{others}, and tags on them;"
            " `thence work publish` replaces the line at the tip only"
        )
    if not is_all:
        yield f"commits of branches beyond the first {_REFS_MAX}, which were not looked at"
    yield "other clones, forks and backups of this repository"


def _branches(repo: Repository, events: Sequence[Event]) -> tuple[list[str], bool]:
    """Returns the branches whose tip has a day file that names one of the events.

    Older commits of these may hold the line. Also returns whether all branches were looked at.
    Raises GitFailed.
    """
    refs = {
        ref: oid
        for ref, oid in refs_of(repo).commits.items()
        if not ref.startswith(OURS) and not ref.endswith("/HEAD")
    }
    tips = dict.fromkeys([*refs.values()][:_REFS_MAX])
    if not events or not tips:
        return [], True
    paths = sorted({path_of(event) for event in events})
    ids = "".join(f"{event.event_id}\n" for event in events).encode()
    arguments = ("grep", "--files-with-matches", "--null", "--text", "--fixed-strings", "-f", "-")
    answer = repo.git.ask(*arguments, *tips, "--", *paths, stdin=ids)
    if answer.status > 1:  # 1: nothing matches
        raise repo.git.failed(answer, arguments, operation="could not look at the branches of")
    # each is a commit, a colon, a path
    naming = {file.partition(b":")[0].decode() for file in answer.out.split(b"\0")}
    names = [
        ref.removeprefix(HEADS).removeprefix(REMOTES) for ref, oid in refs.items() if oid in naming
    ]
    return names, len(refs) <= _REFS_MAX
