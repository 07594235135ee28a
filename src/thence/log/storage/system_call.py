"""One call of the operating system, with its own error kept apart from a signal handler's."""

import errno
from collections.abc import Callable
from typing import ParamSpec, TypeVar

_ABSENT_ERRNOS = frozenset((errno.ENOENT, errno.ENOTDIR))
_P = ParamSpec("_P")
_R = TypeVar("_R")


class DiskError(OSError):
    """A system call of thence that failed, with its errno and the file's name.

    DiskError is raised and caught inside thence; a user's code gets a ThenceError made of it.
    """

    @property
    def is_absence(self) -> bool:
        """True if nothing exists at the path."""
        return self.errno in _ABSENT_ERRNOS


def system_call(function: Callable[_P, _R], *arguments: _P.args, **named: _P.kwargs) -> _R:
    """Makes one call and returns its result; the call's error becomes a DiskError.

    A signal handler that runs during the call may raise an OSError too, most often
    TimeoutError. Such an error is raised unchanged.
    """
    try:
        return function(*arguments, **named)
    except OSError as error:
        if not _is_ours(error):
            raise
        names = () if error.filename is None else (error.filename, None, error.filename2)
        raise DiskError(error.errno, error.strerror, *names) from error


def _is_ours(error: OSError) -> bool:
    """Reports whether the call itself raised: a handler's traceback has a frame of its own."""
    raised = error.__traceback__
    return error.errno is not None and raised is not None and raised.tb_next is None
