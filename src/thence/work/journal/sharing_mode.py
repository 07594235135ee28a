"""Whether a project shares its events in day files on the user's branches.

What the team has chosen decides. Where it has chosen nothing, a project whose day files are
tracked goes on as it is, and any other has the board's branch.
"""

from thence.work.day_lines import FOLDER, is_day_file
from thence.work.project.options import TREE, read_options
from thence.work.project.project import Project
from thence.work.vcs.objects import is_folder, objects
from thence.work.vcs.repository import HEADS


def is_tree(project: Project, *targets: str) -> bool:
    """Tells whether day files are tracked, or to be tracked, on the user's branches.

    Where the team has chosen nothing, HEAD of the main working tree and the `targets` are looked
    at, in one process of git. Raises PlanningError for a configuration that can't be read.
    """
    chosen = read_options(project).share
    if chosen is not None or project.repo is None:
        return chosen == TREE
    with objects(project.repo._replace(top=project.root)) as store:
        for name in ("HEAD", *(HEADS + target for target in targets)):
            found = store.commit(name)
            folder = store.find(found[1], FOLDER) if found else None
            if folder and is_folder(folder) and any(map(is_day_file, store.tree(folder.oid))):
                return True
    return False
