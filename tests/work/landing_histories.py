"""Random histories of a package and its target, made by real git, and an oracle beside them.

The oracle knows nothing of how landed code is found. Each commit of a package puts a line into a
file that is nowhere else; the package is in its target if the target's tree has all of them.
`python -m tests.work.landing_histories [COUNT [SEED]] [git]` plays many and tells what came of it;
with `git` it asks `git` alone, which is quicker.
"""

import random
import shutil
import subprocess
import sys
import tempfile
from collections import Counter
from pathlib import Path

from msgspec.structs import replace
from tests.git.repositories import make_repository, own_variables, write

from thence.cli.commands.work.looking import status
from thence.cli.commands.work.merging import accept, merge, prune
from thence.cli.commands.work.moving import implement, move_task, reopen
from thence.cli.commands.work.planning import finalize_tasks, init, setup_spec
from thence.errors import GitFailed, Refused
from thence.git.landed import Landing, Reviewed, landing_of, reviewed_of
from thence.git.repository import repository
from thence.work.session.session import Session

LINES = 24
FILES = ("code.py", "other.py")
BINARY = "image"
BASE = {
    **{name: "".join(f"{name} item {n}\n" for n in range(LINES)) for name in FILES},
    BINARY: b"\0begin\n",
}


SLUG = "001-sync"
BRANCH = f"{SLUG}-WP01"
TASKS = "# Tasks\n\n## Work Package WP01: The outbox\n"


class History:
    """A package on a branch in a worktree, and its target `main` in the main working tree."""

    def __init__(self, project: Path, chance: random.Random) -> None:
        self.project = project
        self.tree = project / ".worktrees" / BRANCH
        self.folder = project
        self.chance = chance
        self.played: list[str] = []
        self.marks: list[tuple[str, bytes]] = []  # file and line
        self.retracted: list[tuple[str, bytes]] = []  # marks that the package took back itself
        self._before: dict[bytes, bytes] = {}  # what a line replaced
        self.undone: list[str] = []  # commits of main that took something out
        self.brought: list[str] = []  # commits of main that brought something
        self._number = 0

    # -- git

    def git(self, *arguments: object) -> str:
        return self._git(*arguments)[1]

    def _git(self, *arguments: object) -> tuple[int, str]:
        ended = subprocess.run(
            ["git", *map(str, arguments)],
            cwd=self.folder,
            capture_output=True,
            check=False,
            env=own_variables(),
        )
        return ended.returncode, ended.stdout.decode("utf-8", "replace").strip()

    def head(self, name: str = "HEAD") -> str:
        return self.git("rev-parse", name)

    def go(self, branch: str) -> None:
        """Go to the worktree of the package, or to the target in the main working tree."""
        self.folder = self.tree if branch == BRANCH else self.project

    def attempt(self, *arguments: object) -> bool:
        """Run a command of git that may conflict; then it is as if it had not been tried."""
        before = self.head()
        status, _ = self._git(*arguments)
        if status or self.git("status", "--porcelain", "--untracked-files=no"):
            self._git("reset", "--quiet", "--hard", before)
            for operation in ("rebase", "cherry-pick", "revert", "merge"):
                self._git(operation, "--abort")
            self._git("reset", "--quiet", "--hard", before)
            return False
        return self.head() != before

    def commit(self, files: dict[str, bytes], message: str) -> str:
        write(self.folder, files)
        self.git("add", "--", *files)
        self.git("commit", "--quiet", "--message", message)
        return self.head()

    def read(self, name: str) -> list[bytes]:
        path = self.folder / name
        return path.read_bytes().split(b"\n")[:-1] if path.exists() else []

    def new(self) -> int:
        self._number += 1
        return self._number

    # -- the package's commits

    def work(self) -> None:
        """Commit something on the package's branch, with a line that is nowhere else."""
        kinds = ["insert", "insert", "replace", "beside", "file", "indent", "binary"]
        kind, number = self.chance.choice(kinds), self.new()
        name = self.chance.choice(FILES)
        lines = self.read(name)
        line = f"mark {number} of the package".encode()
        mine = [index for index, text in enumerate(lines) if text.startswith(b"mark")]
        plain = [index for index, text in enumerate(lines) if text.startswith(name.encode())]
        if kind == "beside" and mine:
            lines.insert(self.chance.choice(mine) + 1, line)
        elif kind == "replace" and plain:
            index = self.chance.choice(plain)
            self._before[line], lines[index] = lines[index], line
        elif kind == "indent" and plain:
            index = self.chance.choice(plain)
            line = b"    " + lines[index]
            self._before[line], lines[index] = lines[index], line
        elif kind == "file":
            name = f"new{number}.py"
            lines = [b"def f():", line, b"", b"    pass"]
        elif kind == "binary":
            name = BINARY
            lines = [*self.read(BINARY), line]
        else:
            lines.insert(self.chance.randrange(len(lines) + 1), line)
        self.commit({name: b"".join(text + b"\n" for text in lines)}, f"{kind} {number}")
        self.marks.append((name, line))
        self.played.append(f"work {kind} {name}")

    # -- what others do in the target

    def edit(self) -> None:
        """Edit a line of the target that is not the package's, often right beside one that is."""
        name = self.chance.choice(FILES)
        lines = self.read(name)
        plain = [index for index, text in enumerate(lines) if text.startswith(name.encode())]
        near = [
            index
            for index in plain
            if any(b"mark" in text for text in lines[max(0, index - 1) : index + 2])
        ]
        choices = near if near and self.chance.random() < 0.6 else plain
        if not choices:
            return
        index, number = self.chance.choice(choices), self.new()
        if self.chance.random() < 0.3:
            lines.insert(index, f"{name} more {number}".encode())
        elif self.chance.random() < 0.2:
            del lines[index]
        else:
            lines[index] = f"{name} edit {number}".encode()
        self.commit({name: b"".join(text + b"\n" for text in lines)}, f"edit {number}")
        self.played.append(f"edit {name}")

    # -- how code comes

    def bring(self) -> None:
        ways = (self.merge, self.forward, self.squash, self.rebase, self.pick, self.pick_some)
        way = self.chance.choice((*ways, self.merge, self.merge_nothing))
        before = self.head()
        way()
        self.played.append(way.__name__)
        if self.head() != before:
            self.brought.append(self.head())

    def merge(self) -> None:
        self.attempt("merge", "--quiet", "--no-ff", "--no-edit", BRANCH)

    def forward(self) -> None:
        self.attempt("merge", "--quiet", "--ff-only", BRANCH)

    def merge_nothing(self) -> None:
        self.attempt("merge", "--quiet", "--no-edit", "--strategy=ours", BRANCH)

    def squash(self) -> None:
        before = self.head()
        status, _ = self._git("merge", "--quiet", "--squash", BRANCH)
        if status or self._git("commit", "--quiet", "--message", "squashed")[0]:
            self._git("reset", "--quiet", "--hard", before)

    def rebase(self) -> None:
        self._git("checkout", "--quiet", "--detach", BRANCH)
        self.attempt("rebase", "--quiet", "main")
        rebased = self.head()
        self._git("checkout", "--quiet", "main")
        self.attempt("merge", "--quiet", "--ff-only", rebased)

    def _own(self) -> list[str]:
        return self.git("rev-list", "--reverse", "--no-merges", f"main..{BRANCH}").split()

    def pick(self) -> None:
        for commit in self._own():
            self.attempt("cherry-pick", commit)

    def pick_some(self) -> None:
        own = self._own()
        for commit in own[: self.chance.randrange(len(own) + 1)]:
            self.attempt("cherry-pick", commit)

    # -- how it goes

    def undo(self) -> None:
        way = self.chance.choice((self.revert, self.revert, self.revert_one, self.by_hand))
        before = self.head()
        way()
        self.played.append(way.__name__)
        if self.head() != before:
            self.undone.append(self.head())

    def _revert(self, commit: str) -> bool:
        is_merge = len(self.git("rev-list", "--parents", "-1", commit).split()) > 2
        return self.attempt("revert", "--no-edit", *(("-m", "1") if is_merge else ()), commit)

    def revert(self) -> None:
        if self.brought:
            self._revert(self.chance.choice(self.brought))

    def revert_one(self) -> None:
        own = self.git(
            "rev-list",
            "--no-merges",
            "--all",
            "--grep=insert",
            "--grep=replace",
            "--grep=beside",
            "--grep=file",
            "--grep=indent",
            "--grep=binary",
        ).split()
        if own:
            self._revert(self.chance.choice(own))

    def by_hand(self) -> None:
        """Take lines of the package out again, and put back those that were there before."""
        texts = [mark for mark in self.marks if mark[0] != BINARY]
        marks = [mark for mark in texts if mark[1] in self.read(mark[0])]
        if not marks:
            return
        files: dict[str, bytes] = {}
        for name, line in self.chance.sample(marks, self.chance.randint(1, len(marks))):
            if name.startswith("new"):
                self.git("rm", "--quiet", "-f", "--", name)
                continue
            lines = files[name].split(b"\n")[:-1] if name in files else self.read(name)
            index = lines.index(line)
            lines[index : index + 1] = [self._before[line]] if line in self._before else []
            files[name] = b"".join(text + b"\n" for text in lines)
        write(self.folder, files)
        self.git("commit", "--quiet", "--all", "--message", "out by hand")

    def back(self) -> None:
        if self.undone:
            before = self.head()
            self._revert(self.chance.choice(self.undone))
            self.played.append("revert of the revert")
            if self.head() != before:
                self.brought.append(self.head())

    def take_main_in(self) -> None:
        """Merge the target into the package's branch, often with the reverts taken back there."""
        if self.attempt("merge", "--quiet", "--no-edit", "main"):
            self.played.append("took main in")
        if self.chance.random() < 0.6:
            before = {mark for mark in (*self.marks, *self.retracted) if self._is_here(mark)}
            for commit in reversed(self.undone):
                self._revert(commit)
            self.played.append("took the reverts back")
            self._retract(
                [mark for mark in self.marks if mark in before and not self._is_here(mark)]
            )
            again = [mark for mark in self.retracted if mark not in before and self._is_here(mark)]
            self.retracted = [mark for mark in self.retracted if mark not in again]
            self.marks += again

    def _is_here(self, mark: tuple[str, bytes]) -> bool:
        return mark[1] in self.read(mark[0])

    def retract(self) -> None:
        """Take a line of the package back, in its own branch."""
        marks = [(name, line) for name, line in self.marks if name in FILES]
        marks = [(name, line) for name, line in marks if line in self.read(name)]
        if marks:
            name, line = self.chance.choice(marks)
            lines = self.read(name)
            index = lines.index(line)
            lines[index : index + 1] = [self._before[line]] if line in self._before else []
            self.commit({name: b"".join(text + b"\n" for text in lines)}, "take one back")
            self.played.append(f"retracted {line!r}")
            self._retract([(name, line)])

    def _retract(self, marks: list[tuple[str, bytes]]) -> None:
        self.marks = [mark for mark in self.marks if mark not in marks]
        self.retracted += marks

    # -- the oracle

    def is_in_target(self) -> bool:
        """Report whether the target's tree has just the lines that the package has put in."""
        is_in = all(self.has(name, line) for name, line in self.marks)
        return is_in and not any(self.has(name, line) for name, line in self.retracted)

    def has(self, name: str, line: bytes) -> bool:
        pattern = ("git", "grep", "--quiet", "--text")
        ended = subprocess.run(
            [*pattern, "-e", b"^%b$" % line, "main", "--", name],
            cwd=self.project,
            capture_output=True,
            check=False,
            env=own_variables(),
        )
        return ended.returncode == 0


def template(folder: Path) -> Path:
    """Make a project with one package, planned, to be copied."""
    make_repository(folder, BASE)
    with Session(folder) as session:
        init(session)
        setup_spec(session, "Sync")
        write(folder, {f"kitty-specs/{SLUG}/tasks.md": TASKS})
        finalize_tasks(session, feature=SLUG)
    return folder


class Play:
    """A history that goes on by the commands of `thence work`, each answer beside the oracle's."""

    def __init__(self, project: Path, chance: random.Random) -> None:
        self.history = History(project, chance)
        self.chance = chance
        self.tally: Counter[str] = Counter()
        self.faults: list[str] = []

    def implement(self) -> None:
        assert self.run(implement, "WP01")

    def hand_in(self) -> bool:
        return self.run(move_task, "WP01", "for_review")

    def reopen(self, lane: str) -> None:
        if lane == "done":
            assert self.run(reopen, "WP01", reason="it is not whole")
        else:
            assert self.run(move_task, "WP01", "doing", reason="it is not whole")

    def prune(self) -> None:
        self.run(prune)

    def accept(self) -> bool:
        return self.run(accept, ("WP01",))

    def run(self, command, *arguments, **options) -> bool:
        """Run a command in a session of its own; False if it was refused."""
        with Session(self.history.project, actor="ada") as session:
            try:
                command(session, *arguments, **options)
            except (Refused, GitFailed):
                return False
        return True

    def begin(self) -> None:
        self.implement()
        self.history.go(BRANCH)
        for _ in range(self.chance.randint(1, 3)):
            self.history.work()
        self.history.go("main")
        if self.chance.random() < 0.5:
            self.history.edit()
        assert self.hand_in(), self.history.played

    def state(self) -> tuple[str, bool]:
        """Return the lane, and whether the board shows the code as landed."""
        with Session(self.history.project) as session:
            told = status(session, None).data
        ((lane,),) = [
            [lane for lane, packages in feature["lanes"].items() if packages]
            for feature in told["features"]
        ]
        return lane, told["summary"]["landed"] == 1

    def judge(self, what: str, answer: bool) -> None:
        """Compare an answer with the oracle's; what took back all it did has no code to find."""
        expected = self.history.is_in_target()
        is_right = answer == expected or (expected and not self.history.marks)
        word = "right" if is_right else "not found" if expected else "FALSELY LANDED"
        self.tally[word] += 1
        self.tally[f"{what} {answer}"] += 1
        if not is_right:
            absent = [mark for mark in self.history.marks if not self.history.has(*mark)]
            absent += [mark for mark in self.history.retracted if self.history.has(*mark)]
            self.faults.append(f"{word}: {what} after {self.history.played}: {absent}")

    def again(self) -> None:
        """Go on with a package that was reverted, or that never came."""
        lane, _ = self.state()
        if self.chance.random() < 0.3 and lane == "done":
            self.prune()
        self.reopen(lane)
        self.implement()
        self.history.played.append("again")
        self.history.go(BRANCH)
        if self.chance.random() < 0.6:
            self.history.take_main_in()
        elif self.chance.random() < 0.3:
            self.history.attempt("rebase", "--quiet", "main")
        if self.chance.random() < 0.2:
            self.history.retract()
        if self.chance.random() < 0.7:
            self.history.work()
        self.history.go("main")
        self.hand_in()

    def step(self) -> None:
        history = self.history
        if self.chance.random() < 0.5:
            history.edit()
        choice = self.chance.random()
        if history.is_in_target():
            history.undo() if choice < 0.6 else history.edit()
        elif history.undone and choice < 0.3:
            history.back()
        elif history.undone and choice < 0.75:
            self.again()
        elif choice < 0.85:
            self.bring_by_thence()
        else:
            history.bring()
        lane, is_landed = self.state()
        if lane == "for_review":
            self.judge("accept", self.accept())
        elif lane == "done":
            self.judge("landed", is_landed)

    def bring_by_thence(self) -> None:
        before = self.history.head("main")
        self.history.played.append(f"thence merge: {self.run(merge, ('WP01',))}")
        if self.history.head("main") != before:
            self.history.brought.append(self.history.head("main"))


class GitPlay(Play):
    """A history whose answers are those of `git` alone."""

    def __init__(self, project: Path, chance: random.Random) -> None:
        super().__init__(project, chance)
        self.repo = repository(project)
        self.lane, self.base = "planned", self.history.head("main")
        self.reviews: tuple[Reviewed, ...] = ()

    def implement(self) -> None:
        if not self.history.tree.exists():
            new = ("-b", BRANCH, self.history.tree, "main")
            self.history.git("worktree", "add", "--quiet", *new)
            self.base = self.history.head("main")

    def hand_in(self) -> bool:
        tip, target = self.history.head(BRANCH), self.history.head("main")
        is_again = bool(self.reviews)
        code, is_ahead = reviewed_of(self.repo, self.base, tip, target, is_again=is_again)
        if not (is_ahead or is_again):
            return False
        self.reviews, self.lane = (*self.reviews, code), "for_review"
        return True

    def reopen(self, lane: str) -> None:
        self.lane = "doing"

    def prune(self) -> None:
        if self.landing(self.history.head("main")).is_whole:
            self.history.git("worktree", "remove", "--force", self.history.tree)
            self.history.git("branch", "--quiet", "-D", BRANCH)

    def landing(self, target: str) -> Landing:
        code = replace(self.reviews[-1], earlier=self.reviews[:-1])
        return landing_of(self.repo, target, code)

    def accept(self) -> bool:
        is_whole = self.landing(self.history.head("main")).is_whole
        self.lane = "done" if is_whole else self.lane
        return is_whole

    def state(self) -> tuple[str, bool]:
        is_landed = self.lane == "done" and not self.landing(self.history.head("main")).reverts
        return self.lane, is_landed

    def bring_by_thence(self) -> None:
        """Merge as `merge` does, unless code would be missing afterwards."""
        before = self.history.head("main")
        self.history.merge()
        end = self.history.head("main")
        if end != before and not self.landing(end).is_whole:
            self.history.git("reset", "--quiet", "--hard", before)
        self.history.played.append(f"thence merge: {self.history.head('main') != before}")
        if self.history.head("main") != before:
            self.history.brought.append(self.history.head("main"))


def play(project: Path, folder: Path, seed: int, kind: type[Play] = Play) -> Play:
    """Play one history in a copy of a project."""
    copy = shutil.copytree(project, folder / "project", symlinks=True)
    one = kind(copy, random.Random(seed))
    one.begin()
    for _ in range(one.chance.randint(2, 6)):
        one.step()
    return one


def main(count: int = 500, seed: int | None = None, kind: type[Play] = Play) -> int:
    """Play histories; 1 if one has a package falsely landed, or more than 1 in 100 not found."""
    seed = random.randrange(1 << 32) if seed is None else seed
    tally: Counter[str] = Counter()
    with tempfile.TemporaryDirectory() as name:
        project = template(Path(name) / "template")
        for number in range(count):
            folder = Path(name) / str(number)
            one = play(project, folder, seed + number, kind)
            tally += one.tally
            for fault in one.faults:
                print(f"seed {seed + number}: {fault}", flush=True)
            shutil.rmtree(folder)
    print(f"{count} histories from seed {seed}: {dict(tally)}", flush=True)
    return int(bool(tally["FALSELY LANDED"]) or tally["not found"] * 100 > tally["right"])


if __name__ == "__main__":
    numbers = [int(argument) for argument in sys.argv[1:] if argument != "git"]
    sys.exit(main(*numbers, **({"kind": GitPlay} if "git" in sys.argv else {})))
