"""`thence work init`: makes a repository a project, with instructions for coding agents."""

from functools import partial
from uuid import uuid4

from thence.errors import PlanningError
from thence.work.day_lines import Splice, with_lines
from thence.work.journal.seen_blobs import is_tracked
from thence.work.project.options import read_options, sharing_by_branch
from thence.work.project.project import KITTIFY
from thence.work.project.project_id import CONFIG, with_another_id
from thence.work.result import CommandResult
from thence.work.session.command_commit import commit
from thence.work.session.session import Session

BEGIN = b"<!-- thence:begin -->"
END = b"<!-- thence:end -->"
_TEXT = """<!-- thence:begin -->
## How work is shared out here

Work is cut into packages (WP01, WP02, ...) that go through planned, doing, for_review and done.
What happens to them is recorded in a log that everybody shares, so use the commands below instead
of editing lanes or boxes by hand. Say who you are: once by `export THENCE_ACTOR=NAME`, or by
`--actor NAME` with each command. Each also takes `--json`, and `--help` shows the rest.

| to | do |
|---|---|
| see the board | `thence work status` |
| take the next package that is ready | `thence work next --json` |
| begin a package, in a worktree of its own | `thence work implement WP01` |
| tick a subtask | `thence work mark-status T001` |
| say what others should know | `thence work add-history WP01 "..."` |
| give a package back | `thence work release WP01` |
| hand a package over for review | `thence work move-task WP01 --to for_review` |
| ask for changes | `thence work move-task WP01 --to doing --reason "..."` |
| add a package | `thence work add "title" --owns PATH` |
| see why something is as it is | `thence why EVENT` |

- Work in the worktree of your package, and commit there before you hand it over.
- With several features name yours: `--feature 028-sync`.
- A refused command changes nothing, exits 1 and says which guard stopped it and what to do next.
  `thence work errors` shows the recent ones: read them before you try again.
- Somebody else was faster? Take the next package.
- What has to be done stands in `kitty-specs/<feature>/tasks/WP01-*.md`.
<!-- thence:end -->
"""
_IGNORED = f"{KITTIFY}/.gitignore"
_IGNORED_TEXT = b"clock.json\nerrors/\nevents/index.db*\n.thence/\n"
_CONFIG_ATTRIBUTES = f"{KITTIFY}/.gitattributes"
_CONFIG_ATTRIBUTES_TEXT = b"config.yaml merge=union\n"
_AGENTS = "AGENTS.md"
_WORKTREES = b".worktrees/\n"


def init(session: Session, *, has_new_id: bool = False) -> CommandResult:
    """Makes the project's own files and commits them on the branch that is checked out.

    In an existing project only missing files are added. With `has_new_id` the project gets an id of
    its own, for a repository that was made from a template. Raises GitFailed, PlanningError.
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
    elif read_options(session.project).share is None and not is_tracked(session.project):
        changes[CONFIG] = partial(sharing_by_branch, uuid=project_uuid)
    branch = session.branch_here()
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
    elif not session.warnings:
        lines.append("all of it was there already")
    lines.append('next: thence work setup-spec "what the feature is"')
    return session.result(data, lines)


def with_section(data: bytes | None, file: str = "AGENTS.md") -> bytes:
    """Returns the file with the current section: in its old position, else at the end.

    None stands for no file. All other bytes stay, and the section gets the file's line ends.
    Raises PlanningError unless the markers are one beginning and one end behind it.
    """
    data = data or b""
    begins, ends = data.count(BEGIN), data.count(END)
    start, end = data.find(BEGIN), data.find(END)
    if not begins and not ends:
        newline = _newline(data)
        gap = b"" if not data else newline if data.endswith(b"\n") else newline * 2
        return data + gap + _section(newline)
    if begins != 1 or ends != 1 or end < start:
        line = data.count(b"\n", 0, start if begins else end) + 1
        raise PlanningError(
            "could not renew the section",
            place=f"{file}:{line}",
            cause=f"there are {begins} of {BEGIN.decode()} and {ends} of {END.decode()}",
            hint="leave one pair of them, the beginning first, or none",
        )
    newline = _newline(data[start:])
    return data[:start] + _section(newline).removesuffix(newline) + data[end + len(END) :]


def _newline(data: bytes) -> bytes:
    """Returns the end of the first line."""
    return b"\r\n" if data[: data.find(b"\n") + 1].endswith(b"\r\n") else b"\n"


def _section(newline: bytes) -> bytes:
    return _TEXT.encode().replace(b"\n", newline)
