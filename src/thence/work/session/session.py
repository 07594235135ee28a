"""The session of one command in one project: the board it read, the events it appends."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import cached_property
from pathlib import Path
from typing import Any

import msgspec

from thence.core.event import Event
from thence.core.new_event import Position, Unchanged
from thence.errors import HeadsMoved, InvalidEvent, PlanningError, Refused, ThenceError
from thence.git.memo import Memo
from thence.git.refs import Refs, refs_of
from thence.git.repository import branch_of, user_of
from thence.log.recovery.writers import next_node_id
from thence.work.board.board import fold
from thence.work.board.guards import number_given_twice
from thence.work.board.state import Board, FeatureState
from thence.work.journal import day_files
from thence.work.journal.store import ACTOR, EventStore, WorkEvent
from thence.work.names import wp_id_of
from thence.work.plan.planning_files import Planning
from thence.work.project.project import find_project
from thence.work.session.feature_choice import choose_feature, not_imported

# a command decides on the board: the events to append, as long as the guard holds
Decision = tuple[Sequence[WorkEvent], Unchanged]
# most attempts of a command whose board changes meanwhile
ATTEMPTS_MAX = 20


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

    `board` is the board that the command has read; appends are guarded by it. `warnings` are for
    the command's user. `appended` are the command's own events, `events_received` counts the events
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
        self.planning = Planning(self.project, lambda: self.refs, lambda: self.memo)
        self.warnings: list[str] = []
        self.appended: list[Event] = []
        self.journal_error: OSError | ThenceError | None = None
        self.events_received = 0
        self.is_online = True
        self.board = Board()
        self._events: list[Event] = []
        self._appended_count = 0  # since the events were read
        self._position: Position | None = None
        self.feature_slug: str | None = None
        self._refs: Refs | None = None
        self.remotes: dict[str, str | None] = {}
        self.recorded: list[tuple[str, str]] = []
        self.after_first_look: Callable[[Session], object] | None = None

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
    def refs(self) -> Refs:
        """The refs as read by the last `refresh` or `refresh_events`; raises GitFailed."""
        if self._refs is None:
            self._refs = refs_of(self.project.main)
        return self._refs

    @cached_property
    def memo(self) -> Memo:
        """The cache of git's answers about commits."""
        return Memo(self.project.repo, self.project.home)

    @property
    def events(self) -> Sequence[Event]:
        """The events that the board was folded from, in order of arrival."""
        return self._events

    @property
    def events_count(self) -> int:
        """The number of the journal's events, with those appended since they were read."""
        return len(self._events) + self._appended_count

    @property
    def position(self) -> Position:
        """The position behind all events that the board was folded from."""
        if self._position is None:
            self._position = Position().after(self._events)
        return self._position

    def refresh(self) -> Board:
        """Takes in the events that others have shared, reads the journal and folds it."""
        self._refs = None
        self._read()
        if self._take_in():
            self._read()
            if self._take_in():  # of targets that were not known before
                self._read()
        if (step := self.after_first_look) is not None:
            self.after_first_look = None
            step(self)
        return self.board

    def forget_refs(self) -> None:
        """Has the refs read again, as after a fetch."""
        self._refs = None

    def refresh_events(self) -> Sequence[Event]:
        """Takes in the events that came since `refresh`, and returns all events."""
        self._refs = None
        self._take_in()
        return self._read()

    def _read(self) -> list[Event]:
        self._events = self.store.arrived()
        self._appended_count = 0
        self._position = None
        self.show(fold(self._events, self.project.uuid, self.project.aliases))
        return self._events

    def show(self, board: Board) -> None:
        """Sets the board that the session works with."""
        self.board = board
        features = board.features.values()
        self.planning.folders = {one.slug: one.folder for one in features if one.folder}

    def feature(self, name: str | None, *packages: str) -> FeatureState:
        """Returns the command's feature: the named one, that of this worktree, the only one.

        Without a name it may be the only one that has the named packages. Raises Refused for one
        that is not there, and for a package that was made here and has lost its number,
        PlanningError where it is not clear which.
        """
        here, wp_ids = self.planning.feature_here(), [wp_id_of(package) for package in packages]
        feature = choose_feature(
            name, self.board, here, not_imported(self.board, self.planning), wp_ids
        )
        self.feature_slug = feature.slug
        for package in filter(None, map(feature.packages.get, wp_ids)):
            node_id = next_node_id(self.project.home) if package.lost else None
            refusal = number_given_twice(feature, package, node_id)
            if refusal is not None:
                place = f"{feature.slug}/{package.wp_id}"
                raise refusal.error("could not use the package", place, is_agent=False)
        return feature

    def target_of(self, feature: FeatureState) -> str:
        """Returns the branch that a feature goes to.

        Raises PlanningError where it is neither here nor on a remote, as after it was renamed.
        """
        name = feature.target_branch
        if not name:
            here = branch_of(self.project.main)
            meta = self.planning.meta(here, feature.slug)
            if meta is None or not meta.target_branch:
                return here
            name = meta.target_branch
        refs = self.refs
        if name in refs.branches or refs.on_remotes(name) or not refs.commits:
            return name
        raise PlanningError(
            "could not find the branch of the feature",
            place=feature.slug,
            cause=f"{name}, its target, is neither here nor on a remote",
            hint=f"git fetch, or make it again: git branch {name} COMMIT",
        )

    def result(
        self, data: Mapping[str, Any], lines: Iterable[str], exit_code: int = 0
    ) -> CommandResult:
        """Returns the result of this command."""
        events = None if self.journal_error is not None else tuple(self.appended)
        return CommandResult(events, data, tuple(lines), tuple(self.warnings), exit_code)

    def run(
        self,
        decide: Callable[[], Decision],
        operation: str,
        place: str,
        *,
        needs_log: bool = True,
    ) -> list[Event]:
        """Appends the events that are decided on the present board; none where there are none.

        When others append meanwhile, the board is read again and decided on anew. Without
        `needs_log` a log that can't be written only causes a warning. Raises Refused
        (moved_meanwhile) after ATTEMPTS_MAX times, and what `decide` and `append` raise.
        """
        for _ in range(ATTEMPTS_MAX):
            events, guard = decide()
            append = self.append if needs_log else self.append_or_warn
            try:
                return append(*events, guard=guard) if events else []
            except HeadsMoved:
                self.refresh()
        cause = f"the board changed {ATTEMPTS_MAX} times meanwhile"
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

    def guard(self, *aggregates: tuple[str, str], types: tuple[str, ...] = ()) -> Unchanged:
        """Returns the guard that nothing changed since the last look, for (feature, aggregate)s."""
        subjects = {self.store.subject(feature, name) for feature, name in aggregates}
        return Unchanged(self.position, subjects, types)

    def close(self) -> None:
        """Closes the journal, and saves the cache of git's answers."""
        self.store.close()
        if memo := vars(self).get("memo"):
            memo.save()

    def __enter__(self) -> "Session":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _take_in(self) -> bool:
        """Takes in what others have shared; reports whether events were received."""
        count = self.events_received
        if not self.project.uuid:
            return False
        try:
            for received in day_files.take_in(
                self.project, self.store, lambda: self.refs, self.board.targets
            ):
                self.events_received += received.events
                self.warnings += [note for note in received.notes() if note not in self.warnings]
        except (OSError, ThenceError) as error:
            note = f"what others have shared was not read: {error}"
            self.warnings += [note] if note not in self.warnings else []
        return self.events_received > count
