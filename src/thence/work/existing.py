"""Features whose history stands in planning files alone, read as they are.

Their board is folded from events that no log holds: those that `thence work import` would
write. So what is shown before an import is what stands after it.
"""

import msgspec

from thence.core.codec import parse
from thence.core.event import Event
from thence.core.vocabulary import WORK
from thence.work.events import aggregate_of
from thence.work.legacy import Happened, History, history_of
from thence.work.planning import Planning
from thence.work.tasks import parse as parse_tasks

FOLDER = "tasks"


def history_in(planning: Planning, slug: str, branch: str | None) -> History:
    """Reads what the planning files of a feature tell, and what of them can't be read."""
    meta = planning.read(branch, planning.path(slug, "meta.json"))
    path = planning.path(slug, "tasks.md")
    tasks = planning.read(branch, path)
    folder = planning.path(slug, FOLDER)
    files = {}
    for name in planning.names(branch, folder):
        if name.endswith(".md"):
            data = planning.read(branch, f"{folder}/{name}")
            if data is not None:
                files[f"{folder}/{name}"] = data
    return history_of(slug, meta, parse_tasks(tasks, path) if tasks is not None else None, files)


def as_events(history: History, project_uuid: str) -> list[Event]:
    """Returns what happened as events that are in no log: foreign ones, in their order."""
    return [_event(one, number, project_uuid) for number, one in enumerate(history.happened)]


def _event(one: Happened, number: int, project_uuid: str) -> Event:
    aggregate_type, aggregate_id = aggregate_of(one.event_type, one.payload, one.feature_slug)
    known = {
        "event_id": f"file-{one.feature_slug}-{number:06}",
        "event_type": one.event_type,
        "timestamp": f"{number:06}",  # the order in which the files tell it
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
