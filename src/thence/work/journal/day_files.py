"""The day files by which clones share their journals, read from git's objects.

Tracked files in a working tree are never read, because git replaces them under their readers. The
sources are the fetched board's branch, and the tips of the default branch and of the features'
target branches, each blob once: lines of another branch enter only after it is merged into one of
these. Lines are verified, and witnessed by the journal.
"""

from collections.abc import Callable, Collection, Container, Iterable, Iterator, Mapping
from contextlib import suppress
from typing import NamedTuple

import msgspec

from thence.core.values.codec import BadLine
from thence.errors import PlanningError, ThenceError
from thence.inspection.log_folder import redactions_of
from thence.log.storage.findings import Relayed
from thence.work.day_lines import FOLDER, is_day_file, lines_with_positions
from thence.work.journal import sharing
from thence.work.journal.redacted_views import is_redacted, redact_files
from thence.work.journal.shared_view import ViewChanges
from thence.work.journal.sharing import SeenBlobs, board_here, board_ref
from thence.work.journal.store import EventStore, redactions_in
from thence.work.project.options import read_options
from thence.work.project.project import Project
from thence.work.project.project_id import BOARD_FILE, BoardFile
from thence.work.redacted_lines import RedactedLines
from thence.work.skipped_lines import SharedFilePosition, keep, parked, passed_over
from thence.work.vcs.locks import held
from thence.work.vcs.objects import Objects, is_file, is_folder, objects
from thence.work.vcs.refs import Refs
from thence.work.vcs.repository import Repository

BLOBS_MAX = 50_000
# branches, with their old tip, if that is known, and their new tip
Moves = Mapping[str, tuple[str | None, str]]


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
            more = f", and {len(self.bad) - 1} more" if len(self.bad) > 1 else ""
            yield f"a line of {place.file} was passed over: {reason.reason}{more}"
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
    """Lines that were not read before, with their positions, blobs and tips."""

    tips: dict[str, str]
    blobs: dict[str, str]
    lines: dict[bytes, SharedFilePosition]


def watch_branches(project: Project, branches: set[str]) -> bool:
    """Makes later looks read the day files of features' target branches.

    Reports whether any branch is new, and could be recorded.
    """
    if branches <= sharing.load_seen(project).branches:
        return False
    with suppress(OSError), held(project.home / sharing.SEEN_LOCK):
        seen = sharing.load_seen(project)
        seen.branches |= branches
        sharing.save_seen(project, seen)
        return True
    return False


def take_in(
    project: Project,
    store: EventStore,
    refs: Callable[[], Refs],
    on_moved: Callable[[Moves], None] = lambda moves: None,
) -> Iterator[TakenLines]:
    """Takes lines that others wrote and shared into the journal. Raises what an append raises.

    The `store` opens the journal, if there are new lines; `refs` reads git's refs. `on_moved` gets
    the branches that moved; their new tips are recorded only after it returns. Yields the result
    for other tools' lines in the view, then for git's. While no ref has moved only `refs` is
    called.
    """
    if project.repo is None:
        return
    written = ViewChanges(project)
    if written.lines or parked(passed_over(project.home)):
        yield _relay(project, store, written.lines, ())
    written.save()
    _redact(project, store, written.lines)
    moved = _tips(project, project.repo, refs(), sharing.load_seen(project))
    if not moved:
        return
    with objects(project.repo) as found, held(project.home / sharing.SEEN_LOCK):
        seen = sharing.load_seen(project)
        unseen = _unseen_lines(project, found, seen, moved)
        if unseen.lines:
            files = {f"{FOLDER}/{name}" for name in unseen.blobs.values()}
            yield _relay(project, store, unseen.lines, files)
        on_moved({name: (seen.tips.get(name), at) for name, at in moved.items() if is_branch(name)})
        sharing.save_seen(project, _with(seen, unseen))


def _redact(project: Project, store: EventStore, written: Iterable[bytes]) -> None:
    """Overwrites what the files of this clone still hold, or again hold, of lines taken back."""
    redactions = RedactedLines(redactions_of(project.home))
    came_back = any(redactions.instead_of(line) != line for line in written)
    if came_back or not is_redacted(project):
        with suppress(OSError, ThenceError):  # the next command tries again
            redact_files(project, redactions_in(project.home, store.arrived()))


def take_commits(project: Project, store: EventStore, commits: Iterable[str]) -> TakenLines:
    """Takes in the day files of commits that are about to be merged. Raises what an append raises.

    The commits are given by any name that git knows.
    """
    if project.repo is None:
        return TakenLines()
    with objects(project.repo) as found, held(project.home / sharing.SEEN_LOCK):
        seen = sharing.load_seen(project)
        moved = {f"{number}": name for number, name in enumerate(commits)}
        unseen = _unseen_lines(project, found, seen, moved)
        if not unseen.lines:
            return TakenLines()
        files = {f"{FOLDER}/{name}" for name in unseen.blobs.values()}
        result = _relay(project, store, unseen.lines, files)
        sharing.save_seen(project, _with(seen, unseen._replace(tips={})))
        return result


def record_commit(
    project: Project, name: str, parent: str | None, oid: str, blobs: Iterable[str] = ()
) -> None:
    """Records the new tip of a branch or ref that got only this clone's own commit."""
    with suppress(OSError), held(project.home / sharing.SEEN_LOCK):
        seen = sharing.load_seen(project)
        if seen.tips.get(name) == parent:
            seen.tips[name] = oid
            seen.blobs |= set(blobs)
            sharing.save_seen(project, seen)


def is_branch(name: str) -> bool:
    """Reports whether a name is that of a local branch, not of another ref."""
    return not name.startswith(sharing.OTHER_REFS)


def project_of(store: Objects, tree: str) -> str | None:
    """Returns the id of the project whose board a tree holds; None if there is none."""
    entry = store.find(tree, BOARD_FILE)
    with suppress(msgspec.MsgspecError, UnicodeDecodeError):
        if entry is not None and is_file(entry):
            return msgspec.json.decode(store.blob(entry.oid), type=BoardFile).project_uuid.lower()
    return None


def _tips(project: Project, repo: Repository, refs: Refs, seen: SeenBlobs) -> dict[str, str]:
    """Returns the watched refs that have moved, with their commits."""
    options = read_options(project)
    names = seen.branches | {refs.default or ""}
    found = {name: refs.branches[name] for name in sorted(names & refs.branches.keys())}
    remote = board_here(repo, refs, options, seen.branches)
    if remote is not None:
        ref = board_ref(remote, options.board_branch)
        found[ref] = refs.commits[ref]
    return {name: oid for name, oid in found.items() if seen.tips.get(name) != oid}


def _unseen_lines(
    project: Project, store: Objects, seen: SeenBlobs, moved: Mapping[str, str]
) -> _UnseenLines:
    unseen = _UnseenLines({}, {}, {})
    for name, oid in moved.items():
        found = store.commit(oid)
        if found is None:
            continue
        unseen.tips[name] = oid
        if not is_branch(name):
            check_project(project, project_of(store, found[1]), name)
        folder = store.find(found[1], FOLDER)
        there = store.tree(folder.oid) if folder and is_folder(folder) else {}
        for file, entry in there.items():
            if not is_day_file(file) or entry.oid in seen.blobs or entry.oid in unseen.blobs:
                continue
            unseen.blobs[entry.oid] = file.decode()
            for line, place in lines_with_positions(
                store.blob(entry.oid), f"{FOLDER}/{file.decode()}"
            ):
                unseen.lines.setdefault(line, place)
    return unseen


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
    left = passed_over(project.home)
    parked_lines = parked(left)
    redactions = RedactedLines(redactions_of(project.home))
    lines = {
        redactions.instead_of(line): place for line, place in {**parked_lines, **fresh}.items()
    }
    made = store.relay(lines)
    keep(project.home, left, made, lines, files)
    if made.renewed:  # the open journal writes under the former node
        store.close()
    return _summary(made, lines, parked_lines)


def _summary(
    result: Relayed, lines: Mapping[bytes, SharedFilePosition], parked_lines: Container[bytes]
) -> TakenLines:
    bad = tuple((lines[line], reason) for line, reason in result.bad)
    parked = sum(event.line not in parked_lines for event in result.parked)
    counts = map(len, (result.ours, result.twice, result.beside))
    return TakenLines(len(result.taken), bad, parked, *counts)


def _with(seen: SeenBlobs, unseen: _UnseenLines) -> SeenBlobs:
    blobs = seen.blobs | set(unseen.blobs)
    if len(blobs) > BLOBS_MAX:  # reading a blob again costs time, nothing else
        blobs = set(unseen.blobs)
    return SeenBlobs({**seen.tips, **unseen.tips}, blobs, seen.branches)
