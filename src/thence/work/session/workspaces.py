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
    newest = newest_branch(session, feature, package.wp_id)
    is_begun = newest is not None and newest[0] != branch  # somebody else has pushed it
    bases = [newest[0]] if newest and is_begun else _bases(session, feature, package)
    worktree = make(session.project.repo, branch, path, bases, refs.branches)
    if worktree.is_new and not is_begun:
        record_base(session.project.repo, feature.slug, package.wp_id, worktree.head)
    else:
        target = session.target_of(feature)
        record_base_if_missing(
            session.project.repo, refs, feature.slug, package.wp_id, worktree.head, target
        )
    _report(session, feature, package, worktree, claim)
    return worktree


def newest_branch(session: Session, feature: FeatureState, wp_id: str) -> tuple[str, str] | None:
    """Returns the name and the tip of the newest branch of a package.

    Branches on remotes count, unless the number was given twice: they may be the other package's.
    """
    branch = branch_of(feature.slug, wp_id)
    others = feature.packages.values()
    if any(
        other.renumbered_from == wp_id
        or (is_derived(other.wp_id) and number_in(other.wp_id) == wp_id)
        for other in others
    ):
        commit = session.refs.branches.get(branch)
        return (branch, commit) if commit else None
    return newest_of(session.project.repo, session.refs, branch)


def release_reason(error: ThenceError) -> str:
    """Returns the reason for giving back a claim whose worktree can't be made."""
    return f"its worktree could not be made: {error.cause or error.message}"


def _bases(session: Session, feature: FeatureState, package: PackageState) -> list[str]:
    """Returns the branches to begin at: those of dependencies that are not merged yet."""
    target = session.target_of(feature)
    at = session.refs.branches.get(target)
    newest = [newest_branch(session, feature, wp_id) for wp_id in package.dependencies]
    open_ones = [
        pair[0]
        for pair in newest
        if pair and not (at is not None and is_ancestor(session.project.repo, pair[1], at))
    ]
    return open_ones or [target]


def _report(
    session: Session,
    feature: FeatureState,
    package: PackageState,
    worktree: Worktree,
    claim: str | None,
) -> None:
    workspace = package.workspace
    if (
        claim is None
        and workspace is not None
        and workspace.branch == worktree.branch
        and not worktree.is_new
    ):
        return
    session.append(workspace_event(feature.slug, package.wp_id, claim))
