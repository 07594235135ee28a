"""A segment whose sync failed: what of it goes over to the next one."""

from collections.abc import Collection
from pathlib import Path

from thence.log.disk import READ_BYTES, Disk, FileId
from thence.log.segment import segments


def copy_lines(disk: Disk, source: int, start: int, target: int) -> int:
    """Copies the whole lines behind an offset to the end of another file; not synced.

    Returns the offset at which the source ended, half a line at its end included, which is
    not copied.
    """
    carry = b""
    while block := disk.read_at(source, start + len(carry), READ_BYTES):
        data = carry + block
        whole = data.rfind(b"\n") + 1
        disk.write_all(target, data[:whole])
        start, carry = start + whole, data[whole:]
    return start + len(carry)


def stand_behind(disk: Disk, folder: Path, lines: Collection[bytes], file: FileId) -> bool:
    """Tells whether all these lines, newlines included, stand in segments newer than a file."""
    missing = set(lines)
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
