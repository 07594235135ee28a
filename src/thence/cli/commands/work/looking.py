"""The command of `thence work` that shows what is on the board."""

from collections import Counter
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import suppress
from os.path import realpath
from shlex import quote
from typing import Any, NamedTuple

import click
from msgspec import to_builtins

from thence.cli.commands.work.command_runner import feature_option, session_command
from thence.cli.shared.render import counted
from thence.core.merge import PACKAGE, Conflict
from thence.errors import GitFailed, PlanningError
from thence.git.refs import tip_of
from thence.git.repository import git_dir_of, is_standing, operation_under_way
from thence.log.recovery.writers import next_node_id
from thence.work.board.board import as_json, conflict_json
from thence.work.board.move_request import LandingStatus, can_begin_on
from thence.work.board.remarks import (
    attempt_histories,
    next_steps,
    remarks,
    trouble,
    waiting_for,
    waits_for,
)
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
from thence.work.session.package_code import code_of_packages
from thence.work.session.session import CommandResult, Session
from thence.work.session.sharing import is_shared, status_words, unshared
from thence.work.session.snapshot import Snapshot

_TITLE_CHARACTERS_MAX = 60
_NAMED_MAX = 10
# so few features have room on a screen, begun or not
_FEW = 4
_SCREEN_LINES = 30  # of features in work, without --all
REFUSED_MAX = 20
_IN_TARGET = ("landed", "local")  # states of code that the target has
# by lane: the command by which a person settles a conflict otherwise than its rule did
_SETTLING_MOVES: Mapping[str, str] = {
    PLANNED: "implement {}",
    DOING: "implement {} --take-over",
    FOR_REVIEW: "move-task {} --to doing --reason TEXT",
    DONE: "move-task {} --to doing --reason TEXT",
    REJECTED: "move-task {} --to planned --reason TEXT",
}


class _Row(NamedTuple):
    """What status shows of a package.

    `code` is the state of its code; of a package in doing, if it was handed in once and is in its
    target. `steps` are the commands by which a person goes on with it, `process` is the one that
    holds its claim.
    """

    package: PackageState
    code: LandingStatus | None
    steps: tuple[str, ...]
    trouble: str
    process: int | None

    @property
    def is_apart(self) -> bool:
        """True if the package is done, and its code is known not to be in the target."""
        is_done = self.package.lane == DONE
        return is_done and self.code is not None and self.code.kind != "landed"


class _FeatureStatus(NamedTuple):
    """What status shows of a feature: a row for each package, its open conflicts."""

    feature: FeatureState
    rows: Mapping[str, _Row]
    conflicts: Sequence[Mapping[str, Any]]
    notes: Sequence[str]

    @property
    def is_in_work(self) -> bool:
        """True if somebody works on the feature, or if something of it waits for a person."""
        is_asked = any(row.steps for row in self.rows.values())
        return bool(self._lanes & {DOING, FOR_REVIEW} or is_asked or self.conflicts)

    @property
    def is_finished(self) -> bool:
        """True if all its packages are done or rejected."""
        return bool(self._lanes) and self._lanes <= {DONE, REJECTED}

    @property
    def moved_at(self) -> str:
        """The id of the event that moved one of its packages last; ids grow with time."""
        events = (package.lane_event or "" for package in self.feature.packages.values())
        return max(events, default="")

    @property
    def _lanes(self) -> set[str]:
        return {package.lane for package in self.feature.packages.values()}


@click.option("--all", "is_all", is_flag=True, help="Show the packages of every feature.")
@click.option(
    "--refused", "has_refused", is_flag=True, help="Show recent refusals too, and what to do."
)
@feature_option
def status(
    session: Session,
    feature: str | None = None,
    *,
    is_all: bool = False,
    has_refused: bool = False,
) -> CommandResult:
    """Show the board: the packages of features in work, one line for each other feature.

    It is a replay of the log. Conflicting events that clones wrote at once are shown with the rule
    that settled them, and the command that settles them differently.
    """
    board = session.refresh()
    unlogged = session.snapshot.not_imported() if feature is None else []
    if feature is not None:
        slug = session.feature(feature).slug
        board = Board(board.project_uuid, {slug: board.features[slug]}, board.conflicts)
    codes: Mapping[tuple[str, str], LandingStatus] = {}
    try:
        lanes = (DONE, FOR_REVIEW, DOING)
        codes = code_of_packages(session.snapshot, board.features.values(), lanes)
    except GitFailed:
        session.warnings.append("the code of packages was not looked for: git failed")
    conflicts = [_conflict_here(session.snapshot, conflict) for conflict in board.conflicts]
    node_id = next_node_id(session.project.home)
    own = {event.event_id for event in session.snapshot.events if event.node_id == node_id}
    parts = []
    for state in board.features.values():
        open_ones = [one for one in conflicts if one["open"] and state.is_about(one["subject"])]
        parts.append(_feature_status(session.snapshot, state, codes, open_ones, own))
    rows = [
        ({"feature_slug": part.feature.slug, "wp_id": wp_id}, row)
        for part in parts
        for wp_id, row in part.rows.items()
    ]
    waiting, blocking, asks = _asks(parts, session.current_actor())
    refused = ErrorStore(session.project).recent(REFUSED_MAX, session.warnings.append)
    here = {
        "not_imported": unlogged,
        "conflicts": conflicts,
        "refused": [to_builtins(record) for record in refused],
        "landed": [
            about | _landing_json(row.code)
            for about, row in rows
            if row.code is not None and row.package.lane == DONE
        ],
        "in_target_before_done": [
            about | {"target": row.code.target}
            for about, row in rows
            if row.code and row.code.kind in _IN_TARGET and row.package.lane != DONE
        ],
        "claims": [about | {"process": row.process} for about, row in rows if row.process],
        "next": [about | {"next": "; or ".join(row.steps)} for about, row in rows if row.steps],
        "waits_for_you": waiting,
        "blocks_most": blocking[:_NAMED_MAX],
        "sharing": {"is_shared": is_shared(session), "unshared": unshared(session)},
    }
    summary = _summary(parts)
    lines = [*_lines(parts, summary, asks, is_all=is_all or feature is not None)]
    if unlogged:
        lines += [f"not in the log yet: {_listed(unlogged)}", "next: thence work finalize-tasks"]
    lines += filter(None, (status_words(session),))
    if has_refused:
        lines += ["", "refused, the newest first:" if refused else "nothing was refused"]
    for record in refused if has_refused else ():
        lines.append(f"{record.timestamp[:19]}  {record.error_type}  {record.attempted_operation}")
        lines.append(f"  {record.reason}")
        if remedy := record.context.get("remedy"):
            lines.append(f"  what to do: {remedy}")
    return session.result({"summary": summary, **as_json(board), "here": here}, lines)


status_command = session_command(status, "status", "thence work status --json", create=False)


def _asks(
    parts: Sequence[_FeatureStatus], actor: str
) -> tuple[list[dict[str, Any]], list[dict[str, Any]], list[str]]:
    """Returns what waits for an actor, what most packages wait for, and lines that say so."""
    waiting = [
        {"feature_slug": part.feature.slug, "wp_id": package.wp_id, "state": state}
        for part in parts
        for package, state in waits_for(part.feature, actor)
    ]
    blocking: list[dict[str, Any]] = [
        {"feature_slug": part.feature.slug, "wp_id": wp_id, "waiting": count}
        for part in parts
        for wp_id, count in waiting_for(part.feature).items()
    ]
    blocking.sort(key=lambda one: -one["waiting"])
    asks = []
    if waiting:
        heads = [f"{one['wp_id']} of {one['feature_slug']} ({one['state']})" for one in waiting]
        asks.append(f"waits for you: {_listed(heads)}")
    if blocking:
        most = blocking[0]
        count = counted(most["waiting"], "package")
        asks.append(f"blocks most: {most['wp_id']} of {most['feature_slug']} ({count})")
    return waiting, blocking, asks


def _listed(names: Sequence[str]) -> str:
    rest = len(names) - _NAMED_MAX
    return ", ".join(names[:_NAMED_MAX]) + (f" and {rest:,} more" if rest > 0 else "")


def _feature_status(
    snapshot: Snapshot,
    feature: FeatureState,
    codes: Mapping[tuple[str, str], LandingStatus],
    conflicts: Sequence[Mapping[str, Any]],
    own: Collection[str],
) -> _FeatureStatus:
    """Returns what status shows of a feature; `own` are the events of this clone."""
    slug, where = feature.slug, snapshot.board.option_of(feature.slug)
    notes, half_added = list[str](), list[str]()
    with suppress(GitFailed):
        try:
            target, folder = snapshot.target_of(feature), snapshot.planning.path(slug)
            trees = (None, target)
            has_files = any(snapshot.planning.names(tree, folder) for tree in trees)
            if not feature.packages and not feature.is_completed:
                notes = ["it has no packages yet", f"next: thence work finalize-tasks{where}"]
                if feature.spec_event in own and not has_files:
                    notes = [
                        f"{folder} is not there: its command ended half-way, or it was removed",
                        f"next: write {folder}/tasks.md, then thence work finalize-tasks{where}",
                        f"or end it: thence work accept{where} --force --reason TEXT",
                    ]
            if plan := snapshot.planning.open_plan(slug):
                notes += _plan_notes(snapshot, slug, target, plan)
            half_added = [
                wp_id
                for wp_id, package in feature.packages.items()
                if has_files and package.lane == PLANNED and package.created_event in own
            ]
            if half_added:
                files = [
                    file for tree in trees for file in snapshot.planning.package_files(tree, slug)
                ]
                half_added = [
                    wp_id
                    for wp_id in half_added
                    if not any(is_file_of(wp_id, path) for path, _ in files)
                ]
        except PlanningError as error:  # no target
            notes = [error.cause, f"next: {error.hint}"]
    rows, histories = dict[str, _Row](), attempt_histories(snapshot.events, slug)
    for wp_id, package in feature.packages.items():
        code, history, pid = codes.get((slug, wp_id)), histories.get(wp_id), None
        is_in_target = code is not None and code.kind in _IN_TARGET
        if package.lane == DOING and not (is_in_target and package.reviews):
            code = None  # what was never handed in may have the target's commits alone
        has_branch = code is not None and tip_of(snapshot.refs, code.branch) is not None
        steps = next_steps(package, history, code, where=where, has_branch=has_branch)
        troubles = [trouble(package, history)]
        if wp_id in half_added:
            reject = f"thence work move-task {wp_id}{where} --to rejected --reason TEXT"
            why = f"its file is not there: its command ended half-way; {reject} takes it back"
            troubles = [why]
        is_begun = package.lane in (DOING, FOR_REVIEW)
        if (steps or is_begun) and (pid := holder(snapshot.project.home, package.subject)):
            steps = ()
            troubles.append(holder_sentence(pid))
        if is_begun:
            troubles.append(_stray(snapshot, slug, wp_id))
        if package.lane == DOING and package.workspace is None and package.lane_event in own:
            tree = snapshot.project.root / worktree_of(slug, wp_id)
            # a reopened package may have kept it; one that is half made has no files yet
            with suppress(OSError):
                has_files = is_standing(tree) and (git_dir_of(tree) / "index").exists()
                troubles += [] if has_files else ["its worktree is not there yet"]
        text = "; ".join(filter(None, troubles))
        rows[wp_id] = _Row(package, code, steps, text, pid)
    return _FeatureStatus(feature, rows, conflicts, notes)


def _plan_notes(snapshot: Snapshot, slug: str, target: str, plan: OpenPlan) -> Iterator[str]:
    if not plan.is_altered:
        yield f"its planning files are on {plan.name}, and not in {target} yet"
        return
    yield f"its planning files are on {plan.name}, and {target} has another state of them"
    refs, branch = snapshot.refs, plan_branch(slug)
    if {refs.commits[ref] for ref in refs.on_remotes(branch)} <= {plan.tip}:  # all is pushed
        away = f"git worktree remove {plan_worktree(slug)}; " if plan.tree else ""
        yield f"if they landed with changes: git fetch --prune; {away}git branch -D {branch}"


def _stray(snapshot: Snapshot, slug: str, wp_id: str) -> str:
    """Returns the sentence on a package's worktree that is not on its branch, else ""."""
    path, branch = snapshot.project.root / worktree_of(slug, wp_id), branch_of(slug, wp_id)
    trees = snapshot.refs.trees
    if not is_standing(path) or trees.get(branch) == path:
        return ""
    try:
        own = git_dir_of(path)
    except OSError:
        return f"git no longer knows its worktree: move {path} away, then implement it again"
    here = realpath(path)
    at = next((name for name, tree in trees.items() if realpath(tree) == here), None)
    if at is None and operation_under_way(own):
        return ""
    place = f"{at or 'no branch'}: git -C {path} switch {branch}"
    return "" if at == branch else f"its worktree is on {place}"


def _landing_json(code: LandingStatus) -> dict[str, Any]:
    landed = code.landed
    value: dict[str, Any] = {
        "state": code.kind,
        "target": code.target,
        "how": landed.how if landed else None,
        "commit": landed.commit if landed else None,
    }
    return value | ({"reverted_by": code.reverts} if code.kind == "reverted" else {})


def _summary(parts: Sequence[_FeatureStatus]) -> dict[str, int]:
    """Returns the number of packages by column, of landed and blocked ones, and of open conflicts.

    A blocked package is planned, and waits for what others do.
    """
    rows = [row for part in parts for row in part.rows.values()]
    columns = Counter(row.package.column for row in rows)
    blocked = [
        package
        for part in parts
        for package in part.feature.packages.values()
        if package.lane == PLANNED
        and not all(can_begin_on(part.feature, package, wp_id) for wp_id in package.dependencies)
    ]
    return {
        **{column: columns[column] for column in COLUMNS},
        "landed": columns[DONE] - sum(row.is_apart for row in rows),
        "blocked": len(blocked),
        "conflicts": sum(len(part.conflicts) for part in parts),
    }


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
    parts = [one for one in parts if is_all or one.feature.packages or not one.feature.is_completed]
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
    apart = sum(row.is_apart for row in part.rows.values())
    landed = f", {done - apart} landed" if apart else ""
    is_ended = feature.is_completed and not feature.packages
    count = "ended" if is_ended else f"{done} of {len(feature.packages)} done{landed}"
    return f"{name}{title}  ({count})"


def _feature_lines(part: _FeatureStatus, *, is_all: bool) -> Iterator[str]:
    yield _title(part)
    yield from (f"  {note}" for note in part.notes)
    common: set[str] = set()
    for column, packages in part.feature.by_column().items():
        rows = [part.rows[package.wp_id] for package in packages]
        quiet = [  # of many done packages those of which there is nothing to say are one line
            row
            for row in (rows if column == DONE and not is_all else ())
            if not (row.steps or row.trouble or any(remarks(row.package, row.code)))
        ]
        if len(quiet) > _NAMED_MAX:
            yield f"  {column:<10}  {_listed([row.package.wp_id for row in quiet])}"
            rows = [row for row in rows if row not in quiet]
        for row in rows:
            package, wp_id = row.package, row.package.wp_id
            notes = [*remarks(package, row.code), *filter(None, (row.trouble,))]
            if package.agent and package.lane not in (PLANNED, DONE):
                notes.insert(0, package.agent)
            if package.dependencies and package.lane == PLANNED:
                notes.append(f"after {', '.join(package.dependencies)}")
            title = f"{wp_id}  {package.title[:_TITLE_CHARACTERS_MAX]}".rstrip()
            yield f"  {column:<10}  {title}" + (f"  ({'; '.join(notes)})" if notes else "")
            steps = [step for step in row.steps if step not in common]
            common |= {step for step in steps if wp_id not in step}  # such as a push: once for all
            for number, step in enumerate(steps):
                yield f"{'':14}{'or' if number else 'next'}: {step}"
    for conflict in part.conflicts:
        yield f"  conflict: {conflict['sentence']}"
        yield from (f"    next: {step}" for step in conflict["next"])


def _conflict_here(snapshot: Snapshot, conflict: Conflict) -> dict[str, Any]:
    """Returns a conflict as JSON, with the steps by which a person settles it otherwise."""
    _, slug, name = conflict.subject.rsplit("/", 2)
    where = f" --feature {slug}"
    package = snapshot.board.package(slug, name)
    steps = [
        f"where it was created: thence work finalize-tasks --add {quote(one.title)}{where}"
        for one in (package.lost if package and conflict.slot == PACKAGE.name else ())
        if not one.is_added
    ]
    if conflict.slot == "lane" and package and package.lane in _SETTLING_MOVES:
        steps = [f"thence work {_SETTLING_MOVES[package.lane].format(f'{name}{where}')}"]
    return conflict_json(conflict) | {
        "open": conflict.is_open,
        "next": steps if conflict.is_open else [],
    }
