"""The processes that have a log open for appending, and the open steps of those that have ended.

Nothing is written, and no writer is delayed. A living process is never taken for an ended one:
where that can't be told, a step counts as open.
"""

from collections.abc import Collection
from pathlib import Path

from thence.core.ids import NOISE_CHARACTERS, is_ulid
from thence.core.query.tally import LogEnd
from thence.core.values.vocabulary import SIM, Vocabulary
from thence.log.crash.sessions import session_records
from thence.log.storage.disk import Disk
from thence.log.storage.disk_errors import DiskError
from thence.log.storage.identity import is_own, known_node_id
from thence.log.storage.segment import own_folder


def living_writers(disk: Disk, folder: Path) -> frozenset[str] | None:
    """Returns the noise in the ids of each process that has a log open for appending.

    None if that is unknown: in a copy, on another machine, without the log's own files.
    """
    try:
        if not is_own(disk, folder) or not disk.is_folder(own_folder(folder) / "open"):
            return None
        held = [record.name for record in session_records(disk, folder) if record.is_held]
    except DiskError:
        return None
    return frozenset(name.partition(".")[0][-NOISE_CHARACTERS:] for name in held)


def ended_writers(
    disk: Disk, folder: Path, vocabulary: Vocabulary, end: LogEnd, living: Collection[str]
) -> dict[str, str]:
    """Returns the open steps whose writers have ended, with the time of each one's last event.

    The keys are the ids of the events that began the steps. `living` are the processes that had
    the log open at any time since the reading of the events began. In a log of a simulation
    another process than the writer may have made an event, so that any living one may be its.
    """
    node_id = known_node_id(disk, folder)
    if living and vocabulary is SIM:
        return {}
    noises = {
        event.event_id: event.event_id[-NOISE_CHARACTERS:]
        for event in end.still_open
        if event.node_id == node_id and not event.is_foreign and is_ulid(event.event_id)
    }
    return {
        event_id: end.seen_last[noise] for event_id, noise in noises.items() if noise not in living
    }
