"""Copies of lines that were redacted, which go where a clone shows and shares its journal.

A day file of the main working tree is made anew from the journal: other tools append to it, so it
is emptied in place, after the journal took in their lines. Other files are replaced. The tip of the
board's branch gets the redacted line by the next `thence sync now`. Each step may be repeated:
after a kill, doing all of it again completes it.
"""

import os
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager, suppress
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
    RedactedLines,
    lines_in,
    made_anew,
    path_of,
    with_more,
)
from thence.work.journal import refusals
from thence.work.journal.shared_view import forget, show_events, stats_of_days, writing_lock
from thence.work.journal.store import redactions_in
from thence.work.project.project import Project

_WAIT_S = 10.0
_DONE = "redacted.txt"
_REFS_MAX = 1_000
_SHOWN_MAX = 8
# types of events that repeat what planning files say
_PLANNED = frozenset(("FeatureCreated", "SpecCreated", "WPCreated", "SubtaskCompleted"))


class SharedCopies(NamedTuple):
    """The lines that were redacted, and in words the copies that this clone can't reach.

    `unwritten` names files that could not be written, with the reason: try again.
    """

    redacted_count: int = 0
    unreached: tuple[str, ...] = ()
    unwritten: tuple[str, ...] = ()


def redact_shared(project: Project, log: Log) -> SharedCopies:
    """Removes the copies of lines that were redacted from the files of this clone.

    The `log` is the project's journal. Raises OSError, GitFailed, and what reading the log raises.
    """
    if not log.redactions.digests():
        return SharedCopies()
    copies = redact_files(project, log)
    events = log.arrived()
    redactions = redactions_in(project.home, events)
    return copies._replace(unreached=tuple(_elsewhere(project, events, redactions)))


def redact_files(project: Project, log: Log) -> SharedCopies:
    """Removes redacted lines from the files of this clone. Raises as `redact_shared` does."""
    redactions = redactions_in(project.home, log.arrived())
    count = 0
    unwritten: list[str] = []
    for files in _trees(project):
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
    return SharedCopies(count, (), tuple(unwritten))


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


def _trees(project: Project) -> Iterator[TreeFiles]:
    """Yields the working trees of the project, the main one first."""
    yield project.files
    for checkout in list_worktrees(project.repo):
        if not checkout.is_missing and checkout.path != project.root:
            yield TreeFiles(checkout.path)


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
        relayed = log.relay([redactions.instead_of(line) for line in lines_in(data)])
        forget(project)
        if relayed.parked:  # they stand nowhere else: once more at the end, then nothing before
            files.append(path, with_more(b"", [event.line for event in relayed.parked]))
            os.fsync(file.fileno())
            os.pwrite(file.fileno(), b"\n" * len(data), 0)
        else:
            file.truncate(0)
        os.fsync(file.fileno())


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
            " `thence sync now` replaces the line at the tip only"
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
