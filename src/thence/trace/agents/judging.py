"""Which lines of a commit an agent wrote, by comparing their text with the text of its edits.

Texts, places in the log's order, paths and trees are all it reads: no git, no log, no disk. It
names no person: whose the rest is depends on what the log recorded of the commit, which the caller
knows.
"""

import re
import sys
from bisect import bisect_left, bisect_right
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence, Set
from difflib import SequenceMatcher
from functools import cached_property
from hashlib import blake2b
from itertools import groupby, pairwise, takewhile
from operator import itemgetter
from typing import NamedTuple

AGENT, MAYBE, NONE = 2, 1, 0
# each is the best of those that were measured on seven real histories
TELLING_CHARACTERS = 12  # letters and digits of a line that two people hardly write alike
TELLING_TIMES = 2  # the most times that such a line was in the repository before
TELLING_LINES = 3  # such lines in a row that need neither the edit's path nor its tree
HALF = 0.5  # of the telling lines of an edit, or of a draft
SEED_TOKENS = 5
SEED_STEP = 2  # each second token of an edit begins a seed
PLACES_MAX = 24  # the newest places of a seed that are looked at
# what happened to a line since its edit in a path, or why its owner is not certain
SINCE = {
    "form": "indented or formatted since",
    "moved": "moved from {path}",
    "draft": "written as {path}",  # most of that text came to this path
}
_WROTE = "an agent wrote this text in {path}"
UNSURE = {
    "form": f"{_WROTE}, in another form",
    "moved": f"{_WROTE}, and it was moved since",
    "copied": "it is copied from {path}, where an agent wrote it",  # and which was committed
    "part": f"{_WROTE}, and too little of it is here to be sure",
    "again": f"{_WROTE}, and it is here more than once",
    "whole": "an agent wrote all of {path}, and what was there before is not known",
    "beside": "it was formatted or edited together with lines that an agent wrote in {path}",
    "other": f"{_WROTE}, in another session than its commit names",
    "tie": f"{_WROTE}, and another session too: nothing distinguishes the two edits",
    "former": "it was moved or formatted, and its owner before that is unknown",
}
_TOKEN = re.compile(r"""\w+|[^\w\s,;()'"\\`]""")
_IS_COMMON = re.compile(
    r"\s*(?:@|#!|#\s*include\b|import\b|from\s+\S+\s+import\b|use\s+\w+::|using\b)"
)


class EditText(NamedTuple):
    """What one edit of an agent left in one file.

    `key` names the edit: the event's id, with the number of the file in the event. `path` is
    relative to the top of `tree`, the working tree. It wrote between `begun` and `place`, both in
    the log's order. `new` is the text that it left: a hunk with its context, a part of a file, or
    a whole file. `old` is the text that `new` replaced: "" for a new file, None of a whole file if
    unknown. `session` names whoever wrote it.
    """

    key: str
    path: str
    tree: str | None
    place: int
    begun: int
    new: str
    old: str | None
    session: str | None = None


class Hunk(NamedTuple):
    """A hunk of a commit's diff against its first parent, with 3 lines of context.

    `start` and `old_start` are the numbers of its first line after and before the commit, from 1.
    Each line is a pair of " ", "+" or "-" and its text, without the line feed.
    """

    path: str
    old_path: str
    start: int
    old_start: int
    lines: Sequence[tuple[str, str]]
    commit: str = ""

    @property
    def after(self) -> list[tuple[str, str]]:
        """Its lines after the commit."""
        return [line for line in self.lines if line[0] != "-"]


class CommitText(NamedTuple):
    """What a commit changed, and where the log has it: edits begun before `place` are before it.

    `brought` is what was said of its added lines, by path and number, in the commits that it was
    made from (amended, rebased, picked or squashed), and `again` are the edits that own lines of
    these. `reverts` are the hunks of the commit that it takes back. Where its message names
    `sessions`, the edits of others are no certain owners.
    """

    commit: str
    tree: str | None
    place: int
    hunks: tuple[Hunk, ...]
    brought: Mapping[tuple[str, int], "Said"] = {}
    again: Set[str] = frozenset()
    reverts: Sequence[Hunk] = ()
    sessions: Sequence[str] = ()


class Said(NamedTuple):
    """What is said of an added line: AGENT, MAYBE (unknown) or NONE, with the edit's key.

    `how` is a key of SINCE or, of MAYBE, of UNSURE; "" of a line as the edit wrote it, and of NONE.
    `commit` is the one that brought the line first, where this one was made from it.
    """

    rank: int
    edit: str = ""
    how: str = ""
    commit: str = ""


NOTHING = Said(NONE)
Former = Callable[[Hunk, int], Said | None]


def digests(text: str) -> Iterator[int]:
    """Yields a digest of each line that two people hardly write alike, for `Judge(counts)`."""
    for line in text.split("\n"):
        if digest := _digest(line, _TOKEN.findall(line)):
            yield digest


class Judge:
    """Judges commits in their order, given the edits that began before each.

    `counts` has how often each digest of a line is in the files before the first commit, `landed`
    the edits that a commit of their path came after, or that are in one, by their keys, with their
    lines that are in no commit yet. Both are its whole state: a judge made from them, and given the
    same edits, continues.
    """

    def __init__(
        self,
        counts: Mapping[int, int] | None = None,
        landed: Mapping[str, Iterable[int]] = {},
    ) -> None:
        self.counts = Counter(counts or {})
        self.landed = {key: {*lines} for key, lines in landed.items()}
        self._edits: dict[str, _Edit] = {}
        self._by_path = defaultdict[str, list[_Edit]](list)
        self._seeds = defaultdict[int, list[tuple[_Edit, int]]](list)

    def add(self, edit: EditText) -> None:
        """Adds an edit; edits come in the log's order, each before the commits after its begin."""
        text = self._edits[edit.key] = _Edit(edit)
        self._by_path[edit.path].append(text)
        for seed, at in text.seeds(SEED_STEP):
            places = self._seeds[seed]
            places.append((text, at))
            if len(places) > PLACES_MAX:
                del places[0]

    def judge(
        self, commit: CommitText, former: Former = lambda hunk, number: None
    ) -> dict[tuple[str, int], Said]:
        """Returns what is said of each added line, by its path and its number after the commit.

        `former` returns what was said of a line that a hunk removes, by its number before: NONE for
        a person's, MAYBE if its owner is unknown, None for a line that no recorded commit added.
        """
        hunks = [_HunkText(hunk) for hunk in commit.hunks]
        by_path = defaultdict[str, list[_HunkText]](list)
        for text in hunks:
            by_path[text.hunk.path].append(text)
        near = {path: self._near(texts, commit) for path, texts in by_path.items()}
        matches = [
            match for text in hunks for match in self._stretches(text, near[text.hunk.path], commit)
        ]
        here = defaultdict[_Edit, set[int]](set)
        for match in matches:
            here[match.edit] |= match.edit_lines
        best = self._best(matches, here, commit)
        landing = {  # the edits of its paths in its tree, and those that half came into it
            edit
            for edits in near.values()
            for edit, how in edits.items()
            if how != _DRAFT and edit.edit.place <= commit.place
        }
        for edit, lines in here.items():
            rare = {
                line for line in edit.telling if self.counts[edit.digests[line]] <= TELLING_TIMES
            }
            if edit.edit.key in self.landed or (rare and len(lines & rare) >= HALF * len(rare)):
                landing.add(edit)
        for edit in landing:
            rest = self.landed.get(edit.edit.key, edit.new)
            self.landed[edit.edit.key] = rest - here.get(edit, set())
        answers: dict[tuple[str, int], Said] = {}
        removed = defaultdict[str, list[_Removed]](list)  # by the tokens of each line
        for hunk in (*commit.hunks, *commit.reverts):
            before = (line for line in hunk.lines if line[0] != "+")
            for number, (sign, gone) in enumerate(before, hunk.old_start):
                if sign == "-" and (key := " ".join(_TOKEN.findall(gone))):
                    removed[key].append(_Removed(hunk, number, gone))
        for text in hunks:
            said, own, old = dict[int, Said](), best[text], set[int]()
            for line in text.added:
                was = commit.brought.get((text.hunk.path, text.hunk.start + line))
                rank, _, how, _ = own.get(line, NOTHING)
                # no edit for this commit, in its paths and its tree, wrote it
                if was and (rank < AGENT or how not in ("", "form")):
                    own[line] = was
                    old.add(line)
            for row in text.rows:  # beside an agent's line others are unknown
                agents = (one for line in row if (one := own.get(line)) and one.rank == AGENT)
                owner = next(agents, None)
                beside = Said(MAYBE, owner.edit, "beside") if owner else NOTHING
                said |= {line: own.get(line, beside) for line in row}
            self._keep_former(text, said, text.added - old, removed, former)
            edits = near[text.hunk.path].items()
            _say_wordless(text, said, old, [edit for edit, how in edits if how == _AT_HAND])
            answers |= {(text.hunk.path, text.hunk.start + line): said[line] for line in said}
            for line in text.added - old:  # what is brought again is not there twice
                if digest := text.digests[line]:
                    self.counts[digest] += 1
        return answers

    def _is_pending(self, edit: "_Edit", commit: CommitText) -> bool:
        """Reports whether an edit is in no commit yet, but for those that this one is made from.

        A formatter may have come between these and this one.
        """
        return edit.edit.key not in self.landed or edit.edit.key in commit.again

    def _edits_of(self, path: str, tree: str | None, commit: CommitText) -> list["_Edit"]:
        """Returns the edits of a path in a tree that have lines in no commit yet."""
        return [
            edit
            for edit in self._by_path.get(path, ())
            if edit.edit.tree == tree
            and edit.edit.begun < commit.place
            and (self._is_pending(edit, commit) or self.landed[edit.edit.key])
        ]

    def _near(self, texts: Sequence["_HunkText"], commit: CommitText) -> dict["_Edit", int]:
        """Returns how near edits are to a path.

        Of a draft half of the pending telling lines came into it: a draft is another path, or this
        path in another tree.
        """
        came = defaultdict[tuple[str, str | None], set[int]](set)
        for digest in {text.digests[line] for text in texts for line in text.added}:
            for edit, at in self._seeds.get(digest, ()):
                is_before = edit.edit.begun < commit.place and self._is_pending(edit, commit)
                if is_before and edit.line_at(at) in edit.telling:
                    came[edit.edit.path, edit.edit.tree].add(digest)
        near: dict[_Edit, int] = {}
        for (path, tree), lines in came.items():
            before = self._edits_of(path, tree, commit)
            edits = [edit for edit in before if self._is_pending(edit, commit)]
            pending = {edit.digests[line] for edit in edits for line in edit.telling}
            is_new = any(not self.counts[digest] for digest in lines)
            if is_new and len(lines) >= max(TELLING_LINES, HALF * len(pending)):
                near |= dict.fromkeys(edits, _DRAFT)
        for path in (texts[0].hunk.old_path, texts[0].hunk.path):
            for edit in self._edits_of(path, commit.tree, commit):
                near[edit] = _AT_HAND if self._is_pending(edit, commit) else _LEFT
        return near

    def _stretches(
        self, text: "_HunkText", near: Mapping["_Edit", int], commit: CommitText
    ) -> Iterator["_Match"]:
        """Yields the longest stretches that the hunk and an edit from before have in common.

        They begin at seeds of any edit, and at equal lines of those that are near.
        """
        begins = [
            (at, start, edit)
            for seed, at in text.seeds(1)
            for edit, start in self._seeds.get(seed, ())
            if edit.edit.begun < commit.place
        ]
        begins += [
            (text.starts[line], edit.starts[other], edit)
            for edit in near
            for line in filter(text.is_worded, range(len(text.lines)))
            for other in edit.places.get(text.keys[line], ())
        ]
        ends: dict[tuple[_Edit, int], int] = {}  # of the last stretch on a diagonal
        tokens = text.tokens
        for at, other_at, edit in sorted(begins, key=itemgetter(0)):
            diagonal = (edit, at - other_at)
            if ends.get(diagonal, -1) > at:
                continue
            others = edit.tokens
            start, end, shift = at, at, other_at - at
            last = min(len(tokens), len(others) - shift)
            while end < last and tokens[end] == others[end + shift]:
                end += 1
            first = max(0, -shift)
            while start > first and tokens[start - 1] == others[start - 1 + shift]:
                start -= 1
            ends[diagonal] = end
            lines = [*text.whole(start, end - start)]
            pairs = [
                (one, line, new)
                for line in lines
                if line in text.added
                for one, other in [(text.starts[line] + shift, text.starts[line + 1] + shift - 1)]
                if (new := max(edit.newness[edit.line_at(one) : edit.line_at(other) + 1]))
            ]
            if pairs:
                here = edit.whole(start + shift, end - start)
                own = frozenset(line for line in here if edit.newness[line])
                rest = None if self._is_pending(edit, commit) else self.landed[edit.edit.key]
                size, by = end - start, near.get(edit, 0)
                yield _Match(text, edit, tuple(pairs), own, len(lines), size, by, rest)

    def _best(
        self,
        matches: list["_Match"],
        here: Mapping["_Edit", set[int]],
        commit: CommitText,
    ) -> dict["_HunkText", dict[int, Said]]:
        """Returns the best that a match says of each line, the longest match first."""
        best = defaultdict[_HunkText, dict[int, Said]](dict)
        used: dict[tuple[_Edit, int], tuple[_HunkText, int]] = {}
        matched: dict[tuple[_HunkText, int], _Match] = {}
        for match in sorted(matches, key=_Match.fit, reverse=True):
            edit, text = match.edit, match.text
            telling = [
                times
                for _, line, new in match.pairs
                if (new == _NEW or match.is_aligned)
                and (digest := text.digests[line])
                and (times := self.counts[digest]) <= TELLING_TIMES
            ]
            is_here = (edit.edit.path, edit.edit.tree) == (text.hunk.path, commit.tree)
            is_at_home, wanted = True, edit.telling or edit.new
            rest = match.rest or set[int]()
            is_rest = all(edit.line_at(place) in rest for place, _, _ in match.pairs)
            if is_rest:  # a commit left it out
                telling = [times for times in telling if not times]
                is_at_home, wanted = match.near == _LEFT, edit.telling & rest or rest
            share = len(here[edit] & wanted) / max(len(wanted), 1)
            is_many = len(telling) >= TELLING_LINES
            is_part = telling or (is_at_home and share >= HALF)
            rank, how = (MAYBE, "part") if is_part else (NONE, "")
            if match.is_aligned:
                is_sure = match.near == _AT_HAND or edit.edit.tree == commit.tree
                is_form = all(new == _FORM for _, _, new in match.pairs)
                is_row = len(match.pairs) >= 2 or match.length >= TELLING_LINES
                rank, how = MAYBE, "part"
                if telling or (is_sure and (is_form or is_row or share == 1)):
                    how = "" if is_here else "moved" if match.near == _AT_HAND else "draft"
                    rank = AGENT
            elif match.rest is not None and not is_rest:
                rank, how = (MAYBE, "copied") if is_many else (NONE, "")
            elif telling and ((is_at_home and share == 1) or (is_many and 0 in telling)):
                rank, how = AGENT, "" if is_here else "moved"
            other = sum(
                used.get((edit, place), (text, line)) != (text, line)
                for place, line, _ in match.pairs
            )
            if rank == AGENT and other * 2 > len(match.pairs):
                rank, how = MAYBE, "again"
            if rank == AGENT and edit.edit.old is None:
                rank, how = MAYBE, "whole"
            if rank == AGENT and commit.sessions and edit.edit.session not in commit.sessions:
                rank, how = MAYBE, "other"
            for place, line, new in match.pairs:
                is_same = text.lines[line] == edit.lines[edit.line_at(place)]
                said = Said(rank, edit.edit.key, how or ("" if is_same else "form"))
                if rank and new == _FORM and not match.is_aligned:
                    said = Said(MAYBE, edit.edit.key, "part")
                if first := matched.get((text, line)):
                    if said.rank == AGENT and first.ties(match):
                        best[text][line] = Said(MAYBE, first.edit.edit.key, "tie")
                        used.setdefault((edit, place), (text, line))
                elif said.rank > best[text].get(line, NOTHING).rank:
                    best[text][line] = said
                    if said.rank == AGENT:
                        matched[text, line] = match
                        used.setdefault((edit, place), (text, line))
        return best

    def _keep_former(
        self,
        text: "_HunkText",
        said: dict[int, Said],
        lines: set[int],
        removed: Mapping[str, list["_Removed"]],
        former: Former,
    ) -> None:
        """Lets lines that were moved or formatted keep what was said of them.

        Too few of them are unknown, but where they came back whole in their place.
        """
        formatted = {line: was for line, was in text.formatted.items() if line in lines}
        moved = {line: where for line in lines if (where := removed.get(text.keys[line]))}
        moved |= {line: sources for line, (sources, _) in formatted.items()}
        telling = {line for line in moved if text.digests[line]}
        for line, sources in moved.items():
            is_whole = line in formatted and formatted[line][1]
            is_back = sources[-1].hunk.commit != text.hunk.commit
            near = len(telling.intersection(range(line - TELLING_LINES, line + TELLING_LINES + 1)))
            same = [one.line == text.lines[line] for one in sources if one.hunk is text.hunk]
            # nobody knows if a short line was moved within its hunk, or written again
            is_sorted = any(same) and any(map(str.isalnum, text.keys[line]))
            is_likely = near or is_back or is_whole or is_sorted
            was = [former(one.hunk, one.number) for one in sources] if is_likely else [None]
            if (one := was[-1]) is None:
                continue
            edits = [self._edits.get(other.edit) if other else None for other in was]
            ranks = (other and other.rank for other in was)
            owners = {*zip(ranks, (edit and edit.edit.session for edit in edits), strict=True)}
            is_enough = is_back or is_whole or near >= TELLING_LINES
            is_sure = is_enough and len(owners) == 1
            is_form = not all(same)
            how = "form" if is_form else "moved"
            if one.rank and said[line].rank < AGENT:
                rank = one.rank if is_sure else MAYBE
                is_here = rank == AGENT and sources[-1].hunk.old_path == text.hunk.path
                said[line] = Said(rank, one.edit, "" if is_here and not is_form else how)
            elif not one.rank and said[line].rank == AGENT and not is_form:
                said[line] = Said(MAYBE, said[line].edit, how)
            elif not one.rank and is_sure and said[line].rank == MAYBE:
                said[line] = NOTHING


_OLD, _FORM, _NEW = range(3)  # of a line of an edit: there before, there in another form, new
# how near an edit is to a path: a commit left lines of it out, it is of a draft, it is at hand
_LEFT, _DRAFT, _AT_HAND = 1, 2, 3


class _Tokens:
    """Lines as one row of tokens: line n has those from `starts[n]` up to `starts[n + 1]`."""

    def __init__(self, lines: list[str]) -> None:
        self.lines = lines
        self.tokens: list[str] = []
        self.starts = [0]
        self.digests: list[int] = []  # of telling lines, 0 for others
        for line in lines:
            tokens = _TOKEN.findall(line)
            self.tokens += map(sys.intern, tokens)
            self.starts.append(len(self.tokens))
            self.digests.append(_digest(line, tokens))

    @cached_property
    def keys(self) -> list[str]:
        """The tokens of each line as one string; a line without any without its blanks."""
        pairs = zip(self.lines, pairwise(self.starts), strict=True)
        return [" ".join(self.tokens[start:end]) or line.strip() for line, (start, end) in pairs]

    def is_worded(self, line: int) -> bool:
        """Reports whether a line has tokens."""
        return self.starts[line] < self.starts[line + 1]

    def seeds(self, step: int) -> Iterator[tuple[int, int]]:
        """Yields the seeds, and where each begins: some tokens in a row, or a telling line."""
        for at in range(0, len(self.tokens) - SEED_TOKENS + 1, step):
            yield hash(tuple(self.tokens[at : at + SEED_TOKENS])), at
        for line, digest in enumerate(self.digests):
            if digest:
                yield digest, self.starts[line]

    def whole(self, at: int, size: int) -> Iterator[int]:
        """Yields the lines that have tokens, all of them in this stretch."""
        first, last = bisect_left(self.starts, at), bisect_right(self.starts, at + size) - 1
        yield from filter(self.is_worded, range(first, last))

    def line_at(self, at: int) -> int:
        """Returns the line of a token."""
        return bisect_right(self.starts, at) - 1


class _Edit(_Tokens):
    def __init__(self, edit: EditText) -> None:
        super().__init__(_lines_of(edit.new))
        self.edit = edit

    @cached_property
    def newness(self) -> list[int]:
        """Whether its original lacks each line, compared by tokens."""
        newness = [_NEW] * len(self.lines)
        if not self.edit.old:
            return newness
        old = _Tokens(_lines_of(self.edit.old))
        matcher = SequenceMatcher(None, old.keys, self.keys, autojunk=False)
        for tag, i1, i2, j1, j2 in matcher.get_opcodes():
            if tag == "equal":
                pairs = zip(old.lines[i1:i2], self.lines[j1:j2], strict=True)
                newness[j1:j2] = [_OLD if one == other else _FORM for one, other in pairs]
            elif tag == "replace":
                gone = f" {' '.join(old.tokens[old.starts[i1] : old.starts[i2]])} "
                for line in filter(self.is_worded, range(j1, j2)):
                    if f" {self.keys[line]} " in gone:
                        newness[line] = _FORM
        return newness

    @cached_property
    def new(self) -> set[int]:
        """Its new lines that have tokens, also those that are new in form alone."""
        return {line for line, new in enumerate(self.newness) if new and self.is_worded(line)}

    @cached_property
    def places(self) -> dict[str, list[int]]:
        """Its lines by their tokens."""
        places = defaultdict[str, list[int]](list)
        for line in filter(self.is_worded, range(len(self.lines))):
            places[self.keys[line]].append(line)
        return places

    @cached_property
    def telling(self) -> set[int]:
        """Its telling lines that are new in more than form."""
        return {line for line in self.new if self.newness[line] == _NEW and self.digests[line]}


class _HunkText(_Tokens):
    """The lines of a hunk after its commit."""

    def __init__(self, hunk: Hunk) -> None:
        super().__init__([line.removesuffix("\r") for _, line in hunk.after])
        self.hunk = hunk
        self.added = {number for number, (sign, _) in enumerate(hunk.after) if sign == "+"}

    @cached_property
    def rows(self) -> list[list[int]]:
        """Its added lines, each with those next to it."""
        in_order = enumerate(sorted(self.added))
        groups = groupby(in_order, key=lambda pair: pair[1] - pair[0])
        return [[line for _, line in group] for _, group in groups]

    @cached_property
    def formatted(self) -> "dict[int, tuple[list[_Removed], bool]]":
        """Its added lines that a formatter or an indent may have made, with the removed ones.

        Compared are the tokens at the begin and at the end of each stretch of changed lines. True
        are those of which all came back, and half of what was removed there.
        """
        formatted: dict[int, tuple[list[_Removed], bool]] = {}
        line, number = 0, self.hunk.old_start
        for is_changed, group in groupby(self.hunk.lines, key=lambda row: row[0] != " "):
            rows = [*group]
            gone = _Tokens([row for sign, row in rows if sign != "+"])
            end = line + sum(sign != "-" for sign, _ in rows)
            first = self.starts[line]
            old, new = gone.tokens, self.tokens[first : self.starts[end]]
            head, tail = (
                sum(1 for _ in takewhile(lambda pair: pair[0] == pair[1], pairs))
                for pairs in (zip(old, new, strict=False), zip(old[::-1], new[::-1], strict=False))
            )
            for at in filter(self.is_worded, range(line, end) if is_changed else ()):
                start, stop = self.starts[at] - first, self.starts[at + 1] - first
                is_first = stop <= head
                shift = 0 if is_first else len(old) - len(new)
                if is_first or start >= len(new) - tail:
                    span = range(gone.line_at(start + shift), gone.line_at(stop - 1 + shift) + 1)
                    begin, until = gone.starts[span[0]], gone.starts[span[-1] + 1]
                    is_whole = until <= head if is_first else begin >= len(old) - tail
                    is_whole &= head + tail >= HALF * len(old)
                    sources = [_Removed(self.hunk, number + one, gone.lines[one]) for one in span]
                    formatted[at] = sources, is_whole
            line, number = end, number + len(gone.lines)
        return formatted


class _Match(NamedTuple):
    """A stretch of equal tokens of a hunk and an edit.

    `pairs` has the added lines that are new in the edit: where each begins there, and its newness.
    `edit_lines` are the edit's new lines in it; `length` is the number of its lines with context,
    and `size` of its tokens. `near` says how near the edit is to the hunk's path, `rest` which of
    its lines are in no commit yet, None of a pending one.
    """

    text: _HunkText
    edit: _Edit
    pairs: tuple[tuple[int, int, int], ...]
    edit_lines: frozenset[int]
    length: int
    size: int
    near: int
    rest: set[int] | None

    @property
    def is_aligned(self) -> bool:
        """Whether its lines are those of an edit at hand, or of a draft."""
        return self.near >= _DRAFT

    def fit(self) -> tuple[int, int]:
        """By what matches are sorted: the longest is the best."""
        return self.size, self.near

    def ties(self, other: "_Match") -> bool:
        """Reports whether the match of another session in the same tree is as good."""
        one, two = self.edit.edit, other.edit.edit
        return one.session != two.session and one.tree == two.tree and self.fit() == other.fit()


def _digest(line: str, tokens: Sequence[str]) -> int:
    """Returns the digest of a telling line, else 0."""
    if sum(map(str.isalnum, line)) < TELLING_CHARACTERS or _IS_COMMON.match(line):
        return 0
    return int.from_bytes(blake2b(" ".join(tokens).encode(), digest_size=8).digest())


def _lines_of(text: str) -> list[str]:
    lines = [line.removesuffix("\r") for line in text.split("\n")]
    return lines if lines[-1] else lines[:-1]


class _Removed(NamedTuple):
    hunk: Hunk
    number: int  # before the commit
    line: str


def _say_wordless(
    text: _HunkText, said: dict[int, Said], old: set[int], at_hand: Sequence[_Edit]
) -> None:
    """Gives a line without tokens to its neighbours in the row; alone, to an edit that has it."""
    for row in text.rows:
        worded = [line for line in row if text.is_worded(line)]
        for line in {*row}.difference(worded, old):
            at = bisect_left(worded, line)
            near = [said[other] for other in worded[max(at - 1, 0) : at + 1]]
            if near and near[0].rank == near[-1].rank:
                said[line] = near[0]
            elif not near:
                said[line] = next(
                    (
                        Said(AGENT, edit.edit.key)
                        for edit in at_hand
                        for at, new in enumerate(edit.newness)
                        if new and edit.lines[at] == text.lines[line]
                    ),
                    NOTHING,
                )
