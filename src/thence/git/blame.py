"""The lines of a file as git shows them: their text, and the commit that brought each.

Text is that of git's own storage: without a carriage return at its end, and in UTF-8 where a file
of a working tree has another encoding.
"""

import re
from contextlib import suppress
from typing import NamedTuple

from thence.git.files import TreeFiles
from thence.git.repository import Repository
from thence.git.rows import path_of

BINARY_BYTES = 8_000  # git's own rule: a text has no zero byte in so many
# git reads all of them, also those that don't count here
_SETTINGS_HINT = "see your settings of blame: git config --show-origin --get-regexp '^blame'"
_HEADER = re.compile(rb"([0-9a-f]{40}|[0-9a-f]{64}) (\d+) (\d+)(?: \d+)?")


class BlamedLine(NamedTuple):
    """A line of a file with the commit that brought it, "" while it is not committed.

    `paths` are the file's path in that commit, and the one before it where git knows it; `at` is
    the line's number there.
    """

    number: int
    text: str
    commit: str
    paths: tuple[str, ...]
    at: int


def blame(
    repo: Repository, path: str, lines: tuple[int, int] | None = None, commit: str | None = None
) -> list[BlamedLine]:
    """Returns the lines of a file as they are on disk, or in a commit, with their commits.

    `path` is relative to the top of the working tree, `lines` a span. The user's settings of blame
    don't count: a list of commits to pass over would give their lines to others. Raises GitFailed.
    """
    span = (*((f"-L{lines[0]},{lines[1]}",) if lines else ()), *((commit,) if commit else ()))
    plain = ("blame", "--no-ignore-revs-file", "--no-textconv", "--line-porcelain")
    out = repo.git.run(*plain, *span, "--", path, hint=_SETTINGS_HINT)
    blamed: list[BlamedLine] = []
    paths, commit, at, number = list[str](), "", 0, 0
    for line in out.split(b"\n"):
        if line.startswith(b"\t"):
            both = tuple(dict.fromkeys(reversed(paths)))  # git names the one before first
            blamed.append(BlamedLine(number, text_of_line(line[1:]), commit, both, at))
        elif header := _HEADER.fullmatch(line):
            commit, at, number = header[1].decode(), int(header[2]), int(header[3])
            commit, paths = commit if commit.strip("0") else "", []
        elif line.startswith((b"filename ", b"previous ")):
            paths.append(path_of(line.split(b" ", 1 + line.startswith(b"previous"))[-1]))
    return blamed


def lines_of(repo: Repository, path: str, lines: tuple[int, int] | None = None) -> list[BlamedLine]:
    """Returns what `blame` does; the lines of a file that no commit has are all new."""
    is_listed = repo.git.ask("ls-files", "--error-unmatch", "--", path).status == 0
    is_added = is_listed and repo.git.commit_of("HEAD") is not None
    if is_added or repo.git.ask("cat-file", "-e", f"HEAD:{path}").status == 0:
        return blame(repo, path, lines)
    texts = lines_on_disk(repo, path)
    first, last = lines or (1, len(texts))
    return [
        BlamedLine(number, text, "", (path,), number)
        for number, text in enumerate(texts[first - 1 : last], first)
    ]


def text_of_line(line: bytes) -> str:
    """Returns the text of a line of git, without its end."""
    return line.removesuffix(b"\r").decode("utf-8", "replace")


def contents(repo: Repository, path: str) -> bytes:
    """Returns a file of a working tree, in UTF-8 where git keeps it so; raises OSError."""
    data = TreeFiles(repo.folder).read(path)
    if b"\0" in data[:BINARY_BYTES]:
        out = repo.git.run("check-attr", "-z", "working-tree-encoding", "--", path)
        with suppress(LookupError, UnicodeError):
            encoding = out.split(b"\0")[2].decode().removesuffix("-BOM")
            return data.decode(encoding).removeprefix("\ufeff").encode()
    return data


def lines_on_disk(repo: Repository, path: str) -> list[str]:
    """Returns the lines of a file of a working tree; raises OSError."""
    pieces = contents(repo, path).split(b"\n")
    return [text_of_line(piece) for piece in (pieces if pieces[-1] else pieces[:-1])]
