"""`thence work prune`: removes worktrees and branches of packages that are done and landed."""

from collections.abc import Iterator
from typing import NamedTuple

from thence.errors import GitFailed, Refused
from thence.work.board.move_attempt import CodeState
from thence.work.board.state import DONE, FeatureState, PackageState
from thence.work.journal.claims import claimed
from thence.work.journal.store import WorkEvent
from thence.work.naming import branch_of, worktree_of
from thence.work.result import CommandResult
from thence.work.session.package_code import code_of_packages
from thence.work.session.package_refs import forget_refs, target_in
from thence.work.session.session import Session
from thence.work.vcs.landed import landing_of
from thence.work.vcs.refs import Refs
from thence.work.vcs.repository import HEADS, checkouts, is_ancestor
from thence.work.vcs.worktrees import removable, remove

_Landed = dict[tuple[str, str], CodeState]


class _LocalPackage(NamedTuple):
    """A package that has a branch or a worktree in this clone."""

    feature: FeatureState
    package: PackageState
    branch: str
    worktree: str
    tip: str | None


def prune(
    session: Session, *, feature: str | None = None, is_dry: bool = False, takes_refs: bool = False
) -> CommandResult:
    """Removes worktrees and branches of packages that are done and whose code has landed.

    Worktrees with uncommitted changes and branches that have not landed stay, and are reported with
    the reason. With `is_dry` nothing is removed, and the result lists what would be. The refs that
    keep the reviewed commits are removed with `takes_refs` alone. Raises Refused for a feature that
    is not there, GitFailed.
    """
    board = session.look()
    slugs = [session.feature(feature).slug] if feature else list(board.features)
    landed = code_of_packages(session, board.features.values())
    refs = session.refs
    pruned: list[_LocalPackage] = []
    kept: list[tuple[_LocalPackage, str]] = []
    for local in _local_packages(session, [board.features[slug] for slug in slugs], refs):
        try:
            _remove(session, local, refs, landed, is_dry=is_dry)
        except (GitFailed, Refused) as error:
            kept.append((local, error.cause or error.message))
            continue
        pruned.append(local)
        if takes_refs and not is_dry:
            forget_refs(session.repo, refs, local.feature.slug, local.package.wp_id)
    data = {
        "pruned": [_as_json(each) for each in pruned],
        "kept": [{**_as_json(each), "reason": why} for each, why in kept],
        "dry_run": is_dry,
    }
    verb = "would go" if is_dry else "are gone"
    lines = [f"{_name(each)}: its worktree and branch {verb}" for each in pruned]
    lines += [f"{_name(each)} stays: {why}" for each, why in kept]
    return session.result(data, lines or ["no package has a branch or worktree here"])


def _local_packages(
    session: Session, features: list[FeatureState], refs: Refs
) -> Iterator[_LocalPackage]:
    standing = {each.path.name for each in checkouts(session.repo) if not each.is_main}
    for feature in features:
        for package in feature.packages.values():
            branch = branch_of(feature.slug, package.wp_id)
            worktree = worktree_of(feature.slug, package.wp_id)
            tip = refs.commits.get(HEADS + branch)
            if tip is not None or worktree.rpartition("/")[2] in standing:
                yield _LocalPackage(feature, package, branch, worktree, tip)


def _remove(
    session: Session, local: _LocalPackage, refs: Refs, landed: _Landed, *, is_dry: bool
) -> None:
    """Removes a package's worktree and branch; raises Refused or GitFailed if they have to stay."""
    package, path = local.package, session.project.root / local.worktree
    if package.lane != DONE:
        raise _refusal(local, f"it is in {package.lane}")
    if path == session.project.here:
        raise _refusal(local, "this command was given in its worktree")
    code = landed.get((local.feature.slug, package.wp_id))
    if code is None or code.kind != "landed":
        state = "merged here and not pushed" if code and code.kind == "local" else "not landed"
        raise _refusal(local, f"it is done, and {state}; see `thence work status`")
    into = _holder(session, local, refs)
    repo = session.main
    with claimed(session.project.home, package.subject):
        if is_dry:
            removable(repo, local.branch, path, into)
            return
        if package.landed is None and code.landed is not None:
            session.append(_landing(local, code))  # without the branch it may not be found again
        remove(repo, local.branch, path, into)


def _holder(session: Session, local: _LocalPackage, refs: Refs) -> str:
    """Returns a commit that contains the branch, and that is in the target or has landed there."""
    target = target_in(refs, session.target_of(local.feature))
    reviewed = local.package.reviewed
    if target.tip is not None:
        if local.tip is None or is_ancestor(session.repo, local.tip, target.tip):
            return target.tip
        is_known = reviewed is not None and reviewed.commit == local.tip and reviewed.base
        if reviewed is not None and is_known and landing_of(session.repo, target.tip, reviewed):
            return reviewed.commit
    raise _refusal(local, f"{local.branch} has commits that are not in {target.name}")


def _landing(local: _LocalPackage, code: CodeState) -> WorkEvent:
    assert code.landed is not None, "it has landed"
    payload = {"wp_id": local.package.wp_id, "how": code.landed.how}
    if code.landed.commit:
        payload["commit"] = code.landed.commit
    return WorkEvent("WPLanded", payload, local.feature.slug, local.package.events_of("lane"))


def _refusal(local: _LocalPackage, why: str) -> Refused:
    hint = "thence work status"
    return Refused("could not prune", guard="kept", place=_name(local), cause=why, hint=hint)


def _name(local: _LocalPackage) -> str:
    return f"{local.package.wp_id} of {local.feature.slug}"


def _as_json(local: _LocalPackage) -> dict[str, str]:
    return {
        "feature_slug": local.feature.slug,
        "wp_id": local.package.wp_id,
        "branch": local.branch,
        "worktree": local.worktree,
    }
