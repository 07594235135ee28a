"""The archive of a log: a log's folder whose files are compressed by gzip, each by itself.

It has `events_….jsonl.gz`, `bodies_….jsonl.gz` with the large values that they name, and
`.thence/log.json`, a copy of the log's. `gunzip` makes it a log like any other.
"""

import zlib
from collections.abc import Iterable, Iterator
from hashlib import sha256
from pathlib import Path

from thence.log.files.disk import READ_BYTES, Disk, opened
from thence.log.files.disk_errors import DiskError
from thence.log.files.process_state import new_id
from thence.log.files.segment import ARCHIVED, own_folder
from thence.log.files.tail import new_file

# measured on events (decision 0057): a tenth less room than level 3, at 67 MB a second
_LEVEL = 6
_GZIP = 31  # zlib's window bits for a file of gzip
_DRAFT = ".new"
_INFO = "log.json"


def file_data(disk: Disk, path: Path) -> Iterator[bytes]:
    """Yields the bytes of a file; raises DiskError."""
    with opened(disk, path) as descriptor:
        offset = 0
        while data := disk.read_at(descriptor, offset, READ_BYTES):
            offset += len(data)
            yield data


def unpacked_data(disk: Disk, path: Path) -> Iterator[bytes]:
    """Yields the bytes that a file of an archive holds; raises DiskError, zlib.error, EOFError."""
    decompressor = zlib.decompressobj(_GZIP)
    for data in file_data(disk, path):
        while data and not decompressor.eof:
            yield decompressor.decompress(data, READ_BYTES)
            data = decompressor.unconsumed_tail
    yield decompressor.flush()
    if not decompressor.eof:
        raise EOFError(f"{path} is cut")


def digest_of(data: Iterable[bytes]) -> str:
    """Returns the SHA-256 of some data in hex."""
    digest = sha256()
    for part in data:
        digest.update(part)
    return digest.hexdigest()


def holds(disk: Disk, path: Path, digest: str) -> bool:
    """Reports whether a file of an archive is whole, and holds data with this digest."""
    try:
        return digest_of(unpacked_data(disk, path)) == digest
    except (zlib.error, EOFError):
        return False


def pack(disk: Disk, data: Iterable[bytes], path: Path, digest: str, like: Path) -> None:
    """Makes a file of an archive, which is on the device with its name, and read back, at the end.

    It may be read by whoever may read the file `like`. Raises DiskError, also where it does not
    hold data with this digest then.
    """
    draft = path.with_name(f"{path.name}.{new_id()}{_DRAFT}")
    compressor = zlib.compressobj(_LEVEL, zlib.DEFLATED, _GZIP)
    with new_file(disk, draft) as target:
        with opened(disk, like) as source:
            disk.copy_access(source, target)
        for part in data:
            disk.write_all(target, compressor.compress(part))
        disk.write_all(target, compressor.flush())
    if not holds(disk, draft, digest):
        disk.unlink(draft)
        raise DiskError(f"{path.name} does not hold what was written into it")
    disk.rename(draft, path)
    disk.sync_folder(path.parent)


def clear_drafts(disk: Disk, archive: Path) -> None:
    """Removes what killed prunes left half written."""
    for folder in (archive, own_folder(archive)):
        for name in disk.names(folder):
            if name.endswith(_DRAFT) and (ARCHIVED in name or name.startswith(_INFO)):
                disk.unlink(folder / name)


def keep_info(disk: Disk, folder: Path, archive: Path) -> bool:
    """Copies a log's `log.json` to its archive; False if that is another log, or its archive.

    Raises DiskError.
    """
    info = disk.read_whole(own_folder(folder) / _INFO) or b""
    path = own_folder(archive) / _INFO
    before = disk.read_whole(path)
    if before is not None:
        return _log_id(before) == _log_id(info)
    disk.make_folder(path.parent)
    draft = path.with_name(f"{_INFO}.{new_id()}{_DRAFT}")
    disk.write_new(draft, info)
    disk.rename(draft, path)
    disk.sync_folder(path.parent)
    return True


def _log_id(info: bytes) -> bytes:
    return info.partition(b'"log_id"')[2].split(b",")[0]
