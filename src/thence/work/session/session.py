"""The session of one command in one project: it reads, appends, and reads again."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import cache, cached_property, partial
from pathlib import Path
from typing import Any, Generic, NamedTuple, TypeVar

import msgspec
from msgspec.structs import replace

from thence.core.event import Event
from thence.core.new_event import Unchanged
from thence.errors import HeadsMoved, InvalidEvent, Refused, ThenceError
from thence.git.landed import Memo
from thence.git.refs import Refs, refs_of
from thence.git.repository import user_of
from thence.log.recovery.writers import next_node_id
from thence.work.board.board import fold
from thence.work.board.state import Board, FeatureState
from thence.work.board.transitions import number_given_twice
from thence.work.journal import day_files
from thence.work.journal.store import ACTOR, EventStore, WorkEvent
from thence.work.names import wp_id_of
from thence.work.plan.planning_files import Planning
from thence.work.project.project import find_project
from thence.work.session.snapshot import Snapshot

# most attempts of a command whose board changes meanwhile
ATTEMPTS_MAX = 20
Outcome = TypeVar("Outcome")


class Decision(NamedTuple, Generic[Outcome]):
    """What a command decides on a snapshot: events to append, as long as the guard holds.

    `outcome` is what the command reports of them.
    """

    events: Sequence[WorkEvent]
    guard: Unchanged
    outcome: Outcome


class CommandResult(msgspec.Struct, frozen=True):
    """The result of a command.

    `events` are the appended events, None if the journal could not be written: then the same
    command typed again appends them. `data` are the command's own members of the JSON, `lines` its
    text, `warnings` go to stderr beside either. `exit_code` is not 0 where the requested thing is
    missing, or where conflicts were found.
    """

    events: tuple[Event, ...] | None = ()
    data: Mapping[str, Any] = msgspec.field(default_factory=dict)
    lines: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()
    exit_code: int = 0

    def as_json(self) -> dict[str, Any]:
        """Returns the members of the command's JSON; `notes` where there are some."""
        ids: Any = "unwritten"
        if self.events is not None:
            ids = [event.event_id for event in self.events]
        warnings = {"notes": list(self.warnings)} if self.warnings else {}
        return {"ok": not self.exit_code, "events": ids, **self.data, **warnings}


def moved_meanwhile(
    operation: str, place: str, cause: str, hint: str = "try again when others have ended"
) -> Refused:
    """Returns the refusal of a command on a board that others have changed meanwhile."""
    return Refused(operation, guard="moved_meanwhile", place=place, cause=cause, hint=hint)


class Session:
    """A project opened for one command. Close it, or use it as a context manager.

    `snapshot` is what the command has read; appends are guarded by it. `warnings` are for the
    command's user. `appended` are the command's own events, `events_received` counts the events
    received from others. `journal_error` is set once the journal could not be written, `is_online`
    is unset once others could not be asked. `feature_slug` names the feature that the command has
    chosen. `after_first_look` is called at the end of the first `refresh`. `remotes` are those that
    the command has asked, by the target branches for which it did; None for one that did not
    answer. `recorded` are the packages, by feature and id, whose landing its first look recorded.
    """

    def __init__(
        self, folder: str | Path = ".", *, actor: str | None = None, create: bool = True
    ) -> None:
        self.project = find_project(Path(folder), create=create)
        self.actor = actor
        self.store = EventStore(self.project, actor=actor or ACTOR)
        memo = Memo(self.project.repo, self.project.home)
        planning = Planning(self.project, self._refs_once(), memo)
        self.snapshot = Snapshot(self.project, memo, planning)
        self.warnings: list[str] = []
        self.appended: list[Event] = []
        self._appended_count = 0  # since the journal was read
        self.journal_error: OSError | ThenceError | None = None
        self.events_received = 0
        self.is_online = True
        self.feature_slug: str | None = None
        self.remotes: dict[str, str | None] = {}
        self.recorded: list[tuple[str, str]] = []
        self.after_first_look: Callable[[Session], object] | None = None

    @property
    def board(self) -> Board:
        """The board of the snapshot."""
        return self.snapshot.board

    @property
    def refs(self) -> Refs:
        """The refs of the snapshot; raises GitFailed."""
        return self.snapshot.refs

    @property
    def planning(self) -> Planning:
        """The planning files of the snapshot."""
        return self.snapshot.planning

    def current_actor(self) -> str:
        """Returns the actor: the named one, else the user as git knows them, else `user`."""
        if self.actor is None and self.store.actor == ACTOR:
            self.store.actor = self._git_user
        return self.store.actor

    def changed_by(self) -> str:
        """Returns the actor in the form for other tools: `user` where none was named."""
        return self.current_actor() if self.actor else ACTOR

    @contextmanager
    def acting_as(self, actor: str) -> Iterator[None]:
        """Lets the session append as somebody else for a while."""
        before = self.actor, self.store.actor
        self.actor = self.store.actor = actor
        try:
            yield
        finally:
            self.actor, self.store.actor = before

    @cached_property
    def _git_user(self) -> str:
        return user_of(self.project.repo) or ACTOR

    @property
    def events_count(self) -> int:
        """The number of the journal's events, with those appended since they were read."""
        return len(self.snapshot.events) + self._appended_count

    def feature(self, name: str | None, *packages: str) -> FeatureState:
        """Returns the command's feature and notes it; raises as `Snapshot.feature` does.

        Raises Refused for a package that was made here and has lost its number, too.
        """
        feature = self.snapshot.feature(name, *packages)
        self.feature_slug = feature.slug
        for package in filter(None, map(feature.packages.get, map(wp_id_of, packages))):
            node_id = next_node_id(self.project.home) if package.lost else None
            if refusal := number_given_twice(feature, package, node_id):
                place = f"{feature.slug}/{package.wp_id}"
                raise refusal.error("could not use the package", place, is_agent=False)
        return feature

    def refresh(self) -> Board:
        """Imports the events that others have shared, and reads journal and git again."""
        self.forget_refs()
        self._read()
        if self._import_shared():
            self._read()
            if self._import_shared():  # of targets that were not known before
                self._read()
        if (step := self.after_first_look) is not None:
            self.after_first_look = None
            step(self)
        return self.board

    def refresh_events(self) -> Sequence[Event]:
        """Imports the events that came since `refresh`, and returns all events."""
        self.forget_refs()
        self._import_shared()
        self._read()
        return self.snapshot.events

    def forget_refs(self) -> None:
        """Has the refs read again, as after a fetch."""
        self.plan(read_refs=self._refs_once())

    def plan(self, **members: Any) -> None:
        """Sets members of the snapshot's planning files."""
        planning = replace(self.planning, **members)
        self.snapshot = replace(self.snapshot, planning=planning)

    def show(self, board: Board) -> None:
        """Sets the board that the session works with, such as that after its moves."""
        features = board.features.values()
        folders = {one.slug: one.folder for one in features if one.folder}
        if folders != self.planning.folders:
            self.plan(folders=folders)
        self.snapshot = replace(self.snapshot, board=board)

    def _refs_once(self) -> Callable[[], Refs]:
        return cache(partial(refs_of, self.project.main))

    def _read(self) -> None:
        events = self.store.arrived()
        self._appended_count = 0
        self.snapshot = replace(self.snapshot, events=events)
        self.show(fold(events, self.project.uuid, self.project.aliases))

    def _import_shared(self) -> bool:
        """Imports what others have shared; reports whether events were received."""
        count, snapshot = self.events_received, self.snapshot
        if not self.project.uuid:
            return False
        try:
            for received in day_files.import_shared(
                self.project, self.store, snapshot.planning.read_refs, snapshot.board.targets
            ):
                self.events_received += received.events
                self.warnings += [note for note in received.notes() if note not in self.warnings]
        except (OSError, ThenceError) as error:
            note = f"what others have shared was not read: {error}"
            self.warnings += [note] if note not in self.warnings else []
        return self.events_received > count

    def result(
        self, data: Mapping[str, Any], lines: Iterable[str], exit_code: int = 0
    ) -> CommandResult:
        """Returns the result of this command."""
        events = None if self.journal_error is not None else tuple(self.appended)
        return CommandResult(events, data, tuple(lines), tuple(self.warnings), exit_code)

    def run(
        self,
        decide: Callable[[Snapshot], Decision[Outcome]],
        operation: str,
        place: str,
        *,
        needs_log: bool = True,
    ) -> Outcome:
        """Appends the events that are decided on the snapshot, and returns the outcome.

        When others append meanwhile, all is read again and decided on anew. Without `needs_log` a
        log that can't be written only causes a warning. Raises Refused (moved_meanwhile) after
        ATTEMPTS_MAX times, and what `decide` and `append` raise.
        """
        append = self.append if needs_log else self.append_or_warn
        for _ in range(ATTEMPTS_MAX):
            decision = decide(self.snapshot)
            try:
                if decision.events:
                    append(*decision.events, guard=decision.guard)
                return decision.outcome
            except HeadsMoved:
                self.refresh()
        cause = f"the board changed {ATTEMPTS_MAX} times in the meantime"
        raise moved_meanwhile(operation, place, cause)

    def append(self, *new: WorkEvent, guard: Unchanged | None = None) -> list[Event]:
        """Appends events in one piece.

        Raises HeadsMoved where the guard is broken, InvalidEvent, `bad_settings`, and what prevents
        the append.
        """
        self.current_actor()
        events = self.store.append(*new, guard=guard)
        self.appended += events
        self._appended_count += len(events)
        return events

    def append_or_warn(self, *new: WorkEvent, guard: Unchanged | None = None) -> list[Event]:
        """Appends events for a command whose work is in git or in planning files.

        Where the journal can't be written the command goes on: `journal_error` is set, and no
        event is appended behind it. The same command typed again records what lacks. Raises
        HeadsMoved where the guard is broken, InvalidEvent, `bad_settings`.
        """
        if self.journal_error is not None:
            return []
        try:
            return self.append(*new, guard=guard)
        except (HeadsMoved, InvalidEvent):
            raise
        except (OSError, ThenceError) as error:
            if isinstance(error, ThenceError) and error.code == "bad_settings":
                raise
            cause = error.cause if isinstance(error, ThenceError) else error.strerror
            self.warnings.append(f"the journal could not be written: {cause or error}")
            self.journal_error = error
            return []

    def close(self) -> None:
        """Closes the journal, and saves the cache of git's answers."""
        self.store.close()
        self.snapshot.memo.save()

    def __enter__(self) -> "Session":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
