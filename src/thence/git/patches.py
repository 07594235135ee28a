"""Changes of commits, as hunks and as patch-ids.

Plumbing of git is asked, so that no user's configuration of diffs counts. The change of a merge is
that from its first parent.
"""

import os
import re
from collections.abc import Iterable, Iterator, Sequence
from hashlib import sha256
from typing import NamedTuple

from thence.git.repository import Repository

COMMITS_AT_ONCE = 200  # their diffs are in memory together
_DIFF = (
    *("diff-tree", "-r", "-p", "--stdin", "--root", "--always", "--full-index", "--no-renames"),
    *("--no-ext-diff", "--no-textconv", "--no-prefix", "--submodule=short", "-U0"),
    *("--inter-hunk-context=0", "--diff-merges=first-parent"),
)
_LETTER = re.compile(rb"[0-9A-Za-z\x80-\xff]")
_ID = re.compile(rb"[0-9a-f]{40}(?:[0-9a-f]{24})?")
_FILE, _INDEX, _SPAN = b"diff --git ", b"index ", b"@@ -"
_OLD_MODE, _NEW_MODE = b"old mode ", b"new mode "
# of both, for one path, a file that became a link, or a link that became a file
_GONE_MODE, _MADE_MODE = b"deleted file mode ", b"new file mode "
Line = tuple[bytes, bool, bytes]  # a line of a path, and whether it came or went


class Hunk(NamedTuple):
    """Lines of a file that went out, and those that came in at their place.

    Either is the lines with a line end before the first and behind each, or empty. A binary or
    empty file is the ids of its two blobs, a changed mode the two modes.
    """

    path: bytes
    removed: bytes
    added: bytes

    @property
    def counts(self) -> bool:
        """True if a line has a letter or digit; others, such as a brace, are everywhere."""
        return _LETTER.search(self.removed + self.added) is not None

    @property
    def turned_round(self) -> "Hunk":
        """The hunk that takes this one back."""
        return Hunk(self.path, self.added, self.removed)

    @property
    def lines(self) -> frozenset[Line]:
        """The different lines that came and went."""
        sides = ((False, self.removed), (True, self.added))
        return frozenset(
            (self.path, is_new, line)
            for is_new, block in sides
            for line in (block[1:-1].split(b"\n") if block else ())
        )

    @property
    def key(self) -> "Hunk":
        """The hunk in the form in which it is compared.

        Git may begin a block of lines that only came, or only went, at another of its lines,
        where the lines around are alike: their order does not count.
        """
        if self.removed and self.added:
            return self
        lines = sorted((self.removed or self.added)[1:-1].split(b"\n"))
        block = _block(lines)
        return Hunk(self.path, block, b"") if self.removed else Hunk(self.path, b"", block)

    def holds(self, other: "Hunk") -> bool:
        """Reports whether the lines of another hunk of its file are among its own, in one piece."""
        return other.removed in self.removed and other.added in self.added


def _block(lines: Sequence[bytes]) -> bytes:
    return b"\n%b\n" % b"\n".join(lines) if lines else b""


def patch_id(hunks: Iterable[Hunk]) -> str:
    """Returns the SHA-256 of the hunks of a change, "" for none; their order does not count."""
    parts = [part for key in sorted(hunk.key for hunk in hunks) for part in key]
    return sha256(b"\0".join(parts)).hexdigest() if parts else ""


def patch_ids(repo: Repository, commits: Iterable[str]) -> Iterator[tuple[str, str]]:
    """Yields the patch-ids of commits, each with its commit; those without changes are left out."""
    changes = [(commit,) for commit in commits]
    for (commit,), hunks in zip(changes, hunks_of(repo, changes), strict=True):
        if hunks:
            yield patch_id(hunks), commit


def hunks_of(
    repo: Repository, changes: Sequence[tuple[str, ...]], paths: Sequence[str] = ()
) -> Iterator[list[Hunk]]:
    """Yields the hunks of changes, each a commit, or two to compare the second with the first.

    Git compares a commit with what it was last compared with: pairs come last.
    """
    for start in range(0, len(changes), COMMITS_AT_ONCE):
        batch = changes[start : start + COMMITS_AT_ONCE]
        stdin = "".join(f"{' '.join(change)}\n" for change in batch).encode()
        yield from _parse(repo.git.run(*_DIFF, "--", *paths, stdin=stdin).split(b"\n"))


def _parse(lines: Sequence[bytes]) -> Iterator[list[Hunk]]:
    """Yields the hunks of each change that `git diff-tree` writes, behind the id of a commit."""
    path, blobs, old_mode, gone = b"", b"", b"", (b"", b"")
    hunks, number = list[Hunk](), 0
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
            hunks.append(Hunk(path, _block(removed), _block(added)))
            continue
        is_commit = _ID.fullmatch(line) is not None
        if blobs and (is_commit or not line or line.startswith(_FILE)):
            before, _, after = blobs.partition(b"..")
            hunks.append(Hunk(path, _block([before]), _block([after])))
            blobs = b""
        if is_commit and number > 1:
            yield hunks
            hunks, gone = [], (b"", b"")
        elif line.startswith(_FILE):
            names = line.removeprefix(_FILE)
            path = names[: len(names) // 2]
        elif line.startswith(_INDEX):
            blobs = line.split(b" ")[1]
        elif line.startswith(_GONE_MODE):
            gone = path, line.removeprefix(_GONE_MODE)
        elif line.startswith(_MADE_MODE) and gone[0] == path:
            hunks.append(Hunk(path, _block([gone[1]]), _block([line.removeprefix(_MADE_MODE)])))
        elif line.startswith(_OLD_MODE):
            old_mode = line
        elif line.startswith(_NEW_MODE):
            hunks.append(Hunk(path, _block([old_mode[9:]]), _block([line[9:]])))
    yield hunks


def path_of(path: bytes) -> str:
    """Returns the path of a hunk as a person writes it; git quotes some."""
    if path.startswith(b'"'):
        path = path[1:-1].decode("unicode_escape").encode("latin-1")
    return os.fsdecode(path)
