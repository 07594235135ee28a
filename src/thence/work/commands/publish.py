"""`thence work publish`: commits the events that a branch lacks, for others to merge."""

from thence.work.committing import commit
from thence.work.desk import Desk
from thence.work.result import Result


def publish(desk: Desk, target_branch: str | None) -> Result:
    """Commits the day files on the branch of the main working tree."""
    branch = desk.branch(target_branch)
    desk.look()
    desk.watch(branch)
    made = commit(desk, {}, "Publish events", "publish", target=branch, shares=True)
    data = {"branch": branch, "commit": made.oid if made else None}
    if made is None:
        return desk.result(data, [f"{branch} has all events"])
    return desk.result(data, [f"committed {', '.join(made.paths)} on {branch}"])
