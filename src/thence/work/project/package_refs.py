"""The refs by which the code of packages is found, beside their branches.

They belong to one clone: `refs/thence/base/<feature>/<WP>` is the commit that a package's branch
began at, `refs/thence/reviewed/…` the commit that went to review, which the ref keeps alive.
"""

from typing import NamedTuple

from thence.git.refs import OURS, REMOTES, Refs
from thence.git.repository import HEADS, Repository, is_ancestor
from thence.work.board.move_request import CodeKind
from thence.work.board.state import PackageState
from thence.work.project.plan_refs import plan_refs


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


def record_base(repo: Repository, slug: str, wp_id: str, commit: str) -> None:
    """Records the commit that a package's branch began at."""
    repo.git.run("update-ref", _ref("base", slug, wp_id), commit)


def record_base_if_missing(
    repo: Repository, refs: Refs, slug: str, wp_id: str, commit: str, target: str
) -> None:
    """Records where an existing branch left its target, unless a base is recorded already."""
    if _ref("base", slug, wp_id) in refs.commits or target not in refs.branches:
        return
    if base := _meeting(repo, refs, slug, commit, refs.branches[target]):
        record_base(repo, slug, wp_id, base)


def keep_commit(repo: Repository, refs: Refs, slug: str, wp_id: str, commit: str) -> None:
    """Keeps a commit that went to review, whatever becomes of its branch."""
    ref = _ref("reviewed", slug, wp_id)
    if refs.commits.get(ref) != commit:
        repo.git.run("update-ref", ref, commit)


def kept_commit(refs: Refs, slug: str, wp_id: str) -> str | None:
    """Returns the commit of a package that went to review in this clone, None if none did."""
    return refs.commits.get(_ref("reviewed", slug, wp_id))


def _ref(kind: str, slug: str, wp_id: str) -> str:
    return f"{OURS}{kind}/{slug}/{wp_id}"


def base_of_package(
    repo: Repository, refs: Refs, slug: str, package: PackageState, tip: str, target: Target
) -> str | None:
    """Returns the commit that a package's branch began at.

    Without a record it is the commit at which the branch left its target or its plan branch. Once
    the target contains the branch, git can't find that commit any more, and None is returned.
    """
    recorded = refs.commits.get(_ref("base", slug, package.wp_id))
    if recorded is not None or package.reviewed is not None:
        return recorded or (package.reviewed.base if package.reviewed else None)
    target_tip = target.local or target.tip
    if target_tip is None or is_ancestor(repo, tip, target_tip):
        return None
    return _meeting(repo, refs, slug, tip, target_tip)


def _meeting(repo: Repository, refs: Refs, slug: str, commit: str, target: str) -> str | None:
    """Returns the last commit of a branch that its target, or a plan branch of it, has too."""
    plans = [refs.commits[ref] for ref in plan_refs(refs).get(slug, ())]
    answer = repo.git.ask("merge-base", commit, target, *plans)
    return answer.out.decode().strip() if answer.status == 0 else None
