"""The taking in of what hooks have left in the spool of a log, in order, each file once.

Whoever opens the log next does it, before reading. An event's id follows from its file's name, so
that a file which outlives its event is not taken in twice. A file that stands for no event is moved
to `refused` in the spool, with a line in `errors.log`. The draft of a hook that was killed, which
was never acknowledged, is removed.

Nothing is appended before the settings that mask secrets are on the device. A file in the spool
says that they were made: a user who removes them afterwards turns masking off.
"""

import json
import os
import re
import stat
import time
from collections.abc import Iterable, Sequence
from contextlib import suppress
from itertools import chain
from pathlib import Path
from typing import Any

import msgspec

from thence.core.clock import timestamp_at
from thence.core.event import EventHeader
from thence.core.new_event import HostEvent, Position
from thence.core.ready import ready
from thence.errors import EventTooLarge, InvalidEvent, SuppressCodes, ThenceError
from thence.files import FileBusy, file_lock, replace_file
from thence.git.repository import asked
from thence.log.files.disk import OS_DISK
from thence.log.masking import read_redact_settings
from thence.log.open import Log, LogSettings, open_log
from thence.log.read.opening import opened_vocabulary
from thence.trace.agents.fired import ERRORS, FIRED, FORM, SPOOL, note_error, spools, sync_folder
from thence.trace.agents.hooked import Spooled, Unreadable, events_of, in_claudes_form
from thence.trace.agents.sessions import SessionTable, text_of

BODIES_FROM = 1024
REFUSED = "refused"
_NAME = re.compile(r"\d{20}-\d+-[0-9a-f]{6}\.json")
_DRAFTS_S = 120  # a hook ends within 10 s, or its agent ends it
_OWN = frozenset((ERRORS, f"{ERRORS}.1", REFUSED))
_FILE_BYTES_MAX = 64 * 1024 * 1024
_BATCH_FILES = 256
_BATCH_BYTES = 8 * 1024 * 1024
LOCK_WAIT_S = 10.0
# what an event has in each log that it is in, beside its payload
_COPIED = {*HostEvent.__struct_fields__} & {*EventHeader.__struct_fields__}
_KEPT = ".sessions"
_KEPT_EVENTS_MIN = 5_000
_SETTLED = ".masking-settings-made"
_MASKED = b"# secrets are masked before an event is stored; see `thence redact --help`\n[redact]\n"


def make_log(folder: Path) -> None:
    """Makes the log of agents with its spool, for this user alone; secrets are masked in it.

    Nothing changes where it is. Raises ThenceError, OSError.
    """
    is_new = not folder.is_dir()
    (folder / SPOOL).mkdir(parents=True, exist_ok=True, mode=0o700)
    if is_new:
        folder.chmod(0o700)
    settings, settled = folder / ".thence" / "settings.toml", folder / SPOOL / _SETTLED
    if not settled.exists():  # once for each log: whoever turns masking off afterwards means it
        settings.parent.mkdir(exist_ok=True)
        if not settings.exists():
            replace_file(settings, _MASKED)
        sync_folder(str(settings.parent))  # it may be another's, killed before that
        sync_folder(str(folder))
        replace_file(settled, b"", 0o600)
    opened_vocabulary(OS_DISK, folder, "plain", True)


def is_masked(folder: Path) -> bool:
    """Reports whether secrets are masked in what hooks record in a log, or will be."""
    if not (folder / SPOOL / _SETTLED).exists():
        return True
    with SuppressCodes("bad_settings"):  # nothing is appended before they are mended
        return read_redact_settings(folder).masking is not None
    return True


def waiting(folder: Path) -> tuple[int, int]:
    """Counts what hooks have left for a log: files to take in, and those that were refused."""
    return len(_waiting(folder)), len(_waiting(folder, REFUSED))


def last_error(folder: Path) -> str:
    """Returns the last line about what went wrong in a hook or here, "" if nothing did."""
    lines: list[str] = []
    for spool in _spools(folder):
        with suppress(OSError):
            lines += (spool / ERRORS).read_text("utf-8", "replace").splitlines()[-1:]
    return max(lines, default="")


def last_fired(folder: Path) -> dict[str, str]:
    """Returns when each tool's hooks last fired."""
    times: dict[str, str] = {}
    for mark in (mark for spool in _spools(folder) for mark in spool.glob(f"{FIRED}*")):
        tool, fired = mark.name.removeprefix(FIRED), timestamp_at(mark.lstat().st_mtime_ns // 1000)
        times[tool] = max(times.get(tool, ""), fired)
    return times


def take_in(folder: Path) -> int:
    """Appends what waits for a log, and returns the number of events; it never raises.

    What can't be appended now, as on a read-only disk, stays for the next time.
    """
    folder = folder.absolute()
    try:
        if not _waiting(folder):
            return 0
        make_log(folder)
        lock = file_lock(folder / SPOOL / ".intake.lock", LOCK_WAIT_S, mode=0o600)
        with lock, open_agents_log(folder) as log:
            intake = _Intake(log)
            count = intake.run()
            if intake.committed:
                _judge(log, intake.committed)
            return count
    except FileBusy:  # another command takes in
        return 0
    except Exception as error:  # boundary: reading a log never fails for what hooks have left
        note_error(spools(str(folder)), f"nothing was imported: {error}")
        return 0


def open_agents_log(folder: Path) -> Log:
    """Opens the log of agents by itself: no event in it is caused by what this process was handed.

    Raises ThenceError.
    """
    vocabulary = opened_vocabulary(OS_DISK, folder, "plain", True)
    return Log(folder, vocabulary, LogSettings(bodies_from=BODIES_FROM))


def append_each(log: Log, groups: Sequence[list[HostEvent]]) -> list[ThenceError | None]:
    """Appends groups of events, each alone where the log refuses one of them; returns why."""
    try:
        log._host_append([*chain.from_iterable(groups)])
    except (InvalidEvent, EventTooLarge) as error:
        if len(groups) == 1:
            return [error]
        return [why for group in groups for why in append_each(log, [group])]
    return [None] * len(groups)


def _judge(log: Log, roots: Iterable[str]) -> None:
    """Judges the new commits of some working trees, while git still has all of them."""
    # without a commit they are not needed
    from thence.trace.agents.history import CommitHistory
    from thence.trace.agents.judged import Judgements, RecordedWork

    try:
        work = RecordedWork(log, None)
        for root in roots:
            with SuppressCodes("git_failed"):  # the working tree may be gone
                Judgements(work, CommitHistory(asked(Path(root)))).take_in()
    except Exception as error:  # boundary: whoever asks about a line judges them then
        note_error(spools(str(log.folder)), f"commits were not judged: {error}")


class _Intake:
    """One taking in, under its lock; `committed` are the trees in which commits were made."""

    def __init__(self, log: Log) -> None:
        self.committed: set[str] = set()
        self._log = log
        self._table, self._newest_id = stored_table(log)
        self._spools = _spools(log.folder)

    def run(self) -> int:
        """Returns the number of events that were appended; raises ThenceError, OSError."""
        for draft in (draft for spool in self._spools for draft in spool.glob(".*.part")):
            with suppress(OSError):
                if time.time() - draft.lstat().st_mtime > _DRAFTS_S:
                    draft.unlink()
        count = size = 0
        events: dict[Path, list[HostEvent]] = {}
        for path in _waiting(self._log.folder):
            with suppress(OSError):
                size += path.lstat().st_size
            try:
                spooled = read_spooled(path)
                earlier = self._earlier(spooled) if spooled.log else []
                own = [*earlier, *events_of(spooled, self._table)]
            except Exception as error:  # boundary: input that nobody thought of
                is_told = isinstance(error, Unreadable)
                self._refuse(path, error if is_told else f"{type(error).__name__}: {error}")
                continue
            # ids begin with a time: a later one than all is new
            ids = (event.event_id or "" for event in own)
            old = {one for one in ids if one <= self._newest_id and self._log.holds(one)}
            events[path] = [event for event in own if event.event_id not in old]
            if len(events) == _BATCH_FILES or size > _BATCH_BYTES:
                count, size, events = count + self._append(events), 0, {}
        return count + self._append(events)

    def _earlier(self, spooled: Spooled) -> list[HostEvent]:
        """Returns what a session of another repository did before it edited here, and notes it.

        It is asked for once, of the session's own log and of what waits for that: two sessions may
        edit in each other's repositories, so that neither intake can wait for the other.
        """
        name = text_of(in_claudes_form(spooled.input), "session_id")
        if spooled.log is None or name is None or name in self._table.sessions:
            return []
        files: list[Spooled] = []
        for path in _waiting(Path(spooled.log)):
            with suppress(Unreadable, OSError):  # another command takes it in
                files.append(read_spooled(path))
        events: dict[str, HostEvent] = {}
        with suppress(ThenceError), open_log(spooled.log, create=False) as log:
            for event in log.read():
                header = event.header
                is_before = (header.source_id or "") < spooled.source_id
                if event.stream == name and header.source != "git" and is_before:
                    facts = {one: getattr(header, one) for one in _COPIED}
                    events[event.event_id] = HostEvent(**facts, payload=event.payload)
                    self._table.note(event)
        for file in files:
            is_own = text_of(in_claudes_form(file.input), "session_id") == name
            if is_own and file.source_id < spooled.source_id:
                own = events_of(file, self._table)
                events |= {event.event_id or "": event for event in own}
        return [*events.values()]

    def _append(self, events: dict[Path, list[HostEvent]]) -> int:
        """Appends the events of files; a file of which the log refuses one is refused."""
        count, reasons = 0, append_each(self._log, [*events.values()])
        for (path, own), why in zip(events.items(), reasons, strict=True):
            if why is not None:
                self._refuse(path, why)
                continue
            count += len(own)
            self._newest_id = max([self._newest_id, *(event.event_id or "" for event in own)])
            path.unlink(missing_ok=True)
            made = (event.payload for event in own if event.event_type == "commit")
            self.committed |= {str(facts["root"]) for facts in made if facts and facts.get("root")}
        return count

    def _refuse(self, path: Path, why: object) -> None:
        with suppress(OSError):
            refused = path.parent / REFUSED
            refused.mkdir(exist_ok=True, mode=0o700)
            if not refused.is_symlink():
                path.rename(refused / path.name)
        note_error([*map(str, self._spools)], f"{path.name} is refused: {why}")


def _spools(folder: Path) -> list[Path]:
    """Returns the spools of a log; a link leads nowhere."""
    return [Path(one) for one in spools(str(folder.absolute())) if not os.path.islink(one)]


def _waiting(folder: Path, inside: str = "") -> list[Path]:
    """Returns what is to be taken in or refused in the spools of a log, in its order."""
    paths: list[Path] = []
    for spool in _spools(folder):
        with suppress(OSError):
            paths += (spool / inside).iterdir()
    own = (path for path in paths if path.name not in _OWN and not path.name.startswith("."))
    return sorted(own, key=lambda path: path.name)


def read_spooled(path: Path) -> Spooled:
    """Reads a file of a spool; raises Unreadable, OSError."""
    if not _NAME.fullmatch(path.name):
        raise Unreadable("no hook gives a file this name")
    descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    with open(descriptor, "rb") as file:
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            raise Unreadable("it is not a regular file")
        data = file.read(_FILE_BYTES_MAX + 1)
    if len(data) > _FILE_BYTES_MAX:
        raise Unreadable(f"it is longer than {_FILE_BYTES_MAX} bytes")
    # the two parts are read apart, so that the hook's input can't stand for a member beside it
    head_line, _, rest = data.partition(b"\n")
    head, value = _decoded(head_line + b"null}"), _decoded(rest.removesuffix(b"}"))
    if not isinstance(head, dict) or head.get("v") != FORM:
        raise Unreadable("unknown form")
    if not isinstance(value, dict):
        raise Unreadable("its input is not a JSON object")
    members = {**head, "source_id": path.name.removesuffix(".json"), "input": value}
    try:
        return msgspec.convert({"process": head.get("agent_process"), **members}, ready(Spooled))
    except msgspec.ValidationError as error:
        raise Unreadable(str(error)) from None


def _decoded(data: bytes) -> Any:
    try:
        return json.loads(data.decode("utf-8", "replace"))
    except (ValueError, RecursionError) as error:
        raise Unreadable(f"its input is not JSON: {error}") from None


class _Kept(msgspec.Struct):
    """What a log told of its sessions up to a position, so that it is not read again."""

    newest_id: str = ""
    position: Position = Position()
    table: SessionTable = msgspec.field(default_factory=SessionTable)


def stored_table(log: Log) -> tuple[SessionTable, str]:
    """Returns the sessions of a log, with the greatest of its ids.

    Of a long log they are kept beside the spool up to its end as it is before the reading.
    """
    path, position = log.folder / SPOOL / _KEPT, log.position()
    kept = _Kept()
    with suppress(OSError, msgspec.DecodeError):
        kept = msgspec.msgpack.decode(path.read_bytes(), type=ready(_Kept))
        kept = kept if log.holds(kept.newest_id) else _Kept()  # it was kept of another log
    count = 0
    for event in log.read(kept.position):
        kept.table.note(event)
        kept.newest_id = max(kept.newest_id, event.event_id)
        count += 1
    if count > _KEPT_EVENTS_MIN:
        kept.position = position
        with suppress(ThenceError, OSError):
            replace_file(path, msgspec.msgpack.encode(kept), 0o600)
    return kept.table, kept.newest_id
