"""The commands of `thence work` by which the code of packages gets into its target."""

from collections.abc import Container, Mapping, Sequence
from functools import partial

import click
from msgspec.structs import replace

from thence.cli.commands.work.command_runner import (
    feature_option,
    force_option,
    local_option,
    reason_option,
    session_command,
)
from thence.cli.shared.completing import complete_package
from thence.cli.shared.render import counted
from thence.errors import GitFailed, PlanningError, Refused
from thence.git import merging
from thence.git.merging import MergePlan
from thence.git.refs import REMOTES, push_command
from thence.git.repository import HEADS, Repository, is_ancestor, list_worktrees, worktrees_of
from thence.git.submodules import unpushed_pointers
from thence.work.board.dependencies import in_order
from thence.work.board.move_request import (
    SHORT,
    LandingStatus,
    MoveContext,
    changed_since,
    reverted_by,
)
from thence.work.board.state import (
    DOING,
    DONE,
    FOR_REVIEW,
    PLANNED,
    REJECTED,
    FeatureState,
    PackageState,
)
from thence.work.board.transitions import refusals
from thence.work.names import branch_of, wp_id_of
from thence.work.names import package_of as package_named
from thence.work.session.clearing import clear
from thence.work.session.lane_changes import (
    context_of,
    mirror,
    move_all,
    package_of,
    refuse_agents,
)
from thence.work.session.package_code import (
    check_whole,
    code_of,
    code_of_packages,
    newest_branch,
)
from thence.work.session.session import CommandResult, Session

# the merging actor answers for all packages; a merged package needs no further commit
_EXEMPT = frozenset(("not_its_agent", "nothing_committed"))
_IGNORED_SHOWN_MAX = 3


@click.argument("packages", metavar="[WP]...", nargs=-1, shell_complete=complete_package)
@click.option("--dry-run", "is_dry", is_flag=True, help="Show what would be merged.")
@feature_option
@force_option
@reason_option
def merge(
    session: Session,
    packages: Sequence[str],
    *,
    feature: str | None = None,
    reason: str = "",
    is_forced: bool = False,
    is_dry: bool = False,
) -> CommandResult:
    """Merge the branches of packages into their feature's target branch.

    Without packages it takes all in doing or for_review. It checks all before it merges the first,
    in the order of their dependencies.

    Worktrees and branches of packages that are done and have landed are cleared away. Uncommitted
    or unlanded work stays, and the command says why. Ignored files go with the worktree's folder.
    """
    if not is_dry:
        place = ", ".join(packages) or feature or "a feature"
        refuse_agents("could not merge", place, "merged_by_an_agent", "merges a package")
    session.refresh()
    wp_ids = [wp_id_of(name) for name in packages]
    slugs = list(session.board.features)
    merged = None
    is_named = bool(packages) or feature is not None
    if is_named or not all(one.is_completed for one in session.board.features.values()):
        state = session.feature(feature, *packages)
        merged = _merge(session, state, wp_ids, reason, is_forced=is_forced, is_dry=is_dry)
        slugs = [state.slug] if is_named else slugs
    cleared = [*clear(session, slugs, wp_ids, is_dry=is_dry)]
    if merged is None and not cleared:
        raise PlanningError(
            "could not merge",
            place=session.feature_slug or "",
            cause="nothing is there to merge: no package with a branch is in doing or for_review",
            hint="thence work status",
        )
    lines, verb = list[str](), "would go" if is_dry else "are gone"
    for one in cleared:
        name = f"{one.wp_id} of {one.feature_slug}"
        shown = ", ".join(
            (*one.ignored[:_IGNORED_SHOWN_MAX], *["…"] * (len(one.ignored) > _IGNORED_SHOWN_MAX))
        )
        names = f", with {counted(len(one.ignored), 'ignored path')}: {shown}" if shown else ""
        gone = f"{name}: its worktree and branch {verb}{names}"
        lines.append(f"{name} stays here: {one.reason}" if one.reason else gone)
    data = {"merged": [], "moved": [], "dry_run": is_dry} if merged is None else merged.data
    kept = [one._asdict() for one in cleared if one.reason]
    data = {**data, "cleared": [one._asdict() for one in cleared if not one.reason], "kept": kept}
    return session.result(data, [*lines, *(merged.lines if merged else ())])


merge_command = session_command(merge, "merge", "thence work merge --feature 001 --dry-run")


def _merge(
    session: Session,
    state: FeatureState,
    wp_ids: Sequence[str],
    reason: str,
    *,
    is_forced: bool,
    is_dry: bool,
) -> CommandResult | None:
    """Merges packages of a feature, all in work if none is named; None if there is nothing to do.

    Raises Refused, PlanningError, and GitFailed for a conflict, with nothing merged.
    """
    target = session.target_of(state)
    # the newest commits by their branches, those on remotes with them
    branches = ((wp_id, newest_branch(session, state, wp_id)) for wp_id in state.packages)
    tips = {branch_of(state.slug, wp_id): branch[1] for wp_id, branch in branches if branch}
    chosen = _mergeable(session, state, wp_ids, tips)
    if not chosen:
        return None
    contexts = _check_packages(session, state, chosen, reason, is_forced)
    part = replace(state, packages={package.wp_id: package for package in chosen})
    before = code_of_packages(session, [part], (DOING, FOR_REVIEW))
    codes = {wp_id: code for (_, wp_id), code in before.items()}
    names = [
        branch_of(state.slug, package.wp_id)
        for package in chosen
        if package.wp_id not in codes or not _is_landed(codes[package.wp_id])
    ]
    if is_dry:
        return _dry(session, state, merging.plan(session.project.repo, target, names, tips), codes)
    by_branch = {branch_of(state.slug, package.wp_id): package for package in chosen}
    check = partial(check_whole, session, state, by_branch)
    merged = merging.merge(session.project.repo, target, names, tips=tips, check=check)
    session.warnings += unpushed_pointers(session.project.repo, merged.begin, merged.end)
    return _finish(session, state, merged, contexts, codes)


def _is_landed(code: LandingStatus) -> bool:
    """Reports whether a target has a package's changes by other commits than the package's own."""
    landed = code.landed
    is_there = code.kind in ("landed", "local") and code.changed_since is None
    return is_there and landed is not None and landed.how != "ancestor"


def _notes(codes: Mapping[str, LandingStatus]) -> list[str]:
    """Returns what a reviewer has to know of the packages, a line each."""
    notes = []
    for wp_id, code in codes.items():
        if code.changed_since is not None:
            notes.append(f"{wp_id} has {changed_since(code.changed_since)}")
        if _is_landed(code) and code.landed is not None:
            by = f", by {code.landed.commit[:SHORT]}" if code.landed.commit else ""
            notes.append(f"{code.target} has the changes of {wp_id} already{by}")
        if code.kind == "reverted":
            notes.append(f"{wp_id} is {reverted_by(code)}")
    return notes


def _mergeable(
    session: Session, feature: FeatureState, wp_ids: Sequence[str], branches: Container[str]
) -> tuple[PackageState, ...]:
    """Returns the packages to merge; of those named not what is done and has landed."""
    if not wp_ids:
        return in_order(
            [
                package
                for package in feature.packages.values()
                if package.lane in (DOING, FOR_REVIEW)
                and branch_of(feature.slug, package.wp_id) in branches
            ]
        )
    named = [package_of(feature, wp_id) for wp_id in wp_ids]
    part = replace(feature, packages={package.wp_id: package for package in named})
    codes = code_of_packages(session, [part], (DONE,))
    for package in named:
        code = codes.get((feature.slug, package.wp_id))
        if code is not None and code.kind == "landed":
            named = [one for one in named if one != package]
            continue
        if branch_of(feature.slug, package.wp_id) not in branches:
            raise _without_branch(session.project.repo, feature, package)
        if package.lane in (PLANNED, REJECTED):
            raise Refused(
                "could not merge",
                guard="not_in_lane",
                place=f"{feature.slug}/{package.wp_id}",
                cause=f"it is in {package.lane}: nobody works on it",
                hint=f"thence work implement {package.wp_id} --feature {feature.slug} takes it up",
            )
    return in_order(named)


def _without_branch(repo: Repository, feature: FeatureState, package: PackageState) -> Refused:
    branch = branch_of(feature.slug, package.wp_id)
    hint = (
        f"git fetch, if somebody else did it (they push it: git push -u origin {branch});"
        f" else thence work implement {package.wp_id} --feature {feature.slug} makes it"
    )
    if package.reviewed and repo.git.commit_of(package.reviewed.commit):  # it was here
        hint = f"git branch {branch} {package.reviewed.commit} puts it back"
    return Refused(
        "could not merge",
        guard="no_branch",
        place=f"{feature.slug}/{package.wp_id}",
        cause=f"it is in {package.lane}, and has no branch {branch}",
        hint=hint,
    )


def _check_packages(
    session: Session,
    feature: FeatureState,
    chosen: Sequence[PackageState],
    reason: str,
    is_forced: bool,
) -> dict[str, MoveContext]:
    """Returns each package's context; raises Refused for the first that may not be merged."""
    contexts: dict[str, MoveContext] = {}
    for package in chosen:
        context = context_of(session, feature, package.wp_id, reason=reason, is_forced=is_forced)
        context = replace(context, waived_guards=_EXEMPT)
        contexts[package.wp_id] = context
        if package.lane != DOING:
            continue
        for refusal in refusals(session.board, feature.slug, package.wp_id, FOR_REVIEW, context):
            if not (is_forced and refusal.may_be_forced):
                place = f"{feature.slug}/{package.wp_id}"
                raise refusal.error("could not merge", place, is_agent=context.is_agent)
    return contexts


def _dry(
    session: Session, feature: FeatureState, planned: MergePlan, codes: Mapping[str, LandingStatus]
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
    contexts: Mapping[str, MoveContext],
    codes: Mapping[str, LandingStatus],
) -> CommandResult:
    """Moves the merged packages to for_review; raises GitFailed for a conflict."""
    target = plan.target
    if plan.conflict is not None:
        branch = plan.conflict.branch
        trees = worktrees_of(list_worktrees(session.project.repo), branch)
        wp_id = branch.removeprefix(f"{feature.slug}-")
        made = f"thence work implement {wp_id} --feature {feature.slug}, and there"
        place = f"in {trees[0].path}" if trees else made
        raise GitFailed(
            "could not merge",
            place=f"{branch} into {target}",
            cause=f"both changed {', '.join(plan.conflict.files)}; nothing is merged",
            hint=f"{place}: git merge {target}, resolve and commit; then thence work merge"
            f" --feature {feature.slug}",
        )
    # what had been reverted is whole again: the merge was checked
    codes = {wp_id: code for wp_id, code in codes.items() if code.kind != "reverted"}
    merged = [step.branch for step in plan.steps]
    landed = [wp_id for wp_id, code in codes.items() if _is_landed(code)]
    names = [*(name[1] for name in filter(None, map(package_named, merged))), *landed]
    doing = {wp_id: contexts[wp_id] for wp_id in names if feature.packages[wp_id].lane == DOING}
    moved: list[str] = []
    if doing:
        moves, unmoved = move_all(session, feature.slug, FOR_REVIEW, doing, needs_log=False)
        for error in unmoved.values():
            raise error
        moved = [move.wp_id for move in moves]
    mirror(session, session.board.features.get(feature.slug, feature))
    push, lacking = push_command(session.refs, target), None
    upstream = session.refs.upstreams.get(HEADS + target)
    if push is not None and upstream is not None:
        is_there = is_ancestor(session.project.repo, plan.end, session.refs.commits[upstream])
        lacking = None if is_there else upstream.removeprefix(REMOTES)
    data = {
        "feature_slug": feature.slug,
        "target_branch": target,
        "merged": merged,
        "already_there": landed,
        "changed_since": {
            wp_id: code.changed_since for wp_id, code in codes.items() if code.changed_since
        },
        "moved": moved,
        "merge_commit": plan.end,
        "not_pushed_to": lacking,
    }
    refused = [wp_id for wp_id, code in codes.items() if code.changed_since]
    empty = [wp_id for wp_id, code in codes.items() if code.kind == "no_code"]
    unmerged = {branch_of(feature.slug, wp_id) for wp_id in empty}
    lines = [f"{name} is merged into {target}" for name in merged if name not in unmerged]
    lines += [f"{branch_of(feature.slug, wp_id)} changes nothing: no merge" for wp_id in empty]
    lines += _notes(codes)
    lines += [f"{wp_id} of {feature.slug}: doing -> for_review" for wp_id in moved]
    if lacking is not None:
        lines += [f"merged here, not pushed to {lacking}", f"next: {push}"]
    lines += [
        f"next: thence work move-task {wp_id} --feature {feature.slug} --to doing --reason TEXT"
        for wp_id in refused
    ]
    lines += [
        f"next: thence work accept {wp_id} --feature {feature.slug} --no-code REASON"
        for wp_id in empty
    ]
    if not codes or len(refused) + len(empty) < len(codes):
        lines.append(f"next: thence work accept --feature {feature.slug}")
    return session.result(data, lines)


@click.argument("packages", metavar="[WP]...", nargs=-1, shell_complete=complete_package)
@click.option(
    "--landed", metavar="COMMIT", help="The commit of the target that merged the package."
)
@click.option("--no-code", metavar="REASON", help="The reason why the package has no code.")
@local_option
@feature_option
@force_option
@reason_option
def accept(
    session: Session,
    packages: Sequence[str],
    *,
    feature: str | None = None,
    reason: str = "",
    is_forced: bool = False,
    is_local: bool = False,
    landed: str | None = None,
    no_code: str | None = None,
) -> CommandResult:
    """Move reviewed and merged packages to done.

    Without packages it checks all in review. Each needs its gates passed, its dependencies done,
    and its code in the target branch: merged, squashed or rebased, and pushed if that branch has an
    upstream.
    """
    if (landed or no_code) and len(packages) != 1:
        raise PlanningError(
            "could not accept",
            cause="--landed and --no-code are said of one package",
            hint="name it: thence work accept WP01 --landed COMMIT",
        )
    session.refresh()
    state = session.feature(feature, *packages)
    slug = state.slug
    chosen = _reviewed(state, [wp_id_of(name) for name in packages])
    requests: dict[str, MoveContext] = {}
    for package in chosen:
        context = context_of(
            session, state, package.wp_id, DONE, reason=reason, is_forced=is_forced
        )
        code = code_of(session, state, package, landed, no_code, reason)
        requests[package.wp_id] = replace(context, is_local=is_local, code=code)
    moves, refused = move_all(session, slug, DONE, requests, is_strict=bool(packages))
    accepted = [move.wp_id for move in moves]
    if accepted:
        mirror(session, session.board.features[slug])
    if packages and refused:  # those before the first that may not be done have been moved
        raise next(iter(refused.values()))
    kept = {wp_id: f"{error.cause}; {error.hint}" for wp_id, error in refused.items()}
    data = {
        "feature_slug": slug,
        "accepted": accepted,
        "kept": [{"wp_id": wp_id, "reason": why} for wp_id, why in kept.items()],
    }
    lines = [f"{wp_id} of {slug} is done" for wp_id in accepted]
    lines += [f"{wp_id} stays in review: {why}" for wp_id, why in kept.items()]
    if all(package.lane == DONE for package in session.board.features[slug].packages.values()):
        lines.append(f"all of {slug} is done")
    return session.result(data, lines, exit_code=1 if kept and not accepted else 0)


accept_command = session_command(accept, "accept", "thence work accept --feature 001")


def _reviewed(feature: FeatureState, wp_ids: Sequence[str]) -> tuple[PackageState, ...]:
    if wp_ids:
        return in_order([package_of(feature, wp_id) for wp_id in wp_ids])
    in_review = [package for package in feature.packages.values() if package.lane == FOR_REVIEW]
    if not in_review:
        lanes_now = ", ".join(
            f"{package.wp_id} {package.lane}" for package in feature.packages.values()
        )
        raise PlanningError(
            "could not accept",
            place=feature.slug,
            cause=f"no package is in for_review: {lanes_now or 'it has none'}",
            hint="thence work status",
        )
    return in_order(in_review)
