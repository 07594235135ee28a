"""Bringing a commit into a working tree that has its branch checked out, beside the user's work.

The index gets the same change at the same paths, in a copy that replaces it at the end; a file
that was as the index had it becomes as the index has it now, and one that the user has changed
gets the same splice. Everything else stays as it is, and so do both patches of the user.
"""

import os
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from stat import S_ISREG, S_IXUSR
from typing import Literal, NamedTuple

from thence.errors import GitFailed
from thence.work.files import NotFollowed, TreeFiles
from thence.work.git import Git, failure
from thence.work.index_lock import IndexLock
from thence.work.leftovers import COMMITTING, INDEX_LOCK, locking, ref_locks
from thence.work.objects import FILE, PROGRAM, Entry, Objects, is_file
from thence.work.refs import MovedMeanwhile, move
from thence.work.repository import HEADS, Checkout, Repository, operation_under_way

Splice = Callable[[bytes | None], bytes | None]
_NO_FILE = b"ref: refs/heads/.invalid"  # what HEAD says where refs are not kept in files
_OPERATION = "could not commit to the branch checked out in"


# how a file looks: inode, size in bytes, time of its last change in ns
_Seen = tuple[int, int, int]


class Change(NamedTuple):
    """One path of a commit: what the branch had there, what it has now, and how to get there."""

    path: str
    old: Entry | None
    new: Entry | None
    splice: Splice


class Place(NamedTuple):
    """What a landing does at one path: to its entry in the index, and to its file.

    A "clean" file is as the index has it, before and after. Of a "dirty" one `before` and `after`
    are the objects of its bytes; they are written only where it changes. "none" is not touched.
    """

    path: str
    was: Entry | None
    becomes: Entry | None
    file: Literal["clean", "dirty", "none"]
    before: str | None = None
    after: str | None = None


class _Indexed(NamedTuple):
    entry: Entry
    flags: str  # as `git ls-files -v` tells them
    is_merged: bool


class _File(NamedTuple):
    path: str
    before: bytes | None
    after: bytes | None
    seen: _Seen | None
    is_dirty: bool


class Landing:
    """One working tree, in which a commit is prepared, begun, landed, and ended in any case.

    All that takes long is prepared before the index is locked, and looked at again after.

    Callers hold the repository's lock of commits, whose descriptor they give.
    """

    def __init__(self, tree: Checkout, lock: int) -> None:
        self.tree = tree
        self._git = Git(tree.path, keeps=(lock,))
        self._tree = TreeFiles(tree.path)
        self._index = tree.git_dir / "index"
        self._lock = IndexLock(tree.git_dir, tree.path)
        self._copy = tree.git_dir / "thence-index"
        self._was: _Seen | None = None
        self._files: list[_File] = []
        self.places: list[Place] = []

    def prepare(self, store: Objects, changes: Sequence[Change]) -> None:
        """Finds out what becomes of index and files, and makes the index's copy.

        Raises what a splice raises, and GitFailed where the user's index can't take the change;
        nothing of the user's was touched then.
        """
        self._copy_index()
        indexed = self._indexed([change.path for change in changes])
        lines: list[bytes] = []
        flagged: list[tuple[str, str]] = []
        looked_at: list[tuple[Change, _Indexed | None, Entry | None]] = []
        for change in changes:
            was = indexed.get(change.path)
            becomes = self._becomes(store, change, was)
            looked_at.append((change, was, becomes))
            if becomes != (was.entry if was else None):
                lines.append(_line(change.path, becomes, change.new or change.old))
                if was and becomes and was.flags != "H":
                    flagged.append((was.flags, change.path))
        self._files = self._judged(store, looked_at)
        self.places = self._places(store, looked_at)
        store.store()
        if lines:
            self._run("update-index", "-z", "--add", "--index-info", stdin=b"".join(lines))
        for option, is_meant in _FLAGS:
            marked = [path for flags, path in flagged if is_meant(flags)]
            if marked:
                self._run("update-index", "-z", option, "--stdin", stdin=names_of(marked))

    def begin(self) -> None:
        """Locks the index.

        Raises MovedMeanwhile if index or HEAD are not as they were prepared for, and a passing
        GitFailed if the user is in the middle of something.
        """
        self._lock.take()
        operation = operation_under_way(self.tree.git_dir)
        if operation:
            raise self._busy(
                f"a {operation} is under way there",
                f"end it (git status tells how), then try again: git -C {self.tree.path} status",
            )
        head = (self.tree.git_dir / "HEAD").read_bytes().strip()
        ours = os.fsencode(f"ref: {HEADS}{self.tree.branch}")
        if self.tree.branch is not None and head not in {ours, _NO_FILE}:
            raise MovedMeanwhile("something else was checked out")
        if _seen(self._index) != self._was:
            raise MovedMeanwhile("the index changed")

    def land(self) -> None:
        """Writes the files and puts the new index in place; if that fails, nothing changed.

        Raises MovedMeanwhile if a file is not as it was prepared for.
        """
        written: list[_File] = []
        try:
            for file in self._files:
                self._check_unchanged(file)
            for file in self._files:
                written.append(file)
                if file.after is None:
                    self._tree.unlink(file.path)
                elif file.is_dirty and file.after != file.before:
                    self._tree.replace(file.path, file.after)
            self._refresh()
            with suppress(FileNotFoundError):  # there is none in a repository without files
                os.replace(self._copy, self._index)
        except BaseException as error:
            for file in written:
                self._undo(file)
            if isinstance(error, OSError):
                raise failure(
                    "could not write into", self.tree.path, str(error), "make room or rights there"
                ) from error
            raise

    def end(self) -> None:
        """Unlocks the index."""
        with suppress(OSError):
            self._copy.unlink(missing_ok=True)
        self._lock.release()

    def _refresh(self) -> None:
        """Writes the files that are to be as the index has them, and notes how they look."""
        clean = [file for file in self._files if not file.is_dirty and file.after is not None]
        if clean:
            names = names_of([file.path for file in clean])
            self._run("checkout-index", "-f", "-u", "-q", "-z", "--stdin", stdin=names)
        if any(file.is_dirty and file.after == file.before for file in self._files):
            more = {"GIT_INDEX_FILE": os.fspath(self._copy)}
            self._git.ask("update-index", "-q", "--refresh", more=more)

    def _indexed(self, paths: Sequence[str]) -> dict[str, _Indexed]:
        out = self._run("ls-files", "-s", "-v", "-z", "--", *paths)
        found: dict[str, _Indexed] = {}
        for line in os.fsdecode(out).split("\0"):
            if line:
                told, _, path = line.partition("\t")
                flags, mode, oid, stage = told.split(" ")
                found[path] = _Indexed(Entry(mode.encode(), oid), flags, stage == "0")
        return found

    def _becomes(self, store: Objects, change: Change, was: _Indexed | None) -> Entry | None:
        if was is None:
            # the user took it out of the index: it stays out
            return change.new if change.old is None else None
        if not was.is_merged:
            raise self._busy(
                f"{change.path} has a conflict there", f"git -C {self.tree.path} status"
            )
        if was.entry == change.old:
            return change.new
        if not is_file(was.entry):
            raise failure(
                _OPERATION,
                self.tree.path,
                f"{change.path} is staged there as no plain file",
                f"git -C {self.tree.path} restore --staged {change.path}",
            )
        data = change.splice(store.blob(was.entry.oid))
        return None if data is None else Entry(was.entry.mode, store.put_blob(data))

    def _judged(
        self, store: Objects, looked_at: Sequence[tuple[Change, _Indexed | None, Entry | None]]
    ) -> list[_File]:
        """Tells what becomes of each file: most are as the index has them, or missing."""
        files: list[_File] = []
        doubtful: list[tuple[Change, Entry, _File]] = []
        for change, was, becomes in looked_at:
            path = change.path
            found = self._found(path)
            after = None if becomes is None else store.blob(becomes.oid)
            if found is None:
                is_wanted = was is None and change.old is None and becomes is not None
                if is_wanted and self._tree.is_free(path):
                    files.append(_File(path, None, after, None, is_dirty=False))
                continue
            data, seen, mode = found
            file = _File(path, data, after, seen, is_dirty=False)
            if was is None or mode != was.entry.mode:
                files.append(self._spliced(change, file))
            elif data == store.blob(was.entry.oid):
                files.append(file)
            else:
                doubtful.append((change, was.entry, file))
        if doubtful:
            named = "".join(f"{change.path}\n" for change, _, _ in doubtful)
            told = self._git.run("hash-object", "--stdin-paths", stdin=os.fsencode(named))
            # as git would take it in, with line ends and filters of the user's settings
            for (change, entry, file), oid in zip(doubtful, told.decode().split(), strict=True):
                is_clean = oid == entry.oid
                files.append(file if is_clean else self._spliced(change, file))
        return files

    def _places(
        self, store: Objects, looked_at: Sequence[tuple[Change, _Indexed | None, Entry | None]]
    ) -> list[Place]:
        files = {file.path: file for file in self._files}
        places: list[Place] = []
        for change, indexed, becomes in looked_at:
            file, was = files.get(change.path), indexed.entry if indexed else None
            if file is None or (file.is_dirty and file.after == file.before):
                places.append(Place(change.path, was, becomes, "none"))
            elif not file.is_dirty:
                places.append(Place(change.path, was, becomes, "clean"))
            else:
                before, after = (
                    None if data is None else store.put_blob(data)
                    for data in (file.before, file.after)
                )
                places.append(Place(change.path, was, becomes, "dirty", before, after))
        return places

    def _spliced(self, change: Change, file: _File) -> _File:
        after = change.splice(file.before)
        return file._replace(after=file.before if after is None else after, is_dirty=True)

    def _found(self, path: str) -> tuple[bytes, _Seen, bytes] | None:
        """Reads a plain file of the working tree; one behind a symbolic link is not in it.

        Returns its bytes, how it looked, and the mode that git sees.
        """
        try:
            found = self._tree.look(path)
            if found is None or not S_ISREG(found.st_mode):
                return None
            mode = PROGRAM if found.st_mode & S_IXUSR else FILE
            return self._tree.read(path), _looks(found), mode
        except (FileNotFoundError, NotADirectoryError, NotFollowed):
            return None

    def _check_unchanged(self, file: _File) -> None:
        if self._seen(file.path) != file.seen:
            raise MovedMeanwhile(f"{file.path} changed")

    def _seen(self, path: str) -> _Seen | None:
        try:
            found = self._tree.look(path)
        except OSError:
            return None
        return None if found is None else _looks(found)

    def _undo(self, file: _File) -> None:
        """Puts back what a file held, as far as the disk lets us."""
        with suppress(OSError):
            if file.before is None:
                self._tree.unlink(file.path)
            elif self._tree.look(file.path) is None or self._tree.read(file.path) != file.before:
                self._tree.replace(file.path, file.before)

    def _copy_index(self) -> None:
        for left in (self._copy, self._copy.with_name("thence-index.lock")):
            left.unlink(missing_ok=True)  # by a command that was killed
        self._was = _seen(self._index)
        with suppress(FileNotFoundError):  # there is none before the first `git add`
            import shutil  # seldom needed

            # with its time, by which git knows what it has to read again
            shutil.copy2(self._index, self._copy)

    def _run(self, *arguments: str, stdin: bytes = b"") -> bytes:
        more = {"GIT_INDEX_FILE": os.fspath(self._copy)}
        return self._git.run(*arguments, stdin=stdin, more=more)

    def _busy(self, cause: str, hint: str) -> GitFailed:
        return failure(_OPERATION, self.tree.path, cause, hint, is_passing=True)


def bring(
    repo: Repository,
    branch: str,
    old: str | None,
    new: str,
    reason: str,
    landed: Sequence[Landing],
    lock: int,
) -> None:
    """Moves a branch, and with it the working trees in which that is prepared.

    Raises MovedMeanwhile if one of them is not as it was, GitFailed.
    """
    trees = [landing.tree for landing in landed]
    path, git_dir = trees[0][:2] if trees else (repo.place, repo.git_dir)
    taken = [
        *ref_locks(repo.common, git_dir, branch),
        *(each.git_dir / INDEX_LOCK for each in trees),
    ]
    with (
        locking(repo.common / COMMITTING, *taken),
        move(Git(path, keeps=(lock,)), branch, reason) as ref,
    ):
        try:
            # from here on other git commands are kept off the index, for some milliseconds
            for landing in landed:
                landing.begin()
            ref.prepare(new, old)
            for landing in landed:
                landing.land()
            ref.commit()
        finally:  # as long as a note names the locks, should this command be killed
            for landing in landed:
                landing.end()


def _is_skipped(flags: str) -> bool:
    return flags.upper() == "S"


# what an index entry loses when it is replaced
_FLAGS = (("--skip-worktree", _is_skipped), ("--assume-unchanged", str.islower))


def _seen(path: Path) -> _Seen | None:
    try:
        return _looks(os.lstat(path))
    except (FileNotFoundError, NotADirectoryError):
        return None


def _looks(found: os.stat_result) -> _Seen:
    return found.st_ino, found.st_size, found.st_mtime_ns


def _line(path: str, entry: Entry | None, other: Entry | None) -> bytes:
    if entry is None:
        assert other is not None
        return b"0 %b\t%b\0" % (b"0" * len(other.oid), os.fsencode(path))
    return b"%b %b\t%b\0" % (entry.mode, entry.oid.encode(), os.fsencode(path))


def names_of(paths: Sequence[str]) -> bytes:
    """Returns paths as git reads them with -z."""
    return b"".join(os.fsencode(path) + b"\0" for path in paths)
