"""The day files of a project without git: written at once, beside the journal."""

import os
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

from thence.core.event import Event
from thence.errors import GitFailed
from thence.work.daylines import FOLDER, splices
from thence.work.locks import held

_LOCK = ".kittify/.thence/days.lock"


def write_day_files(root: Path, events: Iterable[Event]) -> None:
    """Adds to each day file the events that it lacks, each file in one step.

    Where that can't be done nothing happens: the next command does it.
    """
    with suppress(OSError, GitFailed), held(root / _LOCK):
        (root / FOLDER).mkdir(parents=True, exist_ok=True)
        for name, splice in splices(events).items():
            path = root / name
            data = path.read_bytes() if path.exists() else None
            new = splice(data)
            if new is not None and new != data:
                draft = path.with_suffix(".new")
                draft.write_bytes(new)
                os.replace(draft, path)
