"""`thence work publish`: shares events with the clones of others."""

from thence.errors import PlanningError
from thence.work.journal import board_branch
from thence.work.journal.seen_blobs import known
from thence.work.journal.sharing import link_of
from thence.work.project.options import read_options
from thence.work.result import Result
from thence.work.session.command_commit import commit
from thence.work.session.session import Desk


def publish(desk: Desk, target_branch: str | None = None) -> Result:
    """Brings the journal's events to the board's branch on the remote, and takes what it has.

    Where day files are tracked, commits them on a branch, by default that of the main working
    tree. Raises GitFailed, PlanningError.
    """
    repo = desk.repo
    if desk.shares_in_tree:
        return _commit(desk, target_branch)
    if target_branch is not None:
        raise PlanningError(
            "could not publish on the branch",
            place=repr(target_branch),
            cause="this project shares its events by the board's branch",
            hint="leave --target-branch out, or change over: thence work share tree",
        )
    desk.look()
    options = read_options(desk.project)
    link = link_of(repo, desk.refs, options, known(desk.project).branches)
    made = board_branch.publish(desk.project, repo, link, desk.reread)
    data = {
        "share": "branch",
        "remote": link.remote,
        "branch": link.branch,
        "commit": made.commit,
        "brought": made.brought,
        "taken": desk.taken,
    }
    place = f"{link.remote}/{link.branch}"
    lines = [f"{place} has all events"]
    if made.commit is not None:
        lines = [f"brought {made.brought} event(s) to {place}"]
    if desk.taken:
        lines.append(f"took {desk.taken} event(s) of others")
    return desk.result(data, lines)


def _commit(desk: Desk, target_branch: str | None) -> Result:
    branch = desk.branch(target_branch)
    desk.look()
    desk.watch(branch)
    made = commit(desk, {}, "Publish events", "publish", target=branch)
    data = {
        "share": "tree",
        "branch": branch,
        "commit": made.oid if made else None,
        "taken": desk.taken,
    }
    if made is None:
        return desk.result(data, [f"{branch} has all events"])
    return desk.result(data, [f"committed {', '.join(made.paths)} on {branch}"])
