"""Files that anybody may have put into a project, read as what they are."""

import errno
import os
from pathlib import Path
from stat import S_ISREG


def whole(path: Path) -> bytes:
    """Returns what a file holds; raises OSError, also for what is no file but could be waited for.

    A pipe of that name would keep its reader until somebody writes into it.
    """
    descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
    with open(descriptor, "rb") as file:
        if not S_ISREG(os.fstat(descriptor).st_mode):
            raise OSError(errno.EINVAL, "it is no file", str(path))
        return file.read()
