"""`thence work mark-status`: ticks the boxes of subtasks in tasks.md, and opens them again."""

from collections.abc import Sequence

from thence.errors import PlanningError, Refused
from thence.work.daylines import Splice
from thence.work.desk import Desk
from thence.work.result import Result
from thence.work.state import FeatureState
from thence.work.store import Said
from thence.work.tasks import Package, Subtask, parse, tick


def mark_status(
    desk: Desk, given: Sequence[str], *, feature: str | None = None, is_done: bool = True
) -> Result:
    """Ticks subtasks, or takes their ticks back, and commits tasks.md on the target branch.

    Each that changes is a SubtaskCompleted or a SubtaskReopened. Raises Refused for one that
    tasks.md lacks.
    """
    desk.look()
    found = desk.feature(feature)
    branch = desk.target_of(found)
    path = desk.planning.path(found.slug, "tasks.md")
    data = desk.planning.read(branch, path)
    packages = parse(data, path).packages if data is not None else ()
    chosen = [_found(name.upper(), packages, path) for name in given]
    changed = [(package, each) for package, each in chosen if each.is_done is not is_done]
    commit = None
    if changed:
        desk.say(*(_said(found, package, each, is_done) for package, each in changed))
        ids = [each.id for _, each in changed]
        message = f"{', '.join(ids)} of {found.slug}: {'done' if is_done else 'open again'}"
        commit = desk.commit(branch, {path: _marked(ids, path, is_done)}, message)
    told = {
        "feature_slug": found.slug,
        "subtasks": [each.id for _, each in chosen],
        "changed": [each.id for _, each in changed],
        "commit": commit.oid if commit else None,
    }
    lines = [_line(package, each, is_done) for package, each in chosen]
    return desk.result(told, lines)


def _found(name: str, packages: Sequence[Package], path: str) -> tuple[Package, Subtask]:
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


def _said(feature: FeatureState, package: Package, each: Subtask, is_done: bool) -> Said:
    known = feature.packages.get(package.wp_id)
    rests_on = (known.events_of("lane") or known.events_of("package")) if known else ()
    payload = {
        "work_package_id": package.wp_id,
        "subtask_index": each.id,
        "subtask_text": each.text or each.id,
    }
    event_type = "SubtaskCompleted" if is_done else "SubtaskReopened"
    return Said(event_type, payload, feature.slug, rests_on)


def _marked(ids: Sequence[str], path: str, is_done: bool) -> Splice:
    def splice(data: bytes | None) -> bytes | None:
        if data is None:
            return None
        for name in ids:
            try:
                data = tick(data, name, is_done, path)
            except PlanningError:  # half-done work of the user's that lacks the box
                continue
        return data

    return splice


def _line(package: Package, each: Subtask, is_done: bool) -> str:
    already = "  (it was already)" if each.is_done is is_done else ""
    return f"[{'x' if is_done else ' '}] {each.id} {each.text}  ({package.wp_id}){already}"
