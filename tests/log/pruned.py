"""Logs of several closed segments, and what a prune of one leaves."""

import subprocess
from collections.abc import Callable
from pathlib import Path

import thence
from thence.core.pruned import Pruned
from thence.log.check.pruning import PrunePlan, Pruning
from thence.log.files.archive import unpacked_data
from thence.log.files.disk import OS_DISK, Disk
from thence.log.files.segment import archived_names, segments
from thence.log.open import Log

SEGMENT_BYTES = 1_500
EVENTS = 40


def filled(folder: Path, events: int = EVENTS, **options: object) -> list[thence.Event]:
    """Make a log of several segments, in which each event names the one before; return them."""
    last: list[thence.Event] = []
    with thence.open(folder, max_file_size=SEGMENT_BYTES, **options) as log:
        for n in range(events):
            last.append(log.append("noted", {"n": n, "text": "x" * 50}, caused_by=last[-1:]))
    return last


def names(folder: Path, disk: Disk = OS_DISK) -> list[str]:
    return [path.name for path in segments(disk, folder)]


def nothing_held_back(name: str, has_unverified: bool) -> str:
    return ""


def pruning_of(log: Log, disk: Disk = OS_DISK) -> Pruning:
    return Pruning(disk, log.folder, log.vocabulary, log.pruned, log.redactions.record)


def pruned(
    log: Log,
    *,
    keep: int = 0,
    before: str | None = None,
    archive: Path | None = None,
    disk: Disk = OS_DISK,
    held_back: Callable[[str, bool], str] = nothing_held_back,
) -> tuple[Pruned, PrunePlan]:
    """Prune a log as the command does; `keep` is how many bytes stay at least."""
    pruning = pruning_of(log, disk)
    with pruning.alone():
        open_ids = {event.event_id for event in log.end().still_open}
        plan = pruning.plan(before, keep, held_back, open_ids)
        return pruning.run(plan, archive), plan


def gunzipped(folder: Path) -> Path:
    """Decompress all files of an archive in a folder, as a user does; return the folder."""
    subprocess.run(["gunzip", *sorted(folder.glob("*.gz"))], check=True)
    return folder


def archived(archive: Path, disk: Disk = OS_DISK) -> bytes:
    """Return the bytes of all segments in an archive."""
    found = [name for name in archived_names(disk, archive) if name.startswith("events")]
    return b"".join(b"".join(unpacked_data(disk, archive / name)) for name in found)
