"""The check of a log's large values, and the removal of those that no event names any more."""

from collections.abc import Collection, Iterator, Mapping, Sequence
from hashlib import sha256
from pathlib import Path
from typing import NamedTuple

from thence.core.bodies import BodyEntry
from thence.core.json_values import printable
from thence.log.blobs.blob_files import body_lines, data_of, piece_of
from thence.log.files.disk import Disk, opened
from thence.log.files.findings import Finding
from thence.log.files.segment import BODIES, Edit, older_names, own_folder, rewrite

_POINTER_CHARACTERS_MAX = 200


class NamedBody(NamedTuple):
    """A body with the place of a line that names it."""

    entry: BodyEntry
    event_id: str
    file: str
    offset: int
    length: int


def body_files(disk: Disk, folder: Path) -> list[Path]:
    """Lists the files of a log's large values, the oldest first."""
    names = [*older_names(disk, folder, BODIES), BODIES]
    return [folder / name for name in names if disk.path_id(str(folder / name)) is not None]


def body_findings(disk: Disk, folder: Path, named: Mapping[str, NamedBody]) -> Iterator[Finding]:
    """Yields what is wrong with a log's large values, after its lines were read.

    Each piece is read once: the digest of a value goes on from that of the piece before.
    """
    ends: dict[str, int] = {}
    digests: set[str] = set()
    states = {"": sha256()}
    for path in body_files(disk, folder):
        for _, line in _lines(disk, path):
            raw = piece_of(line)
            if raw is None:
                continue
            digests.add(raw.digest)
            end = ends.get(raw.before, 0)
            if raw.before not in states:
                continue
            data, state = data_of(raw), states[raw.before].copy()
            state.update(data)
            if data and state.hexdigest() == raw.digest and end + len(data) == raw.end:
                states[raw.digest], ends[raw.digest] = state, raw.end
    for digest, body in named.items():
        if ends.get(digest) != body.entry.size:
            verb = "has changed" if digest in digests else "is not there"
            pointer = printable(body.entry.pointer)[:_POINTER_CHARACTERS_MAX]
            reason = f"event {body.event_id} names a value of {body.entry.size} bytes at {pointer}"
            reason = f"{reason}, {digest[:16]}, which {verb}"
            yield Finding("body_missing", reason, body.file, body.offset, body.length)


def _reached(disk: Disk, paths: Sequence[Path], named: Collection[str]) -> set[str]:
    """Returns the digests of all pieces that some values are made of."""
    befores: dict[str, set[str]] = {}
    for path in paths:
        for _, line in _lines(disk, path):
            if raw := piece_of(line):
                befores.setdefault(raw.digest, set()).add(raw.before)
    kept: set[str] = set()
    waiting = list(named)
    while waiting:
        digest = waiting.pop()
        if digest and digest not in kept:
            kept.add(digest)
            waiting += befores.get(digest, ())
    return kept


def sweep(disk: Disk, folder: Path, named: Collection[str]) -> int:
    """Removes the pieces that no chain of the named values reaches; returns how many lines.

    Call it under the append lock. Each file is as it was or rewritten after a kill; if any was,
    `bodies.jsonl` is another file too, by which writers know it.
    """
    paths = body_files(disk, folder)
    kept = _reached(disk, paths, named)
    edits_by_path = {path: list(_removals(disk, path, kept)) for path in paths}
    removed = sum(map(len, edits_by_path.values()))
    # the newest first: no writer is to take a piece for known that is about to go
    for path in reversed(paths):
        if edits_by_path[path] or (removed and path.name == BODIES):
            rewrite(disk, own_folder(folder), path, edits_by_path[path])
    return removed


def pieces_reached(disk: Disk, folder: Path, named: Collection[str]) -> Iterator[bytes]:
    """Yields the lines of all pieces that some values are made of, with their newlines."""
    paths = body_files(disk, folder)
    kept = _reached(disk, paths, named)
    for path in paths:
        for _, line in _lines(disk, path):
            raw = piece_of(line)
            if raw is not None and raw.digest in kept:
                yield line + b"\n"


def _removals(disk: Disk, path: Path, kept: Collection[str]) -> Iterator[Edit]:
    """Yields the edits that remove the lines of a file that are not kept."""
    end = 0
    for offset, line in _lines(disk, path):
        end = offset + len(line) + 1
        raw = piece_of(line)
        if raw is None or raw.digest not in kept:
            yield Edit(offset, end, b"")
    path_id = disk.path_id(str(path))
    if path_id is not None and path_id[1] > end:  # a torn end
        yield Edit(end, path_id[1], b"")


def _lines(disk: Disk, path: Path) -> Iterator[tuple[int, bytes]]:
    with opened(disk, path) as source:
        yield from body_lines(disk, source)
