"""Git objects as bytes, read and written without a working tree.

Objects are read by one `git cat-file --batch`, and written by git itself, by way of an index that
only this takes. Formats: "Git Objects" in the book Pro Git.
"""

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from subprocess import Popen
from typing import NamedTuple

from thence.git.git import disk_hint, failure, in_one_line
from thence.git.repository import Repository

FILE = b"100644"
PROGRAM = b"100755"
_FOLDER = b"40000"


class TreeEntry(NamedTuple):
    """An entry of a tree: its mode, such as b"100644", and its object."""

    mode: bytes
    oid: str


class Objects:
    """The objects of one repository, while `git cat-file` runs; used by one thread."""

    def __init__(self, repo: Repository, process: "Popen[bytes]") -> None:
        self._repo = repo
        self._process = process

    def commit(self, name: str) -> tuple[str, str] | None:
        """Returns the ids of a commit and of its tree; None if nothing has this name."""
        answer = self._read(f"{name}^{{commit}}")
        if answer is None:
            return None
        oid, data = answer
        return oid, data[len(b"tree ") : data.index(b"\n")].decode()

    def blob(self, oid: str) -> bytes:
        """Returns an object's bytes, such as a file's."""
        answer = self._read(oid)
        if answer is None:
            raise self._broken(f"object {oid} is missing")
        return answer[1]

    def tree(self, oid: str) -> dict[bytes, TreeEntry]:
        """Returns the entries of a tree by name."""
        data, size = self.blob(oid), len(oid) // 2
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
            raise self._broken()
        data = answers.read(int(words[2]) + 1)
        if len(data) != int(words[2]) + 1:  # half an answer, of a git that was killed
            raise self._broken()
        return words[0].decode(), data[:-1]

    def _broken(self, cause: str = "") -> Exception:
        if not cause and self._process.stderr is not None:
            cause = in_one_line(self._process.stderr.read()) or "git cat-file ended"
        return failure("could not read objects of", self._repo.folder, cause, "git fsck")


@contextmanager
def objects(repo: Repository) -> Iterator[Objects]:
    """Opens the objects of a repository, without replacements (git-replace)."""
    variables = {"GIT_NO_REPLACE_OBJECTS": "1"}
    with repo.git.open_process("cat-file", "--batch", variables=variables) as process:
        yield Objects(repo, process)


def write_tree(repo: Repository, tree: str | None, files: Mapping[str, bytes]) -> str:
    """Writes a tree with plain files added or replaced, and returns its id.

    `tree` None is the empty tree. Raises GitFailed.
    """
    from tempfile import TemporaryDirectory  # seldom needed

    git, operation = repo.git, "could not write objects into"
    try:
        with TemporaryDirectory(prefix="thence-") as name:
            hashing, entries = ("hash-object", "-w", "--no-filters", "--stdin"), b""
            for path, data in files.items():
                oid = git.run(*hashing, stdin=data, operation=operation).strip()
                entries += b"%b %b\t%b\0" % (FILE, oid, os.fsencode(path))
            variables = {"GIT_INDEX_FILE": os.path.join(name, "index")}
            git.run("read-tree", tree or "--empty", variables=variables, operation=operation)
            adding = ("update-index", "-z", "--index-info")
            git.run(*adding, stdin=entries, variables=variables, operation=operation)
            new_tree = git.run("write-tree", variables=variables, operation=operation)
    except OSError as error:  # the folder of temporary files has no room
        cause = f"{error.filename or 'a temporary file'}: {error.strerror or error}"
        hint = disk_hint(cause) or "check that folder; TMPDIR names another one"
        raise failure(operation, repo.folder, cause, hint) from error
    return new_tree.decode().strip()


def is_file(entry: TreeEntry) -> bool:
    """Reports whether an entry is a plain file, of either mode."""
    return entry.mode in {FILE, PROGRAM}


def is_folder(entry: TreeEntry) -> bool:
    """Reports whether an entry is a folder, whose tree can be read."""
    return entry.mode == _FOLDER
