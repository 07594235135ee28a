"""Each answer of a disk becomes one error, which says where, why, and what to do."""

import errno
from pathlib import Path

import pytest
from tests.log.errors import said

from thence.errors import LogFull, LogReadOnly
from thence.log.files.disk import (
    append_error,
)

PATH = Path("/logs/one/events.jsonl")
FULL = "free some space, then try again"
DENIED = "give this user the right to write there"
BROKEN = "check the device, then try again"


@pytest.mark.parametrize(
    ("number", "kind", "hint"),
    [
        (errno.ENOSPC, LogFull, FULL),
        (errno.EDQUOT, LogFull, FULL),
        (errno.EFBIG, LogFull, FULL),
        (errno.EACCES, LogReadOnly, DENIED),
        (errno.EPERM, LogReadOnly, DENIED),
        (errno.EROFS, LogReadOnly, DENIED),
        (errno.EIO, "append_failed", BROKEN),
    ],
    ids=lambda value: errno.errorcode[value] if isinstance(value, int) else "",
)
def test_refused_append_is_told_by_what_the_disk_answered(number, kind, hint):
    error = OSError(number, "as said")
    found = append_error(PATH, error)
    assert said(found) == (kind, "could not append to", str(PATH), "as said", hint)
    assert found.__cause__ is error
