"""The patch-id of a change: an id in which neither line numbers nor white space count.

It equals that of `git patch-id --stable` (its manual page tells the idea), so that ids which git
computed stay comparable. Git before 2.39 has others for binary files.
"""

import hashlib
from collections.abc import Iterable

_SPACE = b" \t\r\n"
_BOTH, _ADDED, _REMOVED, _REMARK = b" +-\\"


def patch_id(lines: Iterable[bytes], hex_digits: int = 40) -> str:
    """Returns the patch-id of one commit, from what `git diff-tree -p` writes; "" without changes.

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
