"""The files that make each clone the same project, and have git merge day files by line."""

from contextlib import suppress

from thence.work.daylines import ATTRIBUTES, ATTRIBUTES_TEXT, FOLDER, Splice, with_lines
from thence.work.project import CONFIG, Project
from thence.work.repository import Repository

_INFO = "info/attributes"
_UNION = f"{FOLDER}/*.jsonl merge=union -text"


def own_files(project: Project) -> dict[str, Splice]:
    """Returns what each commit sees to: the project's id."""
    try:
        config = project.files.read(CONFIG)
    except OSError:  # the branch that is checked out lacks it
        config = f"project_uuid: {project.uuid}\n".encode()
    return {CONFIG: lambda data: config if data is None else data}


def tracked_files() -> dict[str, Splice]:
    """Returns what a commit of day files sees to: how they are merged."""
    return {ATTRIBUTES: lambda data: with_lines(data, ATTRIBUTES_TEXT)}


def note_attributes(repo: Repository) -> None:
    """Has this repository merge day files by line, on branches too that lack the tracked file.

    Where it can't be written, the tracked file does it alone.
    """
    path = repo.common / _INFO
    with suppress(OSError):
        path.parent.mkdir(exist_ok=True)
        known = path.read_bytes() if path.exists() else None
        wanted = with_lines(known, f"{_UNION}\n".encode())
        if wanted != known:
            path.write_bytes(wanted)
