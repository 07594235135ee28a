"""Random histories of a package and its target, made by real git, with their truth beside them.

Each commit of the package is a unit whose truth is by construction: a word that is nowhere else, a
row that is away, a row that is indented, a text that is there once more than without the package.
Whoever edits a word on main tells the truth the new one. No path, hunk or commit is asked, and what
happens never depends on an answer. `python -m tests.work.landing_histories [COUNT [SEED]]` plays
many and tells what came of it.
"""

import random
import re
import shutil
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

from msgspec import structs
from tests.git.repositories import make_repository, own_variables, write

from thence.git.landed import (
    Landed,
    Landing,
    Question,
    Reviewed,
    landings,
    reviewed_of,
)
from thence.git.repository import repository

ROWS = 24
STANZA = ["def helper(self):", "    return self.stanza_0", ""]
TWIN = "twin_0 = make(both, alike)"
BINARY = "image"


def plain(name: str) -> list[str]:
    rows = [f"{name}_{n} = make({name}, item_{n}, {'abcdefgh'[n % 8]})" for n in range(ROWS)]
    rows[5:5] = rows[17:17] = STANZA if name == "code" else [TWIN]
    return rows


BASE = {
    **{f"{name}.py": "".join(f"{row}\n" for row in plain(name)) for name in ("code", "other")},
    BINARY: b"\0begin\n",
}
LANDED, GONE, NEVER, PART = "landed", "gone, told landed", "never merged, told landed", "in part"
REVERTED, STANDS, NOT_FOUND = "reverted", "stands, told reverted", "not found"
FAULTS = (GONE, NEVER, STANDS)


class Unit:
    """What one commit of the package does; `forms` are the texts that say that it is there."""

    def __init__(self, kind: str, form: str, before: str = "") -> None:
        self.kind, self.forms, self.before = kind, {form}, before

    def is_in(self, texts: list[str], own: Counter[str]) -> bool:
        def count(form: str) -> int:
            return sum(len(re.findall(rf"\b{form}\b", text)) for text in texts)

        form = min(self.forms)
        if self.kind == "exact":
            return any(row in self.forms for text in texts for row in text.split("\n"))
        if self.kind == "more":
            return count(form) > own[form]
        if self.kind == "fewer":
            return count(form) < own[form]
        return any(map(count, self.forms))


class History:
    """A package on a branch in a worktree, and its target `main` in the main working tree."""

    def __init__(self, project: Path, chance: random.Random) -> None:
        self.project, self.tree = project, project.parent / "tree"
        self.folder, self.chance = project, chance
        self.played: list[str] = []
        self.units: list[Unit] = []  # what the package wants
        self.dropped: list[Unit] = []  # what it took back itself
        self.touched: set[str] = set()  # rows of main that the package changes, by their first word
        self.own = Counter({"stanza_0": 2, "twin_0": 2})  # equal texts without the package
        self.brought: list[str] = []
        self.mixed: set[str] = set()
        self.undone: list[str] = []
        self._number = 0
        self.git("worktree", "add", "--quiet", "-b", "work", self.tree, "main")
        self.base = self.head("main")

    def git(self, *arguments: object, check: bool = True) -> str:
        command = ["git", *map(str, arguments)]
        ended = subprocess.run(command, cwd=self.folder, capture_output=True, env=own_variables())
        assert not check or ended.returncode == 0, (command, ended.stderr, self.played)
        return ended.stdout.decode("utf-8", "replace").strip() if not ended.returncode else ""

    def head(self, name: str = "HEAD") -> str:
        return self.git("rev-parse", name)

    def attempt(self, *arguments: object) -> bool:
        """Run a command of git that may conflict; then it is as if it had not been tried."""
        before = self.head()
        self.git(*arguments, check=False)
        if self.git("status", "--porcelain", "--untracked-files=no") or (
            self.folder == self.tree
            and not self.git("symbolic-ref", "--quiet", "HEAD", check=False)
        ):
            for operation in ("rebase", "cherry-pick", "revert", "merge"):
                self.git(operation, "--abort", check=False)
            self.git("reset", "--quiet", "--hard", before)
        return self.head() != before

    def files(self) -> dict[str, list[str]]:
        names = self.git("ls-files").split()
        texts = {name: (self.folder / name).read_text() for name in names if name != BINARY}
        return {name: text.split("\n")[:-1] for name, text in texts.items() if name != "README.md"}

    def commit(self, message: str, **files: list[str]) -> None:
        write(
            self.folder, {name: "".join(f"{row}\n" for row in rows) for name, rows in files.items()}
        )
        for name, rows in files.items():
            if not any(rows):
                (self.folder / name).unlink()
        self.git("add", "--all")
        self.git("commit", "--quiet", "--allow-empty", "--message", message)

    def word(self) -> str:
        self._number += 1
        return f"w{self._number}"

    def row(self, word: str) -> str:
        return f"{word} = make({self.chance.choice(['call', 'mine', 'item_3'])}, {word}_x)"

    # -- the package's commits

    def work(self) -> None:
        name, rows = self.chance.choice([*self.files().items()])
        word = self.word()
        at = self.chance.randrange(len(rows) + 1)
        free = [n for n, row in enumerate(rows) if re.match(r"(code|other)_\d+ ", row)]
        twins = [n for n, row in enumerate(rows) if row == TWIN]
        mine = [n for n, row in enumerate(rows) if re.match(r"w\d+ ", row)]
        kinds = ["insert", "insert", "replace", "beside", "block", "file", "binary", "stanza"]
        kinds += ["twice", "twin", "twin away", "delete", "indent", "nothing", "back"]
        kind = self.chance.choice(kinds)
        unit: Unit | None = Unit("word", word)
        if kind in ("replace", "delete", "indent") and free:
            at = self.chance.choice(free)
            before, first = rows[at], rows[at].split(" ")[0]
            self.touched.add(first)
            if kind == "indent":
                rows[at] = f"   {before}"
                unit = Unit("exact", rows[at], before)
            elif kind == "delete":
                del rows[at]
                unit = Unit("fewer", first, before)
                self.own[first] = 1
            else:
                rows[at] = self.row(word)
                unit = Unit("word", word, before)
        elif kind in ("twin", "twin away") and twins:
            at = self.chance.choice(twins)
            rows[at : at + 1] = [self.row(word)] if kind == "twin" else []
            unit = Unit("word", word, TWIN) if kind == "twin" else Unit("fewer", "twin_0", TWIN)
        elif kind == "stanza":
            rows[at:at] = STANZA
            unit = Unit("more", "stanza_0")
        elif kind == "block":
            rows[at:at] = [self.row(word), f"{word}.go(1)", f"return {word}"]
        elif kind == "file":
            name, rows = (
                f"{word}.py",
                [f"def {word}_x():", self.row(word), "", f"    return {word}"],
            )
        elif kind == "binary":
            image = self.folder / BINARY
            image.write_bytes(image.read_bytes() + f"{word} \0\n".encode())
        elif kind == "nothing":
            unit = None
        elif kind == "back" and self.units:
            self.take_back(self.chance.choice(self.units))
            return
        else:
            at = self.chance.choice(mine) + 1 if kind == "beside" and mine else at
            rows[at:at] = [self.row(word)]
            if kind == "twice":
                rows[:0] = [rows[at]]
        self.played.append(f"work {kind} {word} {name}")
        self.commit(kind, **({} if kind in ("binary", "nothing") else {name: rows}))
        self.units += [unit] if unit else []

    def take_back(self, unit: Unit) -> None:
        if unit.kind == "word" and not any(form.startswith("w") for form in unit.forms):
            return
        if self.without(unit):
            self.units.remove(unit)
            self.dropped.append(unit)

    def without(self, *units: Unit, and_more: bool = False) -> bool:
        """Commit the text without units, with what was there before in their place."""
        files = self.files()
        if and_more:
            self._edit(files, is_far=True)
        for rows in files.values():
            for unit in units:
                if unit.kind in ("word", "exact"):
                    self._remove(rows, unit)
        before = self.head()
        self.commit("without", **files)
        if not self.git("diff", "--name-only", before, "HEAD"):
            self.git("reset", "--quiet", "--hard", before)
            return False
        self.played.append(f"without {[min(unit.forms) for unit in units]}")
        return True

    def _remove(self, rows: list[str], unit: Unit) -> None:
        pattern = re.compile(rf"\b({'|'.join(map(re.escape, unit.forms))})(_x)?\b")
        is_first = True
        for at in reversed(range(len(rows))):
            if at >= len(rows):
                continue
            if (rows[at] in unit.forms) if unit.kind == "exact" else pattern.search(rows[at]):
                end = at + 1
                if rows[at].rstrip(";").endswith("(") or rows[at].strip().endswith(","):
                    while end < len(rows) and ")" not in rows[end - 1]:  # a formatter broke it
                        end += 1
                begin = at
                while rows[begin].strip().endswith(",") and "(" not in rows[begin]:
                    begin -= 1
                rows[begin:end] = [unit.before] if unit.before and is_first else []
                is_first = False

    # -- what others do on main

    def others(self) -> None:
        ways = [self.edit, self.edit, self.edit, self.edit, self.stanza, self.move_file]
        ways += [self.move_rows, self.move_rows, self.format, self.edit_own, self.edit_own]
        does = self.chance.choice(ways)
        self.played.append(does.__name__)
        does()

    def _edit(self, files: dict[str, list[str]], *, is_far: bool = False) -> None:
        """Edit a row that is not the package's, often beside one that is, or far from them."""
        places = [
            (rows, n)
            for rows in files.values()
            for n, row in enumerate(rows)
            if (match := re.match(r" *((?:code|other|e\d+)_\d+) ", row))
            and match[1] not in self.touched
            and row.rstrip(";").endswith(")")
        ]
        near = [
            (rows, n)
            for rows, n in places
            if any(re.search(r"\bw\d+\b", row) for row in rows[max(0, n - 2) : n + 3])
        ]
        if is_far:
            places = [place for place in places if place not in near]
        elif near and self.chance.random() < 0.6:
            places = near
        if places:
            rows, at = self.chance.choice(places)
            new = f"e{self.word()[1:]}_0 = make(edited, {rows[at].split(' ')[-1]}"
            choice = self.chance.random()
            rows[at : at + (choice > 0.3)] = [new] if choice < 0.8 else []

    def edit(self) -> None:
        files = self.files()
        self._edit(files)
        self.commit("edit", **files)

    def stanza(self) -> None:
        name, rows = self.chance.choice([*self.files().items()])
        at = self.chance.randrange(len(rows) + 1)
        rows[at:at] = STANZA
        self.own["stanza_0"] += 1
        self.commit("stanza", **{name: rows})

    def move_file(self) -> None:
        name = self.chance.choice([*self.files()])
        new = f"{self.word()[1:]}moved.py"
        self.git("mv", name, new)
        files = self.files()
        if self.chance.random() < 0.3:
            self._edit(files)
        self.commit("move file", **files)

    def move_rows(self) -> None:
        files = self.files()
        rows, other = (self.chance.choice([*files.values()]) for _ in range(2))
        begin = self.chance.randrange(len(rows) + 1)
        block = rows[begin : begin + self.chance.randint(2, 8)]
        del rows[begin : begin + len(block)]
        at = self.chance.randrange(len(other) + 1)
        other[at:at] = block
        self.commit("move rows", **files)

    def format(self) -> None:
        kind = self.chance.choice(["calls", "semicolons", "indent", "blanks"])
        files = self.files()
        for name, rows in files.items():
            new = list[str]()
            for row in rows:
                call = re.fullmatch(r"( *)(\w+ = make\()(\w+), (\w+)(.*)(\);?)", row)
                if kind == "calls" and call:
                    blanks, head, *parts, tail, end = call.groups()
                    parts += [part for part in tail.split(", ") if part]
                    made = [f"{blanks}{head}", *(f"{blanks}    {part}," for part in parts)]
                    made.append(f"{blanks}{end}")
                elif kind == "semicolons" and row.endswith(")"):
                    made = [f"{row};"]
                elif kind == "indent" and row:
                    made = [f"    {row}"]
                elif kind == "blanks":
                    made = [row.replace(", ", ",  ").replace("make(", "make( ")]
                else:
                    made = [row]
                for unit in (*self.units, *self.dropped):
                    if unit.kind == "exact" and row in unit.forms:
                        unit.forms |= {made[0]}
                new += made
            files[name] = new
        self.played[-1] += f" {kind}"
        self.commit("format", **files)

    def edit_own(self) -> None:
        """Edit rows of the package, and tell the truth the word that is there now."""
        texts = self.texts()
        units = [one for one in self.units if one.kind == "word" and one.is_in(texts, self.own)]
        if not units:
            return
        is_all = self.chance.random() < 0.4
        is_one_by_one = self.chance.random() < 0.5
        is_wide = self.chance.random() < 0.4
        files = self.files()
        for unit in units if is_all else [self.chance.choice(units)]:
            new = self.word()
            is_edited = False
            for rows in files.values():
                for at, row in enumerate(rows):
                    for form in sorted(unit.forms):
                        row = re.sub(rf"\b{form}(_x)?\b", rf"{new}\1", row)
                    if row != rows[at]:
                        rows[at] = row.replace("make", "build") if is_wide else row
                        is_edited = True
            if is_edited:
                unit.forms.add(new)
            if is_one_by_one:
                self.commit("edit own", **files)
        self.commit("edit own", **files)

    # -- how code comes

    def bring(self) -> None:
        ways = [self.merge, self.merge, self.forward, self.squash, self.squash, self.rebase]
        ways += [self.pick, self.pick_some, self.drop, self.merge_nothing]
        if not self.undone:  # of what comes again so a person has to name the commit
            ways += [self.suggest_squash, self.suggest_merge]
        way = self.chance.choice(ways)
        before = self.head()
        self.played.append(way.__name__)
        way()
        self.brought += reversed(self.git("rev-list", "--first-parent", f"{before}..HEAD").split())

    def merge(self) -> None:
        self.attempt("merge", "--quiet", "--no-ff", "--no-edit", "work")

    def forward(self) -> None:
        self.attempt("merge", "--quiet", "--ff-only", "work")

    def merge_nothing(self) -> None:
        self.attempt("merge", "--quiet", "--no-ff", "--no-edit", "--strategy=ours", "work")

    def _staged(self, *options: str, then: Callable[[], None] | None = None) -> None:
        before = self.head()
        self.git("merge", "--quiet", *options, "work", check=False)
        if self.git("ls-files", "--unmerged"):
            self.git("reset", "--quiet", "--hard", before)
        elif self.git("diff", "--cached", "--name-only"):
            if then:
                then()
            else:
                self.git("commit", "--quiet", "--message", "squashed")

    def squash(self) -> None:
        self._staged("--squash")

    def suggest_squash(self) -> None:
        self._staged("--squash", then=self._suggest)

    def suggest_merge(self) -> None:
        self._staged("--no-ff", "--no-commit", then=self._suggest)

    def _suggest(self) -> None:
        units, self.units = self.units, [*self.units]
        self.chance.shuffle(self.units)
        self.units = [one for one in self.units if one.kind == "word"][:1]
        self.edit_own()
        self.units = units
        if self.git("diff", "--cached", "--name-only"):
            self.commit("as it was")

    def drop(self) -> None:
        def then() -> None:
            units = [one for one in self.units if one.kind == "word"]
            files = self.files()
            if units:
                unit = self.chance.choice(units)
                for rows in files.values():
                    self._remove(rows, unit)
            self.commit("merge in part", **files)

        self._staged("--no-ff", "--no-commit", then=then)

    def rebase(self) -> None:
        self.git("checkout", "--quiet", "--detach", "work")
        self.attempt("rebase", "--quiet", "main")
        rebased = self.head()
        self.git("checkout", "--quiet", "main")
        self.attempt("merge", "--quiet", "--ff-only", rebased)

    def _own(self) -> list[str]:
        return self.git("rev-list", "--reverse", "--no-merges", "main..work").split()

    def pick(self) -> None:
        for commit in self._own():
            self.attempt("cherry-pick", commit)

    def pick_some(self) -> None:
        own = self._own()
        for commit in own[: self.chance.randrange(len(own) + 1)]:
            self.attempt("cherry-pick", commit)

    # -- how it goes

    def undo(self) -> None:
        way = self.chance.choice(
            [self.revert_all, self.revert_all, self.revert_one, self.by_hand, self.by_hand]
        )
        before = self.head()
        self.played.append(way.__name__)
        way()
        self.undone += reversed(self.git("rev-list", "--first-parent", f"{before}..HEAD").split())

    def _revert(self, commit: str) -> bool:
        is_merge = len(self.git("rev-list", "--parents", "-1", commit).split()) > 2
        return self.attempt("revert", "--no-edit", *(("-m", "1") if is_merge else ()), commit)

    def revert_all(self) -> None:
        for commit in reversed(self.brought):
            self._revert(commit)

    def revert_one(self) -> None:
        if self.brought:
            self._revert(self.chance.choice(self.brought))

    def by_hand(self) -> None:
        texts = self.texts()
        units = [one for one in self.units if one.kind in ("word", "exact")]
        units = [one for one in units if one.is_in(texts, self.own)]
        if units:
            count = len(units) if self.chance.random() < 0.6 else self.chance.randint(1, len(units))
            is_more = self.chance.random() < 0.3
            self.without(*self.chance.sample(units, count), and_more=is_more)
            if is_more:  # who takes it back takes back what was not the package's
                self.mixed.add(self.head())

    def back(self) -> None:
        """Revert the reverts."""
        before = self.head()
        for commit in reversed(self.undone[-3:]):
            self._revert(commit)
        self.played.append("revert of the revert")
        self.brought += reversed(self.git("rev-list", "--first-parent", f"{before}..HEAD").split())

    # -- handed in again

    def again(self) -> None:
        self.folder = self.tree
        choice = self.chance.random()
        self.played.append("again")
        if choice < 0.5 and self.attempt("merge", "--quiet", "--no-edit", "main"):
            self.played.append("took main in")
            if self.chance.random() < 0.6:
                for commit in reversed([one for one in self.undone if one not in self.mixed]):
                    self._revert(commit)
                self.played.append("took the reverts back")
        elif choice < 0.8:
            self.attempt("rebase", "--quiet", "main")
            self.played.append("rebased")
        if self.chance.random() < 0.7:
            self.work()
        self.folder = self.project

    # -- the truth

    def texts(self) -> list[str]:
        names = [name for name in self.git("ls-files").split() if name != "README.md"]
        return [(self.folder / name).read_bytes().decode("utf-8", "replace") for name in names]

    def standing(self) -> list[bool]:
        """Return of each unit whether it is in main."""
        texts = self.texts()
        return [unit.is_in(texts, self.own) for unit in self.units]


class Play:
    """A history whose package is asked for after each step, and the tally of what was told."""

    def __init__(self, project: Path, chance: random.Random) -> None:
        self.history, self.chance = History(project, chance), chance
        self.repo = repository(project)
        self.kept: dict[str, bytes] = {}
        self.reviews: tuple[Reviewed, ...] = ()
        self.landed: Landed | None = None
        self.has_come = False
        self.tally: Counter[str] = Counter()
        self.faults: list[str] = []

    def hand_in(self) -> None:
        tip, target = self.history.head("work"), self.history.head("main")
        before = self.reviews[-1].commit if self.reviews else None
        code, _ = reviewed_of(self.repo, self.history.base, tip, target, before=before)
        self.reviews = (*self.reviews, code)
        self.landed = None

    def ask(self) -> None:
        """Ask as a command does, and anew what is kept; judge the answer by the truth."""
        history, target = self.history, self.history.head("main")
        code = structs.replace(self.reviews[-1], earlier=self.reviews[:-1])
        question = Question(code, self.landed)
        (answer,) = landings(self.repo, target, [question], self.kept)
        if self.chance.random() < 0.3:
            (anew,) = landings(self.repo, target, [question])
            assert anew == answer or not self.landed, (anew, answer, history.played)
        standing = history.standing()
        self.has_come = self.has_come or any(standing)
        word = self.judge(answer, standing) if standing else "nothing in it"
        self.tally[word] += 1
        if word in FAULTS:
            forms = [sorted(unit.forms) for unit in history.units]
            self.faults.append(f"{word} ({answer.landed}): {history.played}: {forms}: {standing}")
        self.landed = self.landed or answer.landed

    def judge(self, answer: Landing, standing: list[bool]) -> str:
        if answer.is_there:
            return LANDED if any(standing) else GONE if self.has_come else NEVER
        if answer.reverts:
            is_there = bool(standing) and all(standing)
            return STANDS if is_there else f"{PART}, told reverted" if any(standing) else REVERTED
        if standing and all(standing):
            return NOT_FOUND
        return f"{PART}, not landed" if any(standing) else "not landed"

    def play(self) -> None:
        history, chance = self.history, self.chance
        history.folder = history.tree
        for _ in range(chance.randint(1, 3)):
            history.work()
        history.folder = history.project
        if chance.random() < 0.5:
            history.others()
        self.hand_in()
        for _ in range(chance.randint(2, 8)):
            if chance.random() < 0.4:
                history.others()
            standing, choice = history.standing(), chance.random()
            if any(standing) and choice < 0.45:
                history.undo()
            elif any(standing) and choice < 0.8:
                history.others()
            elif history.undone and choice < 0.6:
                history.back()
            elif (history.undone and choice < 0.85) or choice < 0.1:
                history.again()
                self.hand_in()
            else:
                history.bring()
            self.ask()


def template(folder: Path) -> Path:
    """Make a repository to be copied."""
    return make_repository(folder, BASE)


def play(project: Path, folder: Path, seed: int) -> Play:
    """Play one history in a copy of a project."""
    one = Play(shutil.copytree(project, folder / "project", symlinks=True), random.Random(seed))
    one.play()
    return one


def played(first: int, count: int) -> Iterator[tuple[int, Play]]:
    """Play histories from one seed on."""
    with tempfile.TemporaryDirectory() as name:
        project = template(Path(name) / "template")
        for seed in range(first, first + count):
            folder = Path(name) / str(seed)
            yield seed, play(project, folder, seed)
            shutil.rmtree(folder)


def main(count: int = 500, first: int | None = None) -> int:
    """Play histories; 1 if one has a package falsely landed, or falsely reverted."""
    first = random.randrange(1 << 32) if first is None else first
    tally: Counter[str] = Counter()
    for seed, one in played(first, count):
        tally += one.tally
        for fault in one.faults:
            print(f"seed {seed}: {fault}", flush=True)
    print(f"{count} histories from seed {first}: {dict(tally)}", flush=True)
    return int(any(tally[word] for word in FAULTS))


if __name__ == "__main__":
    sys.exit(main(*map(int, sys.argv[1:])))
