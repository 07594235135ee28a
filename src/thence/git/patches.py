"""Patch-ids of commits: what a change is, wherever it is made.

Plumbing of git is asked, so that no user's configuration of diffs counts. The change of a merge is
that from its first parent. Three rows around a change and its blanks count, line numbers do not.
"""

import os
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from hashlib import sha256

from thence.git.repository import Repository
from thence.git.rows import HEADER

COMMITS_AT_ONCE = 200  # their diffs are in memory together
# options of git by which a change is the same text whatever its user has configured
PLAIN = (
    *("--full-index", "--no-ext-diff", "--no-textconv", "--no-color", "--submodule=short"),
    *("--inter-hunk-context=0", "--diff-algorithm=default", "--indent-heuristic", "-O/dev/null"),
    *("--no-prefix", "--diff-merges=first-parent", "--root"),
)
_DIFF = ("diff-tree", "-r", "-p", "--stdin", "--always", "--no-renames", "-U3", *PLAIN)
_FILE, _INDEX, _SPAN = b"diff --git ", b"index ", b"@@ -"
Files = Mapping[bytes, bytes]  # by path, the digest of what changes there


def patch_id(files: Files, paths: Collection[bytes] | None = None) -> str:
    """Returns the SHA-256 of a change, in some paths alone if they are given; "" for none."""
    parts = [files[path] for path in sorted(files) if paths is None or path in paths]
    return sha256(b"".join(parts)).hexdigest() if parts else ""


def patch_ids(repo: Repository, commits: Iterable[str]) -> Iterator[tuple[str, str]]:
    """Yields the patch-ids of commits, each with its commit; those without changes are left out."""
    changes = [(commit,) for commit in commits]
    for (commit,), files in zip(changes, files_of(repo, changes), strict=True):
        if files:
            yield patch_id(files), commit


def files_of(
    repo: Repository, changes: Sequence[tuple[str, ...]], paths: Sequence[str] = ()
) -> Iterator[Files]:
    """Yields what changes change, each a commit, or two to compare the first with the second.

    Git compares a commit with what it was last compared with: pairs come last.
    """
    for start in range(0, len(changes), COMMITS_AT_ONCE):
        batch = changes[start : start + COMMITS_AT_ONCE]
        stdin = "".join(f"{' '.join(change)}\n" for change in batch).encode()
        out = repo.git.run(*_DIFF, "--format=%x01%H", "--", *paths, stdin=stdin)
        lines = out.split(b"\n")
        files: dict[bytes, list[bytes]] | None = None
        texts, at = list[bytes](), 0
        while at < len(lines):
            line = lines[at]
            at += 1
            if line.startswith(HEADER):
                if files is not None:
                    yield _digests(files)
                files = {}
            elif files is not None and line.startswith(_FILE):
                names = line.removeprefix(_FILE)
                texts = files.setdefault(names[: len(names) // 2], [])
            elif line.startswith(_SPAN):
                texts[:] = [text for text in texts if not text.startswith(_INDEX)]
                texts.append(_SPAN)
                old, new = (int(span.partition(b",")[2] or 1) for span in line.split(b" ", 3)[1:3])
                while old or new:
                    sign = lines[at][:1]
                    texts.append(lines[at])
                    at += 1
                    old -= sign in (b"-", b" ")
                    new -= sign in (b"+", b" ")
            elif line:
                texts.append(line)
        if files is not None:
            yield _digests(files)


def _digests(files: Mapping[bytes, Sequence[bytes]]) -> Files:
    return {path: sha256(b"\n".join((path, *texts))).digest() for path, texts in files.items()}


def path_of(path: bytes) -> str:
    """Returns the path of a file in a diff as a person writes it; git quotes some."""
    if path.startswith(b'"'):
        path = path[1:-1].decode("unicode_escape").encode("latin-1")
    return os.fsdecode(path)
