"""The journal of a project, opened for the appends and reads of one command.

An event's causes are those that the command passes, those in force (`thence.because`,
THENCE_CAUSE), and the heads of its subject. Errors and notes are no causes of an event that decides
something, because nothing rests on them unless it names them. All events of one store share a
correlation_id, those of one append with several a causation_id.

When it is closed after appends, the store updates what other programs read. `.kittify/clock.json`
shows the last clock value. The file is derived: numbers come from the journal under its lock and
never from that file, so that a lost, damaged, old, far ahead or read-only one changes nothing.
`.kittify/events/index.db` is a link to the journal's index. The index itself is in the home, where
no git command touches it while it is written. Either may be deleted at any moment.
"""

import inspect
import os
from collections.abc import Callable, Iterable, Mapping
from contextlib import ExitStack, suppress
from functools import cached_property, wraps
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar, Unpack, cast

import msgspec

from thence.core.codec import LINE_BYTES_MAX, numbers
from thence.core.event import Event
from thence.core.new_event import Causes, HostEvent, Unchanged
from thence.core.vocabulary import WORK, work_subject
from thence.errors import GitFailed, OutcomeUnknown, ThenceError
from thence.git.files import TreeFiles
from thence.git.locks import locked
from thence.log.files.findings import Relayed
from thence.log.masking import RedactSettings, read_redact_settings
from thence.log.open import Log, LogSettings, new_id, now, open_host_log, own_folder
from thence.log.recovery.writers import redactions_of
from thence.sync.target import team_of
from thence.work.board.state import NOBODY
from thence.work.day_lines import FOLDER, RedactedLines, redacted_lines
from thence.work.events import aggregate_of, checked
from thence.work.journal.shared_view import show_events, writing_lock
from thence.work.project.project import Project, find_project

if TYPE_CHECKING:
    from thence.log.index.page import Page, PageQuery

Result = TypeVar("Result")

_CLOCK_FILE = ".kittify/clock.json"
_TAIL_BYTES = 4096
TIMEOUT_S = 30.0
ACTOR = NOBODY
# the team of a project that is not synced with one
NO_TEAM = "local"
_INDEX = "index.db"


class WorkEvent(msgspec.Struct, frozen=True):
    """A new event as a command gives it; the store adds actor, time and causes.

    `event_id` exists before the event is written, so that others of the same append can name it.
    `source` and `source_id` name the origin of an imported event, `timestamp` its time there.
    """

    event_type: str
    payload: Mapping[str, Any]
    feature: str | None = None
    caused_by: Causes = None
    actor: str | None = None
    source: str | None = None
    source_id: str | None = None
    timestamp: str | None = None
    event_id: str = msgspec.field(default_factory=new_id)


class EventStore:
    """A project's events. Close it, or use it as a context manager; nothing is made before use.

    `actor` is recorded in the events that the store appends.
    """

    def __init__(self, project: Project, *, actor: str = ACTOR) -> None:
        self.project = project
        self.actor = actor
        self.correlation_id: str = new_id()
        self._log: Log | None = None
        self._team = NO_TEAM
        self._has_appended = False

    @classmethod
    def at(cls, folder: str | Path = ".", *, actor: str = ACTOR) -> "EventStore":
        """Returns the store of the project that a folder or worktree belongs to.

        Raises `not_a_project`, GitFailed.
        """
        return cls(find_project(Path(folder)), actor=actor)

    @property
    def log(self) -> Log:
        """The open journal; opening creates it if it is missing, and raises what `open` does."""
        if self._log is None:
            if not self.is_there:
                self.project.begin()
            self._log = open_host_log(self.project.home, WORK, LogSettings(redact=self.redact))
            self._team = team_of(self.project.home) or NO_TEAM
        return self._log

    @cached_property
    def redact(self) -> RedactSettings:
        """The settings of masking: the user's, the journal's and the project's."""
        return redact_settings_of(self.project)

    def subject(self, feature: str | None, aggregate: str) -> str:
        """Returns the subject of events on a package, a feature or a gate of this project."""
        return work_subject(self.project.uuid, feature, aggregate)

    def append(
        self, *new_events: WorkEvent, guard: Unchanged | None = None, timeout_s: float = TIMEOUT_S
    ) -> list[Event]:
        """Appends events in one piece, durably; all or, if the guard is broken, none.

        An append of unknown outcome is tried once more. Raises InvalidEvent, and what `Log.append`
        raises.
        """
        causation_id = new_id() if len(new_events) > 1 else None
        log = self.log  # knows the team
        events = [self._new(one, causation_id) for one in new_events]
        try:
            appended = log._host_append(events, guard=guard, timeout_s=timeout_s)
        except OutcomeUnknown as unknown:
            self._has_appended = True  # or its retry will have
            appended = cast(list[Event], unknown.retry())
        self._has_appended = True
        return appended

    def relay(self, lines: Iterable[bytes]) -> Relayed:
        """Imports lines of others into the journal, as `Log.relay` does."""
        self._has_appended = True
        return self.log.relay(lines)

    def read(self) -> list[Event]:
        """Returns all events of the project in total order; none if there is no journal."""
        return self.log.events() if self.is_there else []

    def arrived(self) -> list[Event]:
        """Returns all events in order of arrival, for a caller that sorts them."""
        return self.log.arrived() if self.is_there else []

    def query(self, **filters: "Unpack[PageQuery]") -> "Page":
        """Returns a page of events, as `Log.query` does."""
        return self.log.query(**filters)

    @property
    def is_there(self) -> bool:
        """True if the project has a journal already."""
        return self._log is not None or (self.project.home / "events.jsonl").exists()

    def close(self) -> None:
        """Closes the journal; updates clock and index if events were appended."""
        log, self._log = self._log, None
        if log is not None:
            if self._has_appended:
                show_index(self.project.files, log)
                show_events(self.project, log)
            log.close()
            if self._has_appended:
                write_clock(self.project, log.current_file)

    def __enter__(self) -> "EventStore":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _new(self, new_event: WorkEvent, causation_id: str | None) -> HostEvent:
        payload = checked(new_event.event_type, new_event.payload)
        aggregate_type, aggregate_id = aggregate_of(
            new_event.event_type, payload, new_event.feature
        )
        return HostEvent(
            new_event.event_type,
            payload,
            subject=aggregate_id,
            actor=new_event.actor or self.actor,
            stream=new_event.feature,
            caused_by=new_event.caused_by,
            event_id=new_event.event_id,
            timestamp=new_event.timestamp,
            members={
                "source": new_event.source,
                "source_id": new_event.source_id,
                "correlation_id": self.correlation_id,
                "causation_id": causation_id,
                "project_uuid": self.project.uuid,
                "team_slug": self._team,
                "aggregate_type": aggregate_type,
            },
            aliases=tuple(
                [
                    work_subject(other, new_event.feature, aggregate_id)
                    for other in (None, *self.project.aliases)
                ]
            ),
        )


def with_event_store(command: Callable[..., Result]) -> Callable[..., Result]:
    """Gives a command its project's EventStore as keyword `event_store`, closed at its end.

    The keyword does not show in the command's signature or help. The project is that of the
    working folder, found from any subdirectory or worktree; a caller may pass a store of its
    own. The command raises `not_a_project` outside of a project.
    """

    @wraps(command)
    def with_store(*arguments: object, **keywords: object) -> Result:
        with ExitStack() as stack:
            if keywords.get("event_store") is None:
                keywords["event_store"] = stack.enter_context(EventStore.at())
            return command(*arguments, **keywords)

    return hide_keyword("event_store", with_store)


def hide_keyword(name: str, wrapper: Callable[..., Result]) -> Callable[..., Result]:
    """Hides a parameter from the signature that command-line tools read."""
    signature = inspect.signature(wrapper)
    kept = [part for part in signature.parameters.values() if part.name != name]
    wrapper.__signature__ = signature.replace(parameters=kept)  # type: ignore[attr-defined]
    wrapper.__annotations__ = {
        key: value for key, value in wrapper.__annotations__.items() if key != name
    }
    return wrapper


def redactions_in(home: Path, events: Iterable[Event]) -> RedactedLines:
    """Returns the redactions of the journal in a home, given all its events."""
    return redacted_lines(redactions_of(home), (event.line for event in events))


def redact_settings_of(project: Project) -> RedactSettings:
    """Returns the settings of masking for a project, of both working trees that it is seen from."""
    return read_redact_settings(project.home, (project.root, project.here))


class Clock(msgspec.Struct, frozen=True):
    """The content of the clock file."""

    value: int
    node_id: str
    last_updated: str


def write_clock(project: Project, segment: Path) -> None:
    """Writes the clock file in one step, from the last line of the journal's segment.

    If several commands end together, the last writer has read the events of all. Where the file
    can't be written nothing happens.
    """
    with suppress(OSError, GitFailed), locked(writing_lock(project)):
        last: tuple[str, int, int] | None = None
        with segment.open("rb") as file:
            size = file.seek(0, os.SEEK_END)
            for length in (_TAIL_BYTES, 2 * LINE_BYTES_MAX):
                start = max(0, size - length)
                file.seek(start)
                lines = file.read(length).split(b"\n")[0 if start == 0 else 1 : -1]
                last = next(filter(None, map(numbers, reversed(lines))), None)
                if last is not None:
                    break
        if last is not None:
            node_id, _, value = last
            data = msgspec.json.encode(Clock(value, node_id, now())) + b"\n"
            project.files.replace(_CLOCK_FILE, data)


def show_index(files: TreeFiles, log: Log) -> None:
    """Updates the index to the journal, makes it if it is missing, and links to it.

    Where that can't be done nothing happens: queries work without the index. A file of another
    program under this name stays. Nothing is read or written through the link.
    """
    index = own_folder(log.folder) / _INDEX
    link = f"{FOLDER}/{_INDEX}"
    with suppress(OSError, ThenceError):
        if not index.exists():
            log.rebuild()
        log.query(limit=1)
        target = os.path.relpath(index, (files.top / link).parent)
        if files.target_of(link) not in (None, target):
            files.unlink(link)  # the project was moved, or has another home now
        if files.look(link) is None:
            files.link(link, target)
