"""Events that an earlier version could not write, and left in messages of commits and in a file.

They stand there a line each: `Thence-Pending: {…}`. `thence work import` appends those that the
journal lacks, with the source "recovered".
"""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import msgspec

from thence.core.event import Event
from thence.replica import new_id
from thence.work.journal.store import WorkEvent
from thence.work.project.project import Project

SOURCE = "recovered"
_KEY = b"Thence-Pending: "


class _Pending(msgspec.Struct, frozen=True):
    """An event that waits in a line."""

    id: str
    type: str
    payload: dict[str, Any]
    actor: str
    at: str
    feature: str | None = None
    causes: tuple[str, ...] = ()


def pending_file(project: Project) -> Path:
    """Returns the path of the file in which events wait."""
    return project.repo.common / "thence" / f"pending-{project.uuid}.txt"


def pending_events(project: Project, events: Sequence[Event]) -> list[WorkEvent]:
    """Returns the events that wait and that the journal lacks, each once, with their causes.

    The commits of all local branches are searched, and the file. Raises GitFailed, OSError.
    """
    arguments = ("log", "-z", "--reverse", "--format=%B", "--fixed-strings")
    data = project.repo.git.run(*arguments, f"--grep={_KEY.decode()}", "--branches", "--")
    path = pending_file(project)
    data += path.read_bytes() if path.exists() else b""
    ids = {event.event_id: event.event_id for event in events} | {
        event.header.source_id: event.event_id
        for event in events
        if event.header.source == SOURCE and event.header.source_id
    }
    new_events = []
    for pending in _read(data):
        if pending.id in ids:
            continue
        ids[pending.id] = new_id()
        new_events.append(
            WorkEvent(
                pending.type,
                pending.payload,
                pending.feature,
                tuple(ids[cause] for cause in pending.causes if cause in ids),
                actor=pending.actor,
                source=SOURCE,
                source_id=pending.id,
                timestamp=pending.at,
                event_id=ids[pending.id],
            )
        )
    return new_events


def _read(data: bytes) -> Iterator[_Pending]:
    for line in data.replace(b"\0", b"\n").splitlines():
        if line.startswith(_KEY):
            try:
                yield msgspec.json.decode(line[len(_KEY) :], type=_Pending)
            except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
                continue
