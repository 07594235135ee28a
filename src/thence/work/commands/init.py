"""`thence work init`: makes a repository a project, and tells coding agents how to use it."""

from thence.work.agents_md import with_section
from thence.work.daylines import ATTRIBUTES, ATTRIBUTES_TEXT
from thence.work.desk import Desk
from thence.work.project import CONFIG, KITTIFY
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
    config = (desk.project.root / CONFIG).read_bytes()
    changes = {
        CONFIG: lambda data: config if data is None else data,
        ATTRIBUTES: lambda data: _with_lines(data, ATTRIBUTES_TEXT),
        _CONFIG_ATTRIBUTES: lambda data: _with_lines(data, _CONFIG_ATTRIBUTES_TEXT),
        _IGNORED: lambda data: _with_lines(data, _IGNORED_TEXT),
        ".gitignore": lambda data: _with_lines(data, _WORKTREES),
        _AGENTS: with_section,
    }
    branch = desk.branch_here()
    desk.note_attributes()
    made = desk.commit(branch, changes, "Make this repository a thence project")
    data = {
        "project_uuid": desk.project.uuid,
        "branch": branch,
        "journal": str(desk.project.home),
        "commit": made.oid if made else None,
    }
    lines = [f"project {desk.project.uuid}"]
    if made is not None:
        lines.append(f"committed {', '.join(made.paths)} on {branch}")
    else:
        lines.append("all of it was there already")
    lines.append('next: thence work setup-spec "what the feature is"')
    return desk.result(data, lines)


def _with_lines(data: bytes | None, wanted: bytes) -> bytes:
    """Returns a file with the lines that it lacks at its end."""
    held = {line.strip() for line in (data or b"").splitlines()}
    lacking = [line for line in wanted.splitlines() if line not in held]
    if not lacking:
        return data or b""
    start = data or b""
    if start and not start.endswith(b"\n"):
        start += b"\n"
    return start + b"\n".join(lacking) + b"\n"
