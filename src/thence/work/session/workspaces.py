"""The branch and worktree of a package, and the event that records them."""

from thence.errors import ThenceError
from thence.work.board.state import FeatureState, PackageState
from thence.work.journal.claims import workspace_event
from thence.work.naming import branch_of, is_derived, number_in, worktree_of
from thence.work.session.session import Session
from thence.work.vcs.refs import newest_of, record_base, record_base_if_missing
from thence.work.vcs.repository import is_ancestor
from thence.work.vcs.worktrees import Worktree, make


def workspace(
    session: Session, feature: FeatureState, package: PackageState, claim: str | None = None
) -> Worktree:
    """Makes branch and worktree of a package on top of its dependencies, or completes them.

    An event records a new workspace, and ends the claim, if there is one. Raises GitFailed.
    """
    path = session.project.root / worktree_of(feature.slug, package.wp_id)
    branch = branch_of(feature.slug, package.wp_id)
    refs = session.refs
    known = newest_branch(session, feature, package.wp_id)
    is_begun = known is not None and known[0] != branch  # somebody else has pushed it
    bases = [known[0]] if known and is_begun else _bases(session, feature, package)
    made = make(session.repo, branch, path, bases, refs.branches)
    if made.is_new and not is_begun:
        record_base(session.repo, feature.slug, package.wp_id, made.head)
    else:
        target = session.target_of(feature)
        record_base_if_missing(session.repo, refs, feature.slug, package.wp_id, made.head, target)
    _report(session, feature, package, made, claim)
    return made


def newest_branch(session: Session, feature: FeatureState, wp_id: str) -> tuple[str, str] | None:
    """Returns the name and the tip of the newest branch of a package.

    Branches on remotes count, unless the number was given twice: they may be the other package's.
    """
    branch = branch_of(feature.slug, wp_id)
    others = feature.packages.values()
    if any(
        each.renumbered_from == wp_id or (is_derived(each.wp_id) and number_in(each.wp_id) == wp_id)
        for each in others
    ):
        commit = session.refs.branches.get(branch)
        return (branch, commit) if commit else None
    return newest_of(session.repo, session.refs, branch)


def release_reason(error: ThenceError) -> str:
    """Returns the reason for giving back a claim whose worktree can't be made."""
    return f"its worktree could not be made: {error.cause or error.message}"


def _bases(session: Session, feature: FeatureState, package: PackageState) -> list[str]:
    """Returns the branches to begin at: those of dependencies that are not merged yet."""
    target = session.target_of(feature)
    at = session.refs.branches.get(target)
    known = [newest_branch(session, feature, wp_id) for wp_id in package.dependencies]
    open_ones = [
        each[0]
        for each in known
        if each and not (at is not None and is_ancestor(session.repo, each[1], at))
    ]
    return open_ones or [target]


def _report(
    session: Session,
    feature: FeatureState,
    package: PackageState,
    made: Worktree,
    claim: str | None,
) -> None:
    known = package.workspace
    if claim is None and known is not None and known.branch == made.branch and not made.is_new:
        return
    session.append_or_warn(workspace_event(feature.slug, package.wp_id, claim))
