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
from thence.core.new_event import Unchanged
from thence.errors import GitFailed, HeadsMoved, PlanningError, Refused
from thence.git import merging
from thence.git.landed import Landed
from thence.git.merging import MergePlan
from thence.git.repository import Repository
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
from thence.work.board.transitions import DECIDING_TYPES, landed_payload, refusals
from thence.work.journal.store import WorkEvent
from thence.work.names import branch_of, wp_id_of
from thence.work.names import package_of as package_named
from thence.work.project.package_refs import target_in
from thence.work.session.clearing import clear
from thence.work.session.lane_changes import (
    context_of,
    decide_move,
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
    with_code,
)
from thence.work.session.pull_requests import (
    not_pushed,
    push_packages,
    reached,
    take_plan_in,
)
from thence.work.session.session import CommandResult, Session, moved_meanwhile

# what has landed, or has no code, needs no commit on the package's branch
_WITHOUT_COMMIT = frozenset(("nothing_committed",))
# by lane: the lanes of a package that is said to have landed, or to have no code
_TO_DONE: Mapping[str, tuple[str, ...]] = {
    REJECTED: (PLANNED, DOING, FOR_REVIEW, DONE),
    PLANNED: (DOING, FOR_REVIEW, DONE),
    DOING: (FOR_REVIEW, DONE),
}
_IGNORED_SHOWN_MAX = 3


@click.argument("packages", metavar="[WP]...", nargs=-1, shell_complete=complete_package)
@click.option("--dry-run", "is_dry", is_flag=True, help="Show what would be merged.")
@click.option(
    "--push", "is_pushed", is_flag=True, help="Merge nothing: push the branches for pull requests."
)
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
    is_pushed: bool = False,
) -> CommandResult:
    """Merge the branches of packages into their feature's target branch.

    Without packages it takes those in review, and your own in doing that have commits; the others
    are named with the reason. It checks all before it merges the first, in the order of their
    dependencies. Packages in doing move to for_review; what was approved and has landed is done.

    Where features land by pull requests it merges nothing: it pushes the branches, and names the
    pull requests to open.

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
        merged = _merge(
            session,
            state,
            wp_ids,
            reason,
            is_forced=is_forced,
            is_dry=is_dry,
            by_pull_request=is_pushed or session.planning.is_by_pull_request,
        )
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
        shown = ", ".join(one.ignored[:_IGNORED_SHOWN_MAX])
        if len(one.ignored) > _IGNORED_SHOWN_MAX:
            shown += ", …"
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
    by_pull_request: bool,
) -> CommandResult | None:
    """Merges packages of a feature, all in work if none is named; None if there is nothing to do.

    Raises Refused, PlanningError, and GitFailed for a conflict, with nothing merged.
    """
    target = session.target_of(state)
    if by_pull_request and not is_dry:
        reached(session, target)
    # the newest commits by their branches, those on remotes with them
    branches = ((wp_id, newest_branch(session, state, wp_id)) for wp_id in state.packages)
    tips = {branch_of(state.slug, wp_id): branch[1] for wp_id, branch in branches if branch}
    candidates = _mergeable(session, state, wp_ids, tips)
    if not candidates:
        return None
    part = replace(state, packages={package.wp_id: package for package in candidates})
    before = code_of_packages(session, [part], (DOING, FOR_REVIEW))
    codes = {wp_id: code for (_, wp_id), code in before.items()}
    contexts, stays = _check_packages(
        *(session, state, candidates, codes, reason),
        is_forced=is_forced,
        is_strict=bool(wp_ids),
        waived=frozenset() if by_pull_request else _WITHOUT_COMMIT,
    )
    codes = {wp_id: code for wp_id, code in codes.items() if wp_id in contexts}
    names = [
        branch_of(state.slug, wp_id)
        for wp_id in contexts
        if wp_id not in codes or not _is_landed(codes[wp_id])
    ]
    if by_pull_request and (aim := target_in(session.refs, target).tip):
        tips[target] = aim
    if is_dry:
        commits = {**session.refs.branches, **tips}
        planned = merging.plan(session.project.repo, target, names, commits)
        return _dry(session, state, planned, codes, stays)
    if by_pull_request:
        return _hand_over(session, state, names, contexts, codes, stays)
    by_branch = {branch_of(state.slug, wp_id): state.packages[wp_id] for wp_id in contexts}
    check = partial(check_whole, session, state, by_branch)
    merged = merging.merge(session.project.repo, target, names, tips=tips, check=check)
    if merged.conflict is not None:
        branch = merged.conflict.branch
        which = f"{branch.removeprefix(f'{state.slug}-')} --feature {state.slug}"
        tree = session.refs.trees.get(branch)
        place = f"in {tree}" if tree else f"thence work implement {which}, and there"
        raise GitFailed(
            "could not merge",
            place=f"{branch} into {target}",
            cause=f"both changed {', '.join(merged.conflict.files)}; nothing is merged",
            hint=f"{place}: git merge {target}, resolve and commit; then thence work merge {which}",
        )
    return _finish(session, state, merged, contexts, codes, stays)


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
    candidates: Sequence[PackageState],
    codes: Mapping[str, LandingStatus],
    reason: str,
    *,
    is_forced: bool,
    is_strict: bool,
    waived: frozenset[str],
) -> tuple[dict[str, MoveContext], dict[str, str]]:
    """Returns the contexts of the packages to merge, and the reasons of those that stay.

    A package in doing is handed in by the guards of `move-task`. With `is_strict` Refused is raised
    for the first that stays.
    """
    contexts: dict[str, MoveContext] = {}
    stays: dict[str, str] = {}
    for package in candidates:
        wp_id = package.wp_id
        context = context_of(session, feature, wp_id, reason=reason, is_forced=is_forced)
        contexts[wp_id] = replace(context, waived_guards=waived)
        if package.lane != DOING:
            continue
        code = codes.get(wp_id)
        is_mine = package.agent in (None, context.actor, context.changed_by)
        if not is_strict and not is_mine:
            stays[wp_id] = f"{package.agent} is at it"
        elif not is_strict and code is not None and code.kind == "no_code":
            stays[wp_id] = "it has no commit of its own"
        else:
            for refusal in refusals(
                session.board, feature.slug, wp_id, FOR_REVIEW, contexts[wp_id]
            ):
                if is_forced and refusal.may_be_forced:
                    continue
                if is_strict:
                    place = f"{feature.slug}/{wp_id}"
                    raise refusal.error("could not merge", place, is_agent=context.is_agent)
                stays[wp_id] = f"{refusal.message}; {refusal.remedy}"
                break
    return {wp_id: one for wp_id, one in contexts.items() if wp_id not in stays}, stays


def _dry(
    session: Session,
    feature: FeatureState,
    planned: MergePlan,
    codes: Mapping[str, LandingStatus],
    stays: Mapping[str, str],
) -> CommandResult:
    steps = [
        {"branch": step.branch, "status": step.status, "files": list(step.files)}
        for step in planned.steps
    ]
    data = {
        "feature_slug": feature.slug,
        "target_branch": planned.target,
        "steps": steps,
        "stays": dict(stays),
        "dry_run": True,
    }
    lines = [f"into {planned.target}:"]
    for step in planned.steps:
        files = f": {', '.join(step.files)}" if step.files else ""
        lines.append(f"  {step.status:<8}  {step.branch}{files}")
    lines += _notes(codes)
    lines += [f"{wp_id} stays: {why}" for wp_id, why in stays.items()]
    return session.result(data, lines)


def _hand_over(
    session: Session,
    feature: FeatureState,
    names: Sequence[str],
    contexts: Mapping[str, MoveContext],
    codes: Mapping[str, LandingStatus],
    stays: Mapping[str, str],
) -> CommandResult:
    """Pushes the branches of packages for pull requests, and moves the packages to for_review."""
    slug = feature.slug
    doing = {w: one for w, one in contexts.items() if feature.packages[w].lane == DOING}
    for wp_id, context in doing.items():
        context = with_code(session, feature, wp_id, FOR_REVIEW, context)
        decide_move(session, slug, wp_id, FOR_REVIEW, context)
        take_plan_in(session, feature, wp_id)
    requests = push_packages(session, feature, names)
    moves, unmoved = move_all(session, slug, [(w, FOR_REVIEW, one) for w, one in doing.items()])
    for error in unmoved.values():
        raise error
    mirror(session, session.board.features.get(feature.slug, feature))
    landed = [wp_id for wp_id, code in codes.items() if _is_landed(code)]
    data = {
        "feature_slug": feature.slug,
        "target_branch": session.target_of(feature),
        "pushed": [name for name, request in requests.items() if request],
        "pull_requests": {name: one.page for name, one in requests.items() if one},
        "already_there": landed,
        "moved": [move.wp_id for move in moves],
        "stays": dict(stays),
    }
    lines = _notes(codes)
    for name, request in requests.items():
        done = f"{name} is pushed" if request else f"{name} is not pushed"
        lines += [done, f"next: {request or f'git push -u origin {name}'}"]
    lines += [f"{move.wp_id} of {feature.slug}: doing -> for_review" for move in moves]
    if plan := session.planning.open_plan(feature.slug):
        lines.append(f"{plan.name} has not landed yet: its pull request goes first")
    lines += [f"{wp_id} stays: {why}" for wp_id, why in stays.items()]
    lines.append(f"then: git fetch; thence work accept --feature {feature.slug}")
    return session.result(data, lines)


def _finish(
    session: Session,
    feature: FeatureState,
    plan: MergePlan,
    contexts: Mapping[str, MoveContext],
    codes: Mapping[str, LandingStatus],
    stays: Mapping[str, str],
) -> CommandResult:
    """Moves merged packages on: from doing to for_review, approved ones that landed to done."""
    target = plan.target
    # what had been reverted is whole again: the merge was checked
    codes = {wp_id: code for wp_id, code in codes.items() if code.kind != "reverted"}
    merged = [step.branch for step in plan.steps]
    landed = [wp_id for wp_id, code in codes.items() if _is_landed(code)]
    names = [*(name[1] for name in filter(None, map(package_named, merged))), *landed]
    doing = [wp_id for wp_id in names if feature.packages[wp_id].lane == DOING]
    requests = [(wp_id, FOR_REVIEW, contexts[wp_id]) for wp_id in doing]
    moves, unmoved = move_all(session, feature.slug, requests, needs_log=False)
    for error in unmoved.values():
        raise error
    moved = [move.wp_id for move in moves]
    approved = [wp_id for wp_id in names if feature.packages[wp_id].is_approved]
    requests = [(wp_id, DONE, context_of(session, feature, wp_id, DONE)) for wp_id in approved]
    moves, waiting = move_all(session, feature.slug, requests, needs_log=False, is_strict=False)
    accepted = [move.wp_id for move in moves]
    mirror(session, session.board.features.get(feature.slug, feature))
    lacking, steps = not_pushed(session, target, plan.end)
    data = {
        "feature_slug": feature.slug,
        "target_branch": target,
        "merged": merged,
        "already_there": landed,
        "changed_since": {
            wp_id: code.changed_since for wp_id, code in codes.items() if code.changed_since
        },
        "moved": moved,
        "accepted": accepted,
        "stays": dict(stays),
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
    lines += [f"{wp_id} of {feature.slug} is done" for wp_id in accepted]
    lines += [
        f"{wp_id} stays in review: {error.cause}"
        for wp_id, error in waiting.items()
        if error.guard != "not_landed"
    ]
    lines += [f"{wp_id} stays: {why}" for wp_id, why in stays.items()]
    lines += steps
    lines += [
        f"next: thence work move-task {wp_id} --feature {feature.slug} --to doing --reason TEXT"
        for wp_id in refused
    ]
    lines += [
        f"next: thence work accept {wp_id} --feature {feature.slug} --no-code REASON"
        for wp_id in empty
    ]
    if {*names} - {*refused, *empty, *accepted}:
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

    Without packages it takes all in review that have landed. Each needs its gates passed, its
    dependencies done, and its code in the target branch: merged, squashed or rebased, and pushed if
    that branch has an upstream. With --landed or --no-code it takes one package from any lane.
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
    wp_ids = [wp_id_of(name) for name in packages]
    recorded = [wp_id for name, wp_id in session.recorded if name == slug]
    remaining = [wp_id for wp_id in wp_ids if wp_id not in recorded]
    is_reviewing = any(one.lane == FOR_REVIEW for one in state.packages.values())
    is_recorded = bool(recorded) and not (remaining if wp_ids else is_reviewing)
    chosen = () if is_recorded else _reviewed(state, remaining)
    requests: list[tuple[str, str, MoveContext]] = []
    for package in chosen:
        code = code_of(session, state, package, landed, no_code, reason)
        if package.lane == DONE and code is not None and code.landed is not None:
            return _state_landing(session, state, package, code.landed)
        for lane in _TO_DONE.get(package.lane, (DONE,)) if code is not None else (DONE,):
            context = context_of(
                session, state, package.wp_id, lane, reason=reason, is_forced=is_forced
            )
            context = replace(context, is_local=is_local, code=code if lane == DONE else None)
            waived = frozenset() if code is None else _WITHOUT_COMMIT
            requests.append((package.wp_id, lane, replace(context, waived_guards=waived)))
    moves, refused = move_all(session, slug, requests, is_strict=bool(packages))
    accepted = recorded + [move.wp_id for move in moves if move.to == DONE]
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


def _state_landing(
    session: Session, feature: FeatureState, package: PackageState, landed: Landed
) -> CommandResult:
    """Records how a package landed that is done already."""
    place, rule = f"{feature.slug}/{package.wp_id}", "says that a package has landed"
    refuse_agents("could not accept", place, "not_landed", rule)
    payload = landed_payload(package.wp_id, landed)
    event = WorkEvent("WPLanded", payload, feature.slug, package.events_of("lane"))
    guard = Unchanged(session.position, {package.subject}, DECIDING_TYPES)
    try:
        session.append(event, guard=guard)
    except HeadsMoved as error:
        raise moved_meanwhile("could not accept", place, "somebody moved it meanwhile") from error
    data = {"feature_slug": feature.slug, "accepted": [package.wp_id], "kept": []}
    return session.result(data, [f"{package.wp_id} of {feature.slug} is done: its landing is kept"])


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
