"""How often the judge of lines is right on real histories, with ordinary days put into them.

`python -m bench.histories FOLDER_OF_A_CLONE…` replays the newest first-parent commits of each
clone (`--commits 300`; a clone at an older commit is another history). Chance (`--seed 1`) gives
each commit to an agent or a person. An agent's edits are made from the commit's diff as hooks
record them, and what a day does between the edit and the commit is undone in the edit: a
formatter, an indent, a moved file, a draft, a stash to another tree, a changed line, a person's
lines between, a whole write above a person's lines. So the tree stays the real one, and each
line's owner is known by construction. A line that its commit moved, broke or joined keeps its
owner. Agents also leave edits that are never committed, of lines that the tree has, and persons
copy from agents.

It prints, of an agent's lines, how many are told as a person's or are unknown; of persons' lines,
how many are told as the agent's, how many of these are neither moves nor copies, and how many are
unknown; then the processor time of an added line. Blank lines, and lines of one side that the other
moved within a commit, are not counted; persons' lines in an agent's row or commit, which have no
certain answer by design, are counted apart. Targets: told wrong 1 in 1,000 over all, 3 in 1,000 in
one history; unknown 6 % of an agent's lines, and 8 % of persons'.
"""

import argparse
import random
import re
import subprocess
import time
from collections import Counter, defaultdict
from collections.abc import Iterator
from difflib import SequenceMatcher
from itertools import groupby
from pathlib import Path
from typing import NamedTuple

from thence.trace.agents.judging import (
    AGENT,
    MAYBE,
    NONE,
    CommitText,
    EditText,
    Hunk,
    Judge,
    Said,
    digests,
)

TREES = ("main", "side")
TOLD = {AGENT: "agent", MAYBE: "unknown", NONE: "person"}
WRONG = {("agent", "person"), ("person", "agent"), ("person", "copy")}
AGENTS_DAYS = {
    "plain": 40,
    "formatter": 8,
    "indent": 8,
    "changed, squashed": 6,
    "changed, a person commits": 6,
    "a person's lines in the row": 6,
    "moved": 6,
    "draft": 6,
    "copied": 4,
    "another tree": 5,
    "whole write, file noted before": 8,
}
PERSONS_DAYS = {"plain": 70, "boilerplate": 20, "copies": 5, "copies of a draft": 1}
_HEAD = re.compile(r"@@ -(\d+)(?:,\d+)? \+(\d+)(?:,\d+)? @@")
_WORD = re.compile(r"[^\W\d_]{3,}")
_TOKENS = re.compile(r"""[^\s,;()'"\\`]+""")  # what a formatter leaves


class Line(NamedTuple):
    """Who wrote a line of the tree: "agent", "person" or "base"; and what was said of it."""

    owner: str
    said: Said | None


class Score:
    """What was said of the lines of both sides."""

    def __init__(self) -> None:
        self.lines: Counter[tuple[str, str, str]] = Counter()  # owner, answer, day
        self.seconds = 0.0
        self.judged = 0

    def share(self, owner: str, *answers: str, day: str | None = None) -> float:
        """Returns the part of an owner's lines, in %, that have one of these answers."""
        picked = Counter[str]()
        for (whose, answer, when), count in self.lines.items():
            if whose == owner and day in (None, when):
                picked[answer] += count
        return 100 * sum(picked[answer] for answer in answers) / max(picked.total(), 1)

    def total(self, owner: str, day: str | None = None) -> int:
        """Returns the number of an owner's lines."""
        return sum(
            count
            for (whose, _, when), count in self.lines.items()
            if whose == owner and day in (None, when)
        )


class Change(NamedTuple):
    """A file's change in a commit."""

    path: str
    old_path: str
    hunks: list[Hunk]
    is_new: bool


def git(clone: Path, *words: str) -> bytes:
    """Returns what git prints."""
    command = ["git", "-C", str(clone), "-c", "core.quotePath=false", *words]
    return subprocess.run(command, check=True, capture_output=True).stdout


def changes_of(clone: Path, before: str, after: str) -> list[Change]:
    """Returns the changed text files between two commits."""
    options = ("-r", "-p", "-U3", "-M", "--no-color", "--no-ext-diff", "--no-textconv")
    text = git(clone, "diff-tree", *options, before, after).decode(errors="replace")
    changes: list[Change] = []
    for part in re.split(r"^diff --git ", text, flags=re.MULTILINE)[1:]:
        head, *bodies = re.split(r"^(?=@@ -)", part, flags=re.MULTILINE)
        names = {line[:4]: line[4:].rstrip("\t") for line in head.split("\n")}
        if "+++ " not in names:
            if renamed := re.search(r"^rename from (.+)\nrename to (.+)$", head, re.MULTILINE):
                changes.append(Change(renamed[2], renamed[1], [], False))
            continue
        is_new, is_removed = (names[side] == "/dev/null" for side in ("--- ", "+++ "))
        path, old_path = names["+++ "][2:], names["--- "][2:]
        path, old_path = old_path if is_removed else path, path if is_new else old_path
        hunks = [hunk_of(path, old_path, body) for body in bodies]
        changes.append(Change(path, old_path, hunks, is_new))
    return changes


def hunk_of(path: str, old_path: str, body: str) -> Hunk:
    """Reads one hunk of a diff."""
    head, *lines = body.split("\n")
    match = _HEAD.match(head)
    assert match
    rows = tuple((line[0], line[1:]) for line in lines if line[:1] in ("+", "-", " "))
    old_start, start = (max(int(number), 1) for number in match.groups())
    return Hunk(path, old_path, start, old_start, rows)


class Played(NamedTuple):
    """What is known of a commit: its day, whose it is and is recorded as, the person's lines."""

    day: str
    is_agents: bool
    is_recorded_agents: bool
    persons: set[tuple[str, int]]


class Source(NamedTuple):
    """Who wrote a line that a commit moved; not sure if too few lines were moved with it."""

    owner: str
    is_sure: bool


class History:
    """One history as it is replayed."""

    is_telling = False

    def __init__(self, clone: Path, commits: int, seed: int) -> None:
        self.clone = clone
        self.chance = random.Random(seed)
        self.score = Score()
        self.place = 0
        rows = git(clone, "rev-list", "--first-parent", f"--max-count={commits + 1}", "HEAD")
        base, *self.commits = rows.decode().split()[::-1]
        self.tree: dict[str, list[str]] = {}
        self.lines: dict[str, list[Line]] = {}
        empty = git(clone, "hash-object", "-t", "tree", "/dev/null").decode().strip()
        for change in changes_of(clone, empty, base):
            self.tree[change.path] = applied([], change.hunks)
            self.lines[change.path] = [Line("base", None)] * len(self.tree[change.path])
        counts = Counter(
            digest for lines in self.tree.values() for digest in digests("\n".join(lines))
        )
        self.judge = Judge(counts)
        self.edits: dict[str, EditText] = {}

    def play(self) -> Score:
        """Replays all commits."""
        for commit in self.commits:
            changes = changes_of(self.clone, f"{commit}^1", commit)
            self.commit(commit, [change for change in changes if self.has_base_of(change)])
        return self.score

    def has_base_of(self, change: Change) -> bool:
        """Reports whether the file before the change is known; one that was binary is not."""
        last = max((hunk.old_start for hunk in change.hunks), default=0)
        return change.is_new or len(self.tree.get(change.old_path, ())) >= last

    def edit(self, path: str, tree: str, new: list[str], old: list[str]) -> None:
        """Lets the agent edit a file."""
        self.place += 2
        key = f"e{len(self.edits)}"
        texts = "\n".join(new), "\n".join(old)
        edit = EditText(key, path, tree, self.place, self.place - 1, *texts)
        self.edits[key] = edit
        begun = time.process_time()
        self.judge.add(edit)
        self.score.seconds += time.process_time() - begun

    def commit(self, commit: str, changes: list[Change]) -> None:
        """Plays a commit: the day before it, what is said of its lines, and how right that is."""
        is_agents = self.chance.random() < 0.5
        days = AGENTS_DAYS if is_agents else PERSONS_DAYS
        day = self.chance.choices([*days], [*days.values()])[0]
        is_recorded_agents = (
            is_agents and day != "changed, a person commits" and self.chance.random() < 0.5
        )
        tree = self.chance.choice(TREES)
        if self.chance.random() < 0.3 or day == "boilerplate":
            self.leave_boilerplate(tree)
        persons: set[tuple[str, int]] = set()  # lines of the commit that are not the agent's
        if is_agents:
            for change in changes:
                persons |= self.day_of_agent(day, tree, change)
        elif day.startswith("copies"):
            self.copied(day, tree, changes)
        hunks = tuple(hunk for change in changes for hunk in change.hunks)
        self.place += 1
        text = CommitText(commit, tree, self.place, hunks)
        begun = time.process_time()
        said = self.judge.judge(text, self.former)
        self.score.seconds += time.process_time() - begun
        self.score.judged += len(said)
        self.count(changes, said, Played(day, is_agents, is_recorded_agents, persons))

    def former(self, hunk: Hunk, number: int) -> Said | None:
        """Returns what was said of a line of the tree before the commit."""
        return self.lines[hunk.old_path][number - 1].said

    def day_of_agent(self, day: str, tree: str, change: Change) -> set[tuple[str, int]]:
        """Makes the edits of a file; returns the lines that are a person's all the same."""
        chance, persons = self.chance, set[tuple[str, int]]()
        path, where = change.path, tree
        if day == "moved":
            path = f"old/{path}"
        elif day == "draft":
            path = f"draft_{chance.randrange(10**6)}.py"
        elif day == "another tree":
            where = next(name for name in TREES if name != tree)
        if day == "whole write, file noted before":
            return self.write_whole(tree, change)
        for hunk in change.hunks:
            rows = []  # the hunk after the edit, and the number of each line in the commit
            number = hunk.start
            for sign, line in hunk.lines:
                rows.append((sign, line, number))
                number += sign != "-"
            plus = [row for row in rows if row[0] == "+"]
            worded = [row for row in plus if _WORD.search(row[1])]
            if day.startswith("changed") and worded:
                row = chance.choice(worded)
                at = rows.index(row)
                rows[at] = ("+", changed(row[1], chance), row[2])
                persons.add((change.path, row[2]))
            elif day == "a person's lines in the row" and len(plus) >= 4:
                first = chance.randrange(1, len(plus) - 2)
                dropped = plus[first : first + chance.randint(1, 2)]
                rows = [row for row in rows if row not in dropped]
                persons |= {(change.path, number) for _, _, number in dropped}
            old = [line for sign, line, _ in rows if sign != "+"]
            new = [line for sign, line, _ in rows if sign != "-"]
            if not any(sign == "+" for sign, _, _ in rows):
                continue
            if day == "formatter":
                new = unformatted(new, chance)
            elif day == "indent":
                new = indented(new)
            elif day in ("draft", "copied"):
                self.edit(
                    path if day == "draft" else f"draft_{chance.randrange(10**6)}.py",
                    where,
                    [line for sign, line, _ in rows if sign == "+"],
                    [],
                )
            if day != "draft":
                self.edit_hunk(path, where, old, new)
        return persons

    def edit_hunk(self, path: str, tree: str, old: list[str], new: list[str]) -> None:
        """Edits a hunk, with up to 3 lines of context, at times in two steps."""
        before, after = self.chance.randrange(4), self.chance.randrange(4)
        while before < 3 and old and new and old[0] == new[0]:
            old, new, before = old[1:], new[1:], before + 1
        while after < 3 and old and new and old[-1] == new[-1]:
            old, new, after = old[:-1], new[:-1], after + 1
        if self.chance.random() < 0.15 and len(new) > 6:  # a first try, mended by the next edit
            first = [changed(line, self.chance) if at == 3 else line for at, line in enumerate(new)]
            self.edit(path, tree, first, old)
            self.edit(path, tree, new[2:5], first[2:5])
        else:
            self.edit(path, tree, new, old)

    def write_whole(self, tree: str, change: Change) -> set[tuple[str, int]]:
        """Writes the whole file; the first hunk of several was a person's, and not committed."""
        old = self.tree.get(change.old_path, [])
        before = applied(old, change.hunks[:1]) if len(change.hunks) > 1 else old
        new = applied(old, change.hunks)
        if change.hunks:
            self.edit(change.path, tree, new, before)
        if len(change.hunks) < 2:
            return set()
        return {(change.path, number) for number, _ in added(change.hunks[0])}

    def leave_boilerplate(self, tree: str) -> None:
        """Lets the agent write a file that is never committed, of lines that the house has."""
        paths = [path for path, lines in self.tree.items() if len(lines) > 10]
        if paths:
            lines = self.tree[self.chance.choice(paths)]
            at = self.chance.randrange(len(lines) - 5)
            short = [line for line in lines[at : at + 30] if sum(map(str.isalnum, line)) < 20]
            word = f"scratch_{self.chance.randrange(10**9)}"
            self.edit(f"{word}.py", tree, [*short[:8], f"{word} = {word}_value"], [])

    def copied(self, day: str, tree: str, changes: list[Change]) -> None:
        """Lets an agent write, and commit, what the person's commit will copy."""
        hunks = [hunk for change in changes for hunk in change.hunks]
        rows = [[line for _, line in added(hunk)] for hunk in hunks]
        if rows := [row for row in rows if len(row) >= 4]:
            row = self.chance.choice(rows)
            at = self.chance.randrange(len(row) - 3)
            word = f"copied_{self.chance.randrange(10**9)}"
            lines = [f"{word}_first = 1", *row[at : at + self.chance.randint(3, 10)], f"{word} = 2"]
            self.edit(f"{word}.py", tree, lines, [])
            if day == "copies":
                hunk = Hunk(f"{word}.py", f"{word}.py", 1, 1, tuple(("+", line) for line in lines))
                self.place += 1
                self.judge.judge(CommitText(word, tree, self.place, (hunk,)), self.former)

    def count(
        self,
        changes: list[Change],
        said: dict[tuple[str, int], Said],
        commit: Played,
    ) -> None:
        """Counts what is said of each line, and takes the commit into the tree."""
        moves = self.moves([hunk for change in changes for hunk in change.hunks])
        side = "agent" if commit.is_agents else "person"
        for change in changes:
            before, lines = self.lines.get(change.old_path, []), list[Line]()
            at = 0
            for hunk in change.hunks:
                lines += before[at : hunk.old_start - 1]
                at = hunk.old_start - 1
                texts = [line for sign, line in hunk.lines if sign != "-"]
                is_mixed = any((hunk.path, number) in commit.persons for number, _ in added(hunk))
                for sign, line in hunk.lines:
                    if sign == " ":
                        lines.append(before[at])
                    at += sign != "+"
                    if sign != "+":
                        continue
                    key = (hunk.path, len(lines) + 1)
                    owner = "person" if key in commit.persons else side
                    group, answer = owner, said[key]
                    if (source := moves.get(key)) and source.owner != owner:
                        group = f"{source.owner}'s, moved by the {owner}"
                        is_one = source.is_sure and source.owner != "one of both"
                        owner = source.owner if is_one else owner
                    elif owner == "person" and (commit.is_recorded_agents or is_mixed):
                        group = "person's, in an agent's row or commit"
                    told = TOLD[answer.rank]
                    if told == "person" and commit.is_recorded_agents:
                        told, answer = "unknown", Said(MAYBE)
                    if group == "person" and told == "agent":
                        told = self.copied_or_agents(answer, texts, key[1] - hunk.start)
                    if line.strip():
                        self.score.lines[group, told, commit.day] += 1
                        if self.is_telling and (group, told) in WRONG:
                            print(f"{group} told {told}: {commit.day}: {hunk.path}: {line}")
                            print(f"    {answer} {self.edits.get(answer.edit)}"[:300])
                    lines.append(Line(owner, answer))
            self.lines[change.path] = lines + before[at:]
            self.tree[change.path] = applied(self.tree.get(change.old_path, []), change.hunks)

    def moves(self, hunks: list[Hunk]) -> dict[tuple[str, int], Source]:
        """Returns who wrote the lines that the commit removed in one place and added in another."""
        removed: dict[str, list[tuple[Hunk, Line]]] = defaultdict(list)
        for hunk in hunks:
            number = hunk.old_start - 1
            for sign, line in hunk.lines:
                if sign == "-" and (key := words_of(line)):
                    removed[key].append((hunk, self.lines[hunk.old_path][number]))
                number += sign != "+"
        moves: dict[tuple[str, int], Source] = {}
        for hunk in hunks:
            moves |= {(hunk.path, number): source for number, source in self.formatted(hunk)}
            rows = {number: line for number, line in added(hunk) if words_of(line) in removed}
            wordless = [number for number, line in added(hunk) if not words_of(line)]
            for number, line in rows.items():
                near = (rows[at] for at in range(number - 3, number + 4) if at in rows)
                telling = sum(bool([*digests(other)]) for other in near)
                if not telling:
                    continue  # a bracket is no move
                owners = {was.owner for where, was in removed[words_of(line)]}
                here = [was for where, was in removed[words_of(line)] if where is hunk]
                if (
                    here
                    and ("-", line) not in hunk.lines
                    and all(was.owner != "agent" for was in here)
                ):
                    continue  # who changes the form of a person's line has written it
                owner = owners.pop() if len(owners) == 1 else "one of both"
                moves[hunk.path, number] = Source(owner, telling >= 3)
            for number in wordless:  # belongs to the line before
                if source := moves.get((hunk.path, number - 1)):
                    moves[hunk.path, number] = source
        return moves

    def formatted(self, hunk: Hunk) -> Iterator[tuple[int, Source]]:
        """Yields who wrote the lines that a commit broke, joined or indented in their place.

        Their words stand together in the removed ones, of which half came back. As with other
        moves, what was nobody's but a person's is written by whoever changes its form.
        """
        number, old_number = hunk.start, hunk.old_start
        for is_changed, group in groupby(hunk.lines, key=lambda row: row[0] != " "):
            rows = [*group]
            old = worded(rows if is_changed else [], "+", old_number)
            new = worded(rows if is_changed else [], "-", number)
            owners = {line: self.lines[hunk.old_path][line - 1].owner for line, _ in old}
            sides = [[word for _, word in side] for side in (old, new)]
            matcher = SequenceMatcher(None, *sides, autojunk=False)
            blocks = matcher.get_matching_blocks() if "agent" in owners.values() else []
            whole = Counter(line for line, _ in new)
            is_half = 2 * sum(block.size for block in blocks) >= len(old)
            for block in blocks if is_half else ():
                pairs = [(new[block.b + at][0], old[block.a + at][0]) for at in range(block.size)]
                for line, count in Counter(line for line, _ in pairs).items():
                    if count == whole[line]:
                        own = {owners[other] for at, other in pairs if at == line}
                        yield line, Source(own.pop() if len(own) == 1 else "one of both", True)
            number += sum(sign != "-" for sign, _ in rows)
            old_number += sum(sign != "+" for sign, _ in rows)

    def copied_or_agents(self, answer: Said, texts: list[str], at: int) -> str:
        """Tells lines that truly are an agent's text, moved or copied, from others."""
        edit = self.edits[answer.edit]
        here = {*digests("\n".join(texts[max(at - 6, 0) : at + 7]))}
        return "copy" if len(here & {*digests(edit.new)}) >= 3 else "agent"


def added(hunk: Hunk) -> list[tuple[int, str]]:
    """Returns the numbers and texts of a hunk's added lines."""
    lines = [row for row in hunk.lines if row[0] != "-"]
    return [(number, line) for number, (sign, line) in enumerate(lines, hunk.start) if sign == "+"]


def applied(lines: list[str], hunks: list[Hunk]) -> list[str]:
    """Returns a file after some of the hunks of its change."""
    after: list[str] = []
    at = 0
    for hunk in hunks:
        after += lines[at : hunk.old_start - 1]
        at = hunk.old_start - 1 + sum(sign != "+" for sign, _ in hunk.lines)
        after += [line for sign, line in hunk.lines if sign != "-"]
    return after + lines[at:]


def words_of(line: str) -> str:
    """Returns a line without what a formatter changes."""
    return "".join(_TOKENS.findall(line))


def worded(rows: list[tuple[str, str]], other: str, start: int) -> list[tuple[int, str]]:
    """Returns the words of the lines of one side, each with the number of its line."""
    lines = enumerate((line for sign, line in rows if sign != other), start)
    return [(number, word) for number, line in lines for word in _TOKENS.findall(line)]


def changed(line: str, chance: random.Random) -> str:
    """Returns a line with one word changed."""
    words = [*_WORD.finditer(line)]
    if not words:
        return f"{line} changed"
    word = chance.choice(words)
    return f"{line[: word.start()]}{word[0][::-1]}x{line[word.end() :]}"


def unformatted(lines: list[str], chance: random.Random) -> list[str]:
    """Returns lines as before a formatter: joined, with other quotes, spaces and commas."""
    before: list[str] = []
    for line in lines:
        if before and before[-1].rstrip().endswith(("(", "[", "{", ",")) and chance.random() < 0.7:
            before[-1] = before[-1].rstrip() + " " + line.strip()
        else:
            before.append(line)
    return [re.sub(r",\s*([)\]}])", r"\1", line).replace('"', "'") for line in before]


def indented(lines: list[str]) -> list[str]:
    """Returns lines with another indent."""
    if all(line.startswith("    ") for line in lines if line.strip()):
        return [line[4:] for line in lines]
    return [f"    {line}" if line.strip() else line for line in lines]


def print_score(name: str, score: Score) -> None:
    """Prints one row of the table."""
    wrong_, unknown_ = (score.share("agent", told) for told in ("person", "unknown"))
    copies, wrong, unknown = (
        score.share("person", *told) for told in (("copy", "agent"), ("agent",), ("unknown",))
    )
    cost = 1000 * score.seconds / max(score.judged, 1)
    print(
        f"{name[:24]:<24} {score.total('agent'):>8,} {wrong_:>9.3f} {unknown_:>9.2f}"
        f" {score.total('person'):>9,} {copies:>8.3f} {wrong:>8.3f} {unknown:>9.2f} {cost:>8.2f}"
    )


def main() -> None:
    """Prints a row for each history, one for all, and what days do."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("clones", nargs="+", type=Path)
    parser.add_argument("--commits", type=int, default=300)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--tell", action="store_true", help="print each line that is told wrong")
    args = parser.parse_args()
    print(f"{'':<24} agent's  % person % unknown  person's  % agent   (own) % unknown ms a line")
    together = Score()
    for clone in args.clones:
        history = History(clone, args.commits, args.seed)
        history.is_telling = args.tell
        score = history.play()
        print_score(clone.name, score)
        together.lines += score.lines
        together.seconds += score.seconds
        together.judged += score.judged
    print_score("together", together)
    for group in sorted({group for group, _, _ in together.lines}):
        days = sorted({day for whose, _, day in together.lines if whose == group})
        for day in [None, *days]:
            told = {
                answer: together.share(group, answer, day=day)
                for answer in ("agent", "copy", "unknown", "person")
            }
            print(
                f"  {group if day is None else '  ' + day:<48} {together.total(group, day):>8,}",
                "".join(f"  {answer} {share:.2f} %" for answer, share in told.items() if share),
            )


if __name__ == "__main__":
    main()
