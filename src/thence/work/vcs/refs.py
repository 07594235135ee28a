"""The refs of a repository, all as one look at them shows them.

They are the branches, what is here of remotes' branches, and our own: `refs/thence/base/…` is where
a package's branch began, `refs/thence/reviewed/…` the commit that went to review. A command looks
once, for each look costs a process of git; who has moved a ref looks again.
"""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

from thence.work.vcs.repository import (
    HEADS,
    REMOTE_HEAD,
    Repository,
    default_among,
    is_standing,
    patiently,
)

REMOTES = "refs/remotes/"
OURS = "refs/thence/"
_FIELDS = ("refname", "objectname", "symref", "upstream", "upstream:remotename", "HEAD")
_FORM = "%00".join((*(f"%({field})" for field in _FIELDS), "%(worktreepath)", ""))


class Refs(NamedTuple):
    """The refs of a repository with their commits.

    `branches` are the local ones without `refs/heads/`. `upstreams` has the ref that a branch
    follows, by the branch's whole name, and `remotes` the remote that has it. `trees` has the
    working tree in which a branch is checked out, and `here` is the branch of the main one: None
    if its HEAD is detached, or has no commit. `default` is the branch that others take for the
    main one, None if nothing tells.
    """

    commits: Mapping[str, str]
    branches: Mapping[str, str]
    upstreams: Mapping[str, str]
    remotes: Mapping[str, str]
    trees: Mapping[str, Path]
    here: str | None
    default: str | None

    def on_remotes(self, branch: str) -> list[str]:
        """Returns the refs of what is here of a branch on remotes."""
        found = (ref for ref in self.commits if ref.startswith(REMOTES))
        return [ref for ref in found if ref.removeprefix(REMOTES).partition("/")[2] == branch]


def refs_of(repo: Repository) -> Refs:
    """Looks at the refs of a repository, seen from its main working tree; raises GitFailed."""
    arguments = ("for-each-ref", f"--format={_FORM}", HEADS, REMOTES, OURS)
    out = os.fsdecode(patiently(repo, arguments, "could not list the branches of"))
    commits, branches, upstreams, remotes, trees = {}, {}, {}, {}, {}
    here, pointed = None, ""
    for entry in out.split("\0\n")[:-1]:
        ref, commit, symref, upstream, remote, head, path = entry.split("\0")
        commits[ref] = commit
        if ref == REMOTE_HEAD:
            pointed = symref
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
    default = default_among(list(branches), pointed) or (here if is_main else None)
    return Refs(commits, branches, upstreams, remotes, trees, here, default)
