"""One command at work in one project: what it has read, what it says, what it commits."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from functools import cached_property
from pathlib import Path
from types import TracebackType
from typing import Any, TypeVar

from thence.core.event import Event
from thence.core.values.guard import Unchanged
from thence.core.values.position import Position
from thence.errors import (
    GitFailed,
    HeadsMoved,
    InvalidEvent,
    OutcomeUnknown,
    PlanningError,
    Refused,
    ThenceError,
)
from thence.inspection.log_folder import next_node_id
from thence.work.board.board import fold
from thence.work.board.conflict_sides import lost_claims
from thence.work.board.state import PLANNED, Board, FeatureState
from thence.work.journal import day_files, recovery
from thence.work.journal.claims import CLAIM_TYPES, claimed, open_claims
from thence.work.journal.emitter import EventEmitter
from thence.work.journal.memo import Memo
from thence.work.journal.refusals import ErrorStore, failure_said
from thence.work.journal.seen_blobs import known
from thence.work.journal.sharing import is_tree
from thence.work.journal.store import ACTOR, EventStore, WorkEvent
from thence.work.plan.planning_files import Planning
from thence.work.project.own_files import note_attributes
from thence.work.project.project import find_project
from thence.work.result import CommandResult
from thence.work.session.feature_choice import meant
from thence.work.session.targets import name_today
from thence.work.session.ticks import TYPES, ticked_by_hand
from thence.work.vcs.commits import settled
from thence.work.vcs.refs import Refs, refs_of
from thence.work.vcs.repository import Repository, branch_of, branches, main_of, user_of
from thence.work.vcs.unfinished_merge import cut_off

_R = TypeVar("_R")
# how often a command decides again when the board changes under it
ATTEMPTS_MAX = 20


class Session:
    """A project opened for one command. Close it, or use it as a context manager.

    `board` is what the command has looked at; what it appends is guarded by that. `notes` are
    warnings for its user, `taken` counts the events of others that came in. `pending` says that
    the journal could not be written.
    """

    def __init__(
        self, folder: str | Path = ".", *, actor: str | None = None, create: bool = True
    ) -> None:
        self.project = find_project(Path(folder), create=create)
        self.actor = actor
        self.agent = ""
        self.store = EventStore(self.project, actor=actor or ACTOR)
        self.emitter = EventEmitter(self.store)
        self.errors = ErrorStore(self.project)
        self.planning = Planning(self.project, lambda: self.refs)
        self.notes: list[str] = []
        self.said: list[Event] = []
        self.pending: OSError | ThenceError | None = None
        self.taken = 0
        self.unwritten: list[WorkEvent] = []
        self.board = Board()
        self._events: list[Event] = []
        self._since: Position | None = None
        self._about: str | None = None
        self._refs: Refs | None = None
        self.renamed: dict[str, str] = {}

    def acting(self) -> str:
        """Returns who acts: the one that was named, else an agent, else the user as git knows them.

        `user` where git knows nobody; `moving.actor_of` may have found an agent.
        """
        if self.actor is None and self.store.actor == ACTOR:
            self.store.actor = self.agent or self._person
        return self.store.actor

    def changed_by(self) -> str:
        """Returns who acts as lines for other tools have it: `user` where no agent is known."""
        return self.acting() if self.actor or self.agent else ACTOR

    @cached_property
    def _person(self) -> str:
        return (self.project.repo and user_of(self.project.repo)) or ACTOR

    @property
    def repo(self) -> Repository:
        """The project's repository; raises GitFailed without git."""
        if self.project.repo is None:
            raise GitFailed(
                "could not work in",
                place=self.project.root,
                cause="this command needs git, and there is no repository",
                hint="git init",
            )
        return self.project.repo

    @property
    def refs(self) -> Refs:
        """The refs as `look` found them, or `reread`; raises GitFailed."""
        if self._refs is None:
            self._refs = refs_of(self.main)
        return self._refs

    @cached_property
    def memo(self) -> Memo:
        """What git has told of commits."""
        return Memo(self.repo, self.project.home)

    @cached_property
    def shares_in_tree(self) -> bool:
        """Whether events are shared in day files on the user's branches."""
        return is_tree(self.project, *known(self.project).targets)

    @property
    def main(self) -> Repository:
        """The repository as seen from the main working tree; raises GitFailed without git."""
        return main_of(self.repo, self.project.root)

    @property
    def events(self) -> Sequence[Event]:
        """The events that the board was folded from, in order of arrival."""
        return self._events

    @property
    def since(self) -> Position:
        """The position behind all that the board was folded from."""
        if self._since is None:
            self._since = Position().after(self._events)
        return self._since

    def look(self) -> Board:
        """Takes in what others have shared, reads the journal and folds it."""
        self._refs = None
        if self.project.repo is not None:
            settled(self.main)
            self.notes += sorted({*cut_off(self.project.repo)} - {*self.notes})
        self._take_in()
        self._read()
        targets = {each.target_branch or "" for each in self.board.features.values()} - {""}
        if self.project.repo and day_files.note_branches(self.project, targets):
            self._take_in()
            self._read()
        self._tell_untold()
        self._tell_ticks()
        self._settle_claims()
        self._tell_lost()
        return self.board

    def reread(self) -> Sequence[Event]:
        """Takes in what has come since `look`, and returns all events."""
        self._refs = None
        self._take_in()
        return self._read()

    def _read(self) -> list[Event]:
        self._events = self.store.arrived()
        self._since = None
        self.board = fold(self._events, self.project.uuid, self.project.aliases)
        return self._events

    def _tell_untold(self) -> None:
        """Tells the beginnings of packages whose branch is there though nobody told of it.

        A branch is made after its beginning was told: so the journal that decides was read after
        the branches were looked at.
        """
        packages = (p for each in self.board.features.values() for p in each.packages.values())
        are_begun = all(each.lane != PLANNED or each.workspace for each in packages)
        if self._refs is None or are_begun:
            return
        said = recovery.untold_branches(self.board, self._events, self._refs.branches, ACTOR)
        subjects = {self.store.subject(one.feature, one.payload["wp_id"]) for one in said[::2]}
        with suppress(HeadsMoved):
            if said and self.say(*said, guard=Unchanged(self.since, subjects)):
                self._read()

    def _tell_ticks(self) -> None:
        """Tells of the boxes in tasks.md that somebody has ticked by hand."""
        if self.project.repo is None or not (said := list(ticked_by_hand(self))):
            return
        about = [(one.feature or "", one.payload["subtask_index"]) for one in said]
        with suppress(HeadsMoved):
            if self.say(*said, guard=self.guard(*about, types=TYPES)):
                self._read()

    def _settle_claims(self) -> None:
        """Ends the claims whose command was killed before it had told what came of them."""
        for claim in (claims := open_claims(self.project, self.board, self._events)):
            with suppress(HeadsMoved, Refused), claimed(self.project.home, claim.subject):
                ended = claim.ended(branches(self.repo))
                guard = Unchanged(self.since, {claim.subject}, CLAIM_TYPES)
                if self.say(ended, guard=guard):
                    self.notes.append(claim.told(ended))
        if claims:
            self._read()

    def _tell_lost(self) -> None:
        """Has who acts know which of their claims lost to others'."""
        if any(conflict.is_open for conflict in self.board.conflicts):
            node_id, is_named = next_node_id(self.project.home), self.actor is not None
            lost = lost_claims(self.board, self.acting(), node_id, is_named=is_named)
            self.notes += [note for note in lost if note not in self.notes]

    def _make_good(self, moves: day_files.Moves) -> None:
        """Appends what earlier commands could not tell, and left in the commits of branches."""
        repo = self.repo
        self._append(
            [one for old, new in moves.values() for one in recovery.pending_in(repo, old, new)]
        )

    def _append(self, waiting: Sequence[recovery.Pending]) -> None:
        said = recovery.made_good(waiting, self.store.read()) if waiting else []
        if said:
            self.said += self.store.append(*said)
            self.notes.append(f"{len(said)} event(s) that could not be written are made good")

    def with_existing(self) -> Board:
        """Returns the board with the packages that planning files alone tell of."""
        cut = {slug for slug, each in self.board.features.items() if each.created_event}
        lacking = [slug for slug in self.planning.slugs() if slug not in cut]
        if not lacking:
            return self.board
        from thence.work.plan.existing import board_with  # seldom needed

        return board_with(self.board, self.planning, lacking, self.project.uuid)

    def feature(self, given: str | None) -> FeatureState:
        """Returns the feature that is meant: the given one, that of this worktree, the only one.

        Raises Refused for one that is not there, PlanningError where it is not clear which.
        """
        found = meant(given, self.board, self.planning.feature_here(), self.not_imported())
        self._about = found.slug
        return found

    def not_imported(self) -> list[str]:
        """Returns the features that have planning files, and nothing in the log."""
        return [slug for slug in self.planning.slugs() if slug not in self.board.features]

    def branch_here(self) -> str:
        """Returns the branch of the main working tree, which new features go to.

        Raises GitFailed when HEAD is detached.
        """
        return branch_of(self.main)

    def branch(self, given: str | None) -> str:
        """Returns a given branch if it is there, that of the main working tree without one."""
        if given is None:
            return self.branch_here()
        if given not in self.refs.branches:
            raise PlanningError(
                "could not find the branch",
                place=repr(given),
                cause="there is none of this name in the repository",
                hint="name one that is there (git branch --list), or make it first",
            )
        return given

    def target_of(self, feature: FeatureState) -> str:
        """Returns the branch that a feature goes to; raises PlanningError where it is gone."""
        if feature.target_branch:
            return name_today(self, feature.slug, feature.target_branch)
        here = self.branch_here()
        meta = self.planning.meta(here, feature.slug)
        return self.branch(meta.target_branch) if meta and meta.target_branch else here

    def merge_note(self, slug: str) -> Path:
        """Returns the file that remembers a feature's merge while it is not finished."""
        return self.shared / f"merge-{self.project.uuid}-{slug}.json"

    @property
    def events_file(self) -> Path:
        """The file in which events wait for the next commit that the journal could not take."""
        return self.repo.common / "thence" / f"pending-{self.project.uuid}.txt"

    @property
    def shared(self) -> Path:
        """The folder of locks and notes that a home which can't be written does not take along."""
        folder = self.project.repo.common / "thence" if self.project.repo else self.project.home
        folder.mkdir(parents=True, exist_ok=True)
        return folder

    def watch(self, branch: str) -> None:
        """Has what others bring to a branch be read from now on."""
        day_files.note_branches(self.project, {branch})
        note_attributes(self.repo)

    def result(self, data: Mapping[str, Any], lines: Iterable[str]) -> CommandResult:
        """Returns what this command has done."""
        events = None if self.pending is not None else tuple(self.said)
        return CommandResult(events, data, tuple(lines), tuple(self.notes))

    def say(self, *said: WorkEvent, guard: Unchanged | None = None) -> list[Event]:
        """Appends events in one piece.

        Where the journal can't be written nothing is raised: `pending` is set, and the command
        goes on. Raises HeadsMoved where the guard is broken, InvalidEvent.
        """
        self.acting()
        try:
            events = self.store.append(*said, guard=guard)
        except (HeadsMoved, InvalidEvent):
            raise
        except OutcomeUnknown as unknown:
            events = self._again(unknown)
        except (OSError, ThenceError) as error:
            events = self._put_off(error)
        if not events:
            self.unwritten += said
        self.said += events
        return events

    def guard(self, *aggregates: tuple[str, str], types: tuple[str, ...] = ()) -> Unchanged:
        """Returns the guard that what was looked at still stands, for (feature, aggregate)s."""
        subjects = {self.store.subject(feature, name) for feature, name in aggregates}
        return Unchanged(self.since, subjects, types)

    def attempt(self, operation: str, entity: str, work: Callable[[], _R]) -> _R:
        """Does a command's work; what makes it fail is told to the log, refusals to errors/."""
        try:
            return work()
        except ThenceError as error:
            self._tell_failure(operation, entity, error)
            raise

    def close(self) -> None:
        """Closes the journal, and keeps what git has told."""
        self.store.close()
        if memo := vars(self).get("memo"):
            memo.remember()

    def __enter__(self) -> "Session":
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def _take_in(self) -> None:
        if self.project.repo is None or not self.project.uuid:
            return
        try:
            look, settle = (lambda: self.refs), self._make_good
            for told in day_files.take_in(self.project, self.store, look, settle):
                self.taken += told.events
                self.notes += [note for note in told.notes() if note not in self.notes]
            recovery.from_file(self.events_file, self._append)
        except (OSError, ThenceError) as error:
            self.notes.append(f"what others have shared was not taken in: {error}")

    def _again(self, unknown: OutcomeUnknown) -> list[Event]:
        try:
            events = unknown.retry()
        except ThenceError as error:
            return self._put_off(error)
        assert isinstance(events, list)
        return events

    def _put_off(self, error: OSError | ThenceError) -> list[Event]:
        if self.pending is None:
            cause = error.cause if isinstance(error, ThenceError) else error.strerror
            self.notes.append(f"the journal could not be written: {cause or error}")
        self.pending = error
        return []

    def _tell_failure(self, operation: str, entity: str, error: ThenceError) -> None:
        logged = failure_said(operation, entity, error, self._about, self.actor)
        try:
            self.say(logged)
            if isinstance(error, Refused):
                entity = logged.payload["wp_id"] or entity
                self.errors.add(
                    error.guard,
                    entity_id=f"{self._about}/{entity}" if self._about else entity,
                    attempted_operation=operation,
                    reason=str(error),
                    context={"remedy": error.hint, "actor": self.actor},
                    error_id=logged.event_id,
                )
        except (OSError, ThenceError) as failure:
            self.notes.append(f"the failure could not be told to the log: {failure}")
