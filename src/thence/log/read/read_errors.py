"""The error that a reader raises when the disk fails."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from thence.errors import ReadFailed
from thence.log.storage.disk import DENIED_ERRNOS
from thence.log.storage.system_call import DiskError


@contextmanager
def reading(folder: Path) -> Iterator[None]:
    """Raises a DiskError of the enclosed block as ReadFailed."""
    try:
        yield
    except DiskError as error:
        hint = "check the device, then try again"
        if error.errno in DENIED_ERRNOS:
            hint = "give this user the right to read there"
        raise ReadFailed(
            "could not read the log",
            place=error.filename or folder,
            cause=error.strerror or error,
            hint=hint,
        ) from error
