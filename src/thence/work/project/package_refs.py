"""The refs of plans, of targets, and those by which the code of packages is found.

Where features land by pull requests planning files are on `plan/<feature>`, here and on the remote
that the default branch follows, else on origin. Plan branches of other remotes are not read: they
may have been fetched for a review.

`refs/thence/base/<feature>/<WP>` is the commit that a package's branch began at,
`refs/thence/reviewed/…` the commit that went to review, which the ref keeps alive. Both belong to
one clone.
"""

from collections.abc import Iterator
from typing import NamedTuple

from thence.git.objects import is_file, objects
from thence.git.refs import OURS, REMOTES, Refs
from thence.git.repository import HEADS, Repository, is_ancestor
from thence.work.board.move_request import CodeKind
from thence.work.board.state import PackageState
from thence.work.names import planned_in
from thence.work.project.project_id import CONFIG

_DEFAULT_REMOTE = "origin"


def own_refs(refs: Refs) -> Refs:
    """Returns refs without the commits of remotes that are not the project's own."""
    remote = refs.remotes.get(refs.default or "") or _DEFAULT_REMOTE
    commits = {
        ref: commit
        for ref, commit in refs.commits.items()
        if not ref.startswith(REMOTES) or ref.startswith(f"{REMOTES}{remote}/")
    }
    return refs._replace(commits=commits)


def plan_refs(refs: Refs) -> dict[str, list[str]]:
    """Returns the features that have plan branches, each with these refs, local ones first."""
    by_slug: dict[str, list[str]] = {}
    for ref in sorted(own_refs(refs).commits):
        short = ref.removeprefix(HEADS)
        if short == ref:
            short = ref.removeprefix(REMOTES).partition("/")[2] if ref.startswith(REMOTES) else ""
        if slug := planned_in(short):
            by_slug.setdefault(slug, []).append(ref)
    return by_slug


def planned_configurations(repo: Repository, refs: Refs) -> Iterator[bytes]:
    """Yields the configurations of the project on plan branches; git is asked only if there are."""
    names = [ref for places in plan_refs(refs).values() for ref in places]
    if not names:
        return
    with objects(repo) as store:
        for tip in dict.fromkeys(refs.commits[name] for name in names):
            commit = store.commit(tip)
            entry = store.find(commit[1], CONFIG) if commit else None
            if entry is not None and is_file(entry):
                yield store.blob(entry.oid)


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
