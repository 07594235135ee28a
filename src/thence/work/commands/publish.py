"""`thence work publish`: shares events with the clones of others."""

from thence.work.journal import board_branch
from thence.work.journal.board_remote import link_of
from thence.work.journal.seen_blobs import load_seen
from thence.work.project.options import read_options
from thence.work.result import CommandResult
from thence.work.session.session import Session


def publish(session: Session) -> CommandResult:
    """Pushes the journal's events to the board's branch on the remote, and takes in its events.

    Raises GitFailed, PlanningError.
    """
    repo = session.repo
    session.look()
    options = read_options(session.project)
    link = link_of(repo, session.refs, options, load_seen(session.project).branches)
    made = board_branch.publish(session.project, repo, link, session.reread)
    data = {
        "share": "branch",
        "remote": link.remote,
        "branch": link.branch,
        "commit": made.commit,
        "brought": made.brought,
        "taken": session.events_received,
        "redacted": made.taken_back,
    }
    name = f"{link.remote}/{link.branch}"
    lines = [f"{name} has all events"]
    if made.commit is not None:
        lines = [f"pushed {made.brought} event(s) to {name}"]
    if made.taken_back:
        lines.append(f"redacted {made.taken_back} line(s) there; older commits of it keep them")
    if session.events_received:
        lines.append(f"pulled {session.events_received} event(s) of others")
    return session.result(data, lines)
