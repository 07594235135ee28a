"""No question opens a connection, writes, or takes a lock of git's, in any kind of clone."""

import os
from collections.abc import Callable
from pathlib import Path

import pytest
from tests.cli.warm import warm
from tests.git.repositories import commit, git
from tests.trace.agents.played import PlayedRepository

import thence
from thence.git.repository import asked
from thence.trace.agents.fired import log_of

# a program through which git would reach the remote: it notes that, and fails
HELPER = '#!/bin/sh\necho "$@" >>{}\nexit 1\n'
LOCKS = ("index", "HEAD", "config", "packed-refs", "shallow", "refs/heads/main")
QUESTIONS = (
    *(("why", "pay.py:3"), ("blame", "pay.py"), ("why", "commit/HEAD~1")),
    *(("log", "--json"), ("unfinished",), ("hook", "status"), ("doctor",)),
)


@pytest.fixture
def source(tmp_path: Path) -> Path:
    """A repository whose second commit was picked from another branch."""
    played = PlayedRepository(tmp_path / "source", {"pay.py": "a = 1\n", "old.py": "old\n"})
    git(played.top, "config", "uploadpack.allowFilter", "true")
    git(played.top, "switch", "-qc", "side")
    commit(played.top, {"pay.py": "a = 1\nb = 2\n"})
    git(played.top, "switch", "-q", "main")
    commit(played.top, {"old.py": "older\n"})
    git(played.top, "cherry-pick", "side")
    commit(played.top, {"pay.py": "a = 1\nb = 2\nc = 3\n"})
    return played.top


def clone(*options: str) -> Callable[[Path, Path], Path]:
    def make(source: Path, folder: Path) -> Path:
        git(folder, "clone", "-q", "--no-local", *options, f"file://{source}", "clone")
        return folder / "clone"

    return make


def worktree(source: Path, folder: Path) -> Path:
    git(clone("--filter=blob:none")(source, folder), "worktree", "add", "-q", folder / "tree")
    return folder / "tree"


def submodule(source: Path, folder: Path) -> Path:
    git(folder, "init", "-q", "-b", "main", "outer")
    words = ("-c", "protocol.file.allow=always", "submodule", "-q", "add", f"file://{source}")
    git(folder / "outer", *words, "part")
    part = folder / "outer" / "part"
    git(part, "config", "remote.origin.promisor", "true")
    return part


CLONES = {
    "whole": clone(),
    "without blobs": clone("--filter=blob:none"),
    "without trees": clone("--filter=tree:0"),
    "shallow": clone("--depth=2"),
    "worktree of one without blobs": worktree,
    "submodule": submodule,
}


class Asked:
    """A clone whose remote is reached by a program that counts; all of git's locks are held."""

    def __init__(self, top: Path, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.top, self.calls = top, folder / "calls"
        (folder / "bin").mkdir()
        helper = folder / "bin" / "git-remote-counted"
        helper.write_text(HELPER.format(self.calls))
        helper.chmod(0o755)
        self.path = f"{folder / 'bin'}{os.pathsep}{os.environ['PATH']}"
        monkeypatch.setenv("PATH", self.path)
        git(top, "config", "remote.origin.url", "counted::far")
        git(top, "config", "protocol.counted.allow", "always")
        known = {"commit": git(top, "rev-parse", "HEAD"), "root": str(top), "by": "person"}
        with thence.open(log_of(str(top))[0]) as log:
            log.append("commit", known)
        self.common = asked(top).common
        for name in LOCKS:
            (self.common / f"{name}.lock").touch()

    def holds(self) -> dict[Path, tuple[int, int]]:
        """What the git folder holds, but for the log of agents."""
        files = (path for path in self.common.rglob("*") if path.is_file())
        kept = (path for path in files if "thence" not in path.parts)
        return {path: (path.stat().st_size, path.stat().st_mtime_ns) for path in kept}

    def count(self) -> int:
        return len(self.calls.read_text().splitlines()) if self.calls.exists() else 0


@pytest.mark.promise("A5e")
@pytest.mark.parametrize("kind", CLONES)
def test_question_asks_nobody_writes_nothing_and_waits_for_nobody(
    source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    clone = Asked(CLONES[kind](source, tmp_path), tmp_path, monkeypatch)
    before = clone.holds()
    env = {"PATH": clone.path}
    answers = {words: warm(*words, cwd=clone.top, env=env) for words in QUESTIONS}
    assert (clone.count(), clone.holds()) == (0, before)
    is_partial = "without" in kind
    lacking = QUESTIONS[: 3 if is_partial else 0]
    # the owner of a commit needs a file only where another may be its original
    either = QUESTIONS[2:3] if is_partial else ()
    for words, answer in answers.items():
        is_lacking = "this clone lacks what" in " ".join((answer.out + answer.err).split())
        assert is_lacking == (words in lacking) or words in either, (words, answer)
        assert bool(answer.code) == (is_partial and words in QUESTIONS[:2]), (words, answer)
    if is_partial:
        assert "git fetch --refetch --no-filter" in answers["blame", "pay.py"].err
        for name in LOCKS:
            (clone.common / f"{name}.lock").unlink()
        git(clone.top, "blame", "pay.py", check=False)
        assert clone.count() > 0  # git itself does ask
