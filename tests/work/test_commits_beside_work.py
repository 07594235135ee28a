"""Whatever the user has staged and half done, a commit leaves both patches as they were."""

import random
from pathlib import Path

import pytest
from tests.work.repositories import commit, content, git, make_repository, patches, write
from tests.work.test_commits import with_line

from thence.work.commits import commit_on
from thence.work.repository import repository

NAMES = [f"{folder}{name}" for folder in ("", "a/", "a/b ü/") for name in ("x", "y.md", "Z w")]
STAGED, HALF_DONE = "in the middle", "near the top"


def text(dice: random.Random) -> str:
    """Return lines with room for three edits that never come near each other."""
    filler = "".join(f"{dice.randrange(10**6)}\n" for _ in range(9))
    return f"top\n{filler}{HALF_DONE} 0\n{filler}{STAGED} 0\n{filler}end\n"


def edit(top: Path, name: str, mark: str, number: int) -> None:
    path = top / name
    path.write_text(path.read_text().replace(f"{mark} 0", f"{mark} {number}"))


def disturb(top: Path, dice: random.Random, name: str) -> bool:
    """Do with a file what users do; return whether it may be committed to beside that."""
    what = dice.choice(["nothing", "staged", "half", "both", "mode", "gone", "removed", "touched"])
    if what in {"staged", "both"}:
        edit(top, name, STAGED, 1)
        git(top, "add", "--", name)
    if what in {"half", "both"}:
        edit(top, name, HALF_DONE, 2)
    if what == "mode":
        (top / name).chmod(0o755)
    if what == "gone":
        (top / name).unlink()
    if what == "removed":
        git(top, "rm", "--quiet", "--", name)
    if what == "touched":
        (top / name).write_bytes((top / name).read_bytes())
    return what not in {"gone", "removed"}  # there the patch is the whole file


@pytest.mark.parametrize("trial", range(25))
def test_both_patches_are_the_same_before_and_after(tmp_path, trial):
    seed = random.randrange(2**32)
    print("seed", seed)
    dice = random.Random(seed)
    top = make_repository(tmp_path, {name: text(dice) for name in NAMES})
    if dice.random() < 0.3:
        git(top, "config", "core.splitIndex", "true")
    if dice.random() < 0.3:
        git(top, "config", "index.version", "4")
    if dice.random() < 0.3:
        git(top, "config", "core.untrackedCache", "true")
        git(top, "status")
    open_to = [name for name in NAMES if disturb(top, dice, name)]
    write(top, {"untracked": "1\n", "staged new": "2\n"})
    git(top, "add", "--", "staged new")
    for number in range(dice.randrange(1, 4)):
        line = f"line {number}\n".encode()
        names = [*dice.sample(open_to, min(len(open_to), 3)), f"made/by us {number}", "day.jsonl"]
        before = patches(top), git(top, "status", "--porcelain")
        was = {name: content(top, name) or b"" for name in names}
        changes = {name: with_line(line) for name in names}
        assert commit_on(repository(top), "main", changes, "Tell it")
        assert (patches(top), git(top, "status", "--porcelain")) == before
        assert {name: content(top, name) for name in names} == {
            name: data + line for name, data in was.items()
        }
    assert git(top, "fsck", "--strict", "--no-dangling") == ""
    commit(top, {"mine": "3\n"}, "With what was staged")
    assert content(top, "day.jsonl") == (top / "day.jsonl").read_bytes()
