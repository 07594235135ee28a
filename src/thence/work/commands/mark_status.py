"""`thence work mark-status`: ticks the boxes of subtasks, and opens them again."""

from collections.abc import Sequence

from thence.errors import PlanningError, Refused
from thence.work.board.state import FeatureState
from thence.work.day_lines import Splice
from thence.work.plan.tasks import PlannedPackage, Subtask, parse, tick
from thence.work.result import CommandResult
from thence.work.session.mirror import is_mirrored, mirror
from thence.work.session.session import Session
from thence.work.session.ticks import package_of_section, tick_event
from thence.work.vcs.commits import write_files


def mark_status(
    session: Session, given: Sequence[str], *, feature: str | None = None, is_done: bool = True
) -> CommandResult:
    """Ticks subtasks, or takes their ticks back, in tasks.md too if the project shows them there.

    Each change is a SubtaskCompleted or a SubtaskReopened. Raises Refused for a subtask that
    tasks.md lacks.
    """
    session.look()
    found = session.feature(feature)
    branch = session.target_of(found)
    path = session.planning.path(found.slug, "tasks.md")
    data = session.planning.read(None, path) or session.planning.read(branch, path)
    packages = parse(data, path).packages if data is not None else ()
    chosen = [_found(name.upper(), packages, path) for name in given]
    chosen = [
        (package._replace(wp_id=package_of_section(found, package) or package.wp_id), subtask)
        for package, subtask in chosen
    ]
    states = [(package, each, _is_done(found, package, each)) for package, each in chosen]
    changed = [(package, each) for package, each, was in states if was is not is_done]
    if changed:
        session.append(*(tick_event(found, p.wp_id, each, is_done) for p, each in changed))
    mirror(session, found, is_all=True)
    if not is_done or is_mirrored(session, found):
        # a box is opened in the file even if the file shows no ticks: its tick would count
        write_files(
            session.main, {path: _with_ticks([each.id for _, each in chosen], path, is_done)}
        )
    result = {
        "feature_slug": found.slug,
        "subtasks": [each.id for _, each in chosen],
        "changed": [each.id for _, each in changed],
    }
    lines = [_line(package, each, is_done, was) for package, each, was in states]
    return session.result(result, lines)


def _is_done(feature: FeatureState, package: PlannedPackage, each: Subtask) -> bool:
    """Reports whether a box is ticked: in the file, or in the log."""
    known = feature.packages.get(package.wp_id)
    return each.is_done or bool(known and known.subtasks.get(each.id))


def _found(
    name: str, packages: Sequence[PlannedPackage], path: str
) -> tuple[PlannedPackage, Subtask]:
    for package in packages:
        for each in package.subtasks:
            if each.id == name:
                return package, each
    known = [each.id for package in packages for each in package.subtasks]
    raise Refused(
        "could not find the subtask",
        guard="unknown_subtask",
        place=repr(name),
        cause=f"{path} has {', '.join(known) or 'none'}",
        hint="write it as `- [ ] T001 text` below its package",
    )


def _with_ticks(ids: Sequence[str], path: str, is_done: bool) -> Splice:
    def splice(data: bytes | None) -> bytes | None:
        if data is None:
            return None
        for name in ids:
            try:
                data = tick(data, name, is_done, path)
            except PlanningError:  # the user's unfinished change lacks the box
                continue
        return data

    return splice


def _line(package: PlannedPackage, each: Subtask, is_done: bool, was_done: bool) -> str:
    already = "  (it was already)" if was_done is is_done else ""
    return f"[{'x' if is_done else ' '}] {each.id} {each.text}  ({package.wp_id}){already}"
