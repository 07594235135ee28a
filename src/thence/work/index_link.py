"""`.kittify/events/index.db`: where programs find the index of a project's journal.

The index itself lies in the home, where no git command touches it while it is written; the name
in the working tree is a link to it. Either may be deleted at any moment.
"""

import os
from contextlib import suppress
from pathlib import Path

from thence.errors import ThenceError
from thence.log.segment import own_folder
from thence.replica import Replica
from thence.work.daylines import FOLDER

NAME = "index.db"


def show_index(kittify: Path, replica: Replica) -> None:
    """Has the index follow the journal, makes it if it is missing, and links to it.

    Where that can't be done nothing happens: everything is answered without it. A file of
    another program's that bears the name stays.
    """
    made = own_folder(replica.folder) / NAME
    link = kittify / Path(FOLDER).name / NAME
    with suppress(OSError, ThenceError):
        if not made.exists():
            replica.rebuild()
        replica.query(limit=1)
        if link.is_symlink() and os.readlink(link) != os.path.relpath(made, link.parent):
            link.unlink()  # the project was moved, or has another home now
        if not os.path.lexists(link):
            link.parent.mkdir(parents=True, exist_ok=True)
            link.symlink_to(os.path.relpath(made, link.parent))
