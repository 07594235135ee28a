"""The day files by which clones share their journals, read from git's objects.

The source is the fetched board's branch, each blob once. Lines are verified, and witnessed by the
journal.
"""

from collections.abc import Callable, Collection, Container, Iterable, Iterator, Mapping, Set
from contextlib import suppress
from typing import NamedTuple

import msgspec

from thence.core.codec import BadLine
from thence.core.ready import ready
from thence.core.sentences.events import counted
from thence.errors import GitFailed, PlanningError, ThenceError
from thence.git.objects import Objects, is_file, objects
from thence.git.refs import Refs
from thence.log.files.findings import Relayed
from thence.log.recovery.writers import redactions_of
from thence.work.day_lines import (
    RedactedLines,
    SharedFilePosition,
    lines_with_positions,
    parked_lines,
    record_skipped,
    skipped_lines,
)
from thence.work.journal.board_remote import board_here, board_ref
from thence.work.journal.redacted_views import is_redacted, redact_files
from thence.work.journal.seen_tips import SeenTips, day_files_in, load_seen, save_seen
from thence.work.journal.shared_view import ViewChanges
from thence.work.journal.store import EventStore, redactions_in
from thence.work.project.options import read_options
from thence.work.project.project import Project
from thence.work.project.project_id import BOARD_FILE, BoardFile


class TakenLines(NamedTuple):
    """The result of taking in lines: new events, and lines that were passed over.

    `bad` are lines that are no events, `parked` counts events with a clock too far in the future,
    `ours` own events that the journal had lost, `beside` lines with the id of another event.
    """

    events: int = 0
    bad: tuple[tuple[SharedFilePosition, BadLine], ...] = ()
    parked: int = 0
    ours: int = 0
    beside: int = 0

    def notes(self) -> Iterator[str]:
        """Yields the warnings for the user."""
        if self.bad:
            place, reason = self.bad[0]
            others = f", and {len(self.bad) - 1} more" if len(self.bad) > 1 else ""
            yield f"a line of {place.file} was passed over: {reason.reason}{others}"
        if self.parked:
            events = counted(self.parked, "event")
            yield f"left out {events} with a clock far ahead, to be tried again"
        if self.ours:
            yield f"recovered {counted(self.ours, 'event')} of our own that our journal had lost"
        if self.beside:
            yield (
                f"{counted(self.beside, 'line')} with the id of an event that is here, but not its"
                " content; both are kept: `thence verify` lists them"
            )


class _UnseenLines(NamedTuple):
    """Lines that were not read before, with their positions, and the paths of their blobs."""

    blobs: dict[str, str]
    lines: dict[bytes, SharedFilePosition]


def take_in(
    project: Project,
    store: EventStore,
    refs: Callable[[], Refs],
    targets: Set[str],
) -> Iterator[TakenLines]:
    """Takes lines that others wrote and shared into the journal. Raises what an append raises.

    The `store` opens the journal, if there are new lines; `refs` reads git's refs.
    `targets` are the branches that features go to, whose remote has the board. Yields the result
    for other tools' lines in the view, then for git's. While the board has not moved only `refs` is
    called.
    """
    written = ViewChanges(project)
    if written.lines or written.reread or parked_lines(skipped_lines(project.home)):
        yield _relay(project, store, written.lines, written.reread)
    written.save()
    _redact(project, store, written.lines)
    seen = load_seen(project)
    tip = _board_tip(project, refs(), targets)
    if tip is None or seen.tips.get(tip[0]) == tip[1]:
        return
    ref, oid = tip
    with objects(project.repo) as git_objects:
        unseen = _unseen_lines(project, git_objects, ref, oid, seen.tips.get(ref))
        if unseen is None:
            return
        if unseen.lines:
            yield _relay(project, store, unseen.lines, {*unseen.blobs.values()})
        save_seen(project, SeenTips({**seen.tips, ref: oid}))


def _redact(project: Project, store: EventStore, written: Iterable[bytes]) -> None:
    """Overwrites what the files of this clone still hold, or again hold, of redacted lines."""
    redactions = RedactedLines(redactions_of(project.home))
    came_back = any(redactions.instead_of(line) != line for line in written)
    if came_back or not is_redacted(project):
        with suppress(OSError, ThenceError):  # the next command tries again
            redact_files(project, redactions_in(project.home, store.arrived()))


def record_commit(project: Project, name: str, parent: str | None, oid: str) -> None:
    """Records the new tip of a ref that got only this clone's own commit."""
    seen = load_seen(project)
    if seen.tips.get(name) == parent:
        seen.tips[name] = oid
        with suppress(ThenceError):
            save_seen(project, seen)


def project_of(store: Objects, tree: str) -> str | None:
    """Returns the id of the project whose board a tree holds; None if there is none."""
    entry = store.find(tree, BOARD_FILE)
    with suppress(msgspec.MsgspecError, UnicodeDecodeError):
        if entry is not None and is_file(entry):
            return msgspec.json.decode(
                store.blob(entry.oid), type=ready(BoardFile)
            ).project_uuid.lower()
    return None


def _board_tip(project: Project, refs: Refs, targets: Set[str]) -> tuple[str, str] | None:
    """Returns the ref and the tip of the fetched board's branch."""
    options = read_options(project)
    remote = board_here(project.repo, refs, options, targets)
    if remote is None:
        return None
    ref = board_ref(remote, options.board_branch)
    return ref, refs.commits[ref]


def _unseen_lines(
    project: Project, store: Objects, ref: str, oid: str, seen_oid: str | None
) -> _UnseenLines | None:
    """Returns the lines at a tip; None where its commit is gone."""
    commit = store.commit(oid)
    if commit is None:
        return None
    check_project(project, project_of(store, commit[1]), ref)
    unseen = _UnseenLines({}, {})
    seen_blobs = _blobs_at(store, seen_oid)
    for path, blob in day_files_in(store, commit[1]).items():
        if blob not in seen_blobs and blob not in unseen.blobs:
            unseen.blobs[blob] = path
            for line, place in lines_with_positions(store.blob(blob), path):
                unseen.lines.setdefault(line, place)
    return unseen


def _blobs_at(store: Objects, tip: str | None) -> set[str]:
    """Returns the blobs of the day files at a tip; those of one that is gone are read again."""
    with suppress(GitFailed):
        commit = store.commit(tip) if tip else None
        return {*day_files_in(store, commit[1]).values()} if commit else set()
    return set()


def check_project(project: Project, named: str | None, place: str) -> None:
    """Raises PlanningError if a board is another project's."""
    if named is not None and named not in {project.uuid, *project.aliases}:
        raise PlanningError(
            "could not share the board on",
            place=place,
            cause=f"it is the board of another project, {named!r:.50}; this one is {project.uuid}",
            hint="name another in .kittify/config.yaml (board: {branch: NAME})",
        )


def _relay(
    project: Project,
    store: EventStore,
    fresh: Mapping[bytes, SharedFilePosition],
    files: Collection[str],
) -> TakenLines:
    """Relays lines to the journal, parked ones too; `files` are the files of the bad lines."""
    recorded = skipped_lines(project.home)
    parked = parked_lines(recorded)
    redactions = RedactedLines(redactions_of(project.home))
    lines = {redactions.instead_of(line): place for line, place in {**parked, **fresh}.items()}
    result = store.relay(lines)
    record_skipped(project.home, recorded, result, lines, files)
    if result.renewed:  # the open journal writes under the node of before
        store.close()
    return _summary(result, lines, parked)


def _summary(
    result: Relayed, lines: Mapping[bytes, SharedFilePosition], parked_before: Container[bytes]
) -> TakenLines:
    bad = tuple((lines[line], reason) for line, reason in result.bad)
    parked = sum(event.line not in parked_before for event in result.parked)
    counts = map(len, (result.ours, result.beside))
    return TakenLines(len(result.taken), bad, parked, *counts)
