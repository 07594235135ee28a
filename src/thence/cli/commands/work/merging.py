"""The commands of `thence work` by which the code of packages gets into its target."""

from collections.abc import Container, Iterable, Mapping, Sequence
from functools import partial
from typing import Any

import click
from msgspec.structs import replace

from thence.cli.commands.work.command_runner import (
    feature_option,
    force_option,
    local_option,
    reason_option,
    session_command,
)
from thence.cli.shared.render import counted
from thence.errors import GitFailed, HeadsMoved, PlanningError, Refused
from thence.git import merging
from thence.git.landed import Landed
from thence.git.merging import MergePlan
from thence.work.board.move_request import (
    SHORT,
    LandingStatus,
    changed_since,
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
from thence.work.board.transitions import DECIDING_TYPES, landed_payload
from thence.work.journal.store import WorkEvent
from thence.work.names import branch_of, wp_id_of
from thence.work.names import package_of as package_named
from thence.work.plan.tasks import in_order
from thence.work.project.configuration import gates_run
from thence.work.project.package_refs import target_in
from thence.work.session.clearing import clear, clear_plans
from thence.work.session.lane_changes import (
    LaneRequest,
    check_move,
    decide_moves,
    move_all,
    package_of,
    refuse_agents,
    request_of,
)
from thence.work.session.package_code import (
    check_whole,
    code_of,
    code_of_packages,
    handed_in,
    newest_branch,
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


@click.argument("packages", metavar="[WP]...", nargs=-1)
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

    Without packages it merges those in review, and your own in doing that have commits; the others
    are named with the reason. It checks all before it merges the first, in dependency
    order. Packages in doing move to for_review; what was approved and has landed is done.

    If features land by pull requests, it merges nothing: it pushes the branches, and names the
    pull requests to open.

    Worktrees and branches of packages and plans that have landed are removed. Uncommitted
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
    cleared += clear_plans(session, () if wp_ids else slugs, is_dry=is_dry)
    if merged is None and not cleared:
        raise PlanningError(
            "could not merge",
            place=session.feature_slug or "",
            cause="there is nothing to merge: no package with a branch is in doing or for_review",
            hint="thence work status",
        )
    lines, verb = list[str](), "would go" if is_dry else "are gone"
    for one in cleared:
        name = f"{one.wp_id or 'the plan'} of {one.feature_slug}"
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
    target = session.snapshot.target_of(state)
    if by_pull_request and not is_dry:
        reached(session, target)
    # the newest commits by their branches, those on remotes with them
    branches = ((wp_id, newest_branch(session.snapshot, state, wp_id)) for wp_id in state.packages)
    tips = {branch_of(state.slug, wp_id): branch[1] for wp_id, branch in branches if branch}
    waived = frozenset[str]() if by_pull_request else _WITHOUT_COMMIT
    requests, codes, stays = _chosen(
        session, state, wp_ids, tips, reason, is_forced=is_forced, waived=waived
    )
    if not requests and not stays:
        return None
    names = [
        branch_of(state.slug, wp_id)
        for wp_id in requests
        if wp_id not in codes or not _is_landed(codes[wp_id])
    ]
    if by_pull_request and (aim := target_in(session.refs, target).tip):
        tips[target] = aim
    staying = [f"{wp_id} stays: {why}" for wp_id, why in stays.items()]
    if is_dry:
        commits = {**session.refs.branches, **tips}
        planned = merging.plan(session.project.repo, target, names, commits)
        data: dict[str, Any] = {"steps": [], "dry_run": True}
        lines = [f"into {target}:"]
        for step in planned.steps:
            files = f": {', '.join(step.files)}" if step.files else ""
            lines.append(f"  {step.status:<8}  {step.branch}{files}")
            one = {"branch": step.branch, "status": step.status, "files": list(step.files)}
            data["steps"].append(one)
        lines += [*_notes(codes), *staying]
    elif by_pull_request:
        data, lines = _hand_over(session, state, names, requests, codes)
        lines += [*staying, f"then: git fetch; thence work accept --feature {state.slug}"]
    else:
        by_branch = {branch_of(state.slug, wp_id): state.packages[wp_id] for wp_id in requests}
        check = partial(check_whole, session.snapshot, state, by_branch)
        merged = merging.merge(session.project.repo, target, names, tips=tips, check=check)
        if merged.conflict is not None:
            branch = merged.conflict.branch
            tree = session.refs.trees.get(branch)
            which = f"{branch.removeprefix(f'{state.slug}-')} --feature {state.slug}"
            place = f"in {tree}" if tree else f"thence work implement {which}, and there"
            then = f"git merge {target}, resolve and commit; then thence work merge {which}"
            raise GitFailed(
                "could not merge",
                place=f"{branch} into {target}",
                cause=f"both changed {', '.join(merged.conflict.files)}; nothing is merged",
                hint=f"{place}: {then}",
            )
        data, lines = _finish(session, state, merged, requests, codes, staying)
    about = {"feature_slug": state.slug, "target_branch": target, "stays": stays}
    return session.result(about | data, lines)


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
            notes.append(f"{wp_id} is {code.sentence}")
    return notes


def _chosen(
    session: Session,
    feature: FeatureState,
    wp_ids: Sequence[str],
    branches: Container[str],
    reason: str,
    *,
    is_forced: bool,
    waived: frozenset[str],
) -> tuple[dict[str, LaneRequest], dict[str, LandingStatus], dict[str, str]]:
    """Returns requests and code of the packages to merge, and the reasons of those that stay.

    Of those named what is done and has landed is left out, and Refused is raised for the first that
    can't be merged. A package in doing is handed in by the guards of `move-task`.
    """
    packages = [package_of(feature, wp_id) for wp_id in wp_ids] or [
        package for package in feature.packages.values() if package.lane in (DOING, FOR_REVIEW)
    ]
    part = replace(feature, packages={package.wp_id: package for package in packages})
    codes = code_of_packages(session.snapshot, [part], (DOING, FOR_REVIEW, DONE))
    requests: dict[str, LaneRequest] = {}
    own = (None, session.current_actor(), session.changed_by())
    in_work: dict[str, LandingStatus] = {}
    stays: dict[str, str] = {}
    for package in in_order(packages):
        wp_id, lane = package.wp_id, package.lane
        code, branch = codes.get((feature.slug, wp_id)), branch_of(feature.slug, wp_id)
        about = f"{wp_id} --feature {feature.slug}"
        is_landed = code is not None and code.kind == "landed"
        if is_landed and (lane == DONE or (branch not in branches and not wp_ids)):
            continue
        if lane == DOING and not wp_ids and package.agent not in own:
            stays[wp_id] = f"{package.agent} is working on it"
            continue
        if branch not in branches and not wp_ids:
            stays[wp_id] = f"its code is not here: git fetch, if {package.agent} has pushed it"
            continue
        if branch not in branches:
            hint = f"git fetch, if someone else did it (they push it: git push -u origin {branch})"
            hint += f"; otherwise thence work implement {about} creates it"
            reviewed = package.reviewed
            if reviewed and session.project.repo.git.commit_of(reviewed.commit):  # it was here
                hint = f"git branch {branch} {reviewed.commit} puts it back"
            cause = f"it is in {lane}, and has no branch {branch}"
            raise _refused("no_branch", feature, wp_id, cause, hint)
        if lane in (PLANNED, REJECTED):
            cause = f"it is in {lane}: no one is working on it"
            hint = f"thence work implement {about} takes it up"
            raise _refused("not_in_lane", feature, wp_id, cause, hint)
        if lane == DOING and not wp_ids and code is not None and code.kind == "no_code":
            stays[wp_id] = "it has no commit of its own"
            continue
        to = FOR_REVIEW if lane == DOING else ""
        request = request_of(session, feature, wp_id, to, reason=reason, is_forced=is_forced)
        request = request.knowing(waived_guards=waived)
        if lane == DOING:
            try:
                check_move(session.board, feature.slug, request)
            except Refused as refusal:
                if wp_ids:
                    raise
                stays[wp_id] = _reason(refusal)
                continue
        requests[wp_id] = request
        if code is not None and lane != DONE:
            in_work[wp_id] = code
    return requests, in_work, stays


def _reason(error: Refused) -> str:
    return f"{error.cause}; {error.hint}"


def _refused(guard: str, feature: FeatureState, wp_id: str, cause: str, hint: str) -> Refused:
    place = f"{feature.slug}/{wp_id}"
    return Refused("could not merge", guard=guard, place=place, cause=cause, hint=hint)


def _hand_over(
    session: Session,
    feature: FeatureState,
    names: Sequence[str],
    requests: Mapping[str, LaneRequest],
    codes: Mapping[str, LandingStatus],
) -> tuple[dict[str, Any], list[str]]:
    """Pushes the branches of packages for pull requests, and moves the packages to for_review."""
    packages = feature.packages
    doing = {w: one for w, one in requests.items() if packages[w].lane == DOING}
    for wp_id in doing:
        take_plan_in(session, feature, wp_id)
    pull_requests = push_packages(session, feature, names)
    for wp_id, request in doing.items():  # a plan that was taken in is part of the code
        reviewed, has_commits = handed_in(session.snapshot, feature, packages[wp_id])
        doing[wp_id] = request.knowing(reviewed=reviewed, has_commits=has_commits)
    moved = _to_review(session, feature, doing.values())
    data = {
        "pushed": [name for name, request in pull_requests.items() if request],
        "pull_requests": {name: one.page for name, one in pull_requests.items() if one},
        "already_there": [wp_id for wp_id, code in codes.items() if _is_landed(code)],
        "moved": moved,
    }
    lines = _notes(codes)
    for name, pull_request in pull_requests.items():
        done = f"{name} is pushed" if pull_request else f"{name} is not pushed"
        lines += [done, f"next: {pull_request or f'git push -u origin {name}'}"]
    lines += [f"{wp_id} of {feature.slug}: doing -> for_review" for wp_id in moved]
    if plan := session.planning.open_plan(feature.slug):
        lines.append(f"{plan.name} has not landed yet: its pull request goes first")
    return data, lines


def _to_review(
    session: Session, feature: FeatureState, requests: Iterable[LaneRequest]
) -> list[str]:
    """Moves packages from doing to for_review, and returns their ids; raises Refused."""
    moves, refused = move_all(session, feature.slug, [*requests], needs_log=False)
    for error in refused.values():
        raise error
    return [move.wp_id for move in moves]


def _finish(
    session: Session,
    feature: FeatureState,
    plan: MergePlan,
    requests: Mapping[str, LaneRequest],
    codes: Mapping[str, LandingStatus],
    staying: Sequence[str],
) -> tuple[dict[str, Any], list[str]]:
    """Moves merged packages on: from doing to for_review, approved ones that landed to done."""
    slug, packages = feature.slug, feature.packages
    # what had been reverted is whole again: the merge was checked
    codes = {wp_id: code for wp_id, code in codes.items() if code.kind != "reverted"}
    merged = [step.branch for step in plan.steps]
    landed = [wp_id for wp_id, code in codes.items() if _is_landed(code)]
    names = [*(name[1] for name in filter(None, map(package_named, merged))), *landed]
    doing = [requests[wp_id] for wp_id in names if packages[wp_id].lane == DOING]
    moved = _to_review(session, feature, doing)
    session.forget_refs()  # the merge has moved the target
    approved = {wp_id: packages[wp_id] for wp_id in names if packages[wp_id].is_approved}
    code_of_packages(session.snapshot, [replace(feature, packages=approved)], (FOR_REVIEW,))
    closing = [request_of(session, feature, wp_id, DONE) for wp_id in approved]
    moves, waiting = move_all(session, slug, closing, needs_log=False, is_strict=False)
    accepted = [move.wp_id for move in moves]
    lacking, steps = not_pushed(session.snapshot, plan.target, plan.end)
    changed = {wp_id: code.changed_since for wp_id, code in codes.items() if code.changed_since}
    data = {
        "merged": merged,
        "already_there": landed,
        "changed_since": changed,
        "moved": moved,
        "accepted": accepted,
        "merge_commit": plan.end,
        "not_pushed_to": lacking,
    }
    empty = {branch_of(slug, w): w for w, code in codes.items() if code.kind == "no_code"}
    back, accept = (
        f"--feature {slug} --to doing --reason TEXT",
        f"--feature {slug} --no-code REASON",
    )
    run = gates_run(session.project)
    accepting = [
        requests[wp_id]
        ._replace(to=DONE)
        .knowing(expected_lane=None, is_forced=False, gates_run=run)
        for wp_id in names
        if wp_id not in (*changed, *empty.values(), *accepted)
    ]
    # what one acceptance would do with them, wherever their code is
    ready, refused, _ = decide_moves(session.snapshot, slug, accepting, is_strict=False).outcome
    waiting = {wp_id: one for wp_id, one in waiting.items() if one.guard != "not_landed"}
    held = {**refused, **waiting}
    lines = [
        *(f"{name} is merged into {plan.target}" for name in merged if name not in empty),
        *(f"{name} changes nothing: no merge" for name in empty),
        *_notes(codes),
        *(f"{wp_id} of {slug}: doing -> for_review" for wp_id in moved),
        *(f"{wp_id} of {slug} is done" for wp_id in accepted),
        *(f"{wp_id} stays in review: {_reason(one)}" for wp_id, one in held.items()),
        *staying,
        *steps,
        *(f"next: thence work move-task {wp_id} {back}" for wp_id in changed),
        *(f"next: thence work accept {wp_id} {accept}" for wp_id in empty.values()),
        *([f"next: thence work accept --feature {slug}"] if ready else []),
    ]
    return data, lines


@click.argument("packages", metavar="[WP]...", nargs=-1)
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

    Without packages it accepts all in review that have landed. Each needs its gates passed, its
    dependencies done, and its code in the target branch: merged, squashed or rebased, and pushed if
    that branch has an upstream. With --landed or --no-code it accepts one package from any lane.
    With --force --reason it ends a feature that has no packages, such as one begun by mistake.
    """
    if (landed or no_code) and len(packages) != 1:
        raise PlanningError(
            "could not accept",
            cause="--landed and --no-code apply to one package",
            hint="name it: thence work accept WP01 --landed COMMIT",
        )
    session.refresh()
    state = session.feature(feature, *packages)
    slug = state.slug
    if not state.packages:
        if not is_forced:
            option = f"--feature {slug}"
            raise PlanningError(
                "could not accept",
                place=slug,
                cause="it has no packages",
                hint=f"plan some: thence work finalize-tasks {option}; or end it:"
                f" thence work accept {option} --force --reason TEXT",
            )
        ended = {"feature_slug": slug, "total_wps": 0, "reason": reason}
        session.append(WorkEvent("FeatureCompleted", ended, slug))
        data: dict[str, Any] = {"feature_slug": slug, "accepted": [], "kept": []}
        return session.result(data, [f"{slug} is ended, without packages"])
    wp_ids = [wp_id_of(name) for name in packages]
    recorded = [wp_id for name, wp_id in session.recorded if name == slug]
    chosen = [package_of(state, wp_id) for wp_id in wp_ids if wp_id not in recorded]
    if not wp_ids:
        chosen = [package for package in state.packages.values() if package.lane == FOR_REVIEW]
    if not chosen and not recorded:
        lanes = ", ".join(f"{one.wp_id} {one.lane}" for one in state.packages.values())
        raise PlanningError(
            "could not accept",
            place=slug,
            cause=f"no package is in for_review: {lanes}",
            hint="thence work status",
        )
    # git is asked of all at once, and what it answers is kept
    part = replace(state, packages={package.wp_id: package for package in chosen})
    code_of_packages(session.snapshot, [part], (FOR_REVIEW,))
    requests: list[LaneRequest] = []
    for package in in_order(chosen):
        code = code_of(session.snapshot, state, package, landed, no_code, reason)
        if package.lane == DONE and code is not None and code.landed is not None:
            return _state_landing(session, state, package, code.landed)
        for lane in _TO_DONE.get(package.lane, (DONE,)) if code is not None else (DONE,):
            request = request_of(
                session, state, package.wp_id, lane, reason=reason, is_forced=is_forced, code=code
            )
            waived = frozenset() if code is None else _WITHOUT_COMMIT
            requests.append(request.knowing(is_local=is_local, waived_guards=waived))
    moves, refused = move_all(session, slug, requests, is_strict=bool(packages))
    accepted = recorded + [move.wp_id for move in moves if move.to == DONE]
    if packages and refused:  # those before the first that may not be done have been moved
        raise next(iter(refused.values()))
    kept = {wp_id: _reason(error) for wp_id, error in refused.items()}
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
    guard = session.snapshot.guard({package.subject}, DECIDING_TYPES)
    try:
        session.append(event, guard=guard)
    except HeadsMoved as error:
        raise moved_meanwhile("could not accept", place, "someone has moved it since") from error
    data = {"feature_slug": feature.slug, "accepted": [package.wp_id], "kept": []}
    text = f"{package.wp_id} of {feature.slug} is done: its landing is recorded"
    return session.result(data, [text])
