"""The condition of a log, checked by its small files and the ends of its large ones.

Nothing is written. Of a large log a few lines are read; `thence.log.check.verify` reads every one.
"""

from collections.abc import Callable
from functools import partial
from pathlib import Path
from shlex import quote

from thence.core.codec import LINE_BYTES_MAX, BadLine, parse
from thence.core.sentences.events import counted, short_id
from thence.core.vocabulary import PLAIN
from thence.log.files.disk import Disk, monotonic_ns, opened, pause
from thence.log.files.health import Check, checked, joined
from thence.log.files.identity import is_own, known_node_id, read_info
from thence.log.files.segment import own_folder, segment_sizes, segments
from thence.log.files.sessions import session_records
from thence.log.files.tail import lines_backwards
from thence.log.read.opening import opened_vocabulary

Read = Callable[[Disk, Path], Check]
LOCK_WAIT_S = 1.0
_LOOKS = 3
_PAUSE_S = 0.01
_TAIL_BYTES_MAX = 2 * LINE_BYTES_MAX
_UNTOLD = ".untold"
LARGE_BYTES = 2 * 1024**3
_PRUNE = (
    "`thence prune --before 90d --dry-run` shows what a prune would take out;"
    ' thence.open(…, rotate_after="1d") closes a file a day'
)


def log_checks(disk: Disk, folder: Path) -> list[Check]:
    """Checks a log as it is, while other processes may write to it."""
    reads: dict[str, tuple[Read, ...]] = {
        "log": (_log, _segments, _identity),
        "events": (tail,),
        "writers": (lock, _sessions, _quarantine),
    }
    return [
        joined(name, [checked(name, partial(read, disk, folder)) for read in parts])
        for name, parts in reads.items()
    ]


def _log(disk: Disk, folder: Path) -> Check:
    """Opens the log and reports its vocabulary."""
    vocabulary = opened_vocabulary(disk, folder, None, create=False)
    info = read_info(disk, folder)
    name = f"log {info.log_id}" if info else "log without .thence/log.json, which appends make"
    return Check("log", True, f"{vocabulary.name} {name}")


def _segments(disk: Disk, folder: Path) -> Check:
    """Counts the segments and their bytes, and suggests a prune of a large plain log."""
    sizes = segment_sizes(disk, folder)
    size_bytes = sum(sizes)
    detail = f"{counted(len(sizes), 'segment')}, {size_bytes:,} bytes"
    info = read_info(disk, folder) if size_bytes >= LARGE_BYTES else None
    is_large = info is not None and info.vocabulary == PLAIN.name
    return Check("log", True, detail, _PRUNE if is_large else "")


def tail(disk: Disk, folder: Path) -> Check:
    """Checks the newest line: complete, unfinished, or damaged."""
    for path in reversed(segments(disk, folder)):
        rest, newest = _settled(disk, path)
        if rest and isinstance(parse(rest, PLAIN), BadLine):
            at_least = " or more" if len(rest) == _TAIL_BYTES_MAX else ""
            detail = f"the last line of {path.name} is unfinished, {len(rest):,} bytes{at_least}"
            return Check("events", False, detail, _append(folder, "moves it aside and reports it"))
        line = rest or newest
        if not line:
            continue
        event = parse(line, PLAIN)
        if isinstance(event, BadLine):
            detail = f"the newest line is damaged: {event.reason} ({event.code})"
            hint = "`thence verify` lists all the damage there is"
            return Check("events", False, detail, hint, is_damage=True)
        what = "is complete but for its newline" if rest else "is intact"
        detail = f"the newest line [{short_id(event.event_id)}] {what}"
        return Check("events", True, detail)
    return Check("events", True, "no events yet")


def _settled(disk: Disk, path: Path) -> tuple[bytes, bytes]:
    """Returns the bytes after a segment's last newline, and the last line before it.

    While a writer may be in the middle of a line it looks again.
    """
    for look in range(_LOOKS):
        if look:
            pause(_PAUSE_S)
        with opened(disk, path) as descriptor:
            _, size = disk.file_id(descriptor)
            start = max(0, size - _TAIL_BYTES_MAX)
            rest, *lines = lines_backwards(disk, descriptor, start, size)
        if not rest:
            break
    if start and lines:
        lines.pop()  # its beginning lies further back
    return rest, next(filter(None, lines), b"")


def lock(disk: Disk, folder: Path) -> Check:
    """Reports whether the append lock is available; a writer holds it for moments only."""
    path = own_folder(folder) / "lock"
    if disk.path_id(str(path)) is None:
        return Check("writers", True, "no lock file yet: the first append makes it")
    with opened(disk, path) as descriptor:
        deadline_ns = monotonic_ns() + int(LOCK_WAIT_S * 1e9)
        while not disk.try_lock(descriptor):
            if monotonic_ns() >= deadline_ns:
                holder = disk.lock_holder(descriptor)
                detail = f"{holder} has held the append lock for {LOCK_WAIT_S:g} s"
                hint = f"wait for it, or end it with `kill`; `fuser -v {quote(str(path))}` shows it"
                return Check("writers", False, detail, hint)
            pause(_PAUSE_S)
        disk.unlock(descriptor)
    return Check("writers", True, "the append lock is free")


def _append(folder: Path, effect: str) -> str:
    """Returns the hint that the next append has this effect."""
    return f"`thence append note --log {quote(str(folder))}` {effect}, as each append does"


def _sessions(disk: Disk, folder: Path) -> Check:
    own = [session for session in session_records(disk, folder) if not session.is_draft]
    dead = [session for session in own if session.is_dead]
    detail = f"{len(own) - len(dead):,} open for appending"
    if dead:
        detail += f", {len(dead):,} ended without closing"
    losers = sum(session.has_queue or not session.is_whole for session in dead)
    if not losers:
        return Check("writers", True, detail)
    detail += f"; events that {losers:,} of them had queued may be lost"
    return Check("writers", False, detail, _append(folder, "reports it in the log"))


def _identity(disk: Disk, folder: Path) -> Check:
    node_id = known_node_id(disk, folder)
    own = is_own(disk, folder)
    if own is None:
        return Check("log", True, "no node yet: the first append makes one")
    if own:
        return Check("log", True, f"node {node_id}")
    detail = f"node {node_id} belongs to the log that this one was copied or moved from"
    return Check("log", False, detail, _append(folder, "takes a node of its own and reports it"))


def _quarantine(disk: Disk, folder: Path) -> Check:
    names = disk.names(own_folder(folder) / "quarantine")
    unreported = sum(name.endswith(_UNTOLD) for name in names)
    if unreported:
        detail = f"{unreported:,} of {len(names):,} in quarantine are not reported in the log yet"
        return Check("writers", False, detail, _append(folder, "reports them in the log"))
    detail = f"{len(names):,} in quarantine, all reported" if names else "no quarantine"
    return Check("writers", True, detail)
