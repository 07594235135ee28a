"""What lies on a disk: its image, its folders, its files under way, at one moment."""

import errno
import os
from collections.abc import Container, Mapping
from typing import NamedTuple

from thence.log.files.disk import DiskError

ROOT = 1
PAGE_BYTES = 4096

# the contents of a file since its last sync: the first is on the device, the last is now
Versions = tuple[bytes, ...]
Names = Mapping[str, int]
# what one call did to the names of one folder: each name with its file, or None if it went
Change = tuple[tuple[str, int | None], ...]


class Folder(NamedTuple):
    """The names in a folder: on the device, since then, now. None of these maps is changed."""

    durable: Names
    pending: tuple[Change, ...]
    names: Names


class Image(NamedTuple):
    """All that is on a device: files by number, folders by path."""

    files: Mapping[int, bytes]
    folders: Mapping[str, tuple[int, Names]]


class Moment(NamedTuple):
    """A disk after one of its calls: what is on the device, what is under way to it.

    `noted` are files that are written over in place and never synced.
    """

    call: str
    files: Mapping[int, Versions]
    noted: frozenset[int]
    folders: Mapping[str, tuple[int, Folder]]


class OpenFile:
    """An open file description. `position` is where the next write goes, None for the end."""

    __slots__ = ("file", "is_writable", "position")

    def __init__(self, file: int, is_writable: bool, position: int | None = None) -> None:
        self.file = file
        self.is_writable = is_writable
        self.position = position


EMPTY = Image({}, {"/": (ROOT, {})})


def settled(moment: Moment) -> Image:
    """Everything on a disk, as it is once all that is under way to it is there."""
    return Image(
        {number: versions[-1] for number, versions in moment.files.items()},
        {path: (number, folder.names) for path, (number, folder) in moment.folders.items()},
    )


def put(now: bytes, at: int, data: bytes) -> bytes:
    """Return a file's bytes with some written over those at an offset."""
    return now[:at].ljust(at, b"\0") + data + now[at + len(data) :]


def parted(path: object) -> tuple[str, str]:
    """Part a path into its folder and its name."""
    folder, _, name = str(path).rpartition("/")
    return folder or "/", name


def joined(folder: str, name: str) -> str:
    """Return the path of a name in a folder."""
    return f"{folder}/{name}" if folder != "/" else f"/{name}"


def paths_in(image: Image) -> dict[str, int]:
    """Return the files of an image by their paths."""
    return {
        joined(path, name): number
        for path, (_, names) in image.folders.items()
        for name, number in names.items()
        if number in image.files
    }


def paths_of(moment: Moment, file: int) -> list[str]:
    """List the paths of a file."""
    return [
        joined(path, name)
        for path, (_, folder) in moment.folders.items()
        for name, number in folder.names.items()
        if number == file
    ]


def without_pages(before: bytes, then: bytes, now: bytes) -> bytes:
    """Return a content of now in which each page is as before that was not written since then."""
    pages = []
    for at in range(0, len(now), PAGE_BYTES):
        page = slice(at, min(at + PAGE_BYTES, len(now)))
        is_rewritten = then[page] != now[page]
        pages.append(now[page] if is_rewritten else before[page].ljust(len(now[page]), b"\0"))
    return b"".join(pages)


def absence(path: str, folders: Container[str], files: Container[str]) -> OSError:
    """Return what the system raises for a path where no file stands, or no folder."""
    if path in folders:
        return failure(errno.EISDIR, path)
    place = path
    while place and place not in files:
        place = place.rpartition("/")[0]
    return failure(errno.ENOTDIR if place else errno.ENOENT, path)


def failure(number: int, path: object = None) -> OSError:
    """Return what the system raises, by its number."""
    return DiskError(number, os.strerror(number), str(path) if path is not None else None)
