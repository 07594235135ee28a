"""What an edit of an agent wrote, and how well that fits a line of a file.

A line is told from an equal one by those around it. Texts alone are compared: who committed them,
and when, is not known here.
"""

from collections.abc import Sequence
from difflib import SequenceMatcher
from itertools import takewhile
from typing import NamedTuple

from thence.agents.blame import BlamedLine
from thence.core.event import Event

RUN_MAX = 50  # most lines before and behind one that are compared
TELLING_CHARACTERS = 12  # letters and digits of a line that hardly two write alike
CELLS_MAX = 4_000_000  # of the table by which two texts are compared line by line


class WrittenLine(NamedTuple):
    """A line that an edit wrote; one at an open end may be a part of a line of the file.

    `replaced` is the text in whose place it came, where both are parts of one line.
    """

    text: str
    is_open_before: bool = False
    is_open_behind: bool = False
    replaced: str | None = None

    @property
    def is_open(self) -> bool:
        """True if it may be a part of a line."""
        return self.is_open_before or self.is_open_behind

    def fits(self, line: str) -> bool:
        """Reports whether it may be this line or a part of it."""
        if not self.is_open:
            return self.text == line
        at = line.find(self.text) if self.text.strip() else -1
        is_begun = at == 0 or (at > 0 and (self.is_open_before or not line[:at].strip()))
        return is_begun and (self.is_open_behind or line.endswith(self.text))


class AgentEdit(NamedTuple):
    """What one edit wrote into one file; `runs` are the lines that are new in it, in rows.

    `begun` and `place` are where the log has the begin and the end of the call: it wrote between.
    """

    place: int
    begun: int
    event: Event
    session: str | None
    agent: str | None
    root: str | None
    is_whole: bool
    runs: tuple[tuple[WrittenLine, ...], ...]

    @property
    def author(self) -> tuple[str | None, str | None]:
        """The session, and the subagent in it."""
        return self.session, self.agent

    def is_within(self, root: str | None, since: int, until: int) -> bool:
        """Reports whether it may have been written in a working tree between two places."""
        return self.root == root and since < self.place and self.begun < until


def new_lines(removed: str | None, added: str) -> tuple[tuple[WrittenLine, ...], ...]:
    """Returns the rows of lines of a text that the one before lacks there.

    Without one before it is a whole file; else the first and last lines may be parts of lines.
    """
    texts, old = added.splitlines(), (removed or "").splitlines()
    pieces = [WrittenLine(text) for text in texts]
    if removed is not None and pieces:
        is_part = not added.endswith(("\n", "\r"))
        replaced = old[0] if len(old) == len(pieces) == 1 else None
        pieces[-1] = pieces[-1]._replace(is_open_behind=is_part)
        pieces[0] = pieces[0]._replace(is_open_before=True, replaced=replaced)
    start, end, least = 0, 0, min(len(old), len(texts))
    while start < least and old[start] == texts[start]:
        start += 1
    while end < least - start and old[-1 - end] == texts[-1 - end]:
        end += 1
    old, texts = old[start : len(old) - end], texts[start : len(texts) - end]
    if not old or len(old) * len(texts) > CELLS_MAX:
        return (tuple(pieces[start : start + len(texts)]),)
    codes = SequenceMatcher(None, old, texts, autojunk=False).get_opcodes()
    spans = ((a, b) for kind, _, _, a, b in codes if b > a and kind != "equal")
    return tuple(tuple(pieces[start + a : start + b]) for a, b in spans)


def first_writers(edits: list[AgentEdit]) -> list[AgentEdit]:
    """Leaves out those that wrote a whole file, which may just have kept an earlier line."""
    return [edit for number, edit in enumerate(edits) if not number or not edit.is_whole]


def best_fitting(
    edits: list[AgentEdit], lines: Sequence[BlamedLine], at: int, *, is_whole: bool = False
) -> list[AgentEdit] | None:
    """Returns those edits that fit the lines around one best, the newest last.

    With `is_whole` all lines in a row that an edit wrote must stand there, several or one that
    says something.
    """
    likenesses = [(_likeness(edit, lines, at), edit) for edit in edits]
    if is_whole:
        least = 1 if sum(map(str.isalnum, lines[at].text)) >= TELLING_CHARACTERS else 2
        likenesses = [
            (likeness, edit)
            for likeness, edit in likenesses
            if likeness[0] >= max(least, min(map(len, edit.runs)))
        ]
    most = max((likeness for likeness, _ in likenesses), default=(0, 0))
    best = [edit for likeness, edit in likenesses if likeness == most and most[0]]
    return (best if len({edit.author for edit in best}) > 1 else best[-1:]) or None


def _likeness(edit: AgentEdit, lines: Sequence[BlamedLine], at: int) -> tuple[int, int]:
    """Returns the longest row of an edit's lines around one of a file, and how much that is."""
    longest = (0, 0)
    places = ((run, start) for run in edit.runs for start in range(len(run)))
    for run, start in places:
        if run[start].fits(lines[at].text):
            below = zip(run[start + 1 :][:RUN_MAX], lines[at + 1 :][:RUN_MAX], strict=False)
            above = zip(run[:start][-RUN_MAX:][::-1], lines[:at][-RUN_MAX:][::-1], strict=False)
            down, up = (sum(1 for _ in takewhile(_is_alike, pairs)) for pairs in (below, above))
            longest = max(longest, (down + 1 + up, len(run[start].text.strip())))
    return longest


def _is_alike(pair: tuple[WrittenLine, BlamedLine]) -> bool:
    return pair[0].fits(pair[1].text)
