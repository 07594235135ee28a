"""Packages whose branches change the same files are told, by what git says of them."""

import random
from pathlib import Path

import pytest
from tests.git.repositories import branches, commit, git, make_repository

from thence.git.git import Git
from thence.git.repository import repository
from thence.work import overlaps as module
from thence.work.overlaps import Overlap, overlaps

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


def overlaps_of(top: Path, *names: str, target: str = "main") -> tuple[Overlap, ...]:
    repo = repository(top)
    return overlaps(repo, target, {name.upper(): name for name in names}, branches(repo))


def test_same_file_is_told(top):
    branch(top, "wp1", {"a": changed(3, "x"), "b": changed(3, "x")})
    branch(top, "wp2", {"a": changed(25, "y"), "new": "1\n"})
    branch(top, "wp3", {"b": changed(3, "z"), "ö ü\n.md": "1\n"})
    branch(top, "wp4", {"other": "1\n"})
    assert overlaps_of(top, "wp1", "wp2", "wp3", "wp4") == (
        Overlap("WP1", "WP2", ("a",)),
        Overlap("WP1", "WP3", ("b",)),
    )
    branch(top, "wp5", {"ö ü\n.md": "2\n", "b": changed(25, "5")})
    assert overlaps_of(top, "wp3", "wp5") == (Overlap("WP3", "WP5", ("b", "ö ü\n.md")),)


def test_what_both_did_alike_or_took_from_a_third_is_no_overlap(top):
    branch(top, "wp1", {"a": changed(3, "x")})
    branch(top, "wp2", {"a": changed(3, "x")})
    assert overlaps_of(top, "wp1", "wp2") == ()
    branch(top, "wp3", {"b": "1\n"}, "wp1")
    branch(top, "wp4", {"a": changed(3, "x").replace("\n25\n", "\ny\n")}, "wp1")
    assert overlaps_of(top, "wp3", "wp4") == ()
    commit(top, {"b": "0\n"}, "The target goes on")
    assert overlaps_of(top, "wp1", "wp4") == ()


def test_package_that_began_on_another_overlaps_with_what_that_one_does_later(top):
    branch(top, "wp1", {"a": "1\n", "b": "1\n"})
    branch(top, "wp2", {"a": "2\n"}, "wp1")
    assert overlaps_of(top, "wp1", "wp2") == ()
    git(top, "switch", "--quiet", "wp1")
    commit(top, {"a": "3\n", "b": "3\n"})
    assert overlaps_of(top, "wp1", "wp2") == (Overlap("WP1", "WP2", ("a",)),)


def test_file_that_one_changed_and_the_other_took_away_is_told(top):
    branch(top, "wp1", {"a": None})
    branch(top, "wp2", {"a": changed(3, "x")})
    branch(top, "wp3", {"a": None})
    assert overlaps_of(top, "wp1", "wp2") == (Overlap("WP1", "WP2", ("a",)),)
    assert overlaps_of(top, "wp1", "wp3") == ()


def test_missing_branches_strangers_and_our_day_files_are_passed_over(top):
    day = ".kittify/events/2026-01-01.jsonl"
    branch(top, "wp1", {day: "1\n", "a": "1\n"})
    branch(top, "wp2", {day: "2\n"})
    git(top, "switch", "--quiet", "--orphan", "wp3")
    commit(top, {"a": "stranger\n"})
    git(top, "switch", "--quiet", "main")
    assert overlaps_of(top, "wp1", "wp2", "wp3", "wp4") == ()
    branch(top, "wp5", {"a": "5\n"})
    assert overlaps_of(top, "wp1", "wp5", target="nowhere") == ()


def test_random_branches_overlap_where_git_says_that_both_changed_a_file(top):
    seed = random.randrange(2**32)
    chance = random.Random(seed)
    names = [f"wp{number}" for number in range(ROUNDS)]
    for name in names:
        files = chance.sample(sorted(FILES)[:4], chance.randint(1, 3))
        branch(top, name, {file: changed(chance.randrange(1, 29, 9), name) for file in files})
    told = {(pair.first, pair.second): {*pair.files} for pair in overlaps_of(top, *names)}
    for number, first in enumerate(names):
        for second in names[number + 1 :]:
            sides = [
                set(git(top, "diff", "--name-only", f"main...{name}").splitlines())
                for name in (first, second)
            ]
            pair = told.get((first.upper(), second.upper()), set())
            assert pair == sides[0] & sides[1], f"seed {seed}"


@pytest.fixture
def calls(monkeypatch) -> list[tuple]:
    """The calls of git."""
    calls, ask = [], Git.ask

    def counted(self, *arguments, **options):
        calls.append(arguments)
        return ask(self, *arguments, **options)

    monkeypatch.setattr(Git, "ask", counted)
    return calls


def test_git_is_asked_little(top, calls):
    for number in range(8):
        branch(top, f"wp{number}", {f"file{number // 2}": f"{number}\n"})
    del calls[:]
    assert overlaps_of(top, "wp1") == ()
    assert len(calls) == 1
    del calls[:]
    assert len(overlaps_of(top, *(f"wp{number}" for number in range(8)))) == 4
    assert len(calls) == 1 + 8 + 2 * 4  # the branches, each with the target, the pairs that share


def test_behind_so_many_pairs_only_files_are_compared(top, calls, monkeypatch):
    monkeypatch.setattr(module, "PAIRS_MAX", 1)
    for number in range(3):
        branch(top, f"wp{number}", {"a": f"{number}\n"})
    del calls[:]
    pairs = overlaps_of(top, "wp0", "wp1", "wp2")
    assert [pair.files for pair in pairs] == [("a",)] * 3
    assert len(calls) == 1 + 3 + 2
