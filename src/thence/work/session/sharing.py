"""The exchange of a board with others: over its git remote now, and in the background.

A board is shared once its branch was fetched or pushed, or sync with a server is enabled, and until
sync was disabled here. The background is a detached `thence sync now`, one at work and one that
waits; no command waits for it but one that claims a package, and that one WAIT_S at most.
"""

import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import NamedTuple

from thence.errors import GitFailed, ThenceError
from thence.git.locks import EXCHANGING, locked
from thence.sync.target import REMOTE, SyncReport, read_status, recorded, sync_folder
from thence.work.journal import board_branch
from thence.work.journal.board_branch import Exchange
from thence.work.journal.board_remote import BoardRemote, link_of
from thence.work.journal.day_files import board_tip
from thence.work.journal.seen_tips import load_seen, save_seen
from thence.work.project.configuration import read_board
from thence.work.project.project import Project
from thence.work.session.session import Session

WAIT_S = 5.0
_WAITING = "waiting.lock"
_PRIVATE = "private"


def remote_of(session: Session) -> BoardRemote:
    """Returns the git remote of the board. Raises GitFailed without one, PlanningError."""
    options = read_board(session.project)
    return link_of(session.project.repo, session.refs, options, session.board.targets)


def is_on_remote(session: Session) -> bool:
    """Reports whether the board is shared over a git remote. Raises GitFailed, PlanningError."""
    if _private(session.project).exists():
        return False
    return board_tip(session.project, session.refs, session.board.targets) is not None


def exchange(session: Session, remote: BoardRemote) -> Exchange:
    """Exchanges events over the git remote, and records how it went.

    The caller holds the turn. Raises GitFailed, PlanningError, and what an append raises.
    """
    project, count = session.project, session.events_received
    try:
        result = board_branch.exchange(project, project.repo, remote, session.refresh_events)
    except ThenceError as error:
        recorded(project.home, SyncReport(error=error), over=REMOTE)
        raise
    seen = load_seen(project)
    seen.shared = result.events
    with suppress(ThenceError):
        save_seen(project, seen)
    received = session.events_received - count
    report = SyncReport(delivered=result.pushed, taken=received, taken_back=result.redacted)
    recorded(project.home, report, over=REMOTE)
    return result


class BoardState(NamedTuple):
    """The state of a board's sharing over a git remote; `place` is None without a remote.

    `unshared` counts the events that the remote is not known to have, `last` is the last exchange.
    `differs` is whether the remote, when it was asked, has something else than this clone.
    """

    place: str | None
    is_shared: bool
    unshared: int
    last: SyncReport | None
    differs: bool | None


def state_of(session: Session, *, is_checked: bool = False) -> BoardState:
    """Returns the state of the board; with `is_checked` the remote is asked.

    The session has read the board. Raises PlanningError, and GitFailed where the remote is asked in
    vain.
    """
    remote: BoardRemote | None = None
    with suppress(GitFailed):
        remote = remote_of(session)
    count, is_shared, differs = unshared(session), is_on_remote(session), None
    if is_checked and is_shared and remote is not None:
        seen = load_seen(session.project).tips.get(remote.ref)
        differs = count > 0 or board_branch.tip_on(session.project.repo, remote) != seen
    return BoardState(
        f"{remote.remote}/{remote.branch}" if remote else None,
        is_shared,
        count,
        read_status(session.project.home, REMOTE),
        differs,
    )


def unshared(session: Session) -> int:
    """Returns how many events of the journal the remote is not known to have."""
    return max(0, session.events_count - load_seen(session.project).shared)


def set_private(project: Project, *, is_private: bool) -> None:
    """Ends the sharing over a git remote here, or allows it again. Raises OSError."""
    if is_private:
        sync_folder(project.home).mkdir(parents=True, exist_ok=True)
        _private(project).touch()
    else:
        _private(project).unlink(missing_ok=True)


@contextmanager
def turn(project: Project) -> Iterator[None]:
    """Holds the lock of exchanges, for one process at a time. Raises GitFailed after a while.

    A process of the background lets the next one wait from then on.
    """
    with locked(project.home / EXCHANGING):
        with suppress(OSError):
            if os.path.samestat(os.fstat(0), os.stat(_waiting(project))):
                nothing = os.open(os.devnull, os.O_RDONLY)
                os.dup2(nothing, 0)
                os.close(nothing)
        yield


def _private(project: Project) -> Path:
    return sync_folder(project.home) / _PRIVATE


def _waiting(project: Project) -> Path:
    return sync_folder(project.home) / _WAITING
