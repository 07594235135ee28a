"""The exchange of a board with others: over its git remote now, and in the background.

A board is shared from the first `thence sync now`: its branch was fetched or pushed, or an enabled
server was asked; and until sync is disabled in this clone. The background is a detached `thence
sync now`, one at work and one that waits; no command waits for it but one that claims a package,
and that one WAIT_S at most.
"""

import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import NamedTuple

from thence.core.sentences.events import counted
from thence.errors import GitFailed, HeadsMoved, ThenceError
from thence.files import is_locked
from thence.git.locks import EXCHANGING, locked
from thence.git.refs import REMOTES
from thence.sync import background
from thence.sync.target import (
    REMOTE,
    SERVER,
    SyncReport,
    read_status,
    recorded,
    sync_folder,
    team_of,
)
from thence.work.board.board import is_claim, person
from thence.work.board.state import DOING, FeatureState, PackageState
from thence.work.journal import board_branch
from thence.work.journal.board_branch import ExchangeResult
from thence.work.journal.day_files import BoardRemote, board_tip, link_of, load_seen, save_seen
from thence.work.journal.store import WorkEvent
from thence.work.project.configuration import read_board
from thence.work.project.project import Project
from thence.work.session.session import Session, moved_meanwhile

WAIT_S = 5.0
_PAUSE_S = 0.1
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


def is_shared(session: Session) -> bool:
    """Reports whether the board is shared in any way; if that can't be known, it is not."""
    with suppress(OSError, ThenceError):
        home = session.project.home
        is_on_server = team_of(home) is not None and read_status(home) is not None
        return is_on_server or is_on_remote(session)
    return False


def refresh_first(session: Session) -> float:
    """Reads the board as `Session.refresh` does, after an exchange if it is shared.

    For commands that claim a package: the remote is waited for WAIT_S at most. Returns until when
    it may be waited for after the claim; 0 if the remote did not answer, which is a warning.
    """
    home, until_s = session.project.home, time.monotonic() + WAIT_S
    session.refresh()
    if not session.is_online or not is_shared(session):
        return 0.0
    is_answered = background.send(home, session.project.root, WAIT_S)
    session.refresh()
    last = read_status(home, _way(session))
    if is_answered or (last and last.parked and not last.error_text):
        return until_s
    session.is_online = False
    reason = last.error_text if last and last.error_text else f"no answer in {WAIT_S:g} s"
    session.warnings.append(f"not asked whether someone else has claimed it: {reason}")
    return 0.0


def give_way(
    session: Session, feature: FeatureState, package: PackageState, until_s: float
) -> None:
    """Sends a claim at once; raises Refused if a claim of another clone was sent before it.

    The other's claim counts then, which is recorded. `until_s` is the result of `refresh_first`.
    """
    claim = next((event for event in reversed(session.appended) if is_claim(event)), None)
    home, wait_s = session.project.home, max(until_s - time.monotonic(), _PAUSE_S)
    is_sent = until_s > 0 and background.send(home, session.project.root, wait_s)
    if claim is None or not is_sent:
        return
    session.refresh()
    for conflict in session.board.open_conflicts(package.subject):
        others = [
            event for event in conflict.events if is_claim(event) and event.node_id != claim.node_id
        ]
        if not others or claim.event_id not in {event.event_id for event in conflict.events}:
            continue
        first = others[-1]
        payload = {
            "wp_id": package.wp_id,
            "previous_status": DOING,
            "new_status": DOING,
            "changed_by": person(first),
            "feature_slug": feature.slug,
            "reason": "claimed and shared first",
        }
        with suppress(HeadsMoved):
            session.append_or_warn(WorkEvent("WPStatusChanged", payload, feature.slug))
        raise moved_meanwhile(
            "could not begin work on",
            f"{feature.slug}/{package.wp_id}",
            f"{person(first)} claimed it first, at {first.timestamp}",
            "check `thence work status`, then take another package",
        )


def send_new(session: Session) -> bool:
    """Sends what is new in the background, if the board is shared; reports whether it is."""
    if not is_shared(session):
        return False
    background.send(session.project.home, session.project.root)
    return True


def after_command(session: Session) -> str | None:
    """Sends what a command has appended, in the background; returns what is to be said of it.

    That is nothing while the last exchange went well.
    """
    if not session.appended or not send_new(session):
        return None
    last = read_status(session.project.home, _way(session))
    return _unshared_words(session) if last and last.error_text else None


def status_words(session: Session) -> str | None:
    """Returns what is to be said of the sharing beside the board, if anything."""
    if is_shared(session):
        last, home = read_status(session.project.home, _way(session)), session.project.home
        is_sent = is_locked(home / EXCHANGING) or is_locked(sync_folder(home) / background.WAITING)
        return None if is_sent and last and not last.error_text else _unshared_words(session)
    is_alone = not any(ref.startswith(REMOTES) for ref in session.refs.commits)
    return None if is_alone or not session.snapshot.events else "not shared yet: thence sync now"


def _way(session: Session) -> str:
    """Returns the way by which the board is shared: a git remote before a server."""
    with suppress(OSError, ThenceError):
        return REMOTE if is_on_remote(session) else SERVER
    return SERVER


def _unshared_words(session: Session) -> str | None:
    if count := unshared(session):
        verb = "is" if count == 1 else "are"
        return f"{counted(count, 'event')} {verb} not shared yet: thence sync now"
    return None


def exchange(session: Session, remote: BoardRemote) -> ExchangeResult:
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
    report = SyncReport(pushed=result.pushed, pulled=received, redacted=result.redacted)
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
    """Returns how many events of the journal the others are not known to have."""
    if _way(session) == SERVER and team_of(session.project.home) is not None:
        from thence.core.vocabulary import WORK
        from thence.sync.outbox import waiting_count  # seldom needed

        return waiting_count(session.project.home, WORK)
    return max(0, session.events_count - load_seen(session.project).shared)


def set_private(project: Project, *, is_private: bool) -> None:
    """Ends the sharing over a git remote here, or allows it again. Raises OSError."""
    marker = _private(project)
    if is_private:
        marker.parent.mkdir(exist_ok=True)
        marker.touch()
    else:
        marker.unlink(missing_ok=True)


@contextmanager
def turn(project: Project) -> Iterator[None]:
    """Holds the lock of exchanges, for one process at a time. Raises GitFailed after a while.

    A process of the background lets the next one wait from then on.
    """
    with locked(project.home / EXCHANGING):
        background.begin_turn(project.home)
        yield


def _private(project: Project) -> Path:
    return project.repo.common / "thence" / _PRIVATE
