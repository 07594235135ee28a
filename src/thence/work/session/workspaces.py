"""The branch and worktree that a package is done in, and what the log is told of them."""

from thence.errors import ThenceError
from thence.work.board.state import FeatureState, PackageState
from thence.work.journal.claims import workspace_made
from thence.work.naming import branch_of, worktree_of
from thence.work.session.package_refs import begun_at, newest_of, note_base
from thence.work.session.session import Desk
from thence.work.vcs.repository import is_ancestor
from thence.work.vcs.worktrees import Worktree, make


def workspace(
    desk: Desk, feature: FeatureState, package: PackageState, claim: str | None = None
) -> Worktree:
    """Makes branch and worktree of a package on what it depends on, or completes them.

    What is new is told; it ends the claim, if there is one. Raises GitFailed.
    """
    path = desk.project.root / worktree_of(feature.slug, package.wp_id)
    branch = branch_of(feature.slug, package.wp_id)
    refs = desk.refs
    known = newest(desk, feature, package.wp_id)
    is_begun = known is not None and known[0] != branch  # somebody else has pushed it
    bases = [known[0]] if known and is_begun else _bases(desk, feature, package)
    made = make(desk.repo, branch, path, bases, refs.branches)
    if made.is_new and not is_begun:
        note_base(desk.repo, feature.slug, package.wp_id, made.head)
    else:
        target = desk.target_of(feature)
        begun_at(desk.repo, refs, feature.slug, package.wp_id, made.head, target)
    _tell(desk, feature, package, made, claim)
    return made


def newest(desk: Desk, feature: FeatureState, wp_id: str) -> tuple[str, str] | None:
    """Returns where a package's branch has most, by a name that git knows, and its tip.

    Others' branches count, but for a number that was given twice: theirs may be the other package.
    """
    branch = branch_of(feature.slug, wp_id)
    others = feature.packages.values()
    if any(each.renumbered_from == wp_id or each.wp_id.startswith(f"{wp_id}~") for each in others):
        commit = desk.refs.branches.get(branch)
        return (branch, commit) if commit else None
    return newest_of(desk.repo, desk.refs, branch)


def unmade(error: ThenceError) -> str:
    """Returns the reason that a claim is given back with when its worktree can't be made."""
    return f"its worktree could not be made: {error.cause or error.message}"


def _bases(desk: Desk, feature: FeatureState, package: PackageState) -> list[str]:
    """Returns the branches to build upon: those of dependencies that are not merged yet."""
    target = desk.target_of(feature)
    at = desk.refs.branches.get(target)
    known = [newest(desk, feature, wp_id) for wp_id in package.dependencies]
    open_ones = [
        each[0]
        for each in known
        if each and not (at is not None and is_ancestor(desk.repo, each[1], at))
    ]
    return open_ones or [target]


def _tell(
    desk: Desk, feature: FeatureState, package: PackageState, made: Worktree, claim: str | None
) -> None:
    known = package.workspace
    if claim is None and known is not None and known.branch == made.branch and not made.is_new:
        return
    desk.say(workspace_made(feature.slug, package.wp_id, claim))
