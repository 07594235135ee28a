"""`thence work share`: changes the way in which a project shares its events, without losing any."""

import os
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from thence.errors import PlanningError, Refused
from thence.work.day_lines import ATTRIBUTES, FOLDER, Splice, is_day_file, with_more, without_bodies
from thence.work.journal import day_files
from thence.work.journal.shared_view import ignore, show_events
from thence.work.journal.store import redactions_in
from thence.work.project.options import BRANCH, TREE, options_of, read_options
from thence.work.project.project_id import CONFIG, with_id
from thence.work.result import CommandResult
from thence.work.session.command_commit import commit
from thence.work.session.session import Session
from thence.work.vcs.objects import is_folder, objects
from thence.work.vcs.repository import HEADS

_SHARE = re.compile(rb"^share[ \t]*:.*$", re.MULTILINE)
_SHOWN_MAX = 5
_SENTENCES = {
    BRANCH: "events are shared by the board's branch",
    TREE: "events are shared by day files on your branches",
}
_WAYS = {BRANCH: "a branch of the board", TREE: "day files on this branch"}
_NEXT = "next: thence work publish"


def share(session: Session, mode: str, *, is_anyway: bool) -> CommandResult:
    """Changes over to the board's branch, or to tracked day files, in one commit.

    Raises Refused while unmerged branches hold changes of day files, unless `is_anyway`.
    """
    session.look()
    if read_options(session.project).share == mode:
        return session.result(_data(mode, None), [f"{_SENTENCES[mode]}, as before"])
    branch = session.branch_here()
    removed: list[str] = []
    if mode == BRANCH:
        removed = _tracked(session, branch, is_anyway=is_anyway)
    else:
        show_events(session.project, session.store.replica)  # the day files are tracked from now on
        ignore(session.project, is_ignored=False)
    session.shares_in_tree = mode == TREE
    before = _content(session, CONFIG)
    with _left_in_place(session, [path for path in removed if path.endswith(".jsonl")]):
        uuid, way = session.project.uuid, _WAYS[mode]
        changes: dict[str, Splice] = {CONFIG: lambda data: with_share(with_id(data, uuid), mode)}
        made = commit(session, changes, f"Share events by {way}", "share", removed=removed)
        if made is None and before is not None:  # nothing was committed: the change is taken back
            session.project.files.replace(CONFIG, before)
    if made is None:
        return session.result(_data(mode, None), ["nothing was changed"])
    if mode == BRANCH:
        show_events(session.project, session.store.replica)
    lines = [f"committed on {branch}: {_SENTENCES[mode]}", _NEXT]
    return session.result(_data(mode, made.oid), lines)


def with_share(data: bytes, mode: str) -> bytes:
    """Returns a configuration with the mode in it; raises PlanningError if it can't be put in."""
    line = b"share: %b" % mode.encode()
    changed = _SHARE.sub(line, data, count=1)
    if not _SHARE.search(data):
        changed = with_more(data, [line])
    if options_of(changed, CONFIG).share != mode:
        raise PlanningError(
            "could not write",
            place=CONFIG,
            cause="it is no map of one name a line",
            hint=f"write `share: {mode}` into it by hand, and commit that",
        )
    return changed


def _data(mode: str, oid: str | None) -> dict[str, str | None]:
    return {"share": mode, "commit": oid}


def _tracked(session: Session, branch: str, *, is_anyway: bool) -> list[str]:
    """Returns the files to untrack; raises Refused as `share` does."""
    if day_files.watch_branches(session.project, {branch}):
        session.reread()  # with the events that only this branch has
    if not is_anyway:
        _check_merged(session, branch)
    with objects(session.repo) as store:
        found = store.commit(HEADS + branch)
        folder = store.find(found[1], FOLDER) if found else None
        names = store.tree(folder.oid) if folder and is_folder(folder) else {}
    tracked = [f"{FOLDER}/{os.fsdecode(name)}" for name in names if is_day_file(name)]
    if ATTRIBUTES.rpartition("/")[2].encode() in names:
        tracked.append(ATTRIBUTES)
    return tracked


def _content(session: Session, path: str) -> bytes | None:
    files = session.project.files
    return files.read(path) if files.look(path) is not None else None


@contextmanager
def _left_in_place(session: Session, paths: Sequence[str]) -> Iterator[None]:
    """Keeps day files in the working tree while git untracks them, with unreadable lines too."""
    redactions = redactions_in(session.project.home, session.events)
    before = {path: _content(session, path) for path in paths}
    try:
        yield
    finally:
        for path, data in before.items():
            if data and session.project.files.look(path) is None:
                session.project.files.append(path, without_bodies(data, redactions))


def _check_merged(session: Session, branch: str) -> None:
    found = list(_unmerged(session, branch))
    if found:
        more = f" and {len(found) - _SHOWN_MAX} more" if len(found) > _SHOWN_MAX else ""
        raise Refused(
            "could not change over to the board's branch",
            guard="unmerged_day_files",
            place=branch,
            cause=f"{', '.join(found[:_SHOWN_MAX])}{more} changed day files and are not merged",
            hint="merge them first, or change over --anyway: `thence work merge` settles it then,"
            " and `git merge` will ask about day files",
        )


def _unmerged(session: Session, branch: str) -> Iterator[str]:
    """Yields the branches, here and on remotes, with changes of day files that this one lacks."""
    git = session.repo.git
    form = "--format=%(refname)"
    out = git.run("for-each-ref", form, f"--no-merged={HEADS}{branch}", HEADS, "refs/remotes/")
    for ref in os.fsdecode(out).splitlines():
        answer = git.ask("diff", "--quiet", f"{HEADS}{branch}...{ref}", "--", FOLDER)
        if answer.status == 1:
            yield ref.removeprefix(HEADS).removeprefix("refs/remotes/")
