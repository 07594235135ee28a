"""Sharing by the board's branch on a remote: fetched, merged with the journal, pushed.

No branch and no working tree of this repository changes. The board's branch has no history in
common with the code: it holds day files, which only ever grow, and `project.json` with the
project's id. Lines are merged as bytes, so that unreadable lines stay as well. A line that was
redacted is replaced by its redacted form at the tip; older commits keep the line.
"""

import os
import random
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import NamedTuple

from thence.core.event import Event
from thence.errors import GitFailed, ThenceError
from thence.git.commits import commit_tree
from thence.git.git import failure
from thence.git.merging import signs_commits
from thence.git.objects import objects, write_tree
from thence.git.pushing import ask_remote, send
from thence.git.repository import HEADS, Repository
from thence.work.day_lines import by_file, lacking, made_anew, with_more
from thence.work.journal.day_files import (
    BoardRemote,
    check_project,
    day_files_in,
    load_seen,
    project_of,
    save_seen,
)
from thence.work.journal.store import redactions_in
from thence.work.project.project import Project
from thence.work.project.project_id import BOARD_FILE

ATTEMPTS_MAX = 30
_FAILURES_MAX = 3  # a gc of the user's that prunes runs once; an object that stays away is damage
_PAUSE_TRIES_MAX = 8  # longest pause, as a multiple of the duration of the last try
_NO_BRANCH = "couldn't find remote ref"
# words of git's when another git moves the fetched ref, such as one whose command was killed
_LOCKED = ("cannot lock ref", "could not lock config file")
# words of git's when a gc of the user's has removed what no branch names yet, or its folder
_PRUNED = ("object", "unpack", "unable to read", "building trees", "to database")
_UNSIGNED = "sign the data"  # told with the commit object, and of no gc
_HINTS = {
    "pre-push": "see what the hook wants (.git/hooks/pre-push)",
    "ould not read": "see whether it can be reached and lets you in: git ls-remote",
    "unable to access": "see whether it can be reached: git ls-remote",
    "ermission": "ask for rights there, or name another: board: {remote: NAME} in config.yaml",
    "denied": "ask for rights there, or name another: board: {remote: NAME} in config.yaml",
    "declined": "have the remote's rules let the branch through, or name another: board: {…}",
}


class ExchangeResult(NamedTuple):
    """The result of an exchange: the pushed commit, None where the remote had all events.

    `pushed` counts the pushed lines, `redacted` those that lost their body at the tip; all
    `events` of the journal are on the branch.
    """

    commit: str | None
    events: int
    pushed: int = 0
    redacted: int = 0


class _BoardCommit(NamedTuple):
    oid: str
    parent: str | None
    pushed: int
    redacted: int


def exchange(
    project: Project, repo: Repository, link: BoardRemote, read: Callable[[], Sequence[Event]]
) -> ExchangeResult:
    """Fetches the board's branch and the targets, and pushes the events that the branch lacks.

    `read` takes in the fetched events, and returns all events. The caller holds the lock of
    exchanges. Raises GitFailed if the remote refuses, cannot be reached, or moves ATTEMPTS_MAX
    times; PlanningError if the branch holds the board of another project. The remote is unchanged
    then.
    """
    failures = 0
    for attempt in range(1, ATTEMPTS_MAX + 1):
        start_s = time.monotonic()
        try:
            is_there = _fetch(repo, link)
            events = read()
            commit = _commit(project, repo, link, events, is_there=is_there)
            if commit is None:
                return ExchangeResult(None, len(events))
            words = _push(repo, link, commit.oid)
        except GitFailed as error:
            failures += 1
            words = error.cause
            is_pruned = any(sign in words for sign in _PRUNED) and _UNSIGNED not in words
            is_retryable = is_pruned or any(sign in words for sign in _LOCKED)
            if failures > _FAILURES_MAX or not is_retryable:
                raise
        else:
            if words is None:
                # the branch's new tip, as a fetch would, with no new lines for this clone
                if not link.is_fetched:  # else the push has done it
                    repo.git.run("update-ref", link.ref, commit.oid)
                    _configure_fetch(repo, link)
                seen = load_seen(project)
                if seen.tips.get(link.ref) == commit.parent:
                    seen.tips[link.ref] = commit.oid
                    with suppress(ThenceError):
                        save_seen(project, seen)
                return ExchangeResult(commit.oid, len(events), commit.pushed, commit.redacted)
        # random pauses grow with the tries and their duration, so that others get through
        longest_s = (time.monotonic() - start_s) * min(2**attempt, _PAUSE_TRIES_MAX)
        time.sleep(random.uniform(0, longest_s))
    raise failure(
        f"could not share the board on {link.remote} from",
        repo.folder,
        f"its {link.branch} was moved {ATTEMPTS_MAX} times in the meantime: {words}",
        "thence sync now again; the events wait in the journal",
        is_retryable=True,
    )


def tip_on(repo: Repository, link: BoardRemote) -> str | None:
    """Asks the remote for the branch's tip; None if it lacks the branch. Raises GitFailed."""
    ref = f"{HEADS}{link.branch}"
    answer = ask_remote(repo, "ls-remote", link.remote, ref)
    if answer.status:
        raise _refused(repo, link, "ls-remote", answer.stderr)
    lines = (line.split() for line in os.fsdecode(answer.out).splitlines())
    return next((oid for oid, name in lines if name == ref), None)


def _fetch(repo: Repository, link: BoardRemote) -> bool:
    """Fetches the branch's tip from the remote; reports whether the remote has the branch.

    The targets are fetched too, if the remote still has them all.
    """
    command = ("fetch", "--quiet", "--no-tags", "--no-write-fetch-head", "--no-auto-maintenance")
    source = ("--no-recurse-submodules", link.remote, link.refspec)
    answer = ask_remote(repo, *command, *source, *link.targets)
    if answer.status and _NO_BRANCH in answer.stderr and link.targets:
        answer = ask_remote(repo, *command, *source)
    if answer.status == 0:
        _configure_fetch(repo, link)
    elif _NO_BRANCH not in answer.stderr:
        raise _refused(repo, link, "fetch", answer.stderr)
    return answer.status == 0


def _configure_fetch(repo: Repository, link: BoardRemote) -> None:
    """Adds the branch to ordinary fetches, which fail on a remote that lacks it."""
    if not link.is_fetched:
        repo.git.run("config", "--add", f"remote.{link.remote}.fetch", link.refspec)


def _commit(
    project: Project,
    repo: Repository,
    link: BoardRemote,
    events: Sequence[Event],
    *,
    is_there: bool,
) -> _BoardCommit | None:
    """Makes a commit with the lines that the branch lacks; returns None if it lacks none."""
    with objects(repo) as store:
        parent, tree = store.commit(link.ref) or (None, None)
        named = project_of(store, tree) if tree else None
        check_project(project, named, f"{link.remote}/{link.branch}")
        redactions = redactions_in(project.home, events)
        changes: dict[str, bytes] = {}
        pushed = redacted = 0
        by_path = by_file(redactions.of_events(events))
        held = day_files_in(store, tree) if tree else {}
        for path in dict.fromkeys((*by_path, *(held if redactions.digests else ()))):
            data = store.blob(held[path]) if path in held else b""
            kept, count = made_anew(data, redactions)
            lines = lacking(kept, by_path.get(path, ()), lambda: map(store.blob, held.values()))
            if lines or count:
                changes[path] = with_more(kept, lines)
                pushed += len(lines)
                redacted += count
        if not changes and (is_there or not parent):
            return None
        if named is None:
            changes[BOARD_FILE] = b'{"project_uuid": "%b"}\n' % project.uuid.encode()
    new_tree = write_tree(repo, tree, changes)
    subject = f"Share {pushed} event{'' if pushed == 1 else 's'}"
    if redacted and not pushed:
        subject = "Redact lines"
    message = f"{subject}\n\nThence: sync now"
    parents = [parent] if parent else []
    oid = commit_tree(repo, new_tree, parents, message, is_signed=signs_commits(repo))
    return _BoardCommit(oid, parent, pushed, redacted)


def _push(repo: Repository, link: BoardRemote, oid: str) -> str | None:
    """Pushes a commit; returns the remote's message if somebody else moved the branch first."""
    target = f"{oid}:{HEADS}{link.branch}"
    failed = send(repo, link.remote, target, "--recurse-submodules=no")
    if failed is not None and not failed.is_behind:
        raise _refused(repo, link, "push", failed.words)
    return failed.words if failed else None


def _refused(repo: Repository, link: BoardRemote, what: str, words: str) -> GitFailed:
    hint = next((hint for sign, hint in _HINTS.items() if sign in words), f"git {what} says why")
    if what == "push" and "!" not in words:
        hint = _HINTS["pre-push"]
    return failure(
        f"could not share the board ({what} {link.remote} {link.branch}) of",
        repo.folder,
        words or f"git {what} failed",
        f"{hint}; then thence sync now: the events wait in the journal",
    )
