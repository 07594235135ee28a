"""Which lines of a commit an agent wrote, by comparing their text with the text of its edits.

Texts, places in the log's order, paths and trees are all it reads: no git, no log, no disk. It
names no person: whose the rest is depends on what the log recorded of the commit, which the caller
knows.
"""

from collections.abc import Callable, Iterable, Mapping
from typing import NamedTuple

AGENT, MAYBE, NONE = 2, 1, 0


class EditText(NamedTuple):
    """What one edit of an agent left in one file.

    `key` names the edit: the event's id, with the number of the file in the event. `path` is
    relative to the top of `tree`, the working tree. It wrote between `begun` and `place`, both in
    the log's order. `new` is the text that it left: a hunk with its context, a part of a file, or
    a whole file. `old` is the text that `new` replaced: "" for a new file, None if unknown.
    """

    key: str
    path: str
    tree: str | None
    place: int
    begun: int
    new: str
    old: str | None
    is_whole: bool


class Hunk(NamedTuple):
    """A hunk of a commit's diff against its first parent, with 3 lines of context.

    `start` and `old_start` are the numbers of its first line after and before the commit, from 1.
    Each line is a pair of " ", "+" or "-" and its text, without the line feed.
    """

    path: str
    old_path: str
    start: int
    old_start: int
    lines: tuple[tuple[str, str], ...]


class CommitText(NamedTuple):
    """What a commit changed, and where the log has it: edits begun before `place` are before it.

    `replaces` are the commits that it was made from (amended, rebased, picked or squashed): edits
    that landed with one of them are at hand again.
    """

    commit: str
    tree: str | None
    place: int
    hunks: tuple[Hunk, ...]
    replaces: tuple[str, ...] = ()


class Said(NamedTuple):
    """What is said of an added line: AGENT, MAYBE (unknown) or NONE, with the edit's key.

    `how` is what happened to the text since the edit, or why it is unknown:
    - "" as the edit wrote it, or nothing for NONE;
    - "form": indented or formatted since;
    - "moved": to another path or tree;
    - "draft": written to another path, most of whose text came to this one;
    - "copied": repeated from text that was committed before (MAYBE);
    - "part": too little of the edit to be sure (MAYBE);
    - "again": a second time in the commit (MAYBE);
    - "whole": by a write of a whole file whose text before is unknown (MAYBE);
    - "beside": formatted or edited together with an agent's lines (MAYBE).
    """

    rank: int
    edit: str = ""
    how: str = ""


NOTHING = Said(NONE)
Former = Callable[[str, int], Said | None]


def digests(text: str) -> Iterable[int]:
    """Yields a digest of each line that two people hardly write alike, for `Judge(counts)`."""
    return ()


class Judge:
    """Judges commits in their order, given the edits that began before each.

    `counts` has how often each digest of a line is in the files before the first commit. `counts`
    and `landed` (the key of an edit and the commit that it landed with) are its whole state: a
    judge made from both, and from the same edits, continues.
    """

    def __init__(
        self, counts: Mapping[int, int] | None = None, landed: Mapping[str, str] | None = None
    ) -> None:
        self.counts = dict(counts or {})
        self.landed = dict(landed or {})

    def add(self, edit: EditText) -> None:
        """Adds an edit; edits are added in the log's order, before commits that follow them."""

    def judge(
        self, commit: CommitText, former: Former = lambda path, number: None
    ) -> dict[tuple[str, int], Said]:
        """Returns what is said of each added line, by its path and number after the commit.

        `former` returns what was said of a line that the commit removes, by its old path and its
        number there; None where that is not known.
        """
        return {
            (hunk.path, number): NOTHING
            for hunk in commit.hunks
            for number, _ in enumerate(hunk.lines, hunk.start)
        }
