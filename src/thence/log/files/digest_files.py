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
from thence.log.files.append_lock import locked
from thence.log.files.disk import Disk, noise_bits, process_id
from thence.log.files.segment import own_folder

DISOWNED_MAX = 1_000
REDACTIONS, OUTRANKED, DISOWNED = "redactions.json", "outranked.json", "disowned.json"

Rank = tuple[bool, bool]


class Disowned:
    """The disowned lines of one log, read when they are first asked for; true if there are any."""

    def __init__(self, disk: Disk, folder: Path) -> None:
        self._disk = disk
        self._folder = folder
        self._digests: frozenset[bytes] | None = None

    def __bool__(self) -> bool:
        if self._digests is None:
            by_node = read_by_node(self._disk, self._folder, DISOWNED)
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
            self._outranked = read_digests(self._disk, self._folder, OUTRANKED)
        is_outranked = bool(self._outranked) and same_line_key(event) in self._outranked
        return is_outranked, event.is_foreign


def read_by_node(disk: Disk, folder: Path, name: str) -> Mapping[str, frozenset[bytes]]:
    """Returns the digests in a file by node_id, those of a file without nodes under "".

    There are none where the file can't be read.
    """
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


def read_digests(disk: Disk, folder: Path, name: str) -> frozenset[bytes]:
    """Returns the digests in a file without nodes; none where the file can't be read."""
    return read_by_node(disk, folder, name).get("", frozenset())


def record_digests(
    disk: Disk, folder: Path, name: str, digests: Iterable[bytes], node_id: str = ""
) -> bool:
    """Adds digests to a file, durably; under a node at most 1,000.

    Reports whether there was room for them. Raises LogBusy, DiskError.
    """
    with locked(disk, folder):
        by_node = {**read_by_node(disk, folder, name)}
        before = by_node.get(node_id, frozenset())
        by_node[node_id] = before.union(digests)
        if node_id and len(by_node[node_id]) > DISOWNED_MAX:
            return False
        if len(by_node[node_id]) > len(before):
            content = {node: sorted(map(bytes.hex, own)) for node, own in by_node.items()}
            path = own_folder(folder) / name
            draft = path.with_name(f"{name}.{process_id()}.{noise_bits(32):08x}")
            data = msgspec.json.encode(content if node_id else content[""])
            disk.write_new(draft, data + b"\n")
            disk.rename(draft, path)
            disk.sync_folder(path.parent)
        return True


def without_body(line: bytes, redactions: frozenset[bytes]) -> bytes:
    """Returns a line as it may be kept: redacted if it is one of the redactions."""
    if not redactions:
        return line
    try:
        return redacted(line) if digests_of(line).line in redactions else line
    except (InvalidEvent, msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return line  # it is no event, or has no digest


def outranked_state(disk: Disk, folder: Path) -> object:
    """Returns what changes whenever lines are recorded as outranked, by any process."""
    return disk.path_id(str(own_folder(folder) / OUTRANKED))
