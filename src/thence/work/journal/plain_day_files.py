"""The day files of a project without git: written at once, beside the journal."""

from collections.abc import Iterable
from contextlib import suppress

from thence.core.event import Event
from thence.errors import GitFailed
from thence.work.day_lines import splices
from thence.work.project.adopting import OWN_HOME
from thence.work.vcs.files import TreeFiles
from thence.work.vcs.locks import held

_LOCK = f"{OWN_HOME}/days.lock"


def write_day_files(files: TreeFiles, events: Iterable[Event]) -> None:
    """Adds to each day file the events that it lacks, each file in one step.

    Where that can't be done nothing happens: the next command does it.
    """
    with suppress(OSError, GitFailed), held(files.top / _LOCK):
        for path, splice in splices(events).items():
            data = files.read(path) if files.look(path) is not None else None
            new = splice(data)
            if new is not None and new != data:
                files.replace(path, new)
