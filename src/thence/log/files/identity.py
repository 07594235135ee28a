"""The identity of a log: its format, its host's vocabulary, the node that writes it.

`.thence/log.json` is made once and decides the vocabulary. `.thence/identity.json` holds
the node_id, 12 hex digits of sha256(host name, user, nonce), with the machine id and the
inode of that file itself. The inode distinguishes a copy from the original: the copy gets a
node_id of its own, and the earlier ones stay listed.
"""

from collections.abc import Iterable
from errno import EEXIST
from pathlib import Path

import msgspec

from thence.core.ready import ready
from thence.errors import InvalidEvent, NotALog
from thence.log.files.disk import (
    NOWHERE,
    Disk,
    DiskError,
    FileId,
    host_name,
    machine_id,
    noise_bits,
    process_id,
    user_name,
)
from thence.log.files.process_state import new_id
from thence.log.files.segment import locked, own_folder

FORMAT = 1
EARLIER_MAX = 1_000
_REDACTIONS = "redactions.json"
_COPIED = "copied or restored"
_ELSEWHERE = "on another machine"
_TWICE = "an event of its node_id came in that this log does not have"


class LogInfo(msgspec.Struct, frozen=True):
    """The content of `.thence/log.json`."""

    format: int
    log_id: str
    vocabulary: str


class Identity(msgspec.Struct, frozen=True, omit_defaults=True):
    """The content of `.thence/identity.json`.

    Inode and generation are those of the file itself: a copy has others. `earlier` are the
    ids under which the log was written before, the latest at the end; `reason` is why the
    id changed.
    """

    node_id: str
    machine_id: str
    inode: int
    generation: int = 0
    earlier: tuple[str, ...] = ()
    reason: str = ""

    @property
    def node_ids(self) -> frozenset[str]:
        """All ids under which this log is or was written."""
        return frozenset((self.node_id, *self.earlier))


class Own(msgspec.Struct, frozen=True):
    """The identity under which a session writes; `is_new` if this session has given it."""

    identity: Identity
    is_new: bool

    @property
    def is_copy(self) -> bool:
        """True if the log's folder was just recognised as a copy."""
        return self.is_new and self.identity.reason == _COPIED

    @property
    def previous_node(self) -> str:
        """The node before this one, if this session has changed the node."""
        return self.identity.earlier[-1] if self.is_new and self.identity.earlier else ""

    def change(self) -> dict[str, str | None]:
        """Returns the facts of the notice about the change of identity."""
        earlier = self.identity.earlier
        return {
            "old_node_id": earlier[-1] if earlier else None,
            "new_node_id": self.identity.node_id,
            "reason": self.identity.reason,
        }


def read_info(disk: Disk, folder: Path) -> LogInfo | None:
    """Returns the content of `log.json`, None if the file is missing.

    It takes its name with its content on the device. Raises NotALog for any other content.
    """
    path = own_folder(folder) / "log.json"
    data = disk.read_whole(path)
    if data is None:
        return None
    try:
        info = msgspec.json.decode(data, type=ready(LogInfo))
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise NotALog(
            "could not open the log",
            place=path,
            cause=f"the file is not what thence wrote: {error}",
            hint="restore it from a backup, or move it away: the next append makes another;"
            " the events next to it are untouched",
        ) from error
    if info.format != FORMAT:
        raise NotALog(
            "could not open the log",
            place=folder,
            cause=f"its format is {info.format}, this version reads {FORMAT}",
            hint="use a newer thence",
        )
    return info


def make_info(disk: Disk, folder: Path, vocabulary: str) -> LogInfo:
    """Makes `.thence/log.json` with a new id, or returns what another process wrote first."""
    path = own_folder(folder) / "log.json"
    disk.make_folder(path.parent)
    disk.sync_folder(folder)  # a reader of log.json can rely on the names above it
    info = LogInfo(FORMAT, new_id(), vocabulary)
    draft = path.with_name(f"log.json.{process_id()}.{noise_bits(32):08x}")
    disk.write_new(draft, msgspec.json.encode(info) + b"\n")
    try:
        disk.link(draft, path)
    except DiskError as error:
        other = read_info(disk, folder) if error.errno == EEXIST else None
        if other is None:
            raise
        return other
    finally:
        disk.unlink(draft)
    disk.sync_folder(path.parent)
    return info


def known_node_id(disk: Disk, folder: Path) -> str:
    """Returns the id under which this log is written, empty if none is known."""
    identity = _read_identity(disk, folder)
    return identity.node_id if identity else ""


def identity_file(disk: Disk, folder: Path) -> FileId:
    """Returns which file holds the identity now: another one does when the log has a new node."""
    path_id = disk.path_id(str(own_folder(folder) / "identity.json"))
    return path_id[0] if path_id else NOWHERE


def known_node_ids(disk: Disk, folder: Path) -> frozenset[str]:
    """Returns all ids under which this log was ever written, as far as they are known."""
    identity = _read_identity(disk, folder)
    return identity.node_ids if identity else frozenset()


def is_own(disk: Disk, folder: Path) -> bool | None:
    """Reports whether the next append continues under the node that wrote before.

    False in a copy and on another machine; None if no identity can be read.
    """
    identity = _read_identity(disk, folder)
    file = _inode(disk, own_folder(folder) / "identity.json")
    return None if identity is None or file is None else not _change(identity, file)


def identify(disk: Disk, folder: Path) -> Own:
    """Returns the writing identity; a new node on first use, in a copy, on another machine.

    A copy and its original therefore never write under one id. Call it under the append lock,
    so that two processes make one identity. A file that can't be read counts as none.
    """
    path = own_folder(folder) / "identity.json"
    previous = _read_identity(disk, folder)
    file = _inode(disk, path)
    if previous is None or file is None:
        return Own(_make_identity(disk, path), is_new=True)
    reason = _change(previous, file)
    if not reason:
        return Own(previous, is_new=False)
    earlier = (*previous.earlier, previous.node_id)[-EARLIER_MAX:]
    return Own(_make_identity(disk, path, earlier, reason), is_new=True)


def renew(disk: Disk, folder: Path, node_id: str) -> None:
    """Gives a log another node, because numbers were given out elsewhere under this one.

    That happens to a log restored from an old copy. The next append writes a notice of the
    change. Nothing happens where the log has another node than `node_id` by now: another process
    was faster. Raises LogBusy, DiskError.
    """
    with locked(disk, folder):
        previous = _read_identity(disk, folder)
        if previous is not None and previous.node_id == node_id:
            earlier = (*previous.earlier, previous.node_id)[-EARLIER_MAX:]
            _make_identity(disk, own_folder(folder) / "identity.json", earlier, _TWICE)


def _change(identity: Identity, file: tuple[int, int]) -> str:
    """Returns the reason why a log needs another node, empty if it needs none."""
    if file[0] != identity.inode or 0 != identity.generation != file[1]:
        return _COPIED
    machine = machine_id()
    return _ELSEWHERE if "" != identity.machine_id != machine != "" else ""


def _make_identity(
    disk: Disk,
    path: Path,
    earlier: tuple[str, ...] = (),
    reason: str = "",
) -> Identity:
    from hashlib import sha256  # 4 ms of import, needed once in a log's life

    nonce = f"{noise_bits(128):032x}"
    digest = sha256(f"{host_name()}\n{user_name()}\n{nonce}".encode()).hexdigest()
    draft = path.with_name(f"identity.json.{process_id()}")
    descriptor = disk.open_append(draft)
    try:
        (_, inode), _ = disk.file_id(descriptor)
        members = (digest[:12], machine_id(), inode, disk.generation(descriptor))
        identity = Identity(*members, earlier, reason)
        disk.truncate(descriptor, 0)
        disk.write_all(descriptor, msgspec.json.encode(identity) + b"\n")
        disk.sync_data(descriptor)
    finally:
        disk.close(descriptor)
    disk.rename(draft, path)
    disk.sync_folder(path.parent)
    return identity


def _inode(disk: Disk, path: Path) -> tuple[int, int] | None:
    descriptor = disk.open_existing(path)
    if descriptor is None:
        return None
    try:
        (_, inode), _ = disk.file_id(descriptor)
        return inode, disk.generation(descriptor)
    finally:
        disk.close(descriptor)


def _read_identity(disk: Disk, folder: Path) -> Identity | None:
    data = disk.read_whole(own_folder(folder) / "identity.json")
    try:
        return msgspec.json.decode(data or b"", type=ready(Identity))
    except (msgspec.MsgspecError, UnicodeDecodeError):
        return None


def read_redactions(disk: Disk, folder: Path) -> frozenset[bytes]:
    """Returns the digests (D) of the lines whose bodies were redacted for good.

    No whole line of these is taken in again, from wherever it comes. There are none where the
    file can't be read.
    """
    path = own_folder(folder) / _REDACTIONS
    if disk.path_id(str(path)) is None:
        return frozenset()
    try:
        texts = msgspec.json.decode(disk.read_whole(path) or b"", type=list[str])
        return frozenset(map(bytes.fromhex, texts))
    except (msgspec.MsgspecError, ValueError):
        return frozenset()


def record_redactions(disk: Disk, folder: Path, digests: Iterable[bytes]) -> None:
    """Adds digests of redacted lines, durably. Raises LogBusy, DiskError."""
    with locked(disk, folder):
        before = read_redactions(disk, folder)
        after = before.union(digests)
        if len(after) > len(before):
            path = own_folder(folder) / _REDACTIONS
            draft = path.with_name(f"{_REDACTIONS}.{process_id()}.{noise_bits(32):08x}")
            data = msgspec.json.encode(sorted(map(bytes.hex, after)))
            disk.write_new(draft, data + b"\n")
            disk.rename(draft, path)
            disk.sync_folder(path.parent)


def without_body(line: bytes, redactions: frozenset[bytes]) -> bytes:
    """Returns a line as it may be kept: redacted if it is one of the redactions."""
    if not redactions:
        return line
    from thence.core.redaction import digests, redacted  # an append takes no line in

    try:
        return redacted(line) if digests(line).line in redactions else line
    except (InvalidEvent, msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return line  # it is no event, or has no digest
