"""The worktrees and branches of this clone for packages and plans: cleared away once landed."""

from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

from thence.errors import GitFailed, Refused
from thence.git.landed import Question, landings
from thence.git.repository import HEADS, is_ancestor, list_worktrees
from thence.git.worktrees import ignored, removable, remove
from thence.work.board.move_request import LandingStatus
from thence.work.board.state import DONE, FeatureState, PackageState
from thence.work.board.transitions import landed_payload
from thence.work.journal.claims import claimed
from thence.work.journal.store import WorkEvent
from thence.work.names import branch_of, plan_branch, plan_worktree, worktree_of
from thence.work.plan.planning_files import has_landed
from thence.work.project.configuration import PULL_REQUEST, land_in, read_configuration
from thence.work.project.package_refs import target_in
from thence.work.session.package_code import code_of_packages
from thence.work.session.session import Session


class Cleared(NamedTuple):
    """A package, or a plan without `wp_id`, whose worktree and branch went, or stay for a `reason`.

    `ignored` are the ignored files that go with the worktree.
    """

    feature_slug: str
    wp_id: str
    branch: str
    worktree: str
    ignored: tuple[str, ...] = ()
    reason: str = ""


def clear(
    session: Session, slugs: Sequence[str], wp_ids: Sequence[str], *, is_dry: bool
) -> Iterator[Cleared]:
    """Removes worktrees and branches of packages whose code has landed, of these if some are named.

    What is not committed or has not landed stays, and so does a worktree with a submodule, another
    repository, a hidden change or a commit that no ref has. Ignored files go with the worktree.
    """
    trees = list_worktrees(session.project.repo)
    standing = {tree.path.name for tree in trees if not tree.is_main}
    landed: Mapping[tuple[str, str], LandingStatus] | None = None
    for feature in [session.board.features[slug] for slug in slugs]:
        for wp_id, package in feature.packages.items():
            branch, worktree = branch_of(feature.slug, wp_id), worktree_of(feature.slug, wp_id)
            is_here = (
                HEADS + branch in session.refs.commits or worktree.rpartition("/")[2] in standing
            )
            if package.lane != DONE or not is_here or (wp_ids and wp_id not in wp_ids):
                continue
            if landed is None:
                landed = code_of_packages(session.snapshot, session.board.features.values())
            code = landed.get((feature.slug, wp_id))
            local = Cleared(feature.slug, wp_id, branch, worktree)
            try:
                yield _clear(session, feature, package, local, code, is_dry=is_dry)
            except Refused as error:  # a process is at work on it
                yield local._replace(reason=error.cause)
            except GitFailed as error:
                yield local._replace(reason=f"{error.cause or error.message}; {error.hint}")


def clear_plans(session: Session, slugs: Sequence[str], *, is_dry: bool) -> Iterator[Cleared]:
    """Removes worktrees and branches of plans that have landed; of a plan the package is empty.

    What is not committed or has not landed stays, as of packages; so do all where the main working
    tree does not say yet that features land by pull requests.
    """
    repo, refs = session.project.main, session.refs
    is_said = land_in(read_configuration(session.project)) == PULL_REQUEST
    for slug in slugs if is_said else ():
        branch, worktree = plan_branch(slug), plan_worktree(slug)
        tip = refs.branches.get(branch)
        target = session.snapshot.target_of(session.board.features[slug])
        aim = target_in(refs, target).tip
        if tip is None or aim is None or session.planning.open_plan(slug) is not None:
            continue
        local, path = Cleared(slug, "", branch, worktree), session.project.root / worktree
        try:
            if path == session.project.here:
                yield local._replace(reason="this command was given in its worktree")
            elif has_landed(repo, tip, aim):
                names = ignored(path)
                (removable if is_dry else remove)(repo, branch, path, tip)
                yield local._replace(ignored=names)
        except GitFailed as error:
            yield local._replace(reason=error.cause or error.message)


def _clear(
    session: Session,
    feature: FeatureState,
    package: PackageState,
    local: Cleared,
    code: LandingStatus | None,
    *,
    is_dry: bool,
) -> Cleared:
    """Removes a package's worktree and branch, unless there is a reason that they have to stay."""
    path, repo = session.project.root / local.worktree, session.project.main
    if path == session.project.here:
        return local._replace(reason="this command was given in its worktree")
    if code is None or code.kind != "landed":
        is_said = code is not None and code.kind in ("local", "reverted")
        state = code.sentence if code and is_said else "not landed"
        return local._replace(reason=f"it is done, and {state}; see `thence work status`")
    # a commit that contains the branch, and that is in the target or has landed there
    target = target_in(session.refs, session.snapshot.target_of(feature))
    tip, into, reviewed = session.refs.commits.get(HEADS + local.branch), None, package.reviewed
    if target.tip is not None:
        if tip is None or is_ancestor(repo, tip, target.tip):
            into = target.tip
        elif reviewed is not None and reviewed.commit == tip and reviewed.base:
            (answer,) = landings(repo, target.tip, [Question(reviewed)])
            into = reviewed.commit if answer.landed else None
    if into is None:
        return local._replace(reason=f"{local.branch} has commits that are not in {target.name}")
    with claimed(session.project.home, package.subject):
        names = ignored(path)
        if is_dry:
            removable(repo, local.branch, path, into)
            return local._replace(ignored=names)
        if package.landed is None and (landing := code.landed) is not None:
            # without the branch it may not be found again
            payload = landed_payload(package.wp_id, landing)
            causes = package.events_of("lane")
            session.append(WorkEvent("WPLanded", payload, feature.slug, causes))
        remove(repo, local.branch, path, into)
        return local._replace(ignored=names)
