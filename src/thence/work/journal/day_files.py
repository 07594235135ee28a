"""The day files by which clones share their journals, read from git's objects.

Tracked files in a working tree are never read, because git replaces them under their readers. The
sources are the fetched board's branch, and, for projects that an older version shared by tracked
day files, the tips of the default branch and of the features' target branches, each blob once:
lines of another branch enter after it is merged into one of these, or by `thence work import`.
Lines are verified, and witnessed by the journal.
"""

from collections.abc import Callable, Collection, Container, Iterable, Iterator, Mapping, Set
from contextlib import suppress
from typing import NamedTuple

import msgspec

from thence.core.values.codec import BadLine
from thence.errors import GitFailed, PlanningError, ThenceError
from thence.inspection.writers import redactions_of
from thence.log.storage.findings import Relayed
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
from thence.work.journal.seen_tips import (
    SeenTips,
    is_branch,
    load_seen,
    save_seen,
    tracked_files,
)
from thence.work.journal.shared_view import ViewChanges
from thence.work.journal.store import EventStore, redactions_in
from thence.work.project.options import read_options
from thence.work.project.project import Project
from thence.work.project.project_id import BOARD_FILE, BoardFile
from thence.work.vcs.objects import Objects, is_file, objects
from thence.work.vcs.refs import Refs


class TakenLines(NamedTuple):
    """The result of taking in lines: new events, and lines that were passed over.

    `bad` are lines that are no events, `parked` counts events with a clock too far in the future,
    `ours` own events that the journal had lost, `twice` events that share their number, `beside`
    lines with the id of another event.
    """

    events: int = 0
    bad: tuple[tuple[SharedFilePosition, BadLine], ...] = ()
    parked: int = 0
    ours: int = 0
    twice: int = 0
    beside: int = 0

    def notes(self) -> Iterator[str]:
        """Yields the warnings for the user."""
        if self.bad:
            place, reason = self.bad[0]
            others = f", and {len(self.bad) - 1} more" if len(self.bad) > 1 else ""
            yield f"a line of {place.file} was passed over: {reason.reason}{others}"
        if self.parked:
            yield f"{self.parked} event(s) with a clock far ahead were left out, to be tried again"
        if self.ours:
            yield f"{self.ours} event(s) of our own that our journal had lost are back"
        if self.twice:
            yield (
                f"{self.twice} event(s) have a number that another event of their node has;"
                " both are kept: thence verify tells them"
            )
        if self.beside:
            yield (
                f"{self.beside} line(s) have the id of an event that is here and differ from it;"
                " both are kept: thence verify tells them"
            )


class _UnseenLines(NamedTuple):
    """Lines that were not read before, with their positions, the paths of blobs, and tips.

    `tracking` are the branches among the tips that have day files.
    """

    tips: dict[str, str]
    blobs: dict[str, str]
    lines: dict[bytes, SharedFilePosition]
    tracking: set[str]


def take_in(
    project: Project,
    store: EventStore,
    refs: Callable[[], Refs],
    targets: Set[str],
    *,
    has_all: bool = False,
) -> Iterator[TakenLines]:
    """Takes lines that others wrote and shared into the journal. Raises what an append raises.

    The `store` opens the journal, if there are new lines; `refs` reads git's refs.
    `targets` are the branches that features go to, whose day files are read; with `has_all` those
    of every local branch are. Yields the result for other tools' lines in the view, then for git's.
    While no ref has moved only `refs` is called.
    """
    written = ViewChanges(project)
    if written.lines or parked_lines(skipped_lines(project.home)):
        yield _relay(project, store, written.lines, ())
    written.save()
    _redact(project, store, written.lines)
    seen = load_seen(project)
    now = refs()
    names = {*now.branches} if has_all else {*targets, now.default or ""}
    moved = _moved_tips(project, now, seen, names, targets)
    if not moved:
        return
    with objects(project.repo) as git_objects:
        unseen = _unseen_lines(project, git_objects, seen, moved)
        if unseen.lines:
            yield _relay(project, store, unseen.lines, {*unseen.blobs.values()})
        save_seen(project, _with(seen, unseen))


def _redact(project: Project, store: EventStore, written: Iterable[bytes]) -> None:
    """Overwrites what the files of this clone still hold, or again hold, of redacted lines."""
    redactions = RedactedLines(redactions_of(project.home))
    came_back = any(redactions.instead_of(line) != line for line in written)
    if came_back or not is_redacted(project):
        with suppress(OSError, ThenceError):  # the next command tries again
            redact_files(project, redactions_in(project.home, store.arrived()))


def record_commit(project: Project, name: str, parent: str | None, oid: str) -> None:
    """Records the new tip of a branch or ref that got only this clone's own commit."""
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
            return msgspec.json.decode(store.blob(entry.oid), type=BoardFile).project_uuid.lower()
    return None


def _moved_tips(
    project: Project, refs: Refs, seen: SeenTips, names: Set[str], targets: Set[str]
) -> dict[str, str]:
    """Returns the branches of these names that have moved, and the board's, with their commits."""
    options = read_options(project)
    tips = {name: refs.branches[name] for name in sorted(names & refs.branches.keys())}
    remote = board_here(project.repo, refs, options, targets)
    if remote is not None:
        ref = board_ref(remote, options.board_branch)
        tips[ref] = refs.commits[ref]
    return {name: oid for name, oid in tips.items() if seen.tips.get(name) != oid}


def _unseen_lines(
    project: Project, store: Objects, seen: SeenTips, moved: Mapping[str, str]
) -> _UnseenLines:
    unseen = _UnseenLines({}, {}, {}, set())
    for name, oid in moved.items():
        commit = store.commit(oid)
        if commit is None:
            continue
        unseen.tips[name] = oid
        if not is_branch(name):
            check_project(project, project_of(store, commit[1]), name)
        files = tracked_files(store, commit[1])
        former_blobs = _blobs_at(store, seen.tips.get(name))
        if files and is_branch(name):
            unseen.tracking.add(name)
        for path, blob in files.items():
            if blob not in former_blobs and blob not in unseen.blobs:
                unseen.blobs[blob] = path
                for line, place in lines_with_positions(store.blob(blob), path):
                    unseen.lines.setdefault(line, place)
    return unseen


def _blobs_at(store: Objects, tip: str | None) -> set[str]:
    """Returns the blobs of the day files at a tip; those of one that is gone are read again."""
    with suppress(GitFailed):
        commit = store.commit(tip) if tip else None
        return {*tracked_files(store, commit[1]).values()} if commit else set()
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
    former = skipped_lines(project.home)
    former_parked = parked_lines(former)
    redactions = RedactedLines(redactions_of(project.home))
    lines = {
        redactions.instead_of(line): place for line, place in {**former_parked, **fresh}.items()
    }
    result = store.relay(lines)
    record_skipped(project.home, former, result, lines, files)
    if result.renewed:  # the open journal writes under the former node
        store.close()
    return _summary(result, lines, former_parked)


def _summary(
    result: Relayed, lines: Mapping[bytes, SharedFilePosition], former_parked: Container[bytes]
) -> TakenLines:
    bad = tuple((lines[line], reason) for line, reason in result.bad)
    parked = sum(event.line not in former_parked for event in result.parked)
    counts = map(len, (result.ours, result.twice, result.beside))
    return TakenLines(len(result.taken), bad, parked, *counts)


def _with(seen: SeenTips, unseen: _UnseenLines) -> SeenTips:
    tracking = (seen.tracking - unseen.tips.keys()) | unseen.tracking
    return SeenTips({**seen.tips, **unseen.tips}, tracking)
