"""Package branches that still hold day files, merged after `share branch` removed them.

Such branches hold day files that the target tracks no more. Before a merge the lines of these files
are taken into the journal; the merge then leaves the files out.
"""

from collections.abc import Iterable

from thence.work.journal import day_files
from thence.work.project.options import BRANCH, options_of
from thence.work.project.project_id import CONFIG
from thence.work.session.session import Session
from thence.work.vcs.objects import is_file, objects
from thence.work.vcs.repository import HEADS


def drops_day_files(session: Session, target: str, commits: Iterable[str]) -> bool:
    """Reports whether merges into a target leave out day files, which it does not track then.

    If so, the lines that the commits have in day files are added to the journal and the board.
    Raises what an append raises.
    """
    with objects(session.repo) as store:
        found = store.commit(HEADS + target)
        entry = store.find(found[1], CONFIG) if found else None
        data = store.blob(entry.oid) if entry and is_file(entry) else b""
    if options_of(data, f"{target}:{CONFIG}").share != BRANCH:
        return False
    received = day_files.take_commits(session.project, session.store, commits)
    session.warnings += [each for each in received.notes() if each not in session.warnings]
    if received.events:
        session.events_received += received.events
        session.reread()
    return True
