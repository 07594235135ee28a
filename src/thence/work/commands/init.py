"""`thence work init`: makes a repository a project, and tells coding agents how to use it."""

from functools import partial
from uuid import uuid4

from thence.errors import PlanningError
from thence.work.commands.share import with_share
from thence.work.day_lines import Splice, with_lines
from thence.work.project.agents_md import with_section
from thence.work.project.options import BRANCH, read_options
from thence.work.project.own_files import note_attributes
from thence.work.project.project import KITTIFY
from thence.work.project.project_id import CONFIG, with_another_id, with_id
from thence.work.result import CommandResult
from thence.work.session.command_commit import commit
from thence.work.session.session import Session

_IGNORED = f"{KITTIFY}/.gitignore"
_IGNORED_TEXT = b"clock.json\nerrors/\nevents/index.db*\n.thence/\n"
_CONFIG_ATTRIBUTES = f"{KITTIFY}/.gitattributes"
_CONFIG_ATTRIBUTES_TEXT = b"config.yaml merge=union\n"
_AGENTS = "AGENTS.md"
_WORKTREES = b".worktrees/\n"


def init(session: Session, *, has_new_id: bool = False) -> CommandResult:
    """Makes the project's own files and commits them on the branch that is checked out.

    A second time it adds what is missing. With `has_new_id` the project gets an id of its own, for
    a repository that was made from a template. Raises GitFailed, PlanningError.
    """
    project_uuid = str(uuid4()) if has_new_id else session.project.uuid
    changes: dict[str, Splice] = {
        _CONFIG_ATTRIBUTES: lambda data: with_lines(data, _CONFIG_ATTRIBUTES_TEXT),
        _IGNORED: lambda data: with_lines(data, _IGNORED_TEXT),
        ".gitignore": lambda data: with_lines(data, _WORKTREES),
        _AGENTS: with_section,
    }
    if has_new_id:
        changes[CONFIG] = partial(with_another_id, uuid=project_uuid)
    elif read_options(session.project).share is None and not session.shares_in_tree:
        changes[CONFIG] = partial(_with_share, uuid=project_uuid)
    branch = session.branch_here()
    note_attributes(session.repo)
    made = commit(session, changes, "Make this repository a thence project", "init")
    data = {
        "project_uuid": project_uuid,
        "branch": branch,
        "journal": str(session.project.home),
        "commit": made.oid if made else None,
    }
    lines = [f"project {project_uuid}"]
    if made is not None:
        lines.append(f"committed {', '.join(made.paths)} on {branch}")
    elif not session.notes:
        lines.append("all of it was there already")
    lines.append('next: thence work setup-spec "what the feature is"')
    return session.result(data, lines)


def _with_share(data: bytes | None, uuid: str) -> bytes:
    """Returns a configuration that says how events are shared, so that nobody need look for it."""
    named = with_id(data, uuid)
    try:
        return with_share(named, BRANCH)
    except PlanningError:  # it is no map of one name a line
        return named
