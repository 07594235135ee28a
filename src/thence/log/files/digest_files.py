"""The digests (D) of lines that a log treats apart, in three files of JSON of its own folder.

`redactions.json`: lines whose bodies were redacted for good; no whole line of these is taken in
again, from wherever it comes. `outranked.json`: lines under whose id stands another line, which the
owner of its node brought to a server; they stay, and are served only where no other line of their
id is. `disowned.json`: lines that bear this log's node_id and came from elsewhere, by node_id.
Nothing in the bytes of such a line differs from an own one, so that the file keeps it from deciding
which number the log gives out next; it is written, and synced, before the lines are.
"""

from collections.abc import Iterable, Mapping
from pathlib import Path

import msgspec

from thence.core.codec import BadLine, parse
from thence.core.event import Event
from thence.core.redaction import digests as digests_of
from thence.core.redaction import redacted, same_line_key
from thence.core.vocabulary import PLAIN
from thence.errors import InvalidEvent
from thence.log.files.append_lock import AppendLock
from thence.log.files.disk import Disk, noise_bits, process_id
from thence.log.files.segment import own_folder

DISOWNED_MAX = 1_000
_REDACTIONS, _OUTRANKED, _DISOWNED = "redactions.json", "outranked.json", "disowned.json"

Rank = tuple[bool, bool]


class Disowned:
    """The disowned lines of one log, read when they are first asked for; true if there are any."""

    def __init__(self, disk: Disk, folder: Path) -> None:
        self._disk = disk
        self._folder = folder
        self._digests: frozenset[bytes] | None = None

    def __bool__(self) -> bool:
        if self._digests is None:
            by_node = read_disowned(self._disk, self._folder)
            self._digests = frozenset().union(*by_node.values())
        return bool(self._digests)

    def holds(self, line: bytes | Event) -> bool:
        """Reports whether a line is disowned."""
        if not self or self._digests is None:
            return False
        event = line if isinstance(line, Event) else parse(line, PLAIN)
        return not isinstance(event, BadLine) and same_line_key(event) in self._digests


class Ranking:
    """The ranking of lines that share an id in one log; the file is read when it is first asked.

    Of equal rank the first to arrive is served.
    """

    def __init__(self, disk: Disk, folder: Path) -> None:
        self._disk = disk
        self._folder = folder
        self._outranked: frozenset[bytes] | None = None

    def __call__(self, event: Event) -> Rank:
        """Returns the sort key by which the line to serve comes first of an id's lines."""
        if self._outranked is None:
            self._outranked = read_outranked(self._disk, self._folder)
        is_outranked = bool(self._outranked) and same_line_key(event) in self._outranked
        return is_outranked, event.is_foreign


def read_disowned(disk: Disk, folder: Path) -> Mapping[str, frozenset[bytes]]:
    """Returns the digests of disowned lines by node_id; none where the file can't be read."""
    return _read(disk, folder, _DISOWNED)


def disown(disk: Disk, folder: Path, node_id: str, events: Iterable[Event]) -> bool:
    """Records lines under a node as disowned, durably, at most 1,000 for a node.

    Reports whether there was room for them. Raises LogBusy, DiskError.
    """
    return _add(disk, folder, _DISOWNED, map(same_line_key, events), node_id)


def read_redactions(disk: Disk, folder: Path) -> frozenset[bytes]:
    """Returns the digests of lines that were redacted; none where the file can't be read."""
    return _read(disk, folder, _REDACTIONS).get("", frozenset())


def record_redactions(disk: Disk, folder: Path, taken_back: Iterable[bytes]) -> None:
    """Records digests of lines as redacted, durably. Raises LogBusy, DiskError."""
    _add(disk, folder, _REDACTIONS, taken_back)


def without_body(line: bytes, redactions: frozenset[bytes]) -> bytes:
    """Returns a line as it may be kept: redacted if it is one of the redactions."""
    if not redactions:
        return line
    try:
        return redacted(line) if digests_of(line).line in redactions else line
    except (InvalidEvent, msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return line  # it is no event, or has no digest


def read_outranked(disk: Disk, folder: Path) -> frozenset[bytes]:
    """Returns the digests of the outranked lines of a log; none where the file can't be read."""
    return _read(disk, folder, _OUTRANKED).get("", frozenset())


def outranked_state(disk: Disk, folder: Path) -> object:
    """Returns what changes whenever lines are recorded as outranked, by any process."""
    return disk.path_id(str(own_folder(folder) / _OUTRANKED))


def record_outranked(disk: Disk, folder: Path, digests: Iterable[bytes]) -> None:
    """Records digests of lines as outranked, durably. Raises LogBusy, DiskError."""
    _add(disk, folder, _OUTRANKED, digests)


def _read(disk: Disk, folder: Path, name: str) -> dict[str, frozenset[bytes]]:
    """Returns the digests in a file by node_id, those of a file without nodes under ""."""
    path = own_folder(folder) / name
    if disk.path_id(str(path)) is None:
        return {}
    try:
        data = disk.read_whole(path) or b""
        content = msgspec.json.decode(data, type=list[str] | dict[str, list[str]])
        by_node = content if isinstance(content, dict) else {"": content}
        return {node: frozenset(map(bytes.fromhex, texts)) for node, texts in by_node.items()}
    except (msgspec.MsgspecError, ValueError):
        return {}


def _add(disk: Disk, folder: Path, name: str, digests: Iterable[bytes], node_id: str = "") -> bool:
    """Adds digests to a file, durably; False where a node has no room for them."""
    lock = AppendLock(disk, own_folder(folder) / "lock")
    try:
        lock.acquire()
        by_node = _read(disk, folder, name)
        before = by_node.get(node_id, frozenset())
        by_node[node_id] = before.union(digests)
        if node_id and len(by_node[node_id]) > DISOWNED_MAX:
            return False
        if len(by_node[node_id]) > len(before):
            content = {node: sorted(map(bytes.hex, own)) for node, own in by_node.items()}
            _replace(disk, own_folder(folder) / name, content if node_id else content[""])
        return True
    finally:
        lock.release()
        lock.close()


def _replace(disk: Disk, path: Path, content: object) -> None:
    """Writes a file of JSON beside the old one, which it replaces; both steps are synced."""
    draft = path.with_name(f"{path.name}.{process_id()}.{noise_bits(32):08x}")
    disk.write_new(draft, msgspec.json.encode(content) + b"\n")
    disk.rename(draft, path)
    disk.sync_folder(path.parent)
