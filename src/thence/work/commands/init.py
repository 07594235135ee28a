"""`thence work init`: makes a repository a project, and tells coding agents how to use it."""

from thence.work.agents_md import with_section
from thence.work.committing import commit
from thence.work.daylines import Splice, with_lines
from thence.work.desk import Desk
from thence.work.own_files import note_attributes
from thence.work.project import KITTIFY
from thence.work.result import Result

_IGNORED = f"{KITTIFY}/.gitignore"
_IGNORED_TEXT = b"clock.json\nerrors/\nevents/index.db*\n.thence/\n"
_CONFIG_ATTRIBUTES = f"{KITTIFY}/.gitattributes"
_CONFIG_ATTRIBUTES_TEXT = b"config.yaml merge=union\n"
_AGENTS = "AGENTS.md"
_WORKTREES = b".worktrees/\n"


def init(desk: Desk) -> Result:
    """Makes the project's own files and commits them on the branch that is checked out.

    A second time it adds what is missing. Raises GitFailed, PlanningError.
    """
    changes: dict[str, Splice] = {
        _CONFIG_ATTRIBUTES: lambda data: with_lines(data, _CONFIG_ATTRIBUTES_TEXT),
        _IGNORED: lambda data: with_lines(data, _IGNORED_TEXT),
        ".gitignore": lambda data: with_lines(data, _WORKTREES),
        _AGENTS: with_section,
    }
    branch = desk.branch_here()
    note_attributes(desk.repo)
    made = commit(desk, changes, "Make this repository a thence project", "init")
    data = {
        "project_uuid": desk.project.uuid,
        "branch": branch,
        "journal": str(desk.project.home),
        "commit": made.oid if made else None,
    }
    lines = [f"project {desk.project.uuid}"]
    if made is not None:
        lines.append(f"committed {', '.join(made.paths)} on {branch}")
    elif not desk.notes:
        lines.append("all of it was there already")
    lines.append('next: thence work setup-spec "what the feature is"')
    return desk.result(data, lines)
