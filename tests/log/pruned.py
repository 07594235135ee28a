"""Logs of several closed segments, and what a prune of one leaves."""

import gzip
import subprocess
from pathlib import Path

import thence
from thence.log.check.pruning import PrunePlan, Pruning
from thence.log.files.disk import OS_DISK, Disk
from thence.log.files.segment import segments
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


def pruning_of(log: Log, disk: Disk = OS_DISK) -> Pruning:
    return Pruning(disk, log.folder, log.vocabulary, log.pruned, log.redactions.record)


def pruned(
    log: Log,
    *,
    keep: int = 0,
    before: str | None = None,
    archive: Path | None = None,
    disk: Disk = OS_DISK,
) -> PrunePlan:
    """Prune a log as the command does; `keep` is how many bytes stay at least."""
    pruning = pruning_of(log, disk)
    with pruning.alone():
        plan = pruning.plan(before, keep, {})
        if plan.segments:
            pruning.run(plan, archive)
        return plan


def gunzipped(folder: Path) -> Path:
    """Decompress all files of an archive in a folder, as a user does; return the folder."""
    subprocess.run(["gunzip", *sorted(folder.glob("*.gz"))], check=True)
    return folder


def archived(archive: Path, disk: Disk = OS_DISK, family: str = "events") -> bytes:
    """Return the bytes of all segments in an archive, or of all its large values, "bodies"."""
    names = [name for name in sorted(disk.names(archive)) if name.endswith(".gz")]
    paths = [archive / name for name in names if name.startswith(family)]
    return b"".join(gzip.decompress(disk.read_whole(path) or b"") for path in paths)
