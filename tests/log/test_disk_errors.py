"""Each answer of a disk becomes one error, which says where, why, and what to do."""

import errno
from pathlib import Path

import pytest
from tests.codes import raises_code
from tests.log.errors import said

from thence.errors import LogFull, LogReadOnly, OutcomeUnknown, ThenceError
from thence.log.files.disk_errors import (
    DiskError,
    append_error,
    half_line_error,
    poisoned_error,
    reading,
    retry_error,
    sync_error,
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
        (errno.EIO, AppendFailed, BROKEN),
    ],
    ids=lambda value: errno.errorcode[value] if isinstance(value, int) else "",
)
def test_refused_append_is_told_by_what_the_disk_answered(number, kind, hint):
    error = OSError(number, "as said")
    found = append_error(PATH, error)
    assert said(found) == (kind, "could not append to", str(PATH), "as said", hint)
    assert found.__cause__ is error


def test_file_that_the_system_names_is_the_place():
    assert said(append_error(PATH, OSError(errno.EIO, "as said", "/else")))[2:4] == (
        "/else",
        "as said",
    )
    assert said(append_error(PATH, OSError("without a number")))[2:4] == (
        str(PATH),
        "without a number",
    )


def test_unknown_outcome_says_what_the_next_try_does():
    error = OSError(errno.EIO, "as said")
    assert said(half_line_error(PATH, error)) == (
        OutcomeUnknown,
        "could not take back half a line at the end of",
        str(PATH),
        "as said",
        "retry(), or open the log again: the next append moves the half line aside",
    )
    assert said(sync_error(PATH, error)) == (
        OutcomeUnknown,
        "could not sync the events just written to",
        str(PATH),
        "as said",
        "check the device, then retry(); this session appends no more",
    )
    for refused in (half_line_error, sync_error):
        assert said(refused(PATH, OSError("without a number"))).cause == "without a number"


def test_retry_that_fails_hands_on_why_and_what_to_do():
    folder = PATH.parent
    failed = ThenceError("could not", place="x", cause="broken", hint="mend it", code="append_failed")
    operation = "could not retry an append to"
    assert said(retry_error(folder, failed)) == (
        OutcomeUnknown,
        operation,
        str(folder),
        "broken",
        "mend it, by retry() again",
    )
    bare = ThenceError("could not", code="append_failed")
    assert said(retry_error(folder, bare)) == (
        OutcomeUnknown,
        operation,
        str(folder),
        "could not",
        "retry() again",
    )


def test_opening_whose_sync_failed_for_good_says_so():
    assert said(poisoned_error(PATH)) == (
        LogReadOnly,
        "could not append to",
        str(PATH),
        "an earlier sync of it failed, so nothing more is written by this session",
        "check the device, then open the log again",
    )


@pytest.mark.parametrize(
    ("error", "place", "cause", "hint"),
    [
        (DiskError(errno.EIO, "as said"), "/logs", "as said", BROKEN),
        (DiskError(errno.EIO, "as said", "/logs/a"), "/logs/a", "as said", BROKEN),
        (DiskError("no number"), "/logs", "no number", BROKEN),
        (
            DiskError(errno.EACCES, "as said"),
            "/logs",
            "as said",
            "give this user the right to read there",
        ),
    ],
    ids=["device", "file", "numberless", "denied"],
)
def test_log_that_can_not_be_read_is_told_by_what_the_disk_answered(error, place, cause, hint):
    with raises_code("read_failed") as caught, reading(Path("/logs")):
        raise error
    assert said(caught.value) == (ReadFailed, "could not read the log", place, cause, hint)
    assert caught.value.__cause__ is error
