"""The record, in the home, of the tips whose day files this clone has read from git's objects.

Commands that replace it at once may lose what one of them has added: then day files are read again,
and bring nothing twice.
"""

import msgspec

from thence.core.ready import ready
from thence.files import replace_file
from thence.git.objects import Objects, is_folder
from thence.work.day_lines import FOLDER, is_day_file
from thence.work.project.project import Project

_FILE = "seen.json"


class SeenTips(msgspec.Struct):
    """The tips whose day files were read, by the full names of their refs.

    `shared` is how many events of the journal the board's branch is known to have.
    """

    tips: dict[str, str] = {}
    shared: int = 0


def load_seen(project: Project) -> SeenTips:
    """Returns the record; an empty one where it can't be read."""
    try:
        return msgspec.json.decode((project.home / _FILE).read_bytes(), type=ready(SeenTips))
    except (OSError, msgspec.MsgspecError, UnicodeDecodeError):
        return SeenTips()


def save_seen(project: Project, seen: SeenTips) -> None:
    """Stores the record. Raises OSError, ThenceError."""
    project.home.mkdir(parents=True, exist_ok=True)  # nothing was recorded in it yet
    replace_file(project.home / _FILE, msgspec.json.encode(seen))


def day_files_in(store: Objects, tree: str) -> dict[str, str]:
    """Returns the ids of the day files in a commit's tree by their paths."""
    folder = store.find(tree, FOLDER)
    names = store.tree(folder.oid) if folder and is_folder(folder) else {}
    return {f"{FOLDER}/{name.decode()}": at.oid for name, at in names.items() if is_day_file(name)}
