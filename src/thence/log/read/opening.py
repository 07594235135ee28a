"""The opening of a log at a path: its folder, its vocabulary, its creation if missing."""

import errno
from datetime import timedelta
from pathlib import Path

from thence.core.bodies import BODIES_FROM_MIN
from thence.core.clock import length_us
from thence.core.event import Event
from thence.core.vocabulary import PLAIN, VOCABULARIES, Vocabulary
from thence.errors import (
    InvalidEvent,
    LogReadOnly,
    NotALog,
    ThenceError,
    VocabularyMismatch,
)
from thence.log.blobs.blob_files import Bodies
from thence.log.files.disk import DENIED_ERRNOS, Disk, DiskError, append_error, reading
from thence.log.files.identity import LogInfo, make_info, read_info
from thence.log.files.segment import segments

# the errors of a path that can't be a folder
_NO_PLACE_ERRNOS = frozenset(
    (errno.ENOTDIR, errno.EEXIST, errno.ENOENT, errno.ENAMETOOLONG, errno.ELOOP, errno.EINVAL)
)

# an age such as "1d", in seconds or a timedelta, or none
Age = str | float | timedelta | None

_NO_FOLDER = "it is a file, or a link that leads nowhere"


def folder_at(path: str | Path) -> Path:
    """Returns the folder that a caller names; raises NotALog for a text that names none."""
    try:
        is_name = path != "" and b"\0" not in str(path).encode(errors="surrogateescape")
    except UnicodeEncodeError:
        is_name = False
    if is_name:
        return Path(path)
    raise NotALog(
        "could not open the log",
        place=repr(str(path)),
        cause="no folder can have this name",
        hint="pass the path of a folder; '.' is this one",
    )


def opened_vocabulary(
    disk: Disk,
    path: str | Path,
    named: Vocabulary | str | None,
    create: bool,
    is_made: bool = True,
) -> Vocabulary:
    """Returns the vocabulary of the log in the folder at a path.

    `named` is the vocabulary that the caller names, None for the stored one. With `create` a
    missing log is made, with its folder, or if not `is_made` by its first event. Raises NotALog,
    VocabularyMismatch, LogReadOnly, `read_failed`, and `append_failed` when the disk refused it.
    """
    folder = folder_at(path)
    expected = None if named is None else _vocabulary(named)
    with reading(folder):
        stored = _stored_vocabulary(disk, folder)
        is_missing = stored is None and not create and not _is_there(disk, folder)
    if stored is None:
        if is_missing:
            raise NotALog(
                "could not open the log",
                place=folder,
                cause="there is no events.jsonl",
                hint="check the path; thence.open(path) makes a new log",
            )
        stored = expected or PLAIN
    if expected is not None and expected.name != stored.name:
        raise VocabularyMismatch(
            "could not open the log",
            place=folder,
            cause=f"it was made for {stored.name}, not for {expected.name}",
            hint=f"open it with vocabulary={stored.name!r}, or choose another folder",
        )
    if create and is_made:
        try:
            prepare(disk, folder, expected or stored)
        except ThenceError as error:
            with reading(folder):
                if isinstance(error, NotALog) or not _is_there(disk, folder):
                    raise
            # a log that can only be read; its appends will raise the error
    return (expected or stored).of_log(Bodies(disk, folder))


def known_info(disk: Disk, folder: Path) -> LogInfo | None:
    """Returns the content of the log's `log.json`, None without one; raises `read_failed` too."""
    with reading(folder):
        return read_info(disk, folder)


def known_id(disk: Disk, folder: Path) -> str | None:
    """Returns the id of a log, None while it has none; raises `read_failed` too."""
    info = known_info(disk, folder)
    return info.log_id if info is not None else None


def prepare(disk: Disk, folder: Path, vocabulary: Vocabulary) -> None:
    """Makes the log's folder and `.thence/log.json` where they are missing.

    Raises what an append raises, NotALog too where no folder can be.
    """
    try:
        if read_info(disk, folder) is None:
            make_durable(disk, folder)
            make_info(disk, folder, vocabulary.name)
    except DiskError as error:
        failure = append_error(folder, error)
        kind = NotALog if error.errno in _NO_PLACE_ERRNOS else type(failure)
        is_placed = kind not in (NotALog, LogReadOnly)
        raise kind(
            "could not make a log in",
            place=folder,
            cause=_NO_FOLDER if error.errno == errno.EEXIST else error.strerror or error,
            hint=failure.hint if is_placed else "choose a folder that this user may write to",
            code="append_failed" if kind is ThenceError else "",
        ) from error


def make_durable(disk: Disk, folder: Path) -> None:
    """Makes a folder with its parents; returns when their names are on the device.

    The name of each folder is synced before anything is made in it, also if another process
    has just made it: a log synced in a folder whose name is not durable is lost with the name.
    """
    missing = []
    while not disk.is_folder(folder) and folder != folder.parent:
        missing.append(folder)
        folder = folder.parent
    try:
        disk.sync_folder(folder.parent)
    except DiskError as error:  # the parent existed, but can't be read or can't be synced
        if error.errno not in (*DENIED_ERRNOS, errno.EINVAL):
            raise
    for new_folder in reversed(missing):
        disk.make_folder(new_folder)
        disk.sync_folder(new_folder.parent)


def _is_there(disk: Disk, folder: Path) -> bool:
    return disk.is_folder(folder) and bool(segments(disk, folder))


def checked_bounds(
    folder: Path,
    on_full: str,
    queue_size: int,
    file_size: int,
    bodies_from: int | None = None,
    rotate_after: Age = None,
) -> int | None:
    """Returns the age in microseconds at which a segment is closed, None without one.

    Raises InvalidEvent for bounds that no log can be opened with.
    """
    us: int | float | None = None
    if isinstance(rotate_after, str):
        us = length_us(rotate_after.strip())
    elif isinstance(rotate_after, timedelta):
        us = rotate_after // timedelta(microseconds=1)
    elif isinstance(rotate_after, int | float):
        us = rotate_after * 1e6
    cause, hint = "", "correct the argument"
    if bodies_from is not None and bodies_from < BODIES_FROM_MIN:
        cause = f"bodies_from is {bodies_from}, and at least {BODIES_FROM_MIN} bytes or None"
    elif on_full not in ("block", "drop") or queue_size < 1 or file_size < 1:
        cause = "max_queue_size and max_file_size are at least 1, on_full block or drop"
    elif rotate_after is not None and (us is None or not 1 <= us < 2**62):
        cause = f"rotate_after is {rotate_after!r}, and no age"
        hint = "pass one such as '1d' or '12h', seconds, or a timedelta"
    if cause:
        raise InvalidEvent("could not open the log", place=folder, cause=cause, hint=hint)
    return None if us is None else int(us)


def _vocabulary(named: Vocabulary | str, folder: Path | None = None) -> Vocabulary:
    """Returns the vocabulary that a caller, or the log in a folder, names."""
    name = named.name if isinstance(named, Vocabulary) else named
    if name in VOCABULARIES:
        return VOCABULARIES[name]
    raise VocabularyMismatch(
        "could not open the log",
        place=folder or "",
        cause=f"there is no vocabulary {name!r}",
        hint="use a newer thence" if folder else f"choose one of {', '.join(VOCABULARIES)}",
    )


def _stored_vocabulary(disk: Disk, folder: Path) -> Vocabulary | None:
    """Returns a log's vocabulary by its log.json, else by its first complete event."""
    info = read_info(disk, folder)
    if info is not None:
        return _vocabulary(info.vocabulary, folder)
    from thence.log.read.reader import lines  # a log that thence made has its file

    for line in lines(disk, folder, PLAIN):
        first = line.content
        if not line.is_whole or not isinstance(first, Event):
            continue
        marked = (v for v in VOCABULARIES.values() if v.mark and v.mark in first.members)
        return next(marked, None)
    return None
