"""Changes of commits, as patch-ids and as hunks.

A patch-id is that of `git patch-id --stable`: line numbers and white space don't count. Plumbing of
git is asked, so that no user's configuration of diffs counts.
"""

import os
import re
from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple

from thence.work.git.repository import Repository

COMMITS_AT_ONCE = 200  # their diffs are in memory together
_DIFF = ("diff-tree", "-r", "-p", "--full-index", "--no-renames", "--no-ext-diff", "--no-textconv")
_BARE = ("-U0", "--inter-hunk-context=0", "--no-prefix", "--submodule=short")
_LETTER = re.compile(rb"[0-9A-Za-z\x80-\xff]")
_ID = re.compile(rb"[0-9a-f]{40}(?:[0-9a-f]{24})?")
_FILE, _INDEX, _SPAN = b"diff --git ", b"index ", b"@@ -"
_OLD_MODE, _NEW_MODE = b"old mode ", b"new mode "


class Hunk(NamedTuple):
    """Lines of a file that went out, and those that came in at their place.

    A binary or empty file is the ids of its two blobs, a changed mode the two modes.
    """

    path: bytes
    removed: tuple[bytes, ...]
    added: tuple[bytes, ...]

    @property
    def counts(self) -> bool:
        """True if a line has a letter or digit; others, such as a brace, are everywhere."""
        return any(map(_LETTER.search, (*self.removed, *self.added)))

    @property
    def turned_round(self) -> "Hunk":
        """The hunk that takes this one back."""
        return Hunk(self.path, self.added, self.removed)

    @property
    def key(self) -> "Hunk":
        """The hunk in the form in which it is compared.

        Git may begin a block of lines that only came, or only went, at another of its lines,
        where the lines around are alike: their order does not count.
        """
        if self.removed and self.added:
            return self
        return Hunk(self.path, tuple(sorted(self.removed)), tuple(sorted(self.added)))

    def holds(self, other: "Hunk") -> bool:
        """Reports whether the lines of another hunk are among those of this one, in one piece."""
        return (
            self.path == other.path
            and _joined(other.removed) in _joined(self.removed)
            and _joined(other.added) in _joined(self.added)
        )


def _joined(lines: tuple[bytes, ...]) -> bytes:
    return b"".join((b"\n", *(line + b"\n" for line in lines)))


def patch_ids(
    repo: Repository, commits: Iterable[str], paths: Sequence[str] = ()
) -> Iterator[tuple[str, str]]:
    """Yields the patch-ids of commits, each with its commit; those without changes are left out."""
    for batch in _batches([(commit,) for commit in commits]):
        patches = repo.git.run(*_DIFF, "--stdin", "--root", "--", *paths, stdin=batch)
        yield from _ids(repo, patches)


def patch_id(repo: Repository, base: str, commit: str) -> str:
    """Returns the patch-id of all that changed between two commits; "" if nothing did."""
    patch = repo.git.run(*_DIFF, base, commit, "--")
    return next((identity for identity, _ in _ids(repo, patch)), "") if patch else ""


def _ids(repo: Repository, patches: bytes) -> Iterator[tuple[str, str]]:
    out = repo.git.run("patch-id", "--stable", stdin=patches) if patches else b""
    for line in out.decode().splitlines():
        identity, _, commit = line.partition(" ")
        yield identity, commit


def hunks_of(
    repo: Repository, changes: Sequence[tuple[str, ...]], paths: Sequence[str] = ()
) -> Iterator[list[Hunk]]:
    """Yields the hunks of changes, each a commit, or two to compare the first with the second.

    Hunks without a letter or digit are left out.
    """
    options = ("--stdin", "--root", "--always", *_BARE)
    for batch in _batches(changes):
        out = repo.git.run(*_DIFF, *options, "--", *paths, stdin=batch)
        hunks: list[Hunk] | None = None
        for hunk in _parse(out.split(b"\n")):
            if hunk is not None:
                assert hunks is not None, "git names the commit first"
                hunks += [hunk] if hunk.counts else []
                continue
            if hunks is not None:
                yield hunks
            hunks = []
        if hunks is not None:
            yield hunks


def _batches(changes: Sequence[tuple[str, ...]]) -> Iterator[bytes]:
    for start in range(0, len(changes), COMMITS_AT_ONCE):
        batch = changes[start : start + COMMITS_AT_ONCE]
        yield "".join(f"{' '.join(change)}\n" for change in batch).encode()


def _parse(lines: Sequence[bytes]) -> Iterator[Hunk | None]:
    """Yields the hunks of what `git diff-tree` writes, and None where a commit begins."""
    path, blobs, old_mode = b"", b"", b""
    number = 0
    while number < len(lines):
        line = lines[number]
        number += 1
        if line.startswith(_SPAN):
            old, new = (int(span.partition(b",")[2] or 1) for span in line.split(b" ", 3)[1:3])
            removed, added = list[bytes](), list[bytes]()
            while len(removed) < old or len(added) < new:
                sign, text = lines[number][:1], lines[number][1:]
                number += 1
                if sign != b"\\":  # a remark on a last line without its end
                    (removed if sign == b"-" else added).append(text)
            blobs = b""
            yield Hunk(path, tuple(removed), tuple(added))
            continue
        is_commit = _ID.fullmatch(line) is not None
        if blobs and (is_commit or not line or line.startswith(_FILE)):
            before, _, after = blobs.partition(b"..")
            yield Hunk(path, (before,), (after,))
            blobs = b""
        if is_commit:
            yield None
        elif line.startswith(_FILE):
            names = line.removeprefix(_FILE)
            path = names[: len(names) // 2]
        elif line.startswith(_INDEX):
            blobs = line.split(b" ")[1]
        elif line.startswith(_OLD_MODE):
            old_mode = line
        elif line.startswith(_NEW_MODE):
            yield Hunk(path, (old_mode.removeprefix(b"old "),), (line.removeprefix(b"new "),))


def path_of(hunk: Hunk) -> str:
    """Returns the path of a hunk as a person writes it; git quotes some."""
    path = hunk.path
    if path.startswith(b'"'):
        path = path[1:-1].decode("unicode_escape").encode("latin-1")
    return os.fsdecode(path)
