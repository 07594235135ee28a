"""Moves of a package from lane to lane, in three phases: conditions, validators, post-functions.

Conditions and validators are guards: each checks one thing, and refuses with a stable code.
Conditions check whether the actor may make the move, validators whether the work is ready for it. A
guard that lets a move pass returns the ids of the events that set the values it has read; what
comes in as context, such as the state of disk and git, has none. Post-functions return the events
that follow. All are pure: nothing is written here.
"""

from collections.abc import Callable, Iterator
from shlex import quote

from msgspec.structs import replace

from thence.core.clock import timestamp_at
from thence.core.ids import ulid_value
from thence.core.vocabulary import work_subject
from thence.git.landed import Landed, Reviewed
from thence.work.board.move_request import (
    MANUAL_REVIEW,
    MATRIX,
    SHORT,
    UNSHALLOW,
    FollowUpEvent,
    GuardFailure,
    Move,
    MoveContext,
    MoveRequest,
    changed_since,
    closing_events,
    gate_change,
    open_gates,
    passed_by,
)
from thence.work.board.state import (
    DOING,
    DONE,
    FAILED,
    FOR_REVIEW,
    NOBODY,
    PLANNED,
    REJECTED,
    Board,
    FeatureState,
    PackageState,
)

# a move holds as long as no event of these types is new on the subjects its guards read
DECIDING_TYPES = frozenset(
    (
        "WPStatusChanged",
        "WPCreated",
        "WPAssigned",
        "DependencyResolved",
        "GateCreated",
        "GateResultChanged",
    )
)
Read = GuardFailure | tuple[str, ...]
Guard = Callable[[MoveRequest], Read]


def number_given_twice(
    feature: FeatureState, package: PackageState, node_id: str | None
) -> GuardFailure | None:
    """Refuses a number in the clone that gave it to a package which lost it."""
    for lost in package.lost:
        if lost.node_id == node_id and not lost.is_added:
            title, where = quote(lost.title), f"--feature {feature.slug}"
            return GuardFailure(
                "number_given_twice",
                f"{package.wp_id} is {package.title!r} now, and {lost.title!r}, which was made"
                " here, has lost that number",
                f"add it again, under another one: `thence work finalize-tasks --add {title}"
                f" {where}`",
                may_be_forced=False,
            )
    return None


def _number_given_twice(request: MoveRequest) -> Read:
    return number_given_twice(request.feature, request.package, request.context.node_id) or ()


def _moved_meanwhile(request: MoveRequest) -> Read:
    seen, package = request.context.expected_lane, request.package
    if seen is None or seen == package.lane:
        return ()
    return GuardFailure(
        "moved_meanwhile",
        f"someone else was faster: {package.wp_id} went from {seen} to {_place(package)}",
        "check `thence work status`, then take another package",
        may_be_forced=False,
    )


def _not_in_lane(request: MoveRequest) -> Read:
    package, to = request.package, request.to
    if package.lane == to:
        since, value = "", ulid_value(package.lane_event or "")
        if to == DOING and value is not None:
            since = f" since {timestamp_at((value >> 80) * 1_000)[:19]}Z"
        return GuardFailure(
            "not_in_lane",
            f"{package.wp_id} is already in {_place(package)}{since}",
            "look at `thence work status`",
            may_be_forced=False,
        )
    if to in MATRIX.get(package.lane, (REJECTED,)):
        return package.events_of("lane") or package.events_of("package")
    sources = " or ".join(lane for lane, goals in MATRIX.items() if to in goals)
    goals = " or ".join(MATRIX.get(package.lane, (REJECTED,)))
    return GuardFailure(
        "not_in_lane",
        f"{package.wp_id} is in {_place(package)}, and {to} comes after {sources}",
        f"from {package.lane} it goes to {goals}",
    )


def _place(package: PackageState) -> str:
    with_whom = f", with {package.agent}" if package.agent and package.lane == DOING else ""
    return f"{package.lane}{with_whom}"


def _not_its_agent(request: MoveRequest) -> Read:
    package, actor = request.package, request.context.actor
    is_review = package.lane == FOR_REVIEW and request.to != REJECTED
    is_begun = request.is_claim and not request.is_reopening
    is_work = is_begun or request.is_release or request.to == FOR_REVIEW
    if not is_review and not is_work:
        return ()
    if is_review and package.is_approved:  # the reviewer has given the verdict
        return package.events_of("approved")
    agent = package.reviewer if is_review else package.agent
    is_nobodys = agent is None or (agent == NOBODY and request.context.changed_by == NOBODY)
    if is_nobodys or agent == actor:
        return package.events_of("reviewer" if is_review else "agent")
    role = "to be reviewed by" if is_review else "the work of"
    return GuardFailure(
        "not_its_agent",
        f"{package.wp_id} is {role} {agent}, not {actor}",
        f"leave it to {agent}; `thence work implement` claims a free one",
    )


def _dependencies_open(request: MoveRequest) -> Read:
    if not request.is_claim and request.to != DONE:
        return ()
    feature, package, reverted = request.feature, request.package, request.context.reverted
    lanes = (FOR_REVIEW, DONE) if request.is_claim else (DONE,)
    closing = {
        wp_id: closing_events(feature, package, wp_id, lanes) for wp_id in package.dependencies
    }
    if missing := [wp_id for wp_id, ids in closing.items() if ids is None]:
        names = ", ".join(f"{wp_id} ({request.lane_of(wp_id)})" for wp_id in missing)
        state = "in review" if request.is_claim else "done"
        return GuardFailure(
            "dependencies_open",
            f"{package.wp_id} needs what is not {state} yet: {names}",
            "finish these first; `thence work implement` takes a package that is ready",
        )
    if out := [wp_id for wp_id in package.dependencies if wp_id in reverted]:
        reasons = "; ".join(f"{wp_id} is {reverted[wp_id]}" for wp_id in out)
        return GuardFailure(
            "dependencies_open",
            f"{package.wp_id} needs code that was taken out again: {reasons}",
            f"thence work move-task {out[0]} --feature {feature.slug} --to doing --reason TEXT"
            " names the way to bring it back",
        )
    return (*package.events_of("package"), *(one for ids in closing.values() for one in ids or ()))


def _subtasks_open(request: MoveRequest) -> Read:
    if request.to != FOR_REVIEW:
        return ()
    ticked = request.package.subtasks
    missing = [subtask for subtask in request.context.open_subtasks if not ticked.get(subtask)]
    if not missing:
        done = (subtask for subtask, is_done in ticked.items() if is_done)
        return request.package.events_of(*(f"ticked/{subtask}" for subtask in done))
    return GuardFailure(
        "subtasks_open",
        f"{', '.join(missing)} of {request.package.wp_id} not ticked",
        "do them, then tick them: `thence work mark-status"
        f" {' '.join(missing)} --feature {request.feature.slug}`",
    )


def _worktree_dirty(request: MoveRequest) -> Read:
    if request.to not in (FOR_REVIEW, DONE) or request.context.worktree != "dirty":
        return ()
    return GuardFailure(
        "worktree_dirty",
        f"the worktree of {request.package.wp_id} holds changes that are not committed",
        "commit them there, or take them back",
    )


def _nothing_committed(request: MoveRequest) -> Read:
    if request.to != FOR_REVIEW or request.context.has_commits is not False:
        return ()
    return GuardFailure(
        "nothing_committed",
        f"the branch of {request.package.wp_id} holds no commit of its own",
        "commit the work in its worktree",
    )


def _closed_by_agent(request: MoveRequest) -> Read:
    if request.to not in (DONE, REJECTED) or not request.context.is_agent:
        return ()
    return GuardFailure(
        "closed_by_an_agent",
        f"this is an agent's environment, and no agent moves {request.package.wp_id} to"
        f" {request.to}",
        "leave it to a person and their own shell, or to `thence work orchestrate`",
        may_be_forced=False,
    )


def _not_landed(request: MoveRequest) -> Read:
    code, context, wp_id = request.context.code, request.context, request.package.wp_id
    if request.to != DONE or code is None:
        return ()
    if code.is_asserted and context.is_agent:
        names = f"an agent's word that {wp_id} has landed, or has no code, does not count"
        return GuardFailure("not_landed", names, "leave it to a person", may_be_forced=False)
    if code.kind == "landed" or (code.kind == "local" and context.is_local):
        return ()
    which = f"{wp_id} --feature {request.feature.slug}"  # names it to a command
    likely = f" (most like it: {code.nearest[:SHORT]})" if code.nearest else ""
    accept = f"thence work accept {which}"
    named = f"name the commit that merged it{likely}: {accept} --landed COMMIT"
    no_code = f"say why it has no code: {accept} --no-code REASON"
    remedies = {
        "shallow": f"{UNSHALLOW}, then try again",
        "reverted": f"thence work move-task {which} --to doing --reason TEXT; then in its worktree:"
        f" {code.revert}; or, if it came back, {named}",
        "local": f"push it, or accept it as it is: {accept} --local",
        "no_code": f"commit the work of the package, or {no_code}",
        "missing": f"thence work merge {which}; or {named}",
        "unfetched": f"git fetch, then try again; or {named}",
    }
    is_said = " is" if code.kind in ("reverted", "local") else ":"
    message = f"{wp_id}{is_said} {code.sentence}"
    remedy = remedies.get(code.kind, f"{named}; or {no_code}")
    return GuardFailure("not_landed", message, remedy, may_be_forced=not context.is_agent)


def _changed_since(request: MoveRequest) -> Read:
    """Refuses code that is not what was handed in for review."""
    code, wp_id = request.context.code, request.package.wp_id
    if request.to != DONE or code is None or code.changed_since is None:
        return ()
    move = f"thence work move-task {wp_id} --feature {request.feature.slug}"
    return GuardFailure(
        "changed_since",
        f"{wp_id} has {changed_since(code.changed_since)}: no one has reviewed what it is now",
        f"hand it in again: {move} --to doing --reason TEXT, then {move} --to for_review",
        may_be_forced=not request.context.is_agent,
    )


def _reason_needed(request: MoveRequest) -> Read:
    if request.context.reason.strip():
        return ()
    if request.is_send_back:
        package = request.package
        whose = f", handed in by {package.agent}" if package.agent else ""
        return _reason_missing(
            f"{package.wp_id} is in review{whose}: to send it back takes a reason"
        )
    if request.package.lane == REJECTED and request.to == PLANNED:
        return _reason_missing(
            f"{request.package.wp_id} was rejected; to plan it again takes a reason"
        )
    if request.is_reopening:
        return _reason_missing(f"{request.package.wp_id} is done; to reopen it takes a reason")
    return ()


def _reason_missing(message: str) -> GuardFailure:
    """Returns the refusal of a move that needs a reason and has none."""
    return GuardFailure("reason_missing", message, "say why: --reason TEXT", may_be_forced=False)


def _gates_open(request: MoveRequest) -> Read:
    if request.to != DONE:
        return ()
    context = request.context
    unpassed = open_gates(request.package, context)
    if not unpassed:
        passing = (passed_by(gate, context) for gate in request.package.gates.values())
        return tuple(filter(None, passing))
    types = {gate.gate_type for gate in unpassed}
    named = f"{request.package.wp_id} --feature {request.feature.slug}"
    remedies = [
        f"a person passes it: `thence work move-task {named} --gate {gate_type}=passed`"
        for gate_type in sorted(types - context.gates_run)
    ]
    if run := sorted(types & context.gates_run):
        remedies.append(f"`thence work orchestrate` runs {', '.join(run)}, and goes by what it saw")
    texts = list[str]()
    for gate in unpassed:
        is_stated = gate.gate_type in context.gates_run and gate.stated_by
        stated = f", as {gate.stated_by} states" if is_stated else ""
        texts.append(f"{gate.gate_type} ({gate.status}{stated})")
    return GuardFailure(
        "gates_open",
        f"{request.package.wp_id} has gates that are not passed: {', '.join(texts)}",
        "; ".join(remedies),
        may_be_forced=not context.is_agent,
    )


CONDITIONS: tuple[Guard, ...] = (
    _number_given_twice,
    _moved_meanwhile,
    _not_in_lane,
    _not_its_agent,
)
VALIDATORS: tuple[Guard, ...] = (
    _dependencies_open,
    _subtasks_open,
    _worktree_dirty,
    _nothing_committed,
    _not_landed,
    _changed_since,
    _reason_needed,
    _gates_open,
    _closed_by_agent,
)


def move(
    board: Board, feature_slug: str, wp_id: str, to: str, context: MoveContext
) -> Move | GuardFailure:
    """Returns the move of a package of the board to a lane, or the first refusal that counts.

    A forced move needs a reason, and overrules all refusals that may be forced.
    """
    feature = board.features[feature_slug]
    package = feature.packages[wp_id]
    request = MoveRequest(board, feature, package, to, context)
    overruled, read = list[str](), list[str]()  # guards, and the events by which others let it pass
    for guard in (*CONDITIONS, *VALIDATORS):
        outcome = guard(request)
        if not isinstance(outcome, GuardFailure):
            read += outcome
        elif outcome.guard not in context.waived_guards:
            if not (context.is_forced and outcome.may_be_forced):
                return outcome
            overruled.append(outcome.guard)
    if context.is_forced and not context.reason.strip():
        return _reason_missing("what is forced needs a reason")
    payload: dict[str, object] = {
        "wp_id": wp_id,
        "previous_status": package.lane,
        "new_status": to,
        "changed_by": context.changed_by or context.actor,
        "feature_slug": feature.slug,
    }
    if context.reason:
        payload["reason"] = context.reason
    if to == DONE and package.gates:
        payload["gate_results"] = [
            {"gate_type": gate.gate_type, "status": gate.status} for gate in package.gates.values()
        ]
    if request.is_claim and package.dependencies:
        payload["dependency_status"] = {one: request.lane_of(one) for one in package.dependencies}
    if overruled:
        payload["overruled"] = overruled
    # the result of a conflict rests on all of its sides
    causes = dict.fromkeys(filter(None, (*read, *context.rests_on)))
    for conflict in board.conflicts:
        sides = [event.event_id for event in conflict.events]
        if not causes.keys().isdisjoint(sides):
            causes |= dict.fromkeys(sides)
    others = (*package.dependencies, *package.gates)
    subjects = (work_subject(feature.project_uuid, feature.slug, name) for name in others)
    return Move(
        feature_slug=feature.slug,
        wp_id=wp_id,
        previous=package.lane,
        to=to,
        payload=payload,
        follow_ups=tuple(_follow_ups(request)),
        overruled=tuple(overruled),
        watched=frozenset((package.subject, *subjects)),
        caused_by=tuple(causes),
    )


def after_move(board: Board, move: Move, event_id: str, actor: str) -> Board:
    """Returns the board after a move whose event has this id, for the next move of one append.

    The package's lane changes, and its agent with a claim; all else comes with the next replay.
    """
    feature = board.features[move.feature_slug]
    package = feature.packages[move.wp_id]
    set_by = {**package.set_by, "lane": event_id}
    is_claim = move.to == DOING and move.previous != FOR_REVIEW
    agent = actor if is_claim else package.agent
    moved = replace(package, lane=move.to, set_by=set_by, agent=agent)
    packages = {**feature.packages, move.wp_id: moved}
    features = {**board.features, feature.slug: replace(feature, packages=packages)}
    return replace(board, features=features)


def _follow_ups(request: MoveRequest) -> Iterator[FollowUpEvent]:
    """Yields what follows a move: reviewed code, a landing, freed dependents, failed gates."""
    package, context, code = request.package, request.context, request.context.code
    if request.to == FOR_REVIEW and context.reviewed is not None:
        yield FollowUpEvent("WPReviewed", reviewed_payload(package.wp_id, context.reviewed))
    if request.to == DONE and code is not None and code.landed is not None:
        yield FollowUpEvent("WPLanded", landed_payload(package.wp_id, code.landed))
    for gate in package.gates.values() if request.is_send_back else ():
        if gate.gate_type == MANUAL_REVIEW and gate.status != FAILED:
            yield gate_change(gate, FAILED, reason=context.reason)
    wp_id = package.wp_id
    for other in request.feature.packages.values() if request.to == DONE else ():
        is_waiting = wp_id in other.dependencies and wp_id not in other.resolved
        if not is_waiting or other.lane in (DONE, REJECTED):
            continue
        rest = [one for one in other.dependencies if one != wp_id]
        closing = [closing_events(request.feature, other, one) for one in rest]
        if None not in closing:  # this was the last one that it waited for
            payload = {"wp_id": other.wp_id, "dependency_wp_id": wp_id}
            payload["resolution_type"] = "completed"
            ids = tuple(one for events in closing for one in events or ())
            yield FollowUpEvent("DependencyResolved", payload, ids)


def reviewed_payload(wp_id: str, code: Reviewed) -> dict[str, object]:
    """Returns the payload of the WPReviewed of a package's code."""
    return {
        "wp_id": wp_id,
        "commit": code.commit,
        "base": code.base,
        "patch": code.patch,
        "patches": list(code.patches),
        "commits": list(code.commits),
    }


def landed_payload(wp_id: str, landed: Landed) -> dict[str, object]:
    """Returns the payload of the WPLanded of a package."""
    payload = {"wp_id": wp_id, "how": landed.how, "commit": landed.commit, "reason": landed.reason}
    return {key: value for key, value in payload.items() if value}
