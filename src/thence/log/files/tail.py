"""Recovery of the end of a segment after a writer was killed, before the next append.

Complete, valid events that lack only a newline are kept. All other bytes behind the last
newline are copied to `.thence/quarantine/`, synced, and cut. Nothing before the last
newline is touched. The copy is named `….torn.untold` until a notice of it is durable, so
that it is reported even after a second kill. Recovery runs under the append lock.
"""

import re
from collections.abc import Collection, Iterator
from pathlib import Path

from thence.core.codec import LINE_BYTES_MAX, has_valid_crc, is_ours, numbers, parse, pieces
from thence.core.event import Event
from thence.core.vocabulary import PLAIN, Vocabulary
from thence.errors import OutcomeUnknown
from thence.log.files.disk import Disk, DiskError, copy_range, half_line_error, new_file
from thence.log.files.process_state import new_id
from thence.log.files.segment import CURRENT, opened_segments, own_folder

_BLOCK_BYTES = 256 * 1024
_UNREPORTED = re.compile(r"(?P<file>.+)-(?P<offset>\d+)-[0-9A-Z]{26}\.torn\.untold")


def lines_backwards(
    disk: Disk, descriptor: int, start: int, end: int, bytes_max: int | None = None
) -> Iterator[bytes]:
    """Yields the lines between two offsets from the last to the first, without newlines.

    `start` must be the beginning of a line. The bytes behind the last newline come first,
    empty when the file ends in a newline. A line of more than `bytes_max` bytes comes empty.
    """
    parts: list[bytes] = []
    length = 0
    while end > start:
        offset = max(start, end - _BLOCK_BYTES)
        first, *lines = disk.read_at(descriptor, offset, end - offset).split(b"\n")
        if lines:
            lines[-1] = _joined(lines[-1], parts, length, bytes_max)
            yield from reversed(lines)
            parts, length = [], 0
        length += len(first)
        if bytes_max is None or length <= bytes_max:
            parts.append(first)
        end = offset
    yield _joined(b"", parts, length, bytes_max)


def lines_of_the_log(disk: Disk, folder: Path) -> Iterator[bytes]:
    """Yields the complete lines of a log, the last first; no lock is needed.

    The last line of an older segment is complete without a newline.
    """
    for name, descriptor in opened_segments(disk, folder, is_backwards=True):
        _, size = disk.file_id(descriptor)
        for index, line in enumerate(lines_backwards(disk, descriptor, 0, size)):
            if line and (index or name != CURRENT):
                yield line


def _joined(first: bytes, parts: list[bytes], length: int, bytes_max: int | None) -> bytes:
    """Joins a line from its parts, which are given last first."""
    if bytes_max is not None and length + len(first) > bytes_max:
        return b""
    return b"".join([first, *reversed(parts)])


def recover_tail(
    disk: Disk, descriptor: int, segment: Path, size: int, vocabulary: Vocabulary
) -> bool:
    """Makes a segment of `size` bytes end in a newline; True if bytes were quarantined.

    If True is returned the caller has to sync the segment.
    """
    offset = last_line_end(disk, descriptor, size)
    if offset == size:
        return False
    kept = 0
    if size - offset < LINE_BYTES_MAX:
        for piece in pieces(disk.read_at(descriptor, offset, size - offset), vocabulary):
            if isinstance(piece.content, Event):
                kept = piece.offset + len(piece.data)
    offset += kept
    if offset < size:
        copy_aside(disk, descriptor, segment, offset, size)
        disk.truncate(descriptor, offset)
    if kept:
        disk.write(descriptor, b"\n")
    return offset < size


def last_line_end(disk: Disk, descriptor: int, end: int) -> int:
    """Returns the offset behind the last newline before the offset `end`, 0 if there is none."""
    while end > 0:
        offset = max(0, end - _BLOCK_BYTES)
        newline = disk.read_at(descriptor, offset, end - offset).rfind(b"\n")
        if newline >= 0:
            return offset + newline + 1
        end = offset
    return 0


def copy_aside(disk: Disk, source: int, segment: Path, start: int, end: int) -> None:
    """Copies a byte range of an open segment to a new file in quarantine; all is synced."""
    quarantine = own_folder(segment.parent) / "quarantine"
    disk.make_folder(quarantine)
    path = quarantine / f"{segment.name}-{start}-{new_id()}.torn.untold"
    with new_file(disk, path) as target:
        copy_range(disk, source, start, end, target)
    disk.sync_folder(quarantine)
    disk.sync_folder(quarantine.parent)


def cut_broken_write(
    disk: Disk, descriptor: int, path: Path, start: int, data: bytes
) -> tuple[int, OutcomeUnknown | None]:
    """Cuts the file behind the last complete line of a broken write of `data` at `start`.

    The size of the file shows how many bytes were written: the broken call need not have
    reported them. Returns how many bytes of `data` remain as complete lines, and the error if
    the rest could not be cut.
    """
    kept_bytes = 0
    try:
        written_bytes = disk.file_id(descriptor)[1] - start
        if written_bytes and disk.read_at(descriptor, start, len(data) + 1) != data[:written_bytes]:
            raise DiskError("another program wrote to it without the lock")
        kept_bytes = data.rfind(b"\n", 0, written_bytes) + 1
        if kept_bytes < written_bytes:
            disk.truncate(descriptor, start + kept_bytes)
    except DiskError as error:
        unknown = half_line_error(path, error)
        unknown.__cause__ = error
        return kept_bytes, unknown
    return kept_bytes, None


def unreported(disk: Disk, folder: Path) -> Iterator[tuple[Path, dict[str, object]]]:
    """Yields each file in quarantine that no notice reports yet, with the notice's facts.

    The caller that has made the notices durable calls `mark_reported`.
    """
    quarantine = own_folder(folder) / "quarantine"
    for name in disk.names(quarantine):
        match = _UNREPORTED.fullmatch(name)
        path_id = disk.path_id(str(quarantine / name))
        if match is not None and path_id is not None:
            facts: dict[str, object] = {
                "file": match["file"],
                "offset": int(match["offset"]),
                "bytes": path_id[1],
                "quarantine": f".thence/quarantine/{_reported_path(quarantine / name).name}",
            }
            yield quarantine / name, facts


def mark_reported(disk: Disk, paths: Collection[Path]) -> None:
    """Gives files in quarantine the names that their notices state, on the device too."""
    for path in paths:
        disk.rename(path, _reported_path(path))
    for folder in {path.parent for path in paths}:
        disk.sync_folder(folder)  # else they are reported again after a power cut


def _reported_path(path: Path) -> Path:
    return path.with_name(path.name.removesuffix(".untold"))


def last_numbers(
    disk: Disk, descriptor: int, start: int, end: int, node_id: str
) -> tuple[int, int] | None:
    """Returns a node's highest seq, and the highest clock of all, in the lines between two offsets.

    The lines are read backwards to the last valid line of this node that follows a smaller
    number, so that lines which somebody moved or copied to the end do no harm. A damaged line
    behind that line keeps its number: one number is left out for each. Returns None if the range
    holds no line of this node.
    """
    lamport_clock = damaged = seq = after = 0
    for position, whole in enumerate(lines_backwards(disk, descriptor, start, end, LINE_BYTES_MAX)):
        for line, is_whole in _parts_backwards(whole) if whole else ():
            stamp = numbers(line) if is_whole else None
            if stamp is None:
                # the bytes behind the last newline were never acknowledged
                damaged += not after and position > 0 and is_ours(line)
                lamport_clock = max(lamport_clock, foreign_clock(line))
                continue
            lamport_clock = max(lamport_clock, stamp[2])
            if stamp[0] == node_id:
                seq = max(seq, stamp[1])
                if stamp[1] < after or stamp[1] == 1:
                    return seq + damaged, lamport_clock + damaged
                after = stamp[1]
    return (seq + damaged, lamport_clock + damaged) if lamport_clock else None


def foreign_clock(line: bytes) -> int:
    """Returns the clock of another tool's line, 0 if it has none that counts."""
    event = parse(line, PLAIN) if b'"lamport_clock"' in line else None
    return event.lamport_clock if isinstance(event, Event) and event.is_foreign else 0


def _parts_backwards(line: bytes) -> list[tuple[bytes, bool]]:
    """Returns the events and the bad parts of a line, the last first, each with its soundness."""
    if has_valid_crc(line):
        return [(line, True)]
    parts = [
        (data, has_valid_crc(data))
        for _, data, content in pieces(line, PLAIN)
        if isinstance(content, Event) or content.code == "bad_line"
    ]
    return parts[::-1]
