"""The record, in the home, of the tips whose day files this clone has read from git's objects.

Commands that replace it at once may lose what one of them has added: then day files are read again,
and bring nothing twice.
"""

import msgspec

from thence.files import replace_file
from thence.work.day_lines import FOLDER, is_day_file
from thence.work.project.options import TREE, read_options
from thence.work.project.project import Project
from thence.work.vcs.objects import Objects, is_folder

_FILE = "seen.json"
_OTHER_REFS = "refs/"  # begins the name of a ref that is no branch


class SeenTips(msgspec.Struct):
    """The tips whose day files were read, and the watched `branches`.

    The key of a tip is its branch, or the full name of another ref. `tracking` are the branches
    whose tips had day files, as in projects that an older version shared so.
    """

    tips: dict[str, str] = {}
    branches: set[str] = set()
    tracking: set[str] = set()


def load_seen(project: Project) -> SeenTips:
    """Returns the record; an empty one where it can't be read."""
    try:
        return msgspec.json.decode((project.home / _FILE).read_bytes(), type=SeenTips)
    except (OSError, msgspec.MsgspecError, UnicodeDecodeError):
        return SeenTips()


def save_seen(project: Project, seen: SeenTips) -> None:
    """Stores the record. Raises OSError, ThenceError."""
    project.home.mkdir(parents=True, exist_ok=True)  # nothing was recorded in it yet
    replace_file(project.home / _FILE, msgspec.json.encode(seen))


def is_branch(name: str) -> bool:
    """Reports whether the key of a tip is that of a local branch, not of another ref."""
    return not name.startswith(_OTHER_REFS)


def is_tracked(project: Project) -> bool:
    """Reports whether git tracks the day files, until `thence work import` unties them.

    A configuration that names no way of sharing is that of a project whose branches decide it.
    Raises PlanningError for a configuration that can't be read.
    """
    share = read_options(project).share
    return share == TREE or (share is None and bool(load_seen(project).tracking))


def tracked_files(store: Objects, tree: str) -> dict[str, str]:
    """Returns the ids of the day files in a commit's tree by their paths."""
    folder = store.find(tree, FOLDER)
    names = store.tree(folder.oid) if folder and is_folder(folder) else {}
    return {f"{FOLDER}/{name.decode()}": at.oid for name, at in names.items() if is_day_file(name)}
