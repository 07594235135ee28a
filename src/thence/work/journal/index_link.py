"""`.kittify/events/index.db`: the link by which programs find the index of a project's journal.

The index itself is in the home, where no git command touches it while it is written; the name in
the working tree is a link to it. Either may be deleted at any moment.
"""

import os
from contextlib import suppress

from thence.errors import ThenceError
from thence.inspection.log_folder import own_folder
from thence.replica import Log
from thence.work.day_lines import FOLDER
from thence.work.vcs.files import TreeFiles

NAME = "index.db"


def show_index(files: TreeFiles, replica: Log) -> None:
    """Updates the index to the journal, makes it if it is missing, and links to it.

    Where that can't be done nothing happens: queries work without the index. A file of another
    program under this name stays. Nothing is read or written through the link.
    """
    made = own_folder(replica.folder) / NAME
    link = f"{FOLDER}/{NAME}"
    with suppress(OSError, ThenceError):
        if not made.exists():
            replica.rebuild()
        replica.query(limit=1)
        target = os.path.relpath(made, (files.top / link).parent)
        if files.target_of(link) not in (None, target):
            files.unlink(link)  # the project was moved, or has another home now
        if files.look(link) is None:
            files.link(link, target)
