"""`thence work publish`: shares events with the clones of others."""

from thence.errors import PlanningError
from thence.work.journal import board_branch, sharing
from thence.work.journal.sharing import link_of
from thence.work.project.options import read_options
from thence.work.result import CommandResult
from thence.work.session.command_commit import commit
from thence.work.session.session import Session


def publish(session: Session, target_branch: str | None = None) -> CommandResult:
    """Pushes the journal's events to the board's branch on the remote, and takes in its events.

    Where day files are tracked, they are committed on a branch instead, by default that of the main
    working tree. Raises GitFailed, PlanningError.
    """
    repo = session.repo
    if session.shares_in_tree:
        return _commit(session, target_branch)
    if target_branch is not None:
        raise PlanningError(
            "could not publish on the branch",
            place=repr(target_branch),
            cause="this project shares its events by the board's branch",
            hint="leave --target-branch out, or change over: thence work share tree",
        )
    session.look()
    options = read_options(session.project)
    link = link_of(repo, session.refs, options, sharing.load_seen(session.project).branches)
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
        lines = [f"brought {made.brought} event(s) to {name}"]
    if made.taken_back:
        lines.append(f"took back {made.taken_back} line(s) there; older commits of it keep them")
    if session.events_received:
        lines.append(f"took {session.events_received} event(s) of others")
    return session.result(data, lines)


def _commit(session: Session, target_branch: str | None) -> CommandResult:
    branch = session.branch(target_branch)
    session.look()
    session.watch(branch)
    made = commit(session, {}, "Publish events", "publish", target=branch)
    data = {
        "share": "tree",
        "branch": branch,
        "commit": made.oid if made else None,
        "taken": session.events_received,
    }
    if made is None:
        return session.result(data, [f"{branch} has all events"])
    return session.result(data, [f"committed {', '.join(made.paths)} on {branch}"])
