"""The files that give each clone the project's id, and make git merge day files by line."""

from contextlib import suppress

from thence.work.day_lines import ATTRIBUTES, ATTRIBUTES_TEXT, FOLDER, Splice, with_lines
from thence.work.project.project import Project
from thence.work.project.project_id import CONFIG, with_id
from thence.work.vcs.repository import Repository

_INFO = "info/attributes"
_UNION = f"{FOLDER}/*.jsonl merge=union -text"


def own_files(project: Project, *, is_tree: bool) -> dict[str, Splice]:
    """Returns the files of each commit: the project's id, and the attributes of day files."""
    try:
        config: bytes | None = project.files.read(CONFIG)
    except OSError:  # the branch that is checked out lacks it
        config = None
    found: dict[str, Splice] = {
        CONFIG: lambda data: with_id(config if data is None else data, project.uuid)
    }
    if is_tree:
        found[ATTRIBUTES] = lambda data: with_lines(data, ATTRIBUTES_TEXT)
    return found


def write_attributes(repo: Repository) -> None:
    """Makes this repository merge day files by line, also on branches without the tracked file.

    Where the repository can't be written, only the tracked file has this effect.
    """
    path = repo.common / _INFO
    with suppress(OSError):
        path.parent.mkdir(exist_ok=True)
        known = path.read_bytes() if path.exists() else None
        wanted = with_lines(known, f"{_UNION}\n".encode())
        if wanted != known:
            path.write_bytes(wanted)
