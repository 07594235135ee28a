"""The day files by which clones share their journals, read from git's objects, and their remote.

The source is the fetched board's branch, each blob once. Its remote is found by the options, the
refs and git's settings. Lines are verified, and witnessed by the
journal. Commands that replace the record of what was read at once may lose what one of them has
added: then day files are read again, and bring nothing twice.
"""

import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Set
from contextlib import suppress
from typing import NamedTuple

import msgspec

from thence.core.codec import BadLine
from thence.core.ready import ready
from thence.core.sentences.events import counted
from thence.errors import GitFailed, PlanningError, ThenceError
from thence.files import replace_file
from thence.git.git import Git, failure
from thence.git.objects import Objects, is_file, is_folder, objects
from thence.git.pushing import remote_of
from thence.git.refs import REMOTES, Refs
from thence.git.repository import HEADS, Repository
from thence.log.recovery.writers import redactions_of
from thence.work.day_lines import FOLDER, RedactedLines, is_day_file, lines_in
from thence.work.journal.redacted_views import is_redacted, redact_files
from thence.work.journal.shared_view import ViewChanges
from thence.work.journal.store import EventStore
from thence.work.project.configuration import BoardOptions, read_board
from thence.work.project.project import Project
from thence.work.project.project_id import BOARD_FILE, BoardFile

_SEEN = "seen.json"


class BoardRemote(NamedTuple):
    """The remote that has the board's branch, and how this repository is set up for it.

    `is_fetched` is whether an ordinary fetch brings the branch. `targets` are the refspecs of the
    branches that features go to: a board may not be newer than its code.
    """

    remote: str
    branch: str
    is_fetched: bool
    targets: tuple[str, ...] = ()

    @property
    def ref(self) -> str:
        """The remote-tracking ref of the branch."""
        return board_ref(self.remote, self.branch)

    @property
    def refspec(self) -> str:
        """The refspec that fetches the branch."""
        return f"+{HEADS}{self.branch}:{self.ref}"


def board_ref(remote: str, branch: str) -> str:
    """Returns the ref of a remote's board branch in this repository."""
    return f"{REMOTES}{remote}/{branch}"


def board_here(
    repo: Repository, refs: Refs, options: BoardOptions, targets: Iterable[str]
) -> str | None:
    """Returns the remote whose board branch is read, if the branch has been fetched.

    Boards of other remotes are not read: one may have been fetched for a review.
    """
    end = f"/{options.branch}"
    tracking = (ref for ref in refs.commits if ref.startswith(REMOTES) and ref.endswith(end))
    boards = {ref.removeprefix(REMOTES).removesuffix(end) for ref in tracking}
    if not boards:
        return None
    remote = options.remote or remote_of(repo, refs, (refs.default or "", *sorted(targets)))
    return remote if remote in boards else None


def link_of(
    repo: Repository, refs: Refs, options: BoardOptions, targets: Iterable[str]
) -> BoardRemote:
    """Returns the link to the board's remote. Raises GitFailed if no remote is named or exists."""
    targets, git = {*targets, *filter(None, (refs.default,))}, Git(repo.folder, is_users=True)
    names = os.fsdecode(git.run("remote")).split()
    remote = options.remote or remote_of(repo, refs, (refs.default or "", *sorted(targets)))
    if remote is None or remote not in names:
        cause = "the repository has no remote"
        if remote is not None:
            cause = f"there is no remote {remote!r}"
        elif names:
            cause = f"none of the remotes {', '.join(sorted(names))} is named as the board's"
        hint = "git remote add NAME URL"
        if names:
            hint = "git remote -v; name one of them in .kittify/config.yaml (board: {remote: NAME})"
        raise failure(
            "could not share the board of",
            repo.folder,
            cause,
            f"{hint}; or name a server: thence sync enable; the events wait in the journal",
        )
    prefix = f"{REMOTES}{remote}/"
    tracking = {refs.upstreams.get(HEADS + target, prefix + target) for target in targets}
    specs = tuple(
        f"+{HEADS}{ref.removeprefix(prefix)}:{ref}"
        for ref in sorted(tracking & refs.commits.keys())
        if ref.startswith(prefix)
    )
    link = BoardRemote(remote, options.branch, is_fetched=False, targets=specs)
    sufficient = {link.refspec, f"+{HEADS}*:{REMOTES}{remote}/*"}
    fetched = os.fsdecode(git.ask("config", "--get-all", f"remote.{remote}.fetch").out).splitlines()
    return link._replace(is_fetched=not sufficient.isdisjoint(fetched))


class SeenTips(msgspec.Struct):
    """The tips whose day files were read, by the full names of their refs.

    `shared` is how many events of the journal the board's branch is known to have.
    """

    tips: dict[str, str] = {}
    shared: int = 0


def load_seen(project: Project) -> SeenTips:
    """Returns the record; an empty one where it can't be read."""
    try:
        return msgspec.json.decode((project.home / _SEEN).read_bytes(), type=ready(SeenTips))
    except (OSError, msgspec.MsgspecError, UnicodeDecodeError):
        return SeenTips()


def save_seen(project: Project, seen: SeenTips) -> None:
    """Stores the record. Raises OSError, ThenceError."""
    project.home.mkdir(parents=True, exist_ok=True)  # nothing was recorded in it yet
    replace_file(project.home / _SEEN, msgspec.json.encode(seen))


def day_files_in(store: Objects, tree: str) -> dict[str, str]:
    """Returns the ids of the day files in a commit's tree by their paths."""
    folder = store.find(tree, FOLDER)
    names = store.tree(folder.oid) if folder and is_folder(folder) else {}
    return {f"{FOLDER}/{name.decode()}": at.oid for name, at in names.items() if is_day_file(name)}


class TakenLines(NamedTuple):
    """The result of taking in lines: new events, and lines that were passed over.

    `bad` are lines that are no events, with their files; `parked` counts events with a clock too
    far in the future, whose files are read again at each look; `ours` own events that the journal
    had lost, `beside` lines with the id of another event.
    """

    events: int = 0
    bad: tuple[tuple[str, BadLine], ...] = ()
    parked: int = 0
    ours: int = 0
    beside: int = 0

    def notes(self) -> Iterator[str]:
        """Yields the warnings for the user."""
        if self.bad:
            file, reason = self.bad[0]
            others = f", and {len(self.bad) - 1} more" if len(self.bad) > 1 else ""
            yield f"a line of {file} was skipped: {reason.reason}{others}"
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


def import_shared(
    project: Project,
    store: EventStore,
    refs: Callable[[], Refs],
    targets: Set[str],
) -> Iterator[TakenLines]:
    """Imports lines that others wrote and shared into the journal. Raises what an append raises.

    The `store` opens the journal, if there are new lines; `refs` reads git's refs.
    `targets` are the branches that features go to, whose remote has the board. Yields the result
    for other tools' lines in the view, then for git's. While the board has not moved only `refs` is
    called.
    """
    written = ViewChanges(project)
    taken = _relay(project, store, written.lines)
    yield taken
    if not taken.parked:
        written.save()
    redactions = RedactedLines(redactions_of(project.home))
    came_back = any(redactions.redacted_form(line) != line for line in written.lines)
    if came_back or not is_redacted(project):  # files of this clone hold redacted lines
        with suppress(OSError, ThenceError):  # the next command tries again
            redact_files(project, store.log)
            store.close()  # a line of ours that was relayed may have renewed the node
    seen = load_seen(project)
    tip = board_tip(project, refs(), targets)
    if tip is None or seen.tips.get(tip[0]) == tip[1]:
        return
    ref, oid = tip
    with objects(project.repo) as git_objects:
        commit, seen_oid = git_objects.commit(oid), seen.tips.get(ref)
        if commit is None:
            return
        check_project(project, project_of(git_objects, commit[1]), ref)
        lines, seen_blobs = dict[bytes, str](), set[str]()
        with suppress(GitFailed):  # the day files of a tip that is gone are read again
            before = git_objects.commit(seen_oid) if seen_oid else None
            seen_blobs.update(day_files_in(git_objects, before[1]).values() if before else ())
        for path, blob in day_files_in(git_objects, commit[1]).items():
            if blob not in seen_blobs:
                seen_blobs.add(blob)
                lines |= dict.fromkeys(lines_in(git_objects.blob(blob)), path)
        taken = _relay(project, store, lines)
        yield taken
        if not taken.parked:
            save_seen(project, SeenTips({**seen.tips, ref: oid}, seen.shared + taken.events))


def project_of(store: Objects, tree: str) -> str | None:
    """Returns the id of the project whose board a tree holds; None if there is none."""
    entry = store.find(tree, BOARD_FILE)
    with suppress(msgspec.MsgspecError, UnicodeDecodeError):
        if entry is not None and is_file(entry):
            return msgspec.json.decode(
                store.blob(entry.oid), type=ready(BoardFile)
            ).project_uuid.lower()
    return None


def board_tip(project: Project, refs: Refs, targets: Set[str]) -> tuple[str, str] | None:
    """Returns the ref and the tip of the fetched board's branch, None if it was not fetched."""
    options = read_board(project)
    remote = board_here(project.repo, refs, options, targets)
    if remote is None:
        return None
    ref = board_ref(remote, options.branch)
    return ref, refs.commits[ref]


def check_project(project: Project, named: str | None, place: str) -> None:
    """Raises PlanningError if a board is another project's."""
    if named is not None and named not in {project.uuid, *project.aliases}:
        raise PlanningError(
            "could not share the board on",
            place=place,
            cause=f"it is the board of another project, {named!r:.50}; this one is {project.uuid}",
            hint="name another in .kittify/config.yaml (board: {branch: NAME})",
        )


def _relay(project: Project, store: EventStore, fresh: Mapping[bytes, str]) -> TakenLines:
    """Relays lines to the journal, given with their files."""
    if not fresh:
        return TakenLines()
    redactions = RedactedLines(redactions_of(project.home))
    lines = {redactions.redacted_form(line): file for line, file in fresh.items()}
    result = store.relay(lines)
    if result.renewed:  # the open journal writes under the node of before
        store.close()
    bad = tuple((lines[line], reason) for line, reason in result.bad)
    return TakenLines(
        len(result.taken), bad, *map(len, (result.parked, result.ours, result.beside))
    )
