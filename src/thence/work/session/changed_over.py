"""Branches that were begun before their target changed over to the board's branch.

They hold day files that the target tracks no more. Before such a branch is merged the lines of
these files are taken into the journal; the merge then leaves the files out.
"""

from collections.abc import Iterable

from thence.work.journal import day_files
from thence.work.project.options import BRANCH, options_of
from thence.work.project.project_id import CONFIG
from thence.work.session.session import Session
from thence.work.vcs.objects import is_file, objects
from thence.work.vcs.repository import HEADS


def drops_day_files(session: Session, target: str, commits: Iterable[str]) -> bool:
    """Tells whether merges into a target leave out the day files that it does not track.

    Where they do, the lines that the commits have in day files are in the journal then, and on the
    board. Raises what an append raises.
    """
    with objects(session.repo) as store:
        found = store.commit(HEADS + target)
        entry = store.find(found[1], CONFIG) if found else None
        data = store.blob(entry.oid) if entry and is_file(entry) else b""
    if options_of(data, f"{target}:{CONFIG}").share != BRANCH:
        return False
    told = day_files.take_commits(session.project, session.store, commits)
    session.notes += [note for note in told.notes() if note not in session.notes]
    if told.events:
        session.taken += told.events
        session.reread()
    return True
