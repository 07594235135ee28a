"""The archive of a log: segments that a prune has taken out, each compressed by gzip.

An archive is a folder of `events_….jsonl.gz`, `bodies_….jsonl.gz` with the large values that they
name, and `log.json`, a copy of the log's. Files that are put back into the log's folder are
unpacked there when the log is opened next; an archive that is opened itself is unpacked into the
user's cache folder, and stays as it is.
"""

import zlib
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from hashlib import sha256
from pathlib import Path

from thence.log.files.disk import READ_BYTES, Disk, noise_bits, process_id
from thence.log.files.disk_errors import DENIED_ERRNOS, DiskError
from thence.log.files.segment import ARCHIVED, archived_names, own_folder
from thence.log.files.tail import new_file

# measured on events (decision 0057): a tenth less room than level 3, at 67 MB a second
_LEVEL = 6
_GZIP = 31  # zlib's window bits for a file of gzip
_DRAFT = ".new"
_INFO = "log.json"


def file_data(disk: Disk, path: Path) -> Iterator[bytes]:
    """Yields the bytes of a file; raises DiskError."""
    descriptor = disk.open_read(path)
    try:
        offset = 0
        while data := disk.read_at(descriptor, offset, READ_BYTES):
            offset += len(data)
            yield data
    finally:
        disk.close_quietly(descriptor)


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
    """Reports whether a file of an archive is there, whole, and holds data with this digest."""
    try:
        return disk.path_id(str(path)) is not None and (
            digest_of(unpacked_data(disk, path)) == digest
        )
    except (zlib.error, EOFError):
        return False


def pack(disk: Disk, data: Iterable[bytes], path: Path, digest: str, like: Path) -> None:
    """Makes a file of an archive, which is on the device with its name, and read back, at the end.

    It may be read by whoever may read the file `like`. Raises DiskError, also where it does not
    hold data with this digest then.
    """
    draft = _draft(path)
    compressor = zlib.compressobj(_LEVEL, zlib.DEFLATED, _GZIP)
    with _new_file_like(disk, like, draft) as target:
        for part in data:
            disk.write_all(target, compressor.compress(part))
        disk.write_all(target, compressor.flush())
    if not holds(disk, draft, digest):
        disk.unlink(draft)
        raise DiskError(f"{path.name} does not hold what was written into it")
    disk.rename(draft, path)
    disk.sync_folder(path.parent)


def unpack(disk: Disk, source: Path, target: Path) -> bool:
    """Unpacks a file of an archive; reports whether it is whole. Raises DiskError."""
    draft = _draft(target)
    try:
        with _new_file_like(disk, source, draft) as descriptor:
            for data in unpacked_data(disk, source):
                disk.write_all(descriptor, data)
    except (zlib.error, EOFError):
        return False
    disk.rename(draft, target)
    disk.sync_folder(target.parent)
    return True


@contextmanager
def _new_file_like(disk: Disk, like: Path, path: Path) -> Iterator[int]:
    """Gives a descriptor of a new file with the mode of another, which is synced at the end."""
    with new_file(disk, path) as target:
        source = disk.open_read(like)
        try:
            disk.copy_access(source, target)
        finally:
            disk.close_quietly(source)
        yield target


def clear_drafts(disk: Disk, folder: Path) -> None:
    """Removes what killed prunes left half written."""
    for name in disk.names(folder):
        if name.endswith(_DRAFT) and ARCHIVED in name:
            disk.unlink(folder / name)


def bring_back(disk: Disk, folder: Path) -> None:
    """Makes the archived files in a log's folder segments again, and removes them then.

    One that is damaged, or differs from a segment of its name, stays and is passed over, as all are
    where nothing can be written. Raises DiskError.
    """
    for name in archived_names(disk, folder):
        source, target = folder / name, folder / name.removesuffix(ARCHIVED)
        try:
            if disk.path_id(str(target)) is None:
                is_back = unpack(disk, source, target)
            else:
                is_back = holds(disk, source, digest_of(file_data(disk, target)))
            if is_back:
                disk.unlink(source)
        except DiskError as error:  # absent: another process was faster
            if error.errno not in DENIED_ERRNOS and not error.is_absence:
                raise


def unpacked_folder(disk: Disk, archive: Path, cache: Path) -> Path:
    """Returns a folder of the cache that is the log of an archive; raises DiskError.

    It holds what the archive holds now. A file that is damaged is left out.
    """
    path = str(archive.absolute())
    folder = cache / "archives" / sha256(path.encode("utf-8", "surrogateescape")).hexdigest()[:32]
    disk.make_folder(own_folder(folder))
    info = disk.read_whole(archive / _INFO)
    if info is not None and disk.read_whole(own_folder(folder) / _INFO) != info:
        draft = _draft(own_folder(folder) / _INFO)
        disk.write_new(draft, info)
        disk.rename(draft, own_folder(folder) / _INFO)
    names = {name.removesuffix(ARCHIVED) for name in archived_names(disk, archive)}
    for name in disk.names(folder):
        if name not in names and not name.startswith("."):
            disk.unlink(folder / name)
    for name in sorted(names):
        source, target = archive / f"{name}{ARCHIVED}", folder / name
        now, before = disk.path_state(str(source)), disk.path_state(str(target))
        if now and (before is None or before.changed_ns < now.changed_ns):
            unpack(disk, source, target)
    return folder


def keep_info(disk: Disk, folder: Path, archive: Path) -> bool:
    """Copies a log's `log.json` to its archive; False if that is the archive of another log.

    The format may have become another one since. Raises DiskError.
    """
    info = disk.read_whole(own_folder(folder) / _INFO) or b""
    before = disk.read_whole(archive / _INFO)
    if before == info:
        return True
    if before is not None and _log_id(before) != _log_id(info):
        return False
    draft = _draft(archive / _INFO)
    disk.write_new(draft, info)
    disk.rename(draft, archive / _INFO)
    disk.sync_folder(archive)
    return True


def _log_id(info: bytes) -> bytes:
    return info.partition(b'"log_id"')[2].split(b",")[0]


def _draft(path: Path) -> Path:
    return path.with_name(f"{path.name}{ARCHIVED}.{process_id()}.{noise_bits(32):08x}{_DRAFT}")
