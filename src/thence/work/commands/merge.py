"""`thence work merge`: merges the branches of packages into their feature's target branch."""

from collections.abc import Container, Mapping, Sequence

from msgspec.structs import replace

from thence.errors import GitFailed, PlanningError, Refused
from thence.work.board.dependencies import in_order
from thence.work.board.move_attempt import SHORT, CodeState, Facts, changed_since
from thence.work.board.state import DOING, FOR_REVIEW, PLANNED, REJECTED, FeatureState, PackageState
from thence.work.board.transitions import refusals
from thence.work.naming import branch_of, wp_id_of
from thence.work.naming import package_of as named
from thence.work.result import CommandResult
from thence.work.session.lane_moves import facts_of, move_all, package_of, refuse_agents
from thence.work.session.mirror import mirror
from thence.work.session.package_code import code_of_packages
from thence.work.session.package_refs import push_command
from thence.work.session.session import Session
from thence.work.session.workspaces import newest_branch
from thence.work.vcs.merging import MergePlan, MergeStep, plan
from thence.work.vcs.merging import merge as merge_branches
from thence.work.vcs.refs import REMOTES
from thence.work.vcs.repository import HEADS, checkouts, checkouts_of, is_ancestor

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
    if not is_dry:
        place = ", ".join(given) or feature or "a feature"
        refuse_agents("could not merge", place, "merged_by_an_agent", "merges a package")
    session.look()
    merging = session.feature(feature, *given)
    target = session.target_of(merging)
    wp_ids, tips = [wp_id_of(name) for name in given], _tips(session, merging)
    chosen = _chosen(merging, wp_ids, tips)
    facts = _check_packages(session, merging, chosen, reason, is_forced)
    codes = _codes(session, merging, chosen)
    names = [
        branch_of(merging.slug, package.wp_id)
        for package in chosen
        if package.wp_id not in codes or not _is_brought(codes[package.wp_id])
    ]
    if is_dry:
        planned = plan(session.repo, target, names, tips)
        return _dry(session, merging, planned, codes)
    merged = merge_branches(session.repo, target, names, tips=tips)
    return _finish(session, merging, merged, facts, codes)


def _codes(
    session: Session, feature: FeatureState, chosen: Sequence[PackageState]
) -> dict[str, CodeState]:
    """Returns the state of the packages' code before the merge, by package."""
    part = replace(feature, packages={package.wp_id: package for package in chosen})
    codes = code_of_packages(session, [part], (DOING, FOR_REVIEW))
    return {wp_id: code for (_, wp_id), code in codes.items()}


def _is_brought(code: CodeState) -> bool:
    """Reports whether a target has a package's changes by other commits than the package's own."""
    landed = code.landed
    is_there = code.kind in ("landed", "local") and code.changed_since is None
    return is_there and landed is not None and landed.how != "ancestor"


def _notes(codes: Mapping[str, CodeState]) -> list[str]:
    """Returns what a reviewer has to know of the packages, a line each."""
    notes = []
    for wp_id, code in codes.items():
        if code.changed_since is not None:
            notes.append(f"{wp_id} has {changed_since(code.changed_since)}")
        if _is_brought(code) and code.landed is not None:
            by = f", by {code.landed.commit[:SHORT]}" if code.landed.commit else ""
            notes.append(f"{code.target} has the changes of {wp_id} already{by}")
        if code.kind == "reverted":
            notes.append(f"{code.target} does not have the changes of {wp_id}, which it had merged")
    return notes


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


def _dry(
    session: Session, feature: FeatureState, planned: MergePlan, codes: Mapping[str, CodeState]
) -> CommandResult:
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
    lines += _notes(codes)
    return session.result(data, lines)


def _finish(
    session: Session,
    feature: FeatureState,
    plan: MergePlan,
    facts: Mapping[str, Facts],
    codes: Mapping[str, CodeState],
) -> CommandResult:
    """Moves the merged packages to for_review; raises GitFailed for a conflict."""
    target = plan.target
    if plan.conflict is not None:
        raise _conflict(session, feature, plan.conflict, target)
    merged = [step.branch for step in plan.steps]
    brought = [wp_id for wp_id, code in codes.items() if _is_brought(code)]
    names = filter(None, map(named, merged))
    moved = _move_merged(session, feature, [*(name[1] for name in names), *brought], facts)
    mirror(session, session.board.features.get(feature.slug, feature))
    lacking = _upstream_without(session, target, plan.end)
    data = {
        "feature_slug": feature.slug,
        "target_branch": target,
        "merged": merged,
        "already_there": brought,
        "changed_since": {
            wp_id: code.changed_since for wp_id, code in codes.items() if code.changed_since
        },
        "moved": moved,
        "merge_commit": plan.end,
        "not_pushed_to": lacking,
    }
    out = [wp_id for wp_id, code in codes.items() if code.kind == "reverted"]
    refused = [*out, *(wp_id for wp_id, code in codes.items() if code.changed_since)]
    lines = [
        f"{name} is merged into {target}"
        for name in merged
        if name not in (branch_of(feature.slug, wp_id) for wp_id in out)
    ]
    lines += _notes(codes)
    lines += [f"{wp_id} of {feature.slug}: doing -> for_review" for wp_id in moved]
    if lacking is not None:
        push = push_command(session.refs, target)
        lines += [f"merged here, not pushed to {lacking}", f"next: {push}"]
    lines += [
        f"next: thence work move-task {wp_id} --feature {feature.slug} --to doing --reason TEXT"
        for wp_id in refused
    ]
    if len(refused) < len(codes):
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
    """Moves the merged packages that are in doing to for_review; returns their ids."""
    requests = {wp_id: facts[wp_id] for wp_id in merged if feature.packages[wp_id].lane == DOING}
    if not requests:
        return []
    moves, refused = move_all(session, feature.slug, FOR_REVIEW, requests)
    for error in refused.values():
        raise error
    return [move.wp_id for move in moves]


def _upstream_without(session: Session, target: str, commit: str) -> str | None:
    """Returns the short name of a branch's upstream, if that lacks a commit."""
    upstream = session.refs.upstreams.get(HEADS + target)
    if push_command(session.refs, target) is None or upstream is None:
        return None
    is_there = is_ancestor(session.repo, commit, session.refs.commits[upstream])
    return None if is_there else upstream.removeprefix(REMOTES)
