"""The copy of the unsafe end of a segment to the next one, after a sync failed."""

from collections.abc import Collection, Iterator, Sequence
from pathlib import Path

from thence.errors import ThenceError
from thence.log.storage.disk import READ_BYTES, Disk, FileId
from thence.log.storage.segment import segments
from thence.log.write.append_conditions import AlreadyStored


def copy_lines(disk: Disk, source: int, start: int, target: int) -> int:
    """Copies the complete lines behind an offset to the end of another file; not synced.

    Returns the end offset of the source. An incomplete line at its end is counted but not
    copied.
    """
    carry = b""
    while block := disk.read_at(source, start + len(carry), READ_BYTES):
        data = carry + block
        lines_end = data.rfind(b"\n") + 1
        disk.write_all(target, data[:lines_end])
        start, carry = start + lines_end, data[lines_end:]
    return start + len(carry)


def are_behind(
    disk: Disk, folder: Path, written: Collection[bytes | ThenceError], file: FileId
) -> bool:
    """Reports whether all lines of a batch, newlines included, are in segments behind a file."""
    missing = {line for line in written if isinstance(line, bytes)}
    for path in reversed(segments(disk, folder)):
        descriptor = disk.open_read(path)
        try:
            found, size = disk.file_id(descriptor)
            if found == file or not missing:
                break
            for line in disk.read_at(descriptor, 0, size).splitlines(keepends=True):
                missing.discard(line)
        finally:
            disk.close(descriptor)
    return not missing


def write_again(disk: Disk, descriptor: int, known: Sequence[AlreadyStored]) -> int:
    """Writes stored lines at the end of another segment; returns their size in bytes."""
    data = b"".join(stored.line for stored in known)
    disk.write_all(descriptor, data)
    return len(data)


def regions(known: Sequence[AlreadyStored]) -> Iterator[dict[str, object]]:
    """Yields the facts of a notice for each file that holds some of these lines."""
    for file in dict.fromkeys(stored.file for stored in known):
        there = [stored for stored in known if stored.file == file]
        offset = min(stored.offset for stored in there)
        end = max(stored.offset + len(stored.line) for stored in there)
        yield {"file": file, "offset": offset, "bytes": end - offset}
