"""Packages that will meet when they are merged are told, by what git says of their branches."""

import random
import time
from pathlib import Path

import pytest
from tests.work.repositories import commit, git, make_repository

from thence.work.vcs import overlaps as module
from thence.work.vcs.git import Git
from thence.work.vcs.merging import merged_tree
from thence.work.vcs.overlaps import EVERY_S, Forecast, Memory, Overlap, overlaps, sentence
from thence.work.vcs.repository import repository

LINES = "".join(f"{number}\n" for number in range(30))
FILES = {"a": LINES, "b": LINES, "folder/one": "1\n", "folder/two": "2\n", "ö ü\n.md": LINES}
ROUNDS = 6


@pytest.fixture
def top(tmp_path) -> Path:
    return make_repository(tmp_path / "Das Projekt ö", FILES)


def changed(number: int, word: str) -> str:
    """Return the lines with one of them changed."""
    return LINES.replace(f"\n{number}\n", f"\n{word}\n")


def branch(top: Path, name: str, files: dict[str, str | None], start: str = "main") -> None:
    """Make a branch on which files are written, or taken away."""
    git(top, "switch", "--quiet", "--create", name, start)
    gone = [file for file, content in files.items() if content is None]
    if gone:
        git(top, "rm", "--quiet", "--", *gone)
    kept = {file: content for file, content in files.items() if content is not None}
    if kept:
        commit(top, kept)
    else:
        git(top, "commit", "--quiet", "--message", "Take away")
    git(top, "switch", "--quiet", "main")


def found(top: Path, *names: str) -> tuple[Overlap, ...]:
    return overlaps(repository(top), "main", {name.upper(): name for name in names})


def test_same_file_is_told_and_whether_git_can_merge_it(top):
    branch(top, "wp1", {"a": changed(3, "x"), "b": changed(3, "x")})
    branch(top, "wp2", {"a": changed(25, "y"), "new": "1\n"})
    branch(top, "wp3", {"b": changed(3, "z"), "ö ü\n.md": "1\n"})
    branch(top, "wp4", {"other": "1\n"})
    assert found(top, "wp1", "wp2", "wp3", "wp4") == (
        Overlap("WP1", "WP2", ("a",), False),
        Overlap("WP1", "WP3", ("b",), True),
    )
    branch(top, "wp5", {"ö ü\n.md": "2\n", "b": changed(25, "5")})
    assert found(top, "wp3", "wp5") == (Overlap("WP3", "WP5", ("b", "ö ü\n.md"), True),)


def test_what_both_did_alike_or_took_from_a_third_is_no_overlap(top):
    branch(top, "wp1", {"a": changed(3, "x")})
    branch(top, "wp2", {"a": changed(3, "x")})
    assert found(top, "wp1", "wp2") == ()
    branch(top, "wp3", {"b": "1\n"}, "wp1")
    branch(top, "wp4", {"a": changed(3, "x").replace("\n25\n", "\ny\n")}, "wp1")
    assert found(top, "wp3", "wp4") == ()
    commit(top, {"b": "0\n"}, "The target goes on")
    assert found(top, "wp1", "wp4") == ()


def test_conflicts_without_a_common_file_are_found(top):
    branch(top, "wp1", {"folder/one": None, "folder/two": None, "moved/one": "1\n"})
    branch(top, "wp2", {"folder/new": "1\n"})
    branch(top, "wp3", {"place": "1\n"})
    branch(top, "wp4", {"place/in/it": "1\n"})
    told = found(top, "wp1", "wp2", "wp3", "wp4")
    repo = repository(top)
    pairs = [("wp1", "wp2"), ("wp3", "wp4")]
    expected = [pair for pair in pairs if merged_tree(repo, *pair)[1]]
    assert [(each.first.lower(), each.second.lower()) for each in told] == expected
    assert ("wp3", "wp4") in expected
    assert all(each.conflicts and each.files for each in told)


def test_file_that_one_changed_and_the_other_took_away_is_a_conflict(top):
    branch(top, "wp1", {"a": None})
    branch(top, "wp2", {"a": changed(3, "x")})
    assert found(top, "wp1", "wp2") == (Overlap("WP1", "WP2", ("a",), True),)


def test_missing_branches_strangers_and_our_day_files_are_passed_over(top):
    day = ".kittify/events/2026-01-01.jsonl"
    branch(top, "wp1", {day: "1\n", "a": "1\n"})
    branch(top, "wp2", {day: "2\n"})
    git(top, "switch", "--quiet", "--orphan", "wp3")
    commit(top, {"a": "stranger\n"})
    git(top, "switch", "--quiet", "main")
    assert found(top, "wp1", "wp2", "wp3", "wp4") == ()
    assert overlaps(repository(top), "nowhere", {"WP1": "wp1", "WP2": "wp2"}) == ()


def test_random_branches_conflict_exactly_where_git_says(top):
    seed = random.randrange(2**32)
    chance = random.Random(seed)
    names = [f"wp{number}" for number in range(ROUNDS)]
    for name in names:
        files = chance.sample(sorted(FILES)[:4], chance.randint(1, 3))
        words = {file: changed(chance.randrange(1, 29, 9), name) for file in files}
        branch(top, name, words)
    told = {(each.first, each.second): each for each in found(top, *names)}
    repo = repository(top)
    for number, first in enumerate(names):
        for second in names[number + 1 :]:
            sides = [
                set(git(top, "diff", "--name-only", f"main...{name}").splitlines())
                for name in (first, second)
            ]
            each = told.get((first.upper(), second.upper()))
            assert set(each.files if each else ()) == sides[0] & sides[1], f"seed {seed}"
            conflicts = bool(merged_tree(repo, first, second)[1])
            assert (each is not None and each.conflicts) == conflicts, f"seed {seed}"


@pytest.fixture
def asked(monkeypatch) -> list[tuple]:
    """What git is asked."""
    calls, ask = [], Git.ask

    def counted(self, *arguments, **more):
        calls.append(arguments)
        return ask(self, *arguments, **more)

    monkeypatch.setattr(Git, "ask", counted)
    return calls


def test_git_is_asked_little_and_never_the_same_again(top, asked):
    for number in range(8):
        branch(top, f"wp{number}", {f"file{number // 2}": f"{number}\n"})
    repo, memory = repository(top), Memory()
    packages = {f"WP{number}": f"wp{number}" for number in range(8)}
    del asked[:]
    assert overlaps(repo, "main", {"WP1": "wp1"}, memory) == ()
    assert asked == []
    told = overlaps(repo, "main", packages, memory)
    assert [each.conflicts for each in told] == [True] * 4
    assert len(asked) == 1 + 8 + 4  # the branches, each with the target, the pairs that share
    del asked[:]
    assert overlaps(repo, "main", packages, memory) == told
    assert len(asked) == 1
    git(top, "switch", "--quiet", "wp1")
    commit(top, {"file1": "1\n"})
    del asked[:]
    assert len(overlaps(repo, "main", packages, memory)) == 6
    assert len(asked) == 1 + 1 + 3
    overlaps(repo, "main", {"WP4": "wp4", "WP5": "wp5"}, memory)
    assert (len(memory.changes), len(memory.meetings)) == (2, 1)


def test_behind_so_many_pairs_only_files_are_told(top, asked, monkeypatch):
    monkeypatch.setattr(module, "PAIRS_MAX", 1)
    for number in range(3):
        branch(top, f"wp{number}", {"a": f"{number}\n"})
    del asked[:]
    told = found(top, "wp0", "wp1", "wp2")
    assert [each.conflicts for each in told] == [True, False, False]
    assert {each.files for each in told} == {("a",)}
    assert sum(arguments[0] == "merge-tree" for arguments in asked) == 1


WAIT_S = 60.0
LATER_S = 1_000.0


class Looking:
    """A forecast that is looked at as time goes by."""

    def __init__(self, top: Path, *names: str) -> None:
        self.forecast = Forecast()
        self.repo = repository(top)
        self.packages = {name.upper(): name for name in names}
        self.now_s = time.monotonic()

    def look(self, after_s: float = LATER_S) -> tuple[Overlap, ...]:
        self.now_s += after_s
        self.forecast.look(self.repo, "main", self.packages, self.now_s)
        self.forecast.wait(WAIT_S)
        return self.forecast.found


def test_forecast_asks_git_only_after_a_branch_has_moved_and_not_all_the_time(top, asked):
    for number in range(4):
        branch(top, f"wp{number}", {f"file{number}": f"{number}\n"})
    looking = Looking(top, "wp0", "wp1", "wp2", "wp3")
    del asked[:]
    assert looking.look() == ()
    assert len(asked) == 1 + 4
    del asked[:]
    for _ in range(10):
        looking.look()
    assert asked == [], "nothing has moved"
    git(top, "switch", "--quiet", "wp1")
    commit(top, {"file0": "1\n"})
    assert looking.look(EVERY_S / 2) == ()
    assert asked == [], "it is too early"
    meets = Overlap("WP0", "WP1", ("file0",), True)
    assert looking.look() == (meets,)
    assert len(asked) == 1 + 1 + 1  # the branches, what has moved, the pair
    del asked[:]
    git(top, "pack-refs", "--all")
    looking.look()
    commit(top, {"file0": "2\n"})
    assert looking.look() == (meets,)
    assert len(asked) == 1 + (1 + 1 + 1)
    looking.packages = {"WP0": "wp0"}
    assert looking.look() == ()


def test_forecast_tells_each_overlap_once_and_again_when_it_has_come_to_a_conflict(top):
    branch(top, "wp1", {"a": changed(3, "x")})
    branch(top, "wp2", {"a": changed(25, "y")})
    looking = Looking(top, "wp1", "wp2")
    looking.look()
    assert [sentence(each) for each in looking.forecast.news()] == ["WP1 and WP2 both change a"]
    git(top, "switch", "--quiet", "wp1")
    commit(top, {"b": "1\n"})
    looking.look()
    assert looking.forecast.news() == ()
    commit(top, {"a": changed(25, "z")})
    looking.look()
    told = [sentence(each) for each in looking.forecast.news()]
    assert told == ["WP1 and WP2 will conflict in a"]
    assert looking.forecast.news() == ()


def test_forecast_stays_as_it_was_where_git_fails_and_asks_again(top, asked):
    branch(top, "wp1", {"a": "1\n"})
    branch(top, "wp2", {"a": "2\n"})
    looking = Looking(top, "wp1", "wp2")
    looking.look()
    there, looking.repo = looking.repo, looking.repo._replace(top=top / "gone")
    git(top, "switch", "--quiet", "wp2")
    commit(top, {"a": "3\n", "b": "1\n"})
    before = looking.forecast.found
    del asked[:]
    assert looking.look() == looking.look() == before
    assert len(asked) == 2
    looking.repo = there
    git(top, "branch", "--quiet", "--force", "wp1", "main")
    assert looking.look() == ()
