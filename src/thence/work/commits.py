"""Commits built by plumbing: on a branch, past the working tree, beside the user's own work."""

import os
from collections.abc import Mapping, Sequence
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import NamedTuple

from thence.errors import GitFailed
from thence.work import halfway
from thence.work.cut_off import put_all_back
from thence.work.git import Git, failure
from thence.work.landing import Change, Landing, Splice, bring
from thence.work.leftovers import COMMITTING, free
from thence.work.locks import held
from thence.work.objects import FILE, Entry, Objects, is_file, objects
from thence.work.pruning import made_again, restore
from thence.work.refs import MovedMeanwhile
from thence.work.repository import Checkout, Repository, checkouts, checkouts_of, rebase_of

ATTEMPTS_MAX = 20


class Author(NamedTuple):
    """Who a commit is by."""

    name: str
    email: str


class Commit(NamedTuple):
    """A commit that was made: its id, the one before it, and the paths that it changed.

    `trees` are the working trees that have its branch checked out and got the same change.
    """

    oid: str
    parent: str | None
    paths: tuple[str, ...]
    trees: tuple[Path, ...]


def commit_on(
    repo: Repository,
    branch: str,
    changes: Mapping[str, Splice],
    message: str,
    *,
    author: Author | None = None,
) -> Commit | None:
    """Commits changed files on a branch, whether or not it is checked out anywhere.

    `changes` gives for each path, from the top and with "/", a function from what the branch
    holds there (None: nothing) to what it shall hold (None: nothing). It may be called several
    times, also with what the user has staged and half done there, so it gives back its argument
    once it has been applied; what it raises goes out. Without an `author` it is whom git knows.

    Wherever the branch is checked out its index and file get the same change, and the user's
    staged and half-done work stays as it was. Returns None if the branch has it all already.
    Raises GitFailed with nothing written: `recoverable` if the user is in the middle of an
    operation there, or holds the lock of the index.
    """
    with held(repo.common / COMMITTING) as lock:
        free(repo.common / COMMITTING)
        halfway.settle(repo, lock)
        put_all_back(repo, lock)
        for _ in range(ATTEMPTS_MAX):
            try:
                return _attempt(repo, branch, changes, message, author, lock)
            except MovedMeanwhile as error:
                words = error.words
                halfway.settle(repo, lock, goes_on=False)
            except BaseException as error:
                with suppress(GitFailed, OSError):  # the note stays, for the next command
                    free(repo.common / COMMITTING)
                    halfway.settle(repo, lock, goes_on=not isinstance(error, Exception))
                raise
    raise failure(
        f"could not commit to {branch} in",
        repo.place,
        f"it was moved or changed {ATTEMPTS_MAX} times meanwhile: {words}",
        "see which program moves it, then try again",
        is_passing=True,
    )


def _attempt(
    repo: Repository,
    branch: str,
    wanted: Mapping[str, Splice],
    message: str,
    author: Author | None,
    lock: int,
) -> Commit | None:
    with objects(repo) as store:
        with ExitStack() as landings, made_again(store):
            found = store.commit(f"refs/heads/{branch}")
            parent, tree = found or (None, None)
            changes = _changes(store, tree, wanted)
            if not changes:
                return None
            entries = {change.path: change.new for change in changes}
            new_tree = store.put_tree(tree, entries) or store.put_empty_tree()
            store.store()
            oid = commit_tree(repo.git, new_tree, [parent] if parent else [], message, author)
            store.remember(oid)
            trees = _trees(repo, branch, is_new=parent is None)
            landed = [Landing(each, lock) for each in trees]
            for landing in landed:
                landings.callback(landing.end)
                landing.prepare(store, changes)
            what = (repo, branch, parent, oid, f"commit: {_subject(message)}", landed)
            if landed:
                halfway.note(*what)
            bring(*what, lock)
            halfway.forget(repo)
        restore(store, repo.common)
    return Commit(
        oid, parent, tuple(change.path for change in changes), tuple(each.path for each in trees)
    )


def commit_tree(
    git: Git,
    tree: str,
    parents: Sequence[str],
    message: str,
    author: Author | None = None,
    *,
    more: Sequence[str] = (),
) -> str:
    """Writes a commit of a tree, on no branch, and returns its id; git is told `more` options."""
    before = [part for parent in parents for part in ("-p", parent)]
    out = git.run(
        "commit-tree",
        *more,
        tree,
        *before,
        stdin=message.rstrip("\n").encode("utf-8", "surrogateescape") + b"\n",
        more=signature(author),
        doing="could not commit in",
        hint="git config user.name and user.email say who commits",
    )
    return out.decode().strip()


def signature(author: Author | None) -> dict[str, str]:
    """Returns the variables by which git lets somebody commit; none is whom git knows."""
    if author is None:
        return {}
    name, email = ("AUTHOR_NAME", "COMMITTER_NAME"), ("AUTHOR_EMAIL", "COMMITTER_EMAIL")
    told = {**dict.fromkeys(name, author.name), **dict.fromkeys(email, author.email)}
    return {f"GIT_{key}": value for key, value in told.items()}


def _changes(store: Objects, tree: str | None, wanted: Mapping[str, Splice]) -> list[Change]:
    changes = []
    for path, splice in wanted.items():
        old = store.find(tree, path) if tree else None
        if old is not None and not is_file(old):
            # told by put_tree, in its words
            changes.append(Change(path, old, old, splice))
            continue
        data = splice(store.blob(old.oid) if old else None)
        new = None if data is None else Entry(old.mode if old else FILE, store.put_blob(data))
        if new != old:
            changes.append(Change(path, old, new, splice))
    return changes


def _trees(repo: Repository, branch: str, *, is_new: bool) -> tuple[Checkout, ...]:
    trees = checkouts_of(checkouts(repo), branch)
    if is_new and not trees:
        raise failure(
            "could not commit in",
            repo.place,
            f"there is no branch {branch}",
            f"git branch {branch}",
        )
    rebased = rebase_of(repo, branch)
    if rebased is not None:
        raise failure(
            f"could not commit to {branch} in",
            repo.place,
            f"a rebase of it is under way ({os.fspath(rebased)})",
            "end it with git rebase --continue or --abort, then try again",
            is_passing=True,
        )
    return trees


def _subject(message: str) -> str:
    return message.partition("\n")[0]
