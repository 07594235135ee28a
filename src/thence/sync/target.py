"""The target of a log's sync, and the last round of any process, beside the log.

Both are small files in the log's own folder, replaced by renaming, and they move with the log. They
hold no secret: the login is in the user's config folder. Damage in them never keeps anybody from
the log itself. Each command can read them in a moment: no network, no HTTP.
"""

from contextlib import suppress
from pathlib import Path
from typing import TypeVar

import msgspec

from thence.core.ready import ready
from thence.errors import SyncRefused, ThenceError
from thence.files import is_locked, replace_file
from thence.log.files.disk import OS_DISK, DiskError
from thence.log.files.segment import own_folder
from thence.log.open import now

# what lies in the folder of a log's sync
TARGET = "target.json"
# the last round, over a server and over a git remote
SERVER, REMOTE = "status.json", "remote.json"
# locks: of who runs a round; of a command in wait of its turn, to which a background service gives
# way; of such a service as long as it runs, and while it has a live connection
LOCK, QUEUE, PRESENCE, LIVE = "lock", "queue.lock", "background.lock", "live.lock"

CONNECTED = "Connected"
RECONNECTING = "Reconnecting"
OFFLINE = "Offline"
OFFLINE_BATCH_MODE = "OfflineBatchMode"
RECONNECT_FAILURES_MAX = 10
# codes of the errors after which a server is tried again, and of those that its user must settle
_NO_ANSWER = ("server_unreachable", "server_busy", "bad_answer")
_NOT_TAKEN = ("not_logged_in", "sync_refused", "cursor_unknown")
RESTORED = (
    "this log was restored from an old copy, or another log writes under its node: it continues"
    " under another node"
)
_T = TypeVar("_T")


class SyncTarget(msgspec.Struct, frozen=True):
    """The server, team and user of a log's sync; `log` and `kind` name the log there.

    `title` is its name for people there: that of its folder, or of the project's.
    `enabled_at` is a time in UTC; a target that is not enabled is kept for the next time.
    """

    server: str
    team: str
    user: str
    log: str
    kind: str
    enabled_at: str
    is_enabled: bool = True
    title: str = ""

    @property
    def key(self) -> str:
        """The text by which what is known of this target is kept apart from others."""
        return "\n".join((self.server, self.team, self.log))

    @property
    def place(self) -> str:
        """The target in one phrase, for people."""
        return f"team {self.team} at {self.server}, as {self.user}"


class SyncReport(msgspec.Struct, frozen=True):
    """The report of a round, counted in lines; the last one of any process is kept beside the log.

    `left` are lines without a verdict, `parked` those kept back in all, `redacted` the lines that
    are redacted from now on, or whole again; `is_restored` is whether the log was found put back
    from an old copy. `error` is what ended the round early; it is not kept.

    The rest is of one that is kept. `at` is when, by a clock of this machine; `failures` counts the
    rounds in a row that did not reach their end; `is_background` is whether a background service
    ran it.
    """

    at: str = ""
    pulled: int = 0
    pushed: int = 0
    duplicate: int = 0
    rejected: int = 0
    redacted: int = 0
    left: int = 0
    parked: int = 0
    failures: int = 0
    error_code: str = ""
    error_text: str = ""
    is_background: bool = False
    is_restored: bool = False
    error: ThenceError | None = None

    @property
    def is_complete(self) -> bool:
        """True if nothing stayed behind on either side."""
        return self.error is None and not self.left and not self.parked

    @property
    def needs_retry(self) -> bool:
        """True if another round may do better; parked lines wait for their user."""
        return self.error is not None or self.left > 0


def sync_folder(folder: Path) -> Path:
    """Returns the folder of a log's sync, in the log's own folder."""
    return own_folder(folder) / "sync"


def is_service_running(folder: Path) -> bool:
    """Reports whether a background service of any process syncs a log; raises ThenceError."""
    return is_locked(sync_folder(folder) / PRESENCE)


def read_target(folder: Path) -> SyncTarget | None:
    """Returns the target of a log, also one that is not enabled; None if there was none.

    Raises SyncRefused for a file that can't be used.
    """
    return read_state(sync_folder(folder) / TARGET, SyncTarget)


def enabled_target(folder: Path) -> SyncTarget:
    """Returns the target of a log whose sync is enabled; raises SyncRefused."""
    target = read_target(folder)
    if target is None or not target.is_enabled:
        raise SyncRefused(
            "could not sync",
            place=folder,
            cause="sync is not enabled for this log",
            hint="enable it: thence sync enable",
        )
    return target


def team_of(folder: Path) -> str | None:
    """Returns the team that a log is synced with; None without one, whatever the file holds."""
    target = _read_good(folder, TARGET, SyncTarget)
    return target.team if target is not None and target.is_enabled else None


def write_target(folder: Path, target: SyncTarget) -> None:
    """Stores the target of a log; raises SyncRefused."""
    write_state(sync_folder(folder) / TARGET, target)


def switched(before: SyncTarget | None, requested: SyncTarget, *, may_switch: bool) -> SyncTarget:
    """Returns the target to store for a log; raises SyncRefused for another without `may_switch`.

    A target of another server, team or name gets the whole history of a log.
    """
    differences = [
        f"its {part} is {getattr(before, part)} and would be {getattr(requested, part)}"
        for part in ("server", "team", "user", "log", "kind")
        if before is not None and getattr(before, part) != getattr(requested, part)
    ]
    if may_switch or not differences:
        return requested
    raise SyncRefused(
        "could not enable sync with",
        place=requested.place,
        cause=f"the log has another target: {'; '.join(differences)}",
        hint="name the target that it has, or change it: thence sync enable --switch",
    )


def read_status(folder: Path, over: str = SERVER) -> SyncReport | None:
    """Returns the last round of a log; None if there was none or the file can't be used."""
    report = _read_good(folder, over, SyncReport)
    return report if report and report.at else None


def recorded(
    folder: Path, report: SyncReport, *, is_background: bool = False, over: str = SERVER
) -> SyncReport:
    """Completes the report of a round, and stores it as the last one, if the disk takes it."""
    before = read_status(folder, over) or SyncReport()
    error = report.error
    report = msgspec.structs.replace(
        report,
        at=now(),
        failures=before.failures + 1 if report.needs_retry else 0,
        error_code=error.code if error else "",
        error_text=str(error) if error else "",
        is_background=is_background,
    )
    with suppress(SyncRefused):
        if over != SERVER or read_target(folder):
            write_state(sync_folder(folder) / over, msgspec.structs.replace(report, error=None))
    return report


def connection_state(folder: Path, last: SyncReport | None, *, is_service_running: bool) -> str:
    """Returns the word for the connection of a log whose sync is enabled, by its last round.

    Raises ThenceError.
    """
    if last is None or last.error_code in _NOT_TAKEN:
        return OFFLINE
    if not is_service_running:
        return OFFLINE_BATCH_MODE
    if not last.error_code:
        return CONNECTED if is_locked(sync_folder(folder) / LIVE) else OFFLINE_BATCH_MODE
    is_trying = last.is_background and last.failures <= RECONNECT_FAILURES_MAX
    return RECONNECTING if is_trying and last.error_code in _NO_ANSWER else OFFLINE_BATCH_MODE


def read_state(path: Path, kind: type[_T], again: str = "") -> _T | None:
    """Returns the value in a file, None without one; raises SyncRefused.

    `again` says what to do about a file that can't be used, by default to enable sync again.

    A file that a symbolic link leads to is refused: its maker would choose the target.
    """
    if path.is_symlink() or path.parent.is_symlink():
        hint = "see where it leads (ls -l), then remove it"
        raise _unusable(path, "it or its folder is a symbolic link", hint)
    try:
        data = OS_DISK.read_whole(path)
        return None if data is None else msgspec.json.decode(data, type=ready(kind))
    except (DiskError, msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        hint = again or f"remove it, then enable sync again: rm {path}; thence sync enable"
        raise _unusable(path, error, hint) from error


def _read_good(folder: Path, name: str, kind: type[_T]) -> _T | None:
    """Returns the value in a file of a log's sync, None without one or where it is of no use."""
    with suppress(SyncRefused):
        return read_state(sync_folder(folder) / name, kind)
    return None


def write_state(path: Path, value: msgspec.Struct) -> None:
    """Replaces a file, whose folder is made if it is missing; raises SyncRefused."""
    try:
        OS_DISK.make_folder(path.parent)
        replace_file(path, msgspec.json.format(msgspec.json.encode(value), indent=2) + b"\n")
    except (DiskError, ThenceError) as error:
        cause = error.strerror if isinstance(error, DiskError) else error.cause
        hint = "check the folder's owner and the room on the disk"
        raise _unusable(path, cause, hint) from error


def _unusable(path: Path, cause: object, hint: str) -> SyncRefused:
    operation = "could not use the state of sync in"
    return SyncRefused(operation, place=path, cause=cause, hint=hint, code="sync_error")
