"""Git objects as bytes, read and written without a working tree.

Objects are read by one `git cat-file --batch`. The ids of new objects are computed here, as git
computes them, and the objects passed to `git unpack-objects` as one pack: one process for any
number of files. Formats: gitformat-pack(5), and "Git Objects" in the book Pro Git.
"""

import os
import struct
import zlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from subprocess import Popen
from typing import NamedTuple

from thence.work.vcs.git import failure, in_one_line
from thence.work.vcs.repository import Repository

FILE = b"100644"
PROGRAM = b"100755"
_FOLDER = b"40000"
_SYMLINK = b"120000"
_SUBMODULE = b"160000"
_KINDS = {b"commit": 1, b"tree": 2, b"blob": 3}
_SHA1_CHARACTERS = 40


class TreeEntry(NamedTuple):
    """An entry of a tree: its mode, such as b"100644", and its object."""

    mode: bytes
    oid: str


class Objects:
    """The objects of one repository, while `git cat-file` runs; used by one thread."""

    def __init__(self, repo: Repository, process: "Popen[bytes]") -> None:
        self._repo = repo
        self._process = process
        self._new: dict[str, tuple[bytes, bytes]] = {}
        self._algorithm = "sha1"

    def commit(self, name: str) -> tuple[str, str] | None:
        """Returns the ids of a commit and of its tree; None if nothing has this name."""
        found = self._read(f"{name}^{{commit}}")
        if found is None:
            header = self._repo.git.run("rev-parse", "--show-object-format")
            self._algorithm = header.decode().strip()
            return None
        oid, data = found
        if len(oid) != _SHA1_CHARACTERS:
            self._algorithm = "sha256"
        return oid, data[len(b"tree ") : data.index(b"\n")].decode()

    def blob(self, oid: str) -> bytes:
        """Returns a file's bytes."""
        return self._known(oid)

    def tree(self, oid: str) -> dict[bytes, TreeEntry]:
        """Returns the entries of a tree by name."""
        data, size = self._known(oid), len(oid) // 2
        entries, start = {}, 0
        while start < len(data):
            end = data.index(b"\0", start)
            mode, _, name = data[start:end].partition(b" ")
            start = end + 1 + size
            entries[name] = TreeEntry(mode, data[end + 1 : start].hex())
        return entries

    def find(self, tree: str, path: str) -> TreeEntry | None:
        """Returns the entry at a path below a tree; None if there is none."""
        entry: TreeEntry | None = TreeEntry(_FOLDER, tree)
        for name in os.fsencode(path).split(b"/"):
            if entry is None or entry.mode != _FOLDER:
                return None
            entry = self.tree(entry.oid).get(name)
        return entry

    def put_blob(self, data: bytes) -> str:
        """Returns the id of a file's bytes, to be written by `store`."""
        return self._put(b"blob", data)

    def put_tree(self, tree: str | None, changes: Mapping[str, TreeEntry | None]) -> str | None:
        """Returns the id of a tree with changes to another; None if it is empty.

        The entry None removes a path. `tree` None is the empty tree. Raises GitFailed where a path
        would replace a folder, a submodule, or a name that differs only in upper and lower case.
        """
        return self._tree(tree, changes, "")

    def store(self) -> None:
        """Writes all objects put since the last call. Raises GitFailed if git refuses."""
        if self._new:
            data = _pack(list(self._new.values()), self._algorithm)
            self._repo.git.run(
                "unpack-objects", "-q", stdin=data, doing="could not write objects into"
            )
            self._new.clear()

    def _tree(
        self, tree: str | None, changes: Mapping[str, TreeEntry | None], at: str
    ) -> str | None:
        below: dict[bytes, dict[str, TreeEntry | None]] = {}
        entries = {} if tree is None else self.tree(tree)
        for path, entry in changes.items():
            first, _, rest = path.partition("/")
            name = os.fsencode(first)
            if rest:
                below.setdefault(name, {})[rest] = entry
                continue
            self._check(name, entries, at + path, is_folder=False)
            entries.pop(name, None)
            if entry is not None:
                entries[name] = entry
        for name, inner in below.items():
            folder = f"{at}{os.fsdecode(name)}/"
            self._check(name, entries, folder + next(iter(inner)), is_folder=True)
            old = entries.pop(name, None)
            made = self._tree(old.oid if old else None, inner, folder)
            if made is not None:
                entries[name] = TreeEntry(_FOLDER, made)
        if not entries:
            return None
        return self._put(b"tree", b"".join(map(_entry, sorted(entries.items(), key=_in_tree))))

    def _put(self, kind: bytes, data: bytes) -> str:
        import hashlib  # seldom needed

        head = b"%b %d\0" % (kind, len(data))
        oid = hashlib.new(self._algorithm, head + data, usedforsecurity=False).hexdigest()
        self._new[oid] = (kind, data)
        return oid

    def _known(self, oid: str) -> bytes:
        if oid in self._new:
            return self._new[oid][1]
        found = self._read(oid)
        if found is None:
            raise self._broken(f"object {oid} is missing")
        return found[1]

    def _read(self, name: str) -> tuple[str, bytes] | None:
        pipe, answers = self._process.stdin, self._process.stdout
        assert pipe is not None
        assert answers is not None
        try:
            pipe.write(os.fsencode(name) + b"\n")
            pipe.flush()
        except BrokenPipeError:
            raise self._broken("git cat-file ended") from None
        header = answers.readline()
        if header.endswith((b" missing\n", b" ambiguous\n")):
            return None
        words = header.split() if header.endswith(b"\n") else []
        if len(words) != 3:
            raise self._broken(self._last_words())
        data = answers.read(int(words[2]) + 1)
        if len(data) != int(words[2]) + 1:  # half an answer, of a git that was killed
            raise self._broken(self._last_words())
        return words[0].decode(), data[:-1]

    def _last_words(self) -> str:
        assert self._process.stderr is not None
        return in_one_line(self._process.stderr.read()) or "git cat-file ended"

    def _check(
        self, name: bytes, entries: Mapping[bytes, TreeEntry], path: str, *, is_folder: bool
    ) -> None:
        mode = entries[name].mode if name in entries else None
        if name in {b"", b".", b".."} or name.lower() == b".git" or b"\n" in name:
            self._refuse(path, "no tree of git can hold this name")
        elif mode == _SUBMODULE:
            self._refuse(path, "a submodule stands there, whose files belong to it")
        elif mode == _SYMLINK:
            self._refuse(path, "a symbolic link stands there")
        elif mode is not None and (mode == _FOLDER) != is_folder:
            self._refuse(path, f"a {'file' if is_folder else 'folder'} stands there")
        elif mode is None:
            alike = [other for other in entries if _folded(other) == _folded(name)]
            if alike:
                other = os.fsdecode(alike[0])
                self._refuse(path, f"it differs from {other!r} in upper and lower case alone")

    def _refuse(self, path: str, cause: str) -> None:
        hint = "rename one of them, or move what stands there"
        raise failure("could not commit", path, cause, hint)

    def _broken(self, cause: str) -> Exception:
        return failure("could not read objects of", self._repo.folder, cause, "git fsck")


@contextmanager
def objects(repo: Repository) -> Iterator[Objects]:
    """Opens the objects of a repository, without replacements (git-replace)."""
    more = {"GIT_NO_REPLACE_OBJECTS": "1"}
    with repo.git.open_process("cat-file", "--batch", more=more) as process:
        yield Objects(repo, process)


def is_file(entry: TreeEntry) -> bool:
    """Reports whether an entry is a plain file, of either mode."""
    return entry.mode in {FILE, PROGRAM}


def is_folder(entry: TreeEntry) -> bool:
    """Reports whether an entry is a folder, whose tree can be read."""
    return entry.mode == _FOLDER


def _folded(name: bytes) -> str:
    return os.fsdecode(name).casefold()


def _in_tree(item: tuple[bytes, TreeEntry]) -> bytes:
    return item[0] + b"/" if item[1].mode == _FOLDER else item[0]


def _entry(item: tuple[bytes, TreeEntry]) -> bytes:
    return b"%b %b\0%b" % (item[1].mode, item[0], bytes.fromhex(item[1].oid))


def _pack(new: list[tuple[bytes, bytes]], algorithm: str) -> bytes:
    import hashlib  # seldom needed

    parts = [b"PACK", struct.pack(">II", 2, len(new))]
    for kind, data in new:
        size = len(data)
        byte, size = _KINDS[kind] << 4 | size & 15, size >> 4
        head = bytearray()
        while size:
            head.append(byte | 128)
            byte, size = size & 127, size >> 7
        head.append(byte)
        parts += [bytes(head), zlib.compress(data)]
    packed = b"".join(parts)
    return packed + hashlib.new(algorithm, packed, usedforsecurity=False).digest()
