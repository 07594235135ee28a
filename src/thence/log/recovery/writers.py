"""What the writers of a log left: the log open for appending, open steps, an outcome, the node.

Nothing is written, and no writer is delayed. A living process is never taken for an ended one:
where that can't be told, a step counts as open.
"""

from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Literal, NamedTuple

from thence.core.codec import parse
from thence.core.event import Event
from thence.core.ids import NOISE_CHARACTERS, is_ulid
from thence.core.query.why import LogEnd
from thence.core.vocabulary import SIM, Vocabulary
from thence.log.files.disk import OS_DISK, Disk, DiskError, opened
from thence.log.files.identity import is_own, known_node_id, read_redactions
from thence.log.files.segment import own_folder, segments
from thence.log.files.sessions import session_records
from thence.log.files.tail import lines_backwards


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
    return frozenset(name[-NOISE_CHARACTERS:] for name in held)


def ended_writers(
    disk: Disk, folder: Path, vocabulary: Vocabulary, end: LogEnd, living: Collection[str]
) -> dict[str, str]:
    """Returns the open steps whose writers have ended, with the time of each one's last event.

    The keys are the ids of the events that began the steps. `living` are the processes that had
    the log open at any time since the reading of the events began. In a log of a simulation
    another process than the writer may have made an event, so that any living one may be its.
    """
    node_id = known_node_id(disk, folder)
    if living and vocabulary.name == SIM.name:
        return {}
    noises = {
        event.event_id: event.event_id[-NOISE_CHARACTERS:]
        for event in end.still_open
        if event.node_id == node_id and not event.is_foreign and is_ulid(event.event_id)
    }
    return {
        event_id: end.seen_last[noise] for event_id, noise in noises.items() if noise not in living
    }


class RunStatus(NamedTuple):
    """A run's status in words; `decisions` says how many failed, "" where that is not known.

    It is good if the run is completed and no decision failed.
    """

    text: str
    is_good: bool
    decisions: str


def run_status(status: str, result: Mapping[str, object]) -> RunStatus:
    """Returns the status with what result.json counts: failed decisions make a run no good one."""
    count, failed = (
        value if type(value := result.get(name)) is int and value >= 0 else None
        for name in ("decisions", "decisions_failed")
    )
    if failed is None:
        return RunStatus(status, status == "completed", "")
    words = f"{failed:,} decisions failed"
    if count is not None:
        words = f"{failed:,} of {count:,} decisions failed"
    text = f"{status}, {words}" if failed else status
    return RunStatus(text, status == "completed" and not failed, words)


Outcome = Literal["running", "completed", "failed", "interrupted", "killed"]

# the words with which simulations that did not come to their end describe it
_CUT_SHORT: Mapping[str, Outcome] = {
    "simulation_failed": "failed",
    "simulation_interrupted": "interrupted",
}
# the bytes at the end of a segment in which the run's last event is searched
_TAIL_BYTES = 64 * 1024


def outcome(disk: Disk, folder: Path) -> Outcome:
    """Returns the outcome of a run by its log, where there is no result.json.

    If the last event, without the log's notices, ends the simulation, it decides the outcome.
    Else the run is running while a living process has the log open for appending. It was killed
    if a process left its session behind, or if a simulation began it, which would have recorded
    its end. It is interrupted if nothing of it is known: a folder without the log's own files.
    Else its writer has closed it: it is completed. Raises DiskError.
    """
    sessions = list(session_records(disk, folder))
    last = _last(disk, folder)
    if last is not None and last.payload.get("milestone_type") == "simulation_end":
        return _CUT_SHORT.get((last.description or "").partition(":")[0], "completed")
    if any(session.is_held for session in sessions):
        return "running"
    if sessions or disk.path_id(str(folder / "config.json")) is not None:
        return "killed"
    is_logs = disk.path_id(str(own_folder(folder) / "log.json")) is not None
    return "completed" if is_logs else "interrupted"


def _last(disk: Disk, folder: Path) -> Event | None:
    """Returns the event that a run wrote last, without the log's notices."""
    for path in reversed(segments(disk, folder)):
        with opened(disk, path) as descriptor:
            _, size = disk.file_id(descriptor)
            start = max(0, size - _TAIL_BYTES)  # of a line cut by it nothing is read
            for line in lines_backwards(disk, descriptor, start, size):
                event = parse(line, SIM)
                if isinstance(event, Event) and not SIM.is_notice(event):
                    return event
        if start:
            break
    return None


def next_node_id(folder: Path) -> str | None:
    """Returns the node under which the next append goes on.

    None in a copy, on another machine, and where nothing was written yet.
    """
    return known_node_id(OS_DISK, folder) if is_own(OS_DISK, folder) else None


def redactions_of(folder: Path) -> frozenset[bytes]:
    """Returns the digests of the lines of the log that were redacted for good."""
    return read_redactions(OS_DISK, folder)
