"""A team's logs as folders to look at: pulled from its server, kept as they are there.

`mirror` updates a folder once: a log that changed at the server is pulled, with its
redactions; nothing is pushed. Each log has a file `.thence/mirror.json`, written before anything
else of it, which names the log and has appends refused. A log that the login may not read any more
stays, and its file says why. A folder that mirrors something else, or nothing, is never touched.
"""

from collections.abc import Callable, Collection, Mapping, Sequence
from contextlib import closing, suppress
from pathlib import Path
from typing import NamedTuple

import msgspec

from thence.core.vocabulary import VOCABULARIES
from thence.errors import SyncRefused, ThenceError
from thence.files import file_lock
from thence.log.files.segment import mirror_path
from thence.log.open import open_log
from thence.sync.client import client_to
from thence.sync.credentials import CredentialStore
from thence.sync.engine import SyncEngine
from thence.sync.target import LOCK, SyncReport, SyncTarget, read_state, sync_folder, write_state
from thence.sync.wire.messages import MirroredLog, TeamLog

# how long another process may pull the same log
_WAIT_S = 60.0
# codes of errors after which a login may read none of a team's logs
_WITHDRAWN = ("sync_refused", "not_logged_in")
_GONE = "the team no longer has this log"

# called with the name of a log and the lines that were pulled into it so far
Progress = Callable[[str, int], None]


class MirrorReport(NamedTuple):
    """The report of one pass: how many logs the team has, lines pulled, lines redacted.

    `unmirrored` maps the logs that could not be updated to the reasons.
    """

    logs: int
    pulled: int
    redacted: int
    unmirrored: Mapping[str, ThenceError]
    withdrawn: Sequence[str]


def mirror(
    root: Path, target: SyncTarget, store: CredentialStore, progress: Progress = lambda *_: None
) -> MirrorReport:
    """Brings the mirrors of a team's logs in a folder up to date, each under its name there.

    `target` names server, team and user, and no log. Raises what the list of logs raises: if the
    login may not read the team any more, each log is marked with the reason before.
    """
    try:
        with closing(client_to(target, store)) as client:
            logs = client.logs()
    except SyncRefused as refused:
        if refused.code in _WITHDRAWN:
            _withdraw(root, target, str(refused.cause))
        raise
    pulled = redacted = 0
    unmirrored: dict[str, ThenceError] = {}
    for log in logs:
        try:
            report = _pull(root / log.log, target, store, log, progress)
        except ThenceError as error:
            unmirrored[log.log] = error
            continue
        pulled, redacted = pulled + report[0], redacted + report[1]
    withdrawn = _withdraw(root, target, _GONE, {log.log for log in logs})
    return MirrorReport(len(logs), pulled, redacted, unmirrored, withdrawn)


def read_mirror(folder: Path) -> MirroredLog | None:
    """Returns what a folder mirrors, None for one that is no mirror; raises SyncRefused."""
    again = f"mirror the log again: rm -r {folder}; thence sync mirror URL ROOT"
    return read_state(mirror_path(folder), MirroredLog, again)


def _withdraw(root: Path, target: SyncTarget, cause: str, names: Collection[str] = ()) -> list[str]:
    """Marks the mirrors of a team's logs, but of some names; returns the names of the marked."""
    withdrawn = []
    for folder in sorted(root.iterdir()) if root.is_dir() else ():
        state = None
        with suppress(SyncRefused):
            state = read_mirror(folder)
        team = state and (state.server, state.team)
        if state and team == (target.server, target.team) and folder.name not in names:
            withdrawn.append(folder.name)
            if state.withdrawn != cause:
                write_state(mirror_path(folder), msgspec.structs.replace(state, withdrawn=cause))
    return withdrawn


def _pull(
    folder: Path, target: SyncTarget, store: CredentialStore, log: TeamLog, progress: Progress
) -> tuple[int, int]:
    """Pulls a log if it has changed; returns how many lines came, and were redacted."""
    state, current = read_mirror(folder), MirroredLog(target.server, target.team, log)
    if state == current:
        return 0, 0
    cause = ""
    if log.kind not in VOCABULARIES:
        cause = f"this thence does not know its kind, {log.kind:.40}"
    elif state is None and (folder.is_symlink() or folder.exists()):
        cause = "something else has its name there"
    elif state is not None and _name_of(state) != _name_of(current):
        cause = f"the folder mirrors {' '.join(_name_of(state))}"
    if cause:
        raise SyncRefused(
            "could not mirror the log in",
            place=folder,
            cause=cause,
            hint="mirror the team into a folder of its own: thence sync mirror URL ROOT",
        )
    report = SyncReport()
    if state is None:
        unpulled = msgspec.structs.replace(log, mark="")
        write_state(mirror_path(folder), msgspec.structs.replace(current, log=unpulled))
    if state is None or state.log.mark != log.mark:
        named = msgspec.structs.replace(target, log=log.log, kind=log.kind)

        def show(pulled: int, *_: int) -> None:
            progress(log.log, pulled)

        with (
            open_log(folder, log.kind) as opened,
            closing(client_to(named, store)) as client,
            closing(
                SyncEngine(opened, client, target=named.key, progress=show, pulls_only=True)
            ) as engine,
            file_lock(sync_folder(folder) / LOCK, _WAIT_S),
        ):
            report = engine.round()
    if report.error is not None:
        raise report.error
    if report.parked:
        raise SyncRefused(
            "could not mirror all of",
            place=folder,
            cause=f"the log can't take {report.parked:,} lines, which are kept next to it",
            hint="the next pass tries them again",
        )
    write_state(mirror_path(folder), current)
    return report.pulled, report.redacted


def _name_of(state: MirroredLog) -> tuple[str, str, str]:
    return state.server, state.team, state.log.log
