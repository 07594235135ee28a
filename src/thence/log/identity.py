"""Who a log is: its format, its host's vocabulary, the node that writes it.

`.thence/log.json` is made once and decides the vocabulary. `.thence/identity.json` holds
the node_id, 12 hex digits of sha256(host name, user, nonce), with the machine id and the
inode of that file itself, by which a copy can be told from the original.
"""

from pathlib import Path
from typing import NamedTuple, TypeVar

import msgspec

from thence.errors import NotALog
from thence.log.disk import Disk, host_name, machine_id, noise_bits, process_id, user_name
from thence.log.process import new_id
from thence.log.segment import own_folder

FORMAT = 1
_T = TypeVar("_T")


class LogInfo(msgspec.Struct, frozen=True):
    """What `.thence/log.json` says."""

    format: int
    log_id: str
    vocabulary: str


class Identity(msgspec.Struct, frozen=True):
    """What `.thence/identity.json` says."""

    node_id: str
    machine_id: str
    inode: int


def read_info(disk: Disk, folder: Path) -> LogInfo | None:
    """Returns what the log says of itself, None if it says nothing yet."""
    path = own_folder(folder) / "log.json"
    info = _read(disk, path, LogInfo)
    if info is not None and info.format != FORMAT:
        raise NotALog(
            "could not open the log",
            place=folder,
            cause=f"its format is {info.format}, this version reads {FORMAT}",
            hint="use a newer thence",
        )
    return info


def make_info(disk: Disk, folder: Path, vocabulary: str) -> LogInfo:
    """Makes `.thence/log.json`, or returns what another process made first."""
    path = own_folder(folder) / "log.json"
    disk.make_folder(path.parent)
    disk.sync_folder(folder)  # whoever finds log.json can rely on the names above it
    info = LogInfo(FORMAT, new_id(), vocabulary)
    draft = path.with_name(f"log.json.{process_id()}.{noise_bits(32):08x}")
    disk.write_new(draft, msgspec.json.encode(info) + b"\n")
    try:
        disk.link(draft, path)
    except FileExistsError:
        return read_info(disk, folder) or info
    finally:
        disk.unlink(draft)
    disk.sync_folder(path.parent)
    return info


def known_node_id(disk: Disk, folder: Path) -> str:
    """Returns the id under which this log is written, empty if nothing was written yet."""
    known = _read(disk, own_folder(folder) / "identity.json", Identity)
    return known.node_id if known else ""


def node_id(disk: Disk, folder: Path) -> str:
    """Returns the id under which this log is written, made on first use.

    Call it under the append lock, so that two processes make one identity.
    """
    path = own_folder(folder) / "identity.json"
    known = _read(disk, path, Identity)
    if known is not None:
        return known.node_id
    from hashlib import sha256  # 4 ms of import, needed once in a log's life

    nonce = f"{noise_bits(128):032x}"
    digest = sha256(f"{host_name()}\n{user_name()}\n{nonce}".encode()).hexdigest()
    draft = path.with_name(f"identity.json.{process_id()}")
    descriptor = disk.open_append(draft)
    try:
        (_, inode), _ = disk.file_id(descriptor)
        identity = Identity(digest[:12], machine_id(), inode)
        disk.truncate(descriptor, 0)
        disk.write_all(descriptor, msgspec.json.encode(identity) + b"\n")
        disk.sync_data(descriptor)
    finally:
        disk.close(descriptor)
    disk.rename(draft, path)
    disk.sync_folder(path.parent)
    return identity.node_id


def _read(disk: Disk, path: Path, kind: type[_T]) -> _T | None:
    data = disk.read_whole(path)
    if data is None:
        return None
    try:
        return msgspec.json.decode(data, type=kind)
    except msgspec.MsgspecError as error:
        raise NotALog(
            "could not open the log",
            place=path,
            cause=f"the file is not what thence wrote: {error}",
            hint="restore it from a backup; the events beside it are untouched",
        ) from error


class Standing(NamedTuple):
    """Under which id a log was written last, and whether that was in this folder."""

    node_id: str
    is_own: bool


def standing(disk: Disk, folder: Path) -> Standing | None:
    """Returns how the identity stands as it lies there, None if there is none yet.

    It is not its own in a copy, or on another machine. Raises NotALog where the file holds
    something else than thence wrote.
    """
    path = own_folder(folder) / "identity.json"
    there, data = disk.path_id(str(path)), disk.read_whole(path)
    if there is None or data is None:
        return None
    try:
        known = msgspec.json.decode(data, type=Identity)
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise NotALog(
            "could not tell who writes the log",
            place=path,
            cause=f"the file is not what thence wrote: {error}",
            hint="restore it from a backup; the events beside it are untouched",
        ) from error
    is_here = known.machine_id == machine_id() or "" in (known.machine_id, machine_id())
    return Standing(known.node_id, is_here and known.inode == there[0][1])
