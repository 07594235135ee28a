"""Features whose history is in planning files alone.

Their board is folded from events that no log holds: those that `thence work import` would write.
So the board before an import is the same as after it.
"""

import os
from collections.abc import Sequence

import msgspec
from msgspec.structs import replace

from thence.core.event import Event
from thence.core.values.codec import parse
from thence.core.values.vocabulary import WORK
from thence.errors import PlanningError
from thence.work.board.board import fold
from thence.work.board.state import Board
from thence.work.events import aggregate_of
from thence.work.plan.legacy import LANES, FeatureHistory, ImportedEvent, Unread, history_of
from thence.work.plan.planning_files import Planning
from thence.work.plan.status_log import NAME as STATUS_NAME
from thence.work.plan.tasks import parse as parse_tasks


def history_in(planning: Planning, slug: str) -> FeatureHistory:
    """Reads the history in the planning files of a feature, and the parts that can't be read.

    The files are those of the main working tree. The file of a package is in tasks/ or, in an older
    form, in a folder there that is named after its lane.
    """
    unread: list[Unread] = []

    def read(path: str) -> bytes | None:
        try:
            return planning.read(None, path)
        except PlanningError as error:
            unread.append(Unread(_as_text(path), 0, error.cause))
            return None

    meta = read(planning.path(slug, "meta.json"))
    path = planning.path(slug, "tasks.md")
    tasks = read(path)
    files = {}
    for name, lane in planning.package_files(None, slug):
        data = read(name)
        if data is not None:
            files[_as_text(name)] = data
            if lane and lane not in LANES:
                unread.append(Unread(_as_text(name), 0, f"nobody knows the lane {lane!r:.80}"))
    status = read(planning.path(slug, STATUS_NAME))
    parsed = parse_tasks(tasks, path) if tasks is not None else None
    found = history_of(slug, meta, parsed, files, planning.branch_of(slug), status)
    return FeatureHistory(found.events, tuple(sorted((*found.unread, *unread))))


def as_events(history: FeatureHistory, project_uuid: str) -> list[Event]:
    """Returns a history as foreign events that are in no log, in their order."""
    return [_event(one, number, project_uuid) for number, one in enumerate(history.events)]


def _as_text(path: str) -> str:
    """Returns a path as text; bytes that are no UTF-8 are replaced."""
    return os.fsencode(path).decode("utf-8", "replace")


def _event(one: ImportedEvent, number: int, project_uuid: str) -> Event:
    aggregate_type, aggregate_id = aggregate_of(one.event_type, one.payload, one.feature_slug)
    known = {
        "event_id": f"file-{one.feature_slug}-{number:06}",
        "event_type": one.event_type,
        "timestamp": f"{number:06}",  # the order in the files
        "project_uuid": project_uuid,
        "feature_slug": one.feature_slug,
        "aggregate_type": aggregate_type,
        "aggregate_id": aggregate_id,
        "actor": one.actor,
    }
    line = msgspec.json.encode({**known, "payload": one.payload})
    found = parse(line, WORK)
    assert isinstance(found, Event)
    return found


def board_with(board: Board, planning: Planning, slugs: Sequence[str], project_uuid: str) -> Board:
    """Returns the board with the packages that only these features' planning files have."""
    features = {**board.features}
    for slug in slugs:
        events = as_events(history_in(planning, slug), project_uuid)
        found = fold(events, project_uuid).features.get(slug)
        if found is None:
            continue
        known = features.get(slug)
        packages = {**found.packages, **known.packages} if known else found.packages
        features[slug] = replace(known or found, packages=dict(sorted(packages.items())))
    return replace(board, features=dict(sorted(features.items())))
