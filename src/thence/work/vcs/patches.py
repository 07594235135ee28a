"""Patch-ids: what identifies the change of a commit, wherever it is applied.

They are computed here, from one git that is asked for many commits.
"""

import hashlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress

from thence.work.vcs.git import Answer, in_one_line
from thence.work.vcs.repository import Repository

# the same patch-id whatever the user has configured
_PATCH = ("-r", "-p", "--root", "--full-index", "--no-renames", "--no-ext-diff", "--no-textconv")
_SPACE = b" \t\r\n"
_BOTH, _ADDED, _REMOVED, _REMARK = b" +-\\"
_END = b"=\n"  # begins no line of a patch
Diff = Callable[[str], tuple[list[str], str]]


@contextmanager
def diffs(repo: Repository, paths: Sequence[str] = ()) -> Iterator[Diff]:
    """Opens a git that is asked for a commit's parents and its patch-id, within the paths.

    A parent that is named behind the commit takes the place of its own.
    """
    command = ("diff-tree", "--stdin", *_PATCH, "--always", "--format=%P", "--", *paths)
    with repo.git.open_process(*command) as process:
        pipe, answers, words = process.stdin, process.stdout, process.stderr
        assert pipe is not None
        assert answers is not None
        assert words is not None

        def lines() -> Iterator[bytes]:
            for line in iter(answers.readline, _END):
                if not line:
                    answer = Answer(process.wait(), b"", in_one_line(words.read()))
                    raise repo.git.failed(answer, command)
                yield line

        def diff(commit: str) -> tuple[list[str], str]:
            with suppress(BrokenPipeError):  # the end of its answers tells
                pipe.write(commit.encode() + b"\n" + _END)  # git repeats what is no commit
                pipe.flush()
            remaining = lines()
            parents = next(remaining, b"").decode().split()
            return parents, patch_id(remaining, len(commit.split()[0]))

        yield diff


def patch_id(lines: Iterable[bytes], hex_digits: int = 40) -> str:
    """Returns the patch-id of a commit, from what `git diff-tree -p` writes; "" without changes.

    It is that of `git patch-id --stable`, an id in which line numbers and white space don't count;
    git before 2.39 has others for binary files.

    Each line has its newline; what stands before the first file does not count. Each file's part
    has a digest, and the digests are added up as numbers, so that the order of the files does not
    count. A part without a hunk, such as a changed mode, belongs to the one behind it.
    `hex_digits` are those of the repository's object ids: 40 for SHA-1, 64 for SHA-256.
    """
    empty = hashlib.new("sha1" if hex_digits == 40 else "sha256", usedforsecurity=False)
    part = empty.copy()
    total = old = new = 0  # old and new: lines of the hunk that are still to come
    is_empty, is_among_hunks, is_binary, blobs = True, False, False, b""
    for line in lines:
        if old > 0 or new > 0:
            kind = line[0]
            if kind == _REMARK:
                continue
            old -= kind in (_BOTH, _REMOVED)
            new -= kind in (_BOTH, _ADDED)
        elif line.startswith(b"diff "):
            if is_binary:  # git leaves out this line of the file behind a binary one
                is_binary = False
                continue
            if is_among_hunks:
                total, part = total + _number(part), empty.copy()
            is_empty = is_among_hunks = False
        elif is_empty or is_binary or line[0] == _REMARK:
            continue
        elif line.startswith(b"@@ -"):
            old, new = (_length(span) for span in line.split(b" ", 3)[1:3])
            continue
        elif line.startswith(b"index "):
            blobs = line.split()[1].replace(b"..", b"")
            continue
        elif line.startswith(b"Binary files "):
            part.update(blobs)
            total, part = total + _number(part), empty.copy()
            is_binary = True
            continue
        elif line.startswith(b"--- "):
            is_among_hunks = True
        # git ends a line at its first NUL
        part.update((line if 0 not in line else line.partition(b"\0")[0]).translate(None, _SPACE))
    total = (total + _number(part)) % (1 << 4 * hex_digits)
    return "" if is_empty else total.to_bytes(hex_digits // 2, "little").hex()


def _number(part: "hashlib._Hash") -> int:
    return int.from_bytes(part.digest(), "little")


def _length(span: bytes) -> int:
    """Returns the length of a hunk's span, such as 4 for b"-10,4" and 1 for b"+7"."""
    return int(span.partition(b",")[2] or 1)


def patch_ids(
    repo: Repository, commits: Iterable[str], paths: Sequence[str] = ()
) -> Iterator[tuple[str, str]]:
    """Yields the patch-ids of commits, each with its commit; those without changes are left out."""
    with diffs(repo, paths) as diff:
        for commit in commits:
            if patch := diff(commit)[1]:
                yield patch, commit
