"""The branch and worktree that a package is done in, and what the log is told of them."""

from thence.errors import ThenceError
from thence.work.board.state import FeatureState, PackageState
from thence.work.journal.claims import workspace_made
from thence.work.naming import branch_of, worktree_of
from thence.work.session.package_refs import begun_at, newest_of, note_base
from thence.work.session.session import Session
from thence.work.vcs.repository import is_ancestor
from thence.work.vcs.worktrees import Worktree, make


def workspace(
    session: Session, feature: FeatureState, package: PackageState, claim: str | None = None
) -> Worktree:
    """Makes branch and worktree of a package on what it depends on, or completes them.

    What is new is told; it ends the claim, if there is one. Raises GitFailed.
    """
    path = session.project.root / worktree_of(feature.slug, package.wp_id)
    branch = branch_of(feature.slug, package.wp_id)
    refs = session.refs
    known = newest(session, feature, package.wp_id)
    is_begun = known is not None and known[0] != branch  # somebody else has pushed it
    bases = [known[0]] if known and is_begun else _bases(session, feature, package)
    made = make(session.repo, branch, path, bases, refs.branches)
    if made.is_new and not is_begun:
        note_base(session.repo, feature.slug, package.wp_id, made.head)
    else:
        target = session.target_of(feature)
        begun_at(session.repo, refs, feature.slug, package.wp_id, made.head, target)
    _tell(session, feature, package, made, claim)
    return made


def newest(session: Session, feature: FeatureState, wp_id: str) -> tuple[str, str] | None:
    """Returns where a package's branch has most, by a name that git knows, and its tip.

    Others' branches count, but for a number that was given twice: theirs may be the other package.
    """
    branch = branch_of(feature.slug, wp_id)
    others = feature.packages.values()
    if any(each.renumbered_from == wp_id or each.wp_id.startswith(f"{wp_id}~") for each in others):
        commit = session.refs.branches.get(branch)
        return (branch, commit) if commit else None
    return newest_of(session.repo, session.refs, branch)


def unmade(error: ThenceError) -> str:
    """Returns the reason that a claim is given back with when its worktree can't be made."""
    return f"its worktree could not be made: {error.cause or error.message}"


def _bases(session: Session, feature: FeatureState, package: PackageState) -> list[str]:
    """Returns the branches to build upon: those of dependencies that are not merged yet."""
    target = session.target_of(feature)
    at = session.refs.branches.get(target)
    known = [newest(session, feature, wp_id) for wp_id in package.dependencies]
    open_ones = [
        each[0]
        for each in known
        if each and not (at is not None and is_ancestor(session.repo, each[1], at))
    ]
    return open_ones or [target]


def _tell(
    session: Session,
    feature: FeatureState,
    package: PackageState,
    made: Worktree,
    claim: str | None,
) -> None:
    known = package.workspace
    if claim is None and known is not None and known.branch == made.branch and not made.is_new:
        return
    session.say(workspace_made(feature.slug, package.wp_id, claim))
