"""What an edit of an agent wrote, and how well that fits a line of a file.

A line is told from an equal one by those around it. Texts alone are compared: who committed them,
and when, is not known here.
"""

from collections.abc import Mapping, Sequence
from difflib import SequenceMatcher
from itertools import takewhile
from typing import Any, NamedTuple

from thence.core.event import Event
from thence.trace.agents.blame import BlamedLine

RUN_MAX = 50  # most lines before and behind one that are compared
TELLING_CHARACTERS = 12  # letters and digits of a line that hardly two write alike
CELLS_MAX = 4_000_000  # of the table by which two texts are compared line by line


class WrittenLine(NamedTuple):
    """A line of the text that an edit left; one at an open end may be a part of a line of the file.

    One that is not new stood there before. `replaced` is the text in whose place it came, where
    both are parts of one line.
    """

    text: str
    is_new: bool = True
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
    """What one edit wrote into one file: rows of lines, the new ones and those around them.

    `begun` and `place` are where the log has the begin and the end of the call: it wrote between.
    """

    place: int
    begun: int
    event: Event
    session: str | None
    agent: str | None
    root: str | None
    is_whole: bool
    rows: tuple[tuple[WrittenLine, ...], ...]

    @property
    def author(self) -> tuple[str | None, str | None]:
        """The session, and the subagent in it."""
        return self.session, self.agent

    def is_within(self, root: str | None, since: int, until: int) -> bool:
        """Reports whether it may have been written in a working tree between two places."""
        return self.root == root and since < self.place and self.begun < until


def lines_of(text: str) -> list[str]:
    """Returns the lines of a text as git counts them: a line ends at a line feed alone."""
    lines = [line.removesuffix("\r") for line in text.split("\n")]
    return lines if lines[-1] else lines[:-1]


def row_of(removed: str | None, added: str, *, is_hunk: bool = False) -> tuple[WrittenLine, ...]:
    """Returns the lines of a text; those are new that the one before lacks there.

    Without one before it is a whole file; else the first and last lines may be parts of lines,
    unless it is a hunk.
    """
    texts, old = lines_of(added), lines_of(removed or "")
    pieces = [WrittenLine(text) for text in texts]
    if removed is not None and pieces and not is_hunk:
        is_part = not added.endswith("\n")
        replaced = old[0] if len(old) == len(pieces) == 1 else None
        pieces[-1] = pieces[-1]._replace(is_open_behind=is_part)
        pieces[0] = pieces[0]._replace(is_open_before=True, replaced=replaced)
    start, end, least = 0, 0, min(len(old), len(texts))
    while start < least and old[start] == texts[start]:
        start += 1
    while end < least - start and old[-1 - end] == texts[-1 - end]:
        end += 1
    old, texts = old[start : len(old) - end], texts[start : len(texts) - end]
    kept = {*range(start), *range(start + len(texts), len(pieces))}
    if old and len(old) * len(texts) <= CELLS_MAX:
        blocks = SequenceMatcher(None, old, texts, autojunk=False).get_matching_blocks()
        kept |= {start + block.b + at for block in blocks for at in range(block.size)}
    return tuple(piece._replace(is_new=at not in kept) for at, piece in enumerate(pieces))


def patched_rows(answer: object) -> tuple[tuple[WrittenLine, ...], ...]:
    """Returns the lines of a call's answer that has its hunks, as Claude Code's do; else none."""
    hunks = answer.get("structuredPatch") if isinstance(answer, Mapping) else None
    rows = (_hunk(hunk) for hunk in (hunks if isinstance(hunks, list) else ()))
    return tuple(row for row in rows if row)


def _hunk(hunk: Any) -> tuple[WrittenLine, ...]:
    lines = hunk.get("lines") if isinstance(hunk, Mapping) else None
    texts = [line for line in lines if isinstance(line, str)] if isinstance(lines, list) else []
    return tuple(
        WrittenLine(line[1:].removesuffix("\r"), is_new=line[0] == "+")
        for line in texts
        if line[:1] in ("+", " ")
    )


def first_writers(edits: list[AgentEdit]) -> list[AgentEdit]:
    """Leaves out those that wrote a whole file, which may just have kept an earlier line."""
    return [edit for number, edit in enumerate(edits) if not number or not edit.is_whole]


def best_fitting(
    edits: list[AgentEdit], lines: Sequence[BlamedLine], at: int, *, is_whole: bool = False
) -> list[AgentEdit] | None:
    """Returns those edits that fit the lines around one best, the newest last.

    An edit of another author fits as well while no line around it differs. With `is_whole` all new
    lines in a row must be there, several or one that says something.
    """
    fits = [(fit, edit) for edit in edits if (fit := _fit(edit, lines, at))]
    if is_whole:
        least = 1 if sum(map(str.isalnum, lines[at].text)) >= TELLING_CHARACTERS else 2
        fits = [(fit, edit) for fit, edit in fits if fit.whole_row >= least]
    if not fits:
        return None
    most = max(fit.likeness for fit, _ in fits)
    authors = {edit.author for fit, edit in fits if fit.likeness == most}
    best = [
        edit
        for fit, edit in fits
        if fit.likeness == most or not (fit.differs or edit.author in authors)
    ]
    return best if len({edit.author for edit in best}) > 1 else best[-1:]


class _Fit(NamedTuple):
    """How well an edit fits around a line of a file that it may have written.

    `likeness` are the lines in a row that are alike, and the length of its text. `differs` if a
    line next to those is another. `whole_row` is the number of new lines in the row if all of them
    are there, else 0.
    """

    likeness: tuple[int, int]
    differs: bool
    whole_row: int


def _fit(edit: AgentEdit, lines: Sequence[BlamedLine], at: int) -> _Fit | None:
    """Returns the best fit of all places in an edit, None if it did not write the line."""
    fits = [
        _fit_at(row, start, lines, at)
        for row in edit.rows
        for start, piece in enumerate(row)
        if piece.is_new and piece.fits(lines[at].text)
    ]
    if not fits:
        return None
    likeness = max(fit.likeness for fit in fits)
    return _Fit(likeness, all(fit.differs for fit in fits), max(fit.whole_row for fit in fits))


def _fit_at(row: Sequence[WrittenLine], start: int, lines: Sequence[BlamedLine], at: int) -> _Fit:
    rows_behind = row[start + 1 : start + 1 + RUN_MAX]
    rows_before = row[max(start - RUN_MAX, 0) : start][::-1]
    below = [*zip(rows_behind, lines[at + 1 : at + 1 + RUN_MAX], strict=False)]
    above = [*zip(rows_before, lines[max(at - RUN_MAX, 0) : at][::-1], strict=False)]
    before, behind = (sum(1 for _ in takewhile(_is_alike, pairs)) for pairs in (above, below))
    new_before, new_behind = (
        sum(1 for _ in takewhile(_is_new, rows)) for rows in (rows_before, rows_behind)
    )
    return _Fit(
        (before + 1 + behind, len(row[start].text.strip())),
        before < len(above) or behind < len(below),
        new_before + 1 + new_behind if before >= new_before and behind >= new_behind else 0,
    )


def _is_new(line: WrittenLine) -> bool:
    return line.is_new


def _is_alike(pair: tuple[WrittenLine, BlamedLine]) -> bool:
    return pair[0].fits(pair[1].text)
