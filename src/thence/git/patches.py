"""Patch-ids of commits: what a change is, wherever it is made.

Plumbing of git is asked, so that no user's configuration of diffs counts. The change of a merge is
that from its first parent. Three rows around a change and its blanks count, line numbers do not.
"""

import os
from collections import defaultdict
from collections.abc import Collection, Iterator, Mapping, Sequence
from hashlib import sha256

from thence.git.repository import Repository
from thence.git.rows import INDEX, diffs_in

COMMITS_AT_ONCE = 200  # their diffs are in memory together
# options of git by which a change is the same text whatever its user has configured
PLAIN = (
    *("--full-index", "--no-ext-diff", "--no-textconv", "--no-color", "--submodule=short"),
    *("--inter-hunk-context=0", "--diff-algorithm=default", "--indent-heuristic", "-O/dev/null"),
    *("--no-prefix", "--diff-merges=first-parent", "--root"),
)
_DIFF = ("diff-tree", "-r", "-p", "--stdin", "--always", "--no-renames", "-U3", *PLAIN)
Files = Mapping[bytes, bytes]  # by path, the digest of what changes there


def patch_id(files: Files, paths: Collection[bytes] | None = None) -> str:
    """Returns the SHA-256 of a change, in some paths alone if they are given; "" for none."""
    parts = [files[path] for path in sorted(files) if paths is None or path in paths]
    return sha256(b"".join(parts)).hexdigest() if parts else ""


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
        for _, files in diffs_in(out):
            texts: dict[bytes, list[bytes]] = defaultdict(list)  # a file that becomes a link is two
            for file in files:  # of one without text its blobs count
                head = (line for line in file.head if not (file.hunks and line.startswith(INDEX)))
                texts[file.path] += (*head, *(row for rows in file.hunks for row in (b"@@", *rows)))
            yield {path: sha256(b"\n".join((path, *text))).digest() for path, text in texts.items()}


def path_of(path: bytes) -> str:
    """Returns the path of a file in a diff as a person writes it; git quotes some."""
    if path.startswith(b'"'):
        path = path[1:-1].decode("unicode_escape").encode("latin-1")
    return os.fsdecode(path)
