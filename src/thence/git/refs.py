"""The refs of a repository, as read in one listing: branches, remote-tracking branches, our own.

A command lists once, because each listing costs a process of git; after moving a ref it lists
again.
"""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

from thence.git.repository import (
    HEADS,
    Repository,
    is_ancestor,
    is_standing,
    run_with_retry,
)

REMOTES = "refs/remotes/"
OURS = "refs/thence/"
_REMOTE_HEAD = f"{REMOTES}origin/HEAD"
_DEFAULT_NAMES = ("main", "master", "trunk", "develop")
_FIELDS = ("refname", "objectname", "symref", "upstream", "upstream:remotename", "HEAD")
_FORM = "%00".join((*(f"%({field})" for field in _FIELDS), "%(worktreepath)", ""))


class Refs(NamedTuple):
    """The refs of a repository with their commits.

    `branches` are the local branches without `refs/heads/`. `upstreams` maps a branch's full ref to
    the ref that it follows, `remotes` a branch to the remote of that ref. `trees` maps a branch to
    the working tree in which it is checked out. `here` is the branch of the main working tree: None
    if its HEAD is detached, or has no commit. `default` is the target of the remote's HEAD, else
    the first of main, master, trunk and develop that exists, else the only branch, else `here`.
    """

    commits: Mapping[str, str]
    branches: Mapping[str, str]
    upstreams: Mapping[str, str]
    remotes: Mapping[str, str]
    trees: Mapping[str, Path]
    here: str | None
    default: str | None

    def on_remotes(self, branch: str) -> list[str]:
        """Returns the remote-tracking refs of a branch."""
        remote_refs = (ref for ref in self.commits if ref.startswith(REMOTES))
        return [ref for ref in remote_refs if ref.removeprefix(REMOTES).partition("/")[2] == branch]


def refs_of(repo: Repository) -> Refs:
    """Lists the refs of a repository, seen from its main working tree; raises GitFailed."""
    arguments = ("for-each-ref", f"--format={_FORM}", HEADS, REMOTES, OURS)
    out = os.fsdecode(run_with_retry(repo, arguments, "could not list the branches of"))
    commits, branches, upstreams, remotes, trees = {}, {}, {}, {}, {}
    here, pointed = None, ""
    for entry in out.split("\0\n")[:-1]:
        ref, commit, symref, upstream, remote, head, path = entry.split("\0")
        commits[ref] = commit
        if ref == _REMOTE_HEAD:
            pointed = symref.removeprefix(f"{REMOTES}origin/")
        if not ref.startswith(HEADS):
            continue
        name = ref.removeprefix(HEADS)
        branches[name] = commit
        if upstream.startswith(REMOTES):
            upstreams[ref] = upstream
        if remote not in {"", "."}:
            remotes[name] = remote
        if head == "*":
            here = name
        tree = repo.folder if head == "*" else Path(path)
        if path and is_standing(tree):
            trees[name] = tree
    is_main = repo.git_dir == repo.common  # a bare repository has no main working tree
    only = next(iter(branches)) if len(branches) == 1 else here if is_main else None
    default = next((name for name in (pointed, *_DEFAULT_NAMES) if name in branches), only)
    return Refs(commits, branches, upstreams, remotes, trees, here, default)


def push_command(refs: Refs, branch: str) -> str | None:
    """Returns the command that pushes a branch to its upstream, None if it follows no remote's."""
    upstream, remote = refs.upstreams.get(HEADS + branch), refs.remotes.get(branch)
    if upstream is None or remote is None or upstream not in refs.commits:
        return None
    theirs = upstream.removeprefix(f"{REMOTES}{remote}/")
    return f"git push {remote} {branch if theirs == branch else f'{branch}:{theirs}'}"


def tip_of(refs: Refs, branch: str) -> str | None:
    """Returns the tip of a package's branch, here or else on a remote."""
    places = (HEADS + branch, *refs.on_remotes(branch))
    return next((refs.commits[ref] for ref in places if ref in refs.commits), None)


def newest_of(repo: Repository, refs: Refs, branch: str) -> tuple[str, str] | None:
    """Returns the name and the tip of the newest branch of a package.

    The local branch is the newest, unless a remote's branch of its name has all of it and more.
    None where neither exists.
    """
    local_tip = refs.commits.get(HEADS + branch)
    for ref in refs.on_remotes(branch):
        remote_tip = refs.commits[ref]
        if local_tip is None or (
            local_tip != remote_tip and is_ancestor(repo, local_tip, remote_tip)
        ):
            return ref.removeprefix(REMOTES), remote_tip
    return (branch, local_tip) if local_tip else None
