"""The refs of a repository, as read in one listing; by them the code of packages is found.

The refs are the branches, the remote-tracking branches, and our own, which belong to one clone:
`refs/thence/base/<feature>/<WP>` is the commit that a package's branch began at,
`refs/thence/reviewed/…` the commit that went to review, which the ref keeps alive,
`refs/thence/saved/…` what an agent made on another branch in a package's worktree. A command lists
once, because each listing costs a process of git; after moving a ref it lists again.
"""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

from thence.work.board.move_request import CodeKind
from thence.work.board.state import PackageState
from thence.work.git.git import failure
from thence.work.git.locks import MAKING, held
from thence.work.git.repository import (
    HEADS,
    REMOTE_HEAD,
    Repository,
    branches,
    default_among,
    is_ancestor,
    is_standing,
    list_worktrees,
    run_with_retry,
)
from thence.work.names import branch_of, worktree_of

REMOTES = "refs/remotes/"
OURS = "refs/thence/"
_FIELDS = ("refname", "objectname", "symref", "upstream", "upstream:remotename", "HEAD")
_FORM = "%00".join((*(f"%({field})" for field in _FIELDS), "%(worktreepath)", ""))


class Refs(NamedTuple):
    """The refs of a repository with their commits.

    `branches` are the local branches without `refs/heads/`. `upstreams` maps a branch's full ref to
    the ref that it follows, `remotes` a branch to the remote of that ref. `trees` maps a branch to
    the working tree in which it is checked out. `here` is the branch of the main working tree: None
    if its HEAD is detached, or has no commit. `default` is the repository's default branch, None if
    it is unknown.
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


class Target(NamedTuple):
    """A feature's target as this clone has it.

    `name` is the ref that packages have to be in: the branch's upstream where it has one. `tip` is
    that ref's commit, `local` the branch's own; None for what is not there.
    """

    name: str
    tip: str | None
    local: str | None

    def commits(self) -> list[tuple[str, CodeKind]]:
        """Returns the commits that may contain a package, the required one first.

        Each comes with the state of code that it contains.
        """
        commits: list[tuple[str, CodeKind]] = [(self.tip, "landed")] if self.tip else []
        if self.local and self.local != self.tip:
            commits.append((self.local, "local"))
        return commits


def target_in(refs: Refs, branch: str) -> Target:
    """Returns a feature's target; a branch that is on one remote alone stands for its upstream."""
    local = refs.commits.get(HEADS + branch)
    name = refs.upstreams.get(HEADS + branch)
    if name is None and local is None:
        name = next(iter(refs.on_remotes(branch)), None)
    if name is None:
        return Target(branch, local, local)
    return Target(name.removeprefix(REMOTES), refs.commits.get(name), local)


def push_command(refs: Refs, branch: str) -> str | None:
    """Returns the command that pushes a branch to its upstream, None if it follows no remote's."""
    upstream, remote = refs.upstreams.get(HEADS + branch), refs.remotes.get(branch)
    if upstream is None or remote is None or upstream not in refs.commits:
        return None
    theirs = upstream.removeprefix(f"{REMOTES}{remote}/")
    return f"git push {remote} {branch if theirs == branch else f'{branch}:{theirs}'}"


def record_base(repo: Repository, slug: str, wp_id: str, commit: str) -> None:
    """Records the commit that a package's branch began at."""
    repo.git.run("update-ref", _ref("base", slug, wp_id), commit)


def record_base_if_missing(
    repo: Repository, refs: Refs, slug: str, wp_id: str, commit: str, target: str
) -> None:
    """Records where an existing branch left its target, unless a base is recorded already."""
    if _ref("base", slug, wp_id) not in refs.commits and target in refs.branches:
        answer = repo.git.ask("merge-base", refs.branches[target], commit)
        if answer.status == 0:
            record_base(repo, slug, wp_id, answer.out.decode().strip())


def keep_commit(repo: Repository, refs: Refs, slug: str, wp_id: str, commit: str) -> None:
    """Keeps a commit that went to review, whatever becomes of its branch."""
    ref = _ref("reviewed", slug, wp_id)
    if refs.commits.get(ref) != commit:
        repo.git.run("update-ref", ref, commit)


def rename_branch(
    repo: Repository, root: Path, here: Path, refs: Refs, names: tuple[str, str, str]
) -> None:
    """Renames a package's branch, worktree and refs; `names` are its feature, old and new id.

    A worktree in which the command runs stays at its path. Whatever is renamed already is left.
    Raises GitFailed.
    """
    slug, old, new = names
    before, after = branch_of(slug, old), branch_of(slug, new)
    with held(repo.common / MAKING):
        path, goal = (root / worktree_of(slug, wp_id) for wp_id in (old, new))
        trees = [tree for tree in list_worktrees(repo) if tree.path == path and not tree.is_missing]
        if any(tree.branch is None for tree in trees):
            hint = "end what is under way there: see git status"
            raise failure("could not move the worktree", path, "no branch is checked out", hint)
        if path != here and any(tree.branch in (before, after) for tree in trees):
            repo.git.run("worktree", "move", str(path), str(goal), operation="could not move")
        if before in branches(repo):
            repo.git.run(
                "branch", "--move", before, after, operation="could not rename a branch of"
            )
        _rename_refs(repo, refs, slug, old, new)


def _rename_refs(repo: Repository, refs: Refs, slug: str, old: str, new: str) -> None:
    for kind in ("base", "reviewed"):
        if commit := refs.commits.get(_ref(kind, slug, old)):
            repo.git.run("update-ref", _ref(kind, slug, new), commit)
            repo.git.run("update-ref", "-d", _ref(kind, slug, old), commit)


def forget_refs(repo: Repository, refs: Refs, slug: str, wp_id: str) -> None:
    """Deletes a package's refs: the branch's base, and the reviewed commit."""
    for ref in (_ref("base", slug, wp_id), _ref("reviewed", slug, wp_id)):
        if ref in refs.commits:
            repo.git.run("update-ref", "-d", ref, refs.commits[ref])


def base_ref(slug: str, wp_id: str) -> str:
    """Returns the ref of the commit that a package's branch began at."""
    return _ref("base", slug, wp_id)


def _ref(kind: str, slug: str, wp_id: str) -> str:
    return f"{OURS}{kind}/{slug}/{wp_id}"


def tip_of(refs: Refs, branch: str) -> str | None:
    """Returns the tip of a package's branch, here or else on a remote."""
    for ref in (HEADS + branch, *refs.on_remotes(branch)):
        if ref in refs.commits:
            return refs.commits[ref]
    return None


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


def base_of_package(
    repo: Repository, refs: Refs, slug: str, package: PackageState, tip: str, target: Target
) -> str | None:
    """Returns the commit that a package's branch began at.

    Without a record it is the commit at which the branch left its target. Once the target contains
    the branch, git can't find that commit any more, and None is returned.
    """
    recorded = refs.commits.get(_ref("base", slug, package.wp_id))
    if recorded is not None or package.reviewed is not None:
        return recorded or (package.reviewed.base if package.reviewed else None)
    target_tip = target.local or target.tip
    if target_tip is None or is_ancestor(repo, tip, target_tip):
        return None
    answer = repo.git.ask("merge-base", target_tip, tip)
    return answer.out.decode().strip() if answer.status == 0 else None
