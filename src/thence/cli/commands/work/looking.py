"""The commands of `thence work` that show what is on the board."""

import gc
from collections import Counter
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import suppress
from itertools import chain
from os.path import realpath
from shlex import quote
from typing import Any, NamedTuple

import click
from msgspec import to_builtins

from thence.cli.commands.work.command_runner import command, feature_option, run
from thence.cli.output import current
from thence.cli.shared.render import counted
from thence.core.merge.conflicts import PACKAGE, Conflict
from thence.errors import GitFailed, PlanningError, ThenceError
from thence.git.refs import REMOTES, tip_of
from thence.git.repository import HEADS, git_dir_of, is_standing, operation_under_way
from thence.log.recovery.writers import next_node_id
from thence.work.board.attempts import attempt_histories, next_steps, trouble
from thence.work.board.board import Commits, as_json, conflict_json, package_name, person, sentence
from thence.work.board.move_request import LandingStatus, can_begin_on
from thence.work.board.remarks import remarks, waiting_for, waits_for
from thence.work.board.state import (
    APPROVED,
    COLUMNS,
    DOING,
    DONE,
    FOR_REVIEW,
    PLANNED,
    REJECTED,
    Board,
    FeatureState,
    PackageState,
)
from thence.work.journal.claims import holder
from thence.work.journal.claims import sentence as holder_sentence
from thence.work.journal.refusals import ErrorStore
from thence.work.names import branch_of, plan_branch, plan_worktree, worktree_of
from thence.work.plan.package_files import is_file_of
from thence.work.plan.planning_files import OpenPlan
from thence.work.project.package_refs import target_in
from thence.work.session.feature_choice import not_imported
from thence.work.session.package_code import code_to_show, in_target_before_done
from thence.work.session.session import CommandResult, Session
from thence.work.session.sharing import is_shared, status_words, unshared

_TITLE_CHARACTERS_MAX = 60
_NAMED_MAX = 10
# so few features have room on a screen, begun or not
_FEW = 4
_SCREEN_LINES = 30  # of features in work, without --all
_Codes = Mapping[tuple[str, str], LandingStatus]
_Early = Mapping[tuple[str, str], str]
REFUSED_MAX = 20
# by lane: the command by which a person settles a conflict otherwise than its rule did
_SETTLING_MOVES: Mapping[str, str] = {
    PLANNED: "implement {}",
    DOING: "implement {} --take-over",
    FOR_REVIEW: "move-task {} --to doing --reason TEXT",
    DONE: "move-task {} --to doing --reason TEXT",
    REJECTED: "move-task {} --to planned --reason TEXT",
}
_COMMITS_MAX = 1000


class _FeatureStatus(NamedTuple):
    """What status shows of a feature beside its packages, by their ids where they are packages'."""

    feature: FeatureState
    codes: Mapping[str, LandingStatus]
    early: Mapping[str, str]
    steps: Mapping[str, tuple[str, ...]]
    troubles: Mapping[str, str]
    conflicts: Sequence[Mapping[str, Any]]
    notes: Sequence[str]
    holders: Mapping[str, int]

    @property
    def is_in_work(self) -> bool:
        """True if somebody works on the feature, or if something of it waits for a person."""
        lanes = {package.lane for package in self.feature.packages.values()}
        return bool(lanes & {DOING, FOR_REVIEW} or self.steps or self.conflicts)

    @property
    def is_finished(self) -> bool:
        """True if all its packages are done or rejected."""
        lanes = {package.lane for package in self.feature.packages.values()}
        return bool(lanes) and lanes <= {DONE, REJECTED}

    @property
    def moved_at(self) -> str:
        """The id of the event that moved one of its packages last; ids grow with time."""
        events = (package.lane_event or "" for package in self.feature.packages.values())
        return max(events, default="")


@command("status", "thence work status --json")
@click.option("--all", "is_all", is_flag=True, help="Show the packages of every feature.")
@click.option(
    "--refused", "has_refused", is_flag=True, help="Show recent refusals too, and what to do."
)
@feature_option
def status_command(feature: str | None, is_all: bool, has_refused: bool) -> int:
    """Show the board: the packages of features in work, a line for each other feature.

    It is a replay of the log. Conflicting events that clones wrote at once are shown with the rule
    that settled them, and the command that settles them otherwise. So are packages at work whose
    branches change the same files.
    """

    def show(session: Session) -> CommandResult:
        current().keep(session)
        has_refusals = has_refused or current().is_json
        return status(session, feature, is_all=is_all, has_refused=has_refusals)

    gc.disable()  # what is read of the log lives until the end
    return run(show, create=False)


def status(
    session: Session, feature: str | None, *, is_all: bool = False, has_refused: bool = False
) -> CommandResult:
    """Returns the board, of one feature if one is named, with recent refusals if these are wanted.

    Features of which only planning files are there are named. The text shows the packages of
    features in work, and a line for each other feature; with `is_all`, or for a named feature, all
    packages. Raises Refused for a feature that is not on the board.
    """
    board = session.refresh()
    unlogged = not_imported(session.board, session.planning) if feature is None else []
    if feature is not None:
        slug = session.feature(feature).slug
        board = Board(board.project_uuid, {slug: board.features[slug]}, board.conflicts)
    try:
        codes = code_to_show(session, board.features.values())
    except GitFailed:
        codes = {}
        session.warnings.append("where the code of packages is was not looked for: git failed")
    early: _Early = {}
    with suppress(ThenceError):  # git failed, or a feature has no target
        early = in_target_before_done(session, board)
    conflicts = [_conflict_here(session, conflict) for conflict in board.conflicts]
    node_id = next_node_id(session.project.home)
    own = {event.event_id for event in session.events if event.node_id == node_id}
    parts = [
        _feature_status(session, state, codes, early, conflicts, own)
        for state in board.features.values()
    ]
    summary = _summary(parts)
    data: dict[str, Any] = {"summary": summary, **as_json(board)}
    refused, refused_lines = _refused_here(session) if has_refused else ([], [])
    data["here"] = {
        "not_imported": unlogged,
        "conflicts": conflicts,
        "refused": refused,
        "landed": [
            _landing_json(slug, wp_id, code)
            for (slug, wp_id), code in codes.items()
            if board.features[slug].packages[wp_id].lane == DONE
        ],
        "in_target_before_done": [
            {"feature_slug": slug, "wp_id": wp_id, "target": target}
            for (slug, wp_id), target in early.items()
        ],
        "claims": [
            {"feature_slug": part.feature.slug, "wp_id": wp_id, "process": pid}
            for part in parts
            for wp_id, pid in part.holders.items()
        ],
        "next": [
            {"feature_slug": part.feature.slug, "wp_id": wp_id, "next": "; or ".join(steps)}
            for part in parts
            for wp_id, steps in part.steps.items()
        ],
    }
    waiting = [
        {"feature_slug": part.feature.slug, "wp_id": package.wp_id, "state": state}
        for part in parts
        for package, state in waits_for(part.feature, session.current_actor())
    ]
    blocking: list[dict[str, Any]] = [
        {"feature_slug": part.feature.slug, "wp_id": wp_id, "waiting": count}
        for part in parts
        for wp_id, count in waiting_for(part.feature).items()
    ]
    blocking.sort(key=lambda one: -one["waiting"])
    data["here"] |= {"waits_for_you": waiting, "blocks_most": blocking[:_NAMED_MAX]}
    heads = [f"{one['wp_id']} of {one['feature_slug']} ({one['state']})" for one in waiting]
    asks = [f"waits for you: {_listed(heads)}"] if heads else []
    if blocking:
        most = blocking[0]
        count = counted(most["waiting"], "package")
        asks += [f"blocks most: {most['wp_id']} of {most['feature_slug']} ({count})"]
    data["here"]["sharing"] = {"is_shared": is_shared(session), "unshared": unshared(session)}
    lines = [*_lines(parts, summary, asks, is_all=is_all or feature is not None)]
    if unlogged:
        lines += [f"not in the log yet: {_listed(unlogged)}", "next: thence work finalize-tasks"]
    lines += filter(None, (status_words(session),))
    return session.result(data, lines + refused_lines)


def _listed(names: Sequence[str]) -> str:
    rest = len(names) - _NAMED_MAX
    return ", ".join(names[:_NAMED_MAX]) + (f" and {rest:,} more" if rest > 0 else "")


def _feature_status(
    session: Session,
    feature: FeatureState,
    codes: _Codes,
    early: _Early,
    conflicts: Sequence[Mapping[str, Any]],
    own: Collection[str],
) -> _FeatureStatus:
    home = session.project.home
    histories = attempt_histories(session.events, feature.slug)
    of_feature = {wp_id: code for (slug, wp_id), code in codes.items() if slug == feature.slug}
    where = session.board.option_of(feature.slug)
    steps: dict[str, tuple[str, ...]] = {}
    holders: dict[str, int] = {}
    troubles = {
        wp_id: trouble(package, histories.get(wp_id)) for wp_id, package in feature.packages.items()
    }
    notes: list[str] = []
    with suppress(GitFailed):
        try:
            target, folder = session.target_of(feature), session.planning.path(feature.slug)
            has_files = any(session.planning.names(tree, folder) for tree in (None, target))
            if feature.spec_event in own and not feature.packages and not has_files:
                notes = [
                    f"{folder} is not there: what began it ended half-way",
                    f"next: write {folder}/tasks.md, then thence work finalize-tasks{where}",
                ]
            if plan := session.planning.open_plan(feature.slug):
                notes += _plan_notes(feature, target, plan)
            for wp_id in _half_added(session, feature, target, own if has_files else ()):
                reject = f"thence work move-task {wp_id}{where} --to rejected --reason TEXT"
                why = f"its file is not there: what added it ended half-way; {reject} takes it back"
                troubles[wp_id] = why
        except PlanningError as error:  # no target
            notes = [error.cause, f"next: {error.hint}"]
    for wp_id, package in feature.packages.items():
        code = of_feature.get(wp_id)
        has_branch = code is not None and tip_of(session.refs, code.branch) is not None
        history = histories.get(wp_id)
        commands = next_steps(package, history, code, where=where, has_branch=has_branch)
        is_begun = package.lane in (DOING, FOR_REVIEW)
        if (commands or is_begun) and (pid := holder(home, package.subject)):
            holders[wp_id] = pid
            troubles[wp_id] = "; ".join(filter(None, (troubles[wp_id], holder_sentence(pid))))
        elif commands:
            steps[wp_id] = commands
        if is_begun and (stray := _stray(session, feature.slug, wp_id)):
            troubles[wp_id] = "; ".join(filter(None, (troubles[wp_id], stray)))
    return _FeatureStatus(
        feature,
        of_feature,
        {wp_id: target for (slug, wp_id), target in early.items() if slug == feature.slug},
        steps,
        troubles,
        [one for one in conflicts if one["open"] and feature.is_about(one["subject"])],
        notes,
        holders,
    )


def _plan_notes(feature: FeatureState, target: str, plan: OpenPlan) -> Iterator[str]:
    if not plan.is_begun:
        yield f"its planning files are on {plan.name}, and not in {target} yet"
        return
    yield f"its planning files are on {plan.name}, and {target} has another state of them"
    away = f"git worktree remove {plan_worktree(feature.slug)}; " if plan.tree else ""
    branch = plan_branch(feature.slug)
    yield f"if they landed with changes: git fetch --prune; {away}git branch -D {branch}"


def _half_added(
    session: Session, feature: FeatureState, target: str, own: Collection[str]
) -> Iterator[str]:
    """Yields the planned packages that this clone added and that have no file.

    `own` are the events of this clone; none for a feature without files, which a program made.
    """
    paths: list[str] | None = None
    for wp_id, package in feature.packages.items():
        if package.lane != PLANNED or package.created_event not in own:
            continue
        if paths is None:
            files = (session.planning.package_files(tree, feature.slug) for tree in (None, target))
            paths = [path for path, _ in chain(*files)]
        if not any(is_file_of(wp_id, path) for path in paths):
            yield wp_id


def _stray(session: Session, slug: str, wp_id: str) -> str:
    """Returns the sentence on a package's worktree that is not on its branch, else ""."""
    path, branch = session.project.root / worktree_of(slug, wp_id), branch_of(slug, wp_id)
    trees = session.refs.trees
    if not is_standing(path) or trees.get(branch) == path:
        return ""
    here = realpath(path)
    at = next((name for name, tree in trees.items() if realpath(tree) == here), None)
    if at is None and operation_under_way(git_dir_of(path)):
        return ""
    place = f"{at or 'no branch'}: git -C {path} switch {branch}"
    return "" if at == branch else f"its worktree is on {place}"


def _landing_json(slug: str, wp_id: str, code: LandingStatus) -> dict[str, Any]:
    landed = code.landed
    value: dict[str, Any] = {
        "feature_slug": slug,
        "wp_id": wp_id,
        "state": code.kind,
        "target": code.target,
        "how": landed.how if landed else None,
        "commit": landed.commit if landed else None,
    }
    if code.kind == "reverted":
        value["reverted_by"] = code.reverts
    return value


def _summary(parts: Sequence[_FeatureStatus]) -> dict[str, int]:
    """Returns the number of packages by lane, of landed and blocked ones, and of open conflicts.

    A blocked package is planned, and waits for what others do.
    """
    columns = Counter(
        package.column for part in parts for package in part.feature.packages.values()
    )
    done = [
        (part, wp_id)
        for part in parts
        for wp_id, p in part.feature.packages.items()
        if p.lane == DONE
    ]
    blocked = [
        package
        for part in parts
        for package in part.feature.packages.values()
        if package.lane == PLANNED
        and not all(can_begin_on(part.feature, package, wp_id) for wp_id in package.dependencies)
    ]
    return {
        **{column: columns[column] for column in COLUMNS},
        "landed": sum(_has_landed(part.codes.get(wp_id)) for part, wp_id in done),
        "blocked": len(blocked),
        "conflicts": sum(len(part.conflicts) for part in parts),
    }


def _has_landed(code: LandingStatus | None) -> bool:
    return code is None or code.kind == "landed"


def _lines(
    parts: Sequence[_FeatureStatus],
    summary: Mapping[str, int],
    asks: Sequence[str],
    *,
    is_all: bool,
) -> Iterator[str]:
    if not parts:
        yield "the board is empty"
        yield 'next: thence work setup-spec "what the feature is"'
        return
    approved = f", approved {summary[APPROVED]}" if summary[APPROVED] else ""
    rejected = f", rejected {summary[REJECTED]}" if summary[REJECTED] else ""
    yield (
        f"planned {summary[PLANNED]}, doing {summary[DOING]}, in review {summary[FOR_REVIEW]}"
        f"{approved}, done {summary[DONE]}, landed {summary['landed']}{rejected};"
        f" blocked {summary['blocked']}, conflicts {summary['conflicts']}"
    )
    yield from asks
    is_few = len(parts) <= _FEW
    shown = [
        part for part in parts if is_all or part.is_in_work or (is_few and not part.is_finished)
    ]
    if not shown:  # what is to be begun next
        shown = [part for part in parts if not part.feature.is_completed][:1]
    texts = {part.feature.slug: [*_feature_lines(part, is_all=is_all)] for part in shown}
    remaining = _SCREEN_LINES
    for part in sorted(shown, key=lambda part: part.moved_at, reverse=True):
        remaining -= len(texts[part.feature.slug]) + 1
        if remaining < 0 and not is_all and len(texts) > 1:
            del texts[part.feature.slug]
    for lines in texts.values():
        yield ""
        yield from lines
    others = [part for part in parts if part.feature.slug not in texts]
    if not others:
        return
    yield ""
    finished = [part for part in others if part.is_finished]
    if len(others) > _NAMED_MAX:
        others = [part for part in others if not part.is_finished]
        if finished:
            yield f"{counted(len(finished), 'feature')} done"
    yield from map(_title, others[:_NAMED_MAX])
    if len(others) > _NAMED_MAX:
        yield f"and {counted(len(others) - _NAMED_MAX, 'feature')} more"
    yield "their packages: thence work status --all"


def _title(part: _FeatureStatus) -> str:
    feature, done = part.feature, part.feature.done_count
    title = f"  {feature.title}" if feature.title else ""
    name = f"{feature.name} ({feature.slug})" if feature.folder else feature.slug
    apart = [
        wp_id
        for wp_id, package in feature.packages.items()
        if package.lane == DONE and not _has_landed(part.codes.get(wp_id))
    ]
    landed = f", {done - len(apart)} landed" if apart else ""
    return f"{name}{title}  ({done} of {len(feature.packages)} done{landed})"


def _feature_lines(part: _FeatureStatus, *, is_all: bool) -> Iterator[str]:
    yield _title(part)
    yield from (f"  {note}" for note in part.notes)
    common: set[str] = set()
    for column, packages in part.feature.by_column().items():
        quiet = [  # of many done packages those of which there is nothing to say are one line
            package.wp_id
            for package in (packages if column == DONE and not is_all else ())
            if not (part.steps.get(package.wp_id) or part.troubles.get(package.wp_id))
            and not any(remarks(package, part.codes.get(package.wp_id)))
        ]
        quiet = quiet if len(quiet) > _NAMED_MAX else []
        if quiet:
            yield f"  {column:<10}  {_listed(quiet)}"
        for package in packages:
            wp_id = package.wp_id
            if wp_id in quiet:
                continue
            yield f"  {column:<10}  {_package_line(package, part.codes.get(wp_id), part.troubles)}"
            if column == DOING and wp_id in part.early:
                yield f"{'':14}its code is in {part.early[wp_id]}, and it is not done"
            steps = [step for step in part.steps.get(wp_id, ()) if step not in common]
            common |= {step for step in steps if wp_id not in step}  # such as a push: once for all
            for number, step in enumerate(steps):
                yield f"{'':14}{'or' if number else 'next'}: {step}"
    for conflict in part.conflicts:
        yield f"  conflict: {conflict['sentence']}"
        yield from (f"    next: {step}" for step in conflict["next"])


def _package_line(
    package: PackageState, code: LandingStatus | None, troubles: Mapping[str, str]
) -> str:
    title = f"{package.wp_id}  {package.title[:_TITLE_CHARACTERS_MAX]}".rstrip()
    notes = []
    if package.agent and package.lane not in ("planned", DONE):
        notes.append(package.agent)
    notes += remarks(package, code)
    if troubles.get(package.wp_id):
        notes.append(troubles[package.wp_id])
    if package.lane == DOING and package.workspace is None:
        notes.append("its worktree is not there yet")
    if package.dependencies and package.lane == "planned":
        notes.append(f"after {', '.join(package.dependencies)}")
    return f"{title}  ({'; '.join(notes)})" if notes else title


def _conflict_here(session: Session, conflict: Conflict) -> dict[str, Any]:
    """Returns a conflict as JSON, with the steps by which a person settles it otherwise."""
    slug = conflict.subject.rpartition("/")[0].rpartition("/")[2]
    name, where = package_name(conflict), f" --feature {slug}"
    package = session.board.package(slug, name)
    steps = [
        f"where it was made: thence work finalize-tasks --add {quote(one.title)}{where}"
        for one in (package.lost if package and conflict.slot == PACKAGE.name else ())
        if not one.is_added
    ]
    if conflict.slot == "lane" and package and package.lane in _SETTLING_MOVES:
        steps = [f"thence work {_SETTLING_MOVES[package.lane].format(f'{name}{where}')}"]
    return {
        **conflict_json(conflict),
        "open": conflict.is_open,
        "sentence": _sentence_here(session, conflict),
        "next": steps if conflict.is_open else [],
    }


def _refused_here(session: Session) -> tuple[list[dict[str, Any]], list[str]]:
    """Returns the last refusals, the newest first, as JSON and as text."""
    records = ErrorStore(session.project).recent(REFUSED_MAX, session.warnings.append)
    lines = ["", "refused, the newest first:" if records else "nothing was refused"]
    for record in records:
        lines.append(f"{record.timestamp[:19]}  {record.error_type}  {record.attempted_operation}")
        lines.append(f"  {record.reason}")
        if remedy := record.context.get("remedy"):
            lines.append(f"  what to do: {remedy}")
    return [to_builtins(record) for record in records], lines


def _sentence_here(session: Session, conflict: Conflict) -> str:
    """Returns a conflict in one sentence, with the losers' commits known in this clone.

    A branch of this clone belongs to the person who claimed the package here; commits on branches
    of remotes belong to their authors.
    """
    features = session.board.features.values()
    about = next((feature for feature in features if feature.is_about(conflict.subject)), None)
    losers = {person(event) for event in conflict.events} - {person(conflict.winner)}
    if about is None or not losers or not conflict.is_open or conflict.slot != "lane":
        return sentence(conflict)
    counts: Counter[tuple[str, str]] = Counter()
    with suppress(ThenceError):  # no target, or git failed: the rest is reported
        aim = target_in(session.refs, session.target_of(about))
        branch = branch_of(about.slug, package_name(conflict))
        counted = [commit for commit in (aim.tip, aim.local) if commit]
        node_id = next_node_id(session.project.home)
        here = {person(event) for event in conflict.events if event.node_id == node_id}
        for ref, commit in session.refs.commits.items():
            is_local = ref == HEADS + branch
            is_remote = ref.startswith(REMOTES) and ref.partition(REMOTES)[2].partition("/")[2]
            if (not is_local and is_remote != branch) or commit in counted:
                continue
            limit = f"--max-count={_COMMITS_MAX}"
            arguments = ("log", "--format=%an", limit, commit, "--not", *counted, "--")
            authors = session.project.repo.git.run(*arguments).decode("utf-8", "replace")
            for author in authors.splitlines():
                name = next(iter(here)) if is_local and len(here) == 1 else " ".join(author.split())
                if name in losers:
                    counts[name, ref.removeprefix(HEADS).removeprefix(REMOTES)] += 1
            counted.append(commit)
        return sentence(conflict, [Commits(*where, count) for where, count in counts.items()])
    return sentence(conflict)
