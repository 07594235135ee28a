"""The condition of a log, checked by its small files and the ends of its large ones.

Nothing is written. Of a large log a few lines are read; `thence.log.check.verify` reads every one.
"""

from collections.abc import Callable
from pathlib import Path
from shlex import quote

from thence.core.codec import LINE_BYTES_MAX, BadLine, parse
from thence.core.event import Event
from thence.core.sentences.events import short_id
from thence.core.vocabulary import PLAIN, Vocabulary
from thence.log.check.verify import verify
from thence.log.doctor.health import Check, checked, clock
from thence.log.files.disk import Disk, monotonic_ns, pause, wall_ns
from thence.log.files.identity import is_own, known_node_id, read_info
from thence.log.files.segment import own_folder, segments, strays
from thence.log.files.tail import lines_backwards
from thence.log.read.opening import opened_vocabulary
from thence.log.recovery.sessions import session_records

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
_READ_WHOLE_BYTES_MAX = 4 * 1024 * 1024


def log_checks(disk: Disk, folder: Path) -> list[Check]:
    """Checks a log as it is, while other processes may write to it."""
    examined = ExaminedLog(disk, folder)
    checks: list[tuple[str, Callable[[], Check]]] = [
        ("log", examined.log),
        ("segments", examined.segments),
        ("tail", examined.tail),
        ("quarantine", lambda: _quarantine(disk, folder)),
        ("identity", lambda: _identity(disk, folder)),
        ("sessions", lambda: _sessions(disk, folder)),
        ("lock", lambda: lock(disk, folder)),
        ("clock", examined.clock),
        ("causes", examined.causes),
    ]
    return [checked(name, look) for name, look in checks]


class ExaminedLog:
    """A log under examination, with the results of checks that later checks need."""

    def __init__(self, disk: Disk, folder: Path) -> None:
        self._disk = disk
        self._folder = folder
        self._vocabulary: Vocabulary = PLAIN
        self._newest: Event | None = None

    def log(self) -> Check:
        """Opens the log and reports its vocabulary."""
        self._vocabulary = opened_vocabulary(self._disk, self._folder, None, create=False)
        info = read_info(self._disk, self._folder)
        path = own_folder(self._folder) / "log.json"
        if info is None and self._disk.path_id(str(path)) is not None:
            hint = _append(self._folder, "makes it anew")
            return Check("log", False, f"{path} can't be read", hint, is_damage=True)
        name = f"log {info.log_id}" if info else "log without .thence/log.json, which appends make"
        return Check("log", True, f"{self._vocabulary.name} {name}")

    def segments(self) -> Check:
        """Counts the segments and their bytes, and suggests a prune of a large plain log."""
        paths = segments(self._disk, self._folder)
        size_bytes = 0
        for path in paths:
            descriptor = self._disk.open_read(path)
            size_bytes += self._disk.file_id(descriptor)[1]
            self._disk.close(descriptor)
        detail = f"{len(paths):,} segment{'' if len(paths) == 1 else 's'}, {size_bytes:,} bytes"
        unread = ", ".join(path.name for path in strays(self._disk, self._folder))
        if unread:
            hint = "`mv` this log's to events_YYYY-MM-DD_HH-MM-SS-ffffff.jsonl, and others away"
            return Check("segments", False, f"{detail}; not read, for their names: {unread}", hint)
        is_large = size_bytes >= LARGE_BYTES and self._vocabulary.name == PLAIN.name
        return Check("segments", True, detail, _PRUNE if is_large else "")

    def tail(self) -> Check:
        """Checks the newest line: complete, unfinished, or damaged."""
        paths = segments(self._disk, self._folder)
        for path in reversed(paths):
            rest, newest = self._settled(path)
            if rest and isinstance(parse(rest, self._vocabulary), BadLine):
                at_least = " or more" if len(rest) == _TAIL_BYTES_MAX else ""
                size = f"{len(rest):,} bytes{at_least}"
                detail = f"the last line of {path.name} is unfinished, {size}"
                hint = _append(self._folder, "moves it aside and reports it")
                return Check("tail", False, detail, hint)
            line = rest or newest
            if not line:
                continue
            event = parse(line, self._vocabulary)
            if isinstance(event, BadLine):
                detail = f"the newest line is damaged: {event.reason} ({event.code})"
                hint = "`thence verify` lists all the damage there is"
                return Check("tail", False, detail, hint, is_damage=True)
            self._newest = event
            what = "is complete but for its newline" if rest else "is whole"
            return Check("tail", True, f"the newest line [{short_id(event.event_id)}] {what}")
        return Check("tail", True, "no events yet")

    def clock(self) -> Check:
        """Compares the wall clock with the newest event."""
        return clock(wall_ns(), self._newest.timestamp if self._newest else "")

    def causes(self) -> Check:
        """Counts the causes that no event of a small log has; they are no damage."""
        sizes = (self._disk.path_id(str(path)) for path in segments(self._disk, self._folder))
        if sum(state[1] for state in sizes if state) > _READ_WHOLE_BYTES_MAX:
            return Check("causes", True, "causes of a log of this size: see `thence verify`")
        findings = verify(self._disk, self._folder, self._vocabulary).findings
        missing = [finding for finding in findings if finding.code == "cause_missing"]
        if not missing:
            return Check("causes", True, "all causes are here, or in a log that is named")
        count = sum(finding.count for finding in missing)
        detail = (
            f"{count:,} causes that no event here has: {missing[0].reason}; see `thence verify`"
        )
        return Check("causes", True, detail)

    def _settled(self, path: Path) -> tuple[bytes, bytes]:
        """Returns the bytes behind a segment's last newline, and the last line before it.

        While a writer may be in the middle of a line it looks again.
        """
        for look in range(_LOOKS):
            if look:
                pause(_PAUSE_S)
            descriptor = self._disk.open_read(path)
            try:
                _, size = self._disk.file_id(descriptor)
                start = max(0, size - _TAIL_BYTES_MAX)
                rest, *lines = lines_backwards(self._disk, descriptor, start, size)
            finally:
                self._disk.close(descriptor)
            if not rest:
                break
        if start and lines:
            lines.pop()  # its beginning lies further back
        return rest, next(filter(None, lines), b"")


def lock(disk: Disk, folder: Path) -> Check:
    """Reports whether the append lock is available; a writer holds it for moments only."""
    path = own_folder(folder) / "lock"
    if disk.path_id(str(path)) is None:
        return Check("lock", True, "no lock file yet: the first append makes it")
    descriptor = disk.open_read(path)
    try:
        deadline_ns = monotonic_ns() + int(LOCK_WAIT_S * 1e9)
        while not disk.try_lock(descriptor):
            if monotonic_ns() >= deadline_ns:
                holder = disk.lock_holder(descriptor)
                detail = f"{holder} has held the append lock for {LOCK_WAIT_S:g} s"
                hint = f"wait for it, or end it with `kill`; `fuser -v {quote(str(path))}` shows it"
                return Check("lock", False, detail, hint)
            pause(_PAUSE_S)
        disk.unlock(descriptor)
    finally:
        disk.close(descriptor)
    return Check("lock", True, "the append lock is free")


def _append(folder: Path, effect: str) -> str:
    """Returns the hint that the next append has this effect."""
    return f"`thence append note --log {quote(str(folder))}` {effect}, as each append does"


def _sessions(disk: Disk, folder: Path) -> Check:
    own = [session for session in session_records(disk, folder) if not session.is_copy]
    dead = [session for session in own if session.is_dead]
    detail = f"{len(own) - len(dead):,} open for appending"
    if dead:
        detail += f", {len(dead):,} ended without closing"
    losers = sum(session.has_queue or not session.is_whole for session in dead)
    if not losers:
        return Check("sessions", True, detail)
    detail += f"; events that {losers:,} of them had queued may be lost"
    hint = _append(folder, "reports it in the log")
    return Check("sessions", False, detail, hint)


def _identity(disk: Disk, folder: Path) -> Check:
    node_id = known_node_id(disk, folder)
    own = is_own(disk, folder)
    if own is None:
        return Check("identity", True, "no node yet: the first append makes one")
    if own:
        return Check("identity", True, f"node {node_id}")
    path = own_folder(folder) / "identity.json"
    if not node_id:
        hint = _append(folder, "makes a new one and reports it")
        return Check("identity", False, f"{path} can't be read", hint, is_damage=True)
    detail = f"node {node_id} belongs to the log that this one was copied or moved from"
    hint = _append(folder, "takes a node of its own and reports it")
    return Check("identity", False, detail, hint)


def _quarantine(disk: Disk, folder: Path) -> Check:
    names = disk.names(own_folder(folder) / "quarantine")
    unreported = sum(name.endswith(_UNTOLD) for name in names)
    if unreported:
        detail = f"{unreported:,} of {len(names):,} in quarantine are not reported in the log yet"
        hint = _append(folder, "reports them in the log")
        return Check("quarantine", False, detail, hint)
    return Check(
        "quarantine",
        True,
        f"{len(names):,} in quarantine, all reported" if names else "no quarantine",
    )
