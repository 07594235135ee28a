"""Which lines of a commit an agent wrote, by comparing their text with the text of its edits.

Texts, places in the log's order, paths and trees are all it reads: no git, no log, no disk. It
names no person: whose the rest is depends on what the log recorded of the commit, which the caller
knows.
"""

import re
import sys
from bisect import bisect_left, bisect_right
from collections import Counter, defaultdict
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence, Set
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
    reverts: tuple[Hunk, ...] = ()
    sessions: tuple[str, ...] = ()


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
        self._open = defaultdict[str, list[_Edit]](list)  # of a path: they are not all committed
        self._seeds = defaultdict[int, list[tuple[_Edit, int]]](list)

    def add(self, edit: EditText) -> None:
        """Adds an edit; edits come in the log's order, each before the commits after its begin."""
        text = self._edits[edit.key] = _Edit(edit)
        if self.landed.get(edit.key, True):
            self._open[edit.path].append(text)
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
        # by a commit that this one was not made from
        landed = self.landed.keys() - commit.again
        near = {
            hunk.path: self._near(commit, hunk.path, hunk.old_path, tree=commit.tree)
            for hunk in commit.hunks
        }
        matches = [
            match
            for text in hunks
            for match in self._stretches(text, {*near[text.hunk.path]}, landed, commit.place)
        ]
        matches += [
            match._replace(is_draft=True)
            for path, draft in [*self._drafts(matches, landed, commit)]
            for text in hunks
            if text.hunk.path == path
            for match in self._stretches(text, draft, landed, commit.place)
            if match.is_aligned
        ]
        here = defaultdict[_Edit, set[int]](set)
        for match in matches:
            here[match.edit] |= match.edit_lines
        best = self._best(matches, here, near, landed, commit)
        self._land(commit, here)
        answers: dict[tuple[str, int], Said] = {}
        removed = defaultdict[str, list[_Removed]](list)  # by the tokens of each line
        for hunk in (*commit.hunks, *commit.reverts):
            before = (line for line in hunk.lines if line[0] != "+")
            for number, (sign, gone) in enumerate(before, hunk.old_start):
                if sign == "-" and (key := " ".join(_TOKEN.findall(gone))):
                    removed[key].append(_Removed(hunk, number, gone))
        for text in hunks:
            said: dict[int, Said] = {}
            made = {  # by edits for this commit, in its paths and its tree
                line
                for line, one in best[text].items()
                if one.rank == AGENT and one.how in ("", "form")
            }
            old = {
                line: one
                for line in text.added - made
                if (one := commit.brought.get((text.hunk.path, text.hunk.start + line)))
            }
            own = best[text] | old
            for row in text.rows:  # beside an agent's line others are unknown
                agents = (one for line in row if (one := own.get(line)) and one.rank == AGENT)
                owner = next(agents, None)
                beside = Said(MAYBE, owner.edit, "beside") if owner else NOTHING
                said |= {line: own.get(line, beside) for line in row}
            self._keep_former(text, said, text.added - old.keys(), removed, former)
            at_hand = [edit for edit in near[text.hunk.path] if edit.edit.key not in landed]
            _say_wordless(text, said, old, at_hand)
            answers |= {(text.hunk.path, text.hunk.start + line): said[line] for line in said}
            for line in text.added - old.keys():  # what is brought again is not there twice
                if digest := text.digests[line]:
                    self.counts[digest] += 1
        return answers

    def _near(self, commit: CommitText, *paths: str, tree: str | None) -> list["_Edit"]:
        """Returns the edits of paths in a tree that have lines in no commit yet.

        What a commit was made from is no such commit: a formatter may have come between.
        """
        edits = [edit for path in dict.fromkeys(paths) for edit in self._open.get(path, ())]
        again = [edit for key in sorted(commit.again) if (edit := self._edits.get(key))]
        edits += [one for one in again if one.edit.path in paths and one not in edits]
        own = (edit for edit in edits if edit.edit.tree == tree)
        return [edit for edit in own if edit.edit.begun < commit.place]

    def _stretches(
        self, text: "_HunkText", near: set["_Edit"], landed: Set[str], place: int
    ) -> Iterator["_Match"]:
        """Yields the longest stretches that the hunk and an edit from before have in common.

        They begin at seeds of any edit, and at equal lines of those that are near.
        """
        begins = [
            (at, start, edit)
            for seed, at in text.seeds(1)
            for edit, start in self._seeds.get(seed, ())
            if edit.edit.begun < place
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
                is_aligned = edit in near and edit.edit.key not in landed
                yield _Match(text, edit, tuple(pairs), own, len(lines), end - start, is_aligned)

    def _drafts(
        self, matches: Sequence["_Match"], landed: Set[str], commit: CommitText
    ) -> Iterator[tuple[str, set["_Edit"]]]:
        """Yields each path that half of a draft's pending telling lines came into, and its edits.

        A draft is another path, or this path in another tree.
        """
        came = defaultdict[tuple[str, str, str | None], set[int]](set)
        for match in matches:
            edit, path = match.edit, match.text.hunk.path
            is_pending = edit.edit.key not in landed
            if is_pending and (path, commit.tree) != (edit.edit.path, edit.edit.tree):
                telling = {edit.digests[line] for line in match.edit_lines & edit.telling}
                came[path, edit.edit.path, edit.edit.tree] |= telling
        for (path, draft, tree), lines in came.items():
            near = self._near(commit, draft, tree=tree)
            edits = {edit for edit in near if edit.edit.key not in landed}
            pending = {edit.digests[line] for edit in edits for line in edit.telling}
            is_new = any(not self.counts[digest] for digest in lines)
            if is_new and len(lines) >= max(TELLING_LINES, HALF * len(pending)):
                yield path, edits

    def _best(
        self,
        matches: list["_Match"],
        here: Mapping["_Edit", set[int]],
        near: Mapping[str, Collection["_Edit"]],
        landed: Set[str],
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
            is_landed = edit.edit.key in landed
            rest = self.landed[edit.edit.key] if is_landed else set[int]()
            is_rest = all(edit.line_at(place) in rest for place, _, _ in match.pairs)
            if is_rest:  # a commit left it out
                telling = [times for times in telling if not times]
                is_at_home, wanted = edit in near[text.hunk.path], edit.telling & rest or rest
            share = len(here[edit] & wanted) / max(len(wanted), 1)
            is_many = len(telling) >= TELLING_LINES
            is_part = telling or (is_at_home and share >= HALF)
            rank, how = (MAYBE, "part") if is_part else (NONE, "")
            if match.is_aligned:
                is_sure = not match.is_draft or edit.edit.tree == commit.tree
                is_form = all(new == _FORM for _, _, new in match.pairs)
                is_row = len(match.pairs) >= 2 or match.length >= TELLING_LINES
                rank, how = MAYBE, "part"
                if telling or (is_sure and (is_form or is_row or share == 1)):
                    rank, how = AGENT, "draft" if match.is_draft else "" if is_here else "moved"
            elif is_landed and not is_rest:
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

    def _land(self, commit: CommitText, here: Mapping["_Edit", set[int]]) -> None:
        """Lands the edits of the commit's paths in its tree, and those that half came into it."""
        landing = {
            edit
            for path in {path for hunk in commit.hunks for path in (hunk.path, hunk.old_path)}
            for edit in self._open.get(path, ())
            if edit.edit.tree == commit.tree and edit.edit.place <= commit.place
        }
        for edit, lines in here.items():
            rare = {
                line for line in edit.telling if self.counts[edit.digests[line]] <= TELLING_TIMES
            }
            if rare and len(lines & rare) >= HALF * len(rare):
                landing.add(edit)
        landing |= {edit for edit in here if edit.edit.key in self.landed}
        for edit in landing:
            key, path = edit.edit.key, edit.edit.path
            self.landed[key] = self.landed.get(key, edit.new) - here.get(edit, set())
            if not self.landed[key] and edit in self._open[path]:
                self._open[path].remove(edit)

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
        moved |= {line: was.lines for line, was in formatted.items()}
        telling = {line for line in moved if text.digests[line]}
        for line, sources in moved.items():
            is_whole = line in formatted and formatted[line].is_whole
            is_back = sources[-1].hunk.commit != text.hunk.commit
            near = len(telling.intersection(range(line - TELLING_LINES, line + TELLING_LINES + 1)))
            # nobody knows if a short line was moved within its hunk, or written again
            is_sorted = any(map(str.isalnum, text.keys[line])) and any(
                one.hunk is text.hunk and one.line == text.lines[line] for one in sources
            )
            is_likely = near or is_back or is_whole or is_sorted
            was = [former(one.hunk, one.number) for one in sources] if is_likely else [None]
            if (one := was[-1]) is None:
                continue
            edits = (self._edits.get(other.edit) if other else None for other in was)
            sessions = [edit.edit.session if edit else None for edit in edits]
            ranks = (other.rank if other else None for other in was)
            owners = {*zip(ranks, sessions, strict=True)}
            is_enough = is_back or is_whole or near >= TELLING_LINES
            is_sure = is_enough and len(owners) == 1
            is_form = any(
                where.hunk is text.hunk and where.line != text.lines[line] for where in sources
            )
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
    def formatted(self) -> "dict[int, _Formatted]":
        """Its added lines that a formatter or an indent may have made of removed lines.

        Compared are the tokens at the begin and at the end of each stretch of changed lines.
        """
        formatted: dict[int, _Formatted] = {}
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
                    formatted[at] = _Formatted(sources, is_whole)
            line, number = end, number + len(gone.lines)
        return formatted


class _Match(NamedTuple):
    """A stretch of equal tokens of a hunk and an edit.

    `pairs` has the added lines that are new in the edit: where each begins there, and its newness.
    `edit_lines` are the edit's new lines in it; `length` is the number of its lines with context,
    and `size` of its tokens.
    """

    text: _HunkText
    edit: _Edit
    pairs: tuple[tuple[int, int, int], ...]
    edit_lines: frozenset[int]
    length: int
    size: int
    is_aligned: bool = False
    is_draft: bool = False

    def fit(self) -> tuple[int, bool, bool]:
        """By what matches are sorted: the longest is the best."""
        return self.size, self.is_aligned, not self.is_draft

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


class _Formatted(NamedTuple):
    """The removed lines in whose place a line has their tokens.

    `is_whole` is true where all tokens of these came back, and half of what was removed there.
    """

    lines: list[_Removed]
    is_whole: bool


def _say_wordless(
    text: _HunkText, said: dict[int, Said], old: Mapping[int, Said], at_hand: Sequence[_Edit]
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
