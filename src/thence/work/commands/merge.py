"""`thence work merge`: merges the branches of packages into their feature's target branch."""

import os
from collections.abc import Container, Mapping, Sequence

from msgspec.structs import replace

from thence.errors import GitFailed, PlanningError, Refused
from thence.work.board.dependencies import in_order
from thence.work.board.move_attempt import Facts
from thence.work.board.state import DOING, FOR_REVIEW, PLANNED, REJECTED, FeatureState, PackageState
from thence.work.board.transitions import refusals
from thence.work.naming import branch_of, wp_id_of
from thence.work.naming import package_of as named
from thence.work.result import CommandResult
from thence.work.session.lane_moves import facts_of, move, package_of
from thence.work.session.mirror import mirror
from thence.work.session.session import Session
from thence.work.session.workspaces import newest_branch
from thence.work.vcs.merging import MergePlan, MergeStep, plan
from thence.work.vcs.merging import merge as merge_branches
from thence.work.vcs.repository import HEADS, Repository, checkouts, checkouts_of, is_ancestor

# the merging actor answers for all packages; a merged package needs no further commit
_EXEMPT = frozenset(("not_its_agent", "nothing_committed"))


def merge(
    session: Session,
    given: Sequence[str],
    *,
    feature: str | None = None,
    reason: str = "",
    is_forced: bool = False,
    is_dry: bool = False,
) -> CommandResult:
    """Merges packages that are in doing or for_review, in the order of their dependencies.

    Commits that others have pushed on a package's branch, and that were fetched, are merged too.
    All packages are checked first, and nothing is merged if one can't be. Packages in doing go to
    for_review. Raises GitFailed for a conflict, Refused, PlanningError.
    """
    session.look()
    found = session.feature(feature, *given)
    target = session.target_of(found)
    wp_ids, tips = [wp_id_of(name) for name in given], _tips(session, found)
    chosen = _chosen(found, wp_ids, tips)
    facts = _check_packages(session, found, chosen, reason, is_forced)
    names = [branch_of(found.slug, package.wp_id) for package in chosen]
    if is_dry:
        planned = plan(session.repo, target, names, tips)
        return _dry(session, found, planned)
    merged = merge_branches(session.repo, target, names, tips=tips)
    return _finish(session, found, merged, facts)


def _tips(session: Session, feature: FeatureState) -> dict[str, str]:
    """Returns the newest commits of packages by their branches, those on remotes with them."""
    found = ((wp_id, newest_branch(session, feature, wp_id)) for wp_id in feature.packages)
    return {branch_of(feature.slug, wp_id): each[1] for wp_id, each in found if each}


def _chosen(
    feature: FeatureState, given: Sequence[str], known: Container[str]
) -> tuple[PackageState, ...]:
    if given:
        named = [package_of(feature, wp_id) for wp_id in given]
        for package in named:
            if branch_of(feature.slug, package.wp_id) not in known:
                raise _without_branch(feature, package)
            if package.lane in (PLANNED, REJECTED):
                raise _not_begun(feature, package)
        return in_order(named)
    found = [
        package
        for package in feature.packages.values()
        if package.lane in (DOING, FOR_REVIEW) and branch_of(feature.slug, package.wp_id) in known
    ]
    if not found:
        raise PlanningError(
            "could not merge",
            place=feature.slug,
            cause="no package with a branch is in doing or for_review",
            hint="thence work status",
        )
    return in_order(found)


def _not_begun(feature: FeatureState, package: PackageState) -> Refused:
    return Refused(
        "could not merge",
        guard="not_in_lane",
        place=f"{feature.slug}/{package.wp_id}",
        cause=f"it is in {package.lane}, so that nobody works on it",
        hint=f"thence work implement {package.wp_id} takes it up again",
    )


def _without_branch(feature: FeatureState, package: PackageState) -> Refused:
    branch = branch_of(feature.slug, package.wp_id)
    return Refused(
        "could not merge",
        guard="no_branch",
        place=f"{feature.slug}/{package.wp_id}",
        cause=f"it is in {package.lane}, and has no branch {branch}",
        hint=f"git fetch, if somebody else did it (they push it: git push -u origin {branch});"
        f" else thence work implement {package.wp_id} makes it",
    )


def _check_packages(
    session: Session,
    feature: FeatureState,
    chosen: Sequence[PackageState],
    reason: str,
    is_forced: bool,
) -> dict[str, Facts]:
    """Returns each package's facts; raises Refused for the first that may not be merged."""
    found: dict[str, Facts] = {}
    for package in chosen:
        facts = facts_of(session, feature, package.wp_id, reason=reason, is_forced=is_forced)
        facts = replace(facts, exempt=_EXEMPT)
        found[package.wp_id] = facts
        if package.lane != DOING:
            continue
        for refusal in refusals(session.board, feature.slug, package.wp_id, FOR_REVIEW, facts):
            if not (is_forced and refusal.may_be_forced):
                place = f"{feature.slug}/{package.wp_id}"
                raise refusal.error("could not merge", place, is_agent=facts.is_agent)
    return found


def _dry(session: Session, feature: FeatureState, planned: MergePlan) -> CommandResult:
    steps = [
        {"branch": step.branch, "status": step.status, "files": list(step.files)}
        for step in planned.steps
    ]
    data = {
        "feature_slug": feature.slug,
        "target_branch": planned.target,
        "steps": steps,
        "dry_run": True,
    }
    lines = [f"into {planned.target}:"]
    for step in planned.steps:
        files = f": {', '.join(step.files)}" if step.files else ""
        lines.append(f"  {step.status:<8}  {step.branch}{files}")
    return session.result(data, lines)


def _finish(
    session: Session, feature: FeatureState, plan: MergePlan, facts: Mapping[str, Facts]
) -> CommandResult:
    """Moves the merged packages to for_review; raises GitFailed for a conflict."""
    target = plan.target
    if plan.conflict is not None:
        raise _conflict(session, feature, plan.conflict, target)
    merged = [step.branch for step in plan.steps]
    moved = _move_merged(session, feature, merged, facts)
    mirror(session, session.board.features.get(feature.slug, feature))
    unpushed = _unpushed(session.repo, target, plan.end)
    data = {
        "feature_slug": feature.slug,
        "target_branch": target,
        "merged": merged,
        "moved": moved,
        "merge_commit": plan.end,
        "not_pushed_to": unpushed[0] if unpushed else None,
    }
    lines = [f"{name} is merged into {target}" for name in merged]
    lines += [f"{wp_id} of {feature.slug}: doing -> for_review" for wp_id in moved]
    if unpushed:
        lines.append(f"merged here, not pushed to {unpushed[0]}; next: {unpushed[1]}")
    lines.append(f"next: thence work accept --feature {feature.slug}")
    return session.result(data, lines)


def _conflict(session: Session, feature: FeatureState, step: MergeStep, target: str) -> GitFailed:
    """Returns the error for a branch that can't be merged, with the place to resolve it."""
    trees = checkouts_of(checkouts(session.repo), step.branch)
    wp_id = step.branch.removeprefix(f"{feature.slug}-")
    place = f"in {trees[0].path}" if trees else f"thence work implement {wp_id}, and there"
    return GitFailed(
        "could not merge",
        place=f"{step.branch} into {target}",
        cause=f"both changed {', '.join(step.files)}; nothing is merged",
        hint=f"{place}: git merge {target}, resolve and commit; then thence work merge",
    )


def _move_merged(
    session: Session, feature: FeatureState, merged: Sequence[str], facts: Mapping[str, Facts]
) -> list[str]:
    moved = []
    for name in merged:
        package_name = named(name)
        package = feature.packages.get(package_name[1]) if package_name else None
        if package is None or package.lane != DOING:
            continue
        move(session, feature.slug, package.wp_id, FOR_REVIEW, facts[package.wp_id])
        moved.append(package.wp_id)
        session.look()
    return moved


def _unpushed(repo: Repository, target: str, commit: str) -> tuple[str, str] | None:
    """Returns the upstream that lacks a commit of a branch, with the command that pushes it."""
    form = "%00".join(f"%(upstream{what})" for what in ("", ":short", ":remotename", ":remoteref"))
    out = repo.git.run("for-each-ref", f"--format={form}", f"{HEADS}{target}")
    ref, name, remote, theirs = os.fsdecode(out).rstrip("\n").split("\0")
    if not remote or remote == "." or repo.git.ask("show-ref", "--verify", ref).status:
        return None
    if is_ancestor(repo, commit, ref):
        return None
    theirs = theirs.removeprefix(HEADS)
    return name, f"git push {remote} {target if theirs == target else f'{target}:{theirs}'}"
