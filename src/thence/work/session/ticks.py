"""The events of ticked subtask boxes, those ticked by hand included."""

from collections.abc import Callable, Iterator
from contextlib import suppress

from thence.errors import PlanningError
from thence.work.board.state import Board, FeatureState
from thence.work.journal.store import WorkEvent
from thence.work.plan.planning_files import Planning
from thence.work.plan.tasks import PlannedPackage, Subtask, parse

TYPES = ("SubtaskCompleted", "SubtaskReopened")


def tick_event(feature: FeatureState, wp_id: str, subtask: Subtask, is_done: bool) -> WorkEvent:
    """Returns the event of a box that was ticked or opened again."""
    package = feature.packages.get(wp_id)
    rests_on = (package.events_of("lane") or package.events_of("package")) if package else ()
    payload = {
        "work_package_id": wp_id,
        "subtask_index": subtask.id,
        "subtask_text": subtask.text or subtask.id,
    }
    return WorkEvent(TYPES[not is_done], payload, feature.slug, rests_on)


def has_lost_its_number(feature: FeatureState, package: PlannedPackage) -> bool:
    """Reports whether a section of tasks.md is that of a package which lost its number."""
    keeper = feature.packages.get(package.wp_id)
    return keeper is not None and any(lost.title == package.title for lost in keeper.lost)


def ticks_by_hand(
    board: Board, planning: Planning, target_of: Callable[[FeatureState], str]
) -> Iterator[WorkEvent]:
    """Yields the events of boxes that are ticked in tasks.md, and have no event in the log.

    The main working tree's files count, for features whose target is its branch.
    """
    features = [feature for feature in board.features.values() if feature.packages]
    pairs = ((feature, list(_boxes_ticked(planning, feature))) for feature in features)
    ticked = [(feature, done) for feature, done in pairs if done]
    if not ticked:
        return
    branch = planning.branch_here()
    for feature, done in ticked:
        with suppress(PlanningError):  # its target is gone: the commands that need it report that
            if not feature.target_branch or target_of(feature) == branch:
                for wp_id, subtask in done:
                    yield tick_event(feature, wp_id, subtask, is_done=True)


def _boxes_ticked(planning: Planning, feature: FeatureState) -> Iterator[tuple[str, Subtask]]:
    path = planning.path(feature.slug, "tasks.md")
    try:
        data = planning.read(None, path) or b""
    except PlanningError:  # reported by the commands that need the file
        return
    if b"[x]" not in data and b"[X]" not in data:
        return
    for package in parse(data, path).packages:
        known = feature.packages.get(package.wp_id)
        if known is None or has_lost_its_number(feature, package):
            continue
        for subtask in package.subtasks:
            if subtask.is_done and subtask.id not in known.subtasks:
                yield package.wp_id, subtask
