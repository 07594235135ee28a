"""How many processes of git a command of `thence work` starts, in a clone of a remote."""

from pathlib import Path

import pytest
from tests.cli.warm import warm
from tests.cli.work.other_git import with_git
from tests.cli.work.projects import done
from tests.git.repositories import commit, git, make_repository
from tests.work.boards import sync, synced

TASKS = "# Tasks\n" + "".join(f"\n## Work Package WP{n:02}: Part\n" for n in range(1, 5))


class Clone:
    """A clone of a remote, with a feature of four packages, whose calls of git are counted."""

    def __init__(self, place: Path) -> None:
        make_repository(place / "first")
        git(place, "clone", "--quiet", "--bare", "first", "remote.git")
        git(place, "clone", "--quiet", "remote.git", "clone")
        self.top = place / "clone"
        for name in ("user.name", "user.email"):
            git(self.top, "config", name, "ada@example.org")
        self._calls = place / "calls"
        counting = f'printf "%s\\n" "$*" >> {self._calls}'
        self._path = with_git(place / "bin", "-c", counting)
        done(self.top, "setup-spec")
        done(self.top, "setup-spec", "Sync")
        (self.top / "kitty-specs/001-sync/tasks.md").write_text(TASKS)
        done(self.top, "finalize-tasks")
        git(self.top, "push", "--quiet", "origin", "main")
        synced(self.top)
        sync(self.top, "disable")  # the exchanges of the background are not counted

    def asked(self, *arguments: str, folder: Path | None = None) -> list[str]:
        """Run a command, and return what it asked of git."""
        self._calls.write_text("")
        warm("work", *arguments, cwd=folder or self.top, env={"PATH": self._path}).done()
        return self._calls.read_text().splitlines()

    def work_on(self, wp_id: str, commits: int = 2) -> Path:
        """Commit in the worktree of a package."""
        tree = self.top / f".worktrees/001-sync-{wp_id}"
        for number in range(commits):
            commit(tree, {f"{wp_id}.txt": f"{number}\n"})
        return tree


@pytest.fixture
def clone(tmp_path: Path) -> Clone:
    return Clone(tmp_path)


def test_status_asks_git_three_times_while_nothing_has_moved_and_anew_when_something_has(clone):
    for wp_id in ("WP01", "WP02"):
        clone.asked("implement", wp_id)
        tree = clone.work_on(wp_id)
        clone.asked("move-task", wp_id, "--to", "for_review")
    told = done(clone.top, "status").out
    assert len(clone.asked("status")) == 3
    assert done(clone.top, "status").out == told
    commit(tree, {"more.txt": "1\n"})
    assert done(clone.top, "status").out != told
    done(clone.top, "move-task", "WP02", "--to", "doing", "--reason", "see it again")
    done(clone.top, "merge")
    done(clone.top, "accept", "--local")
    assert "2 of 4 done, 0 landed" in done(clone.top, "status").out
    assert len(clone.asked("status")) == 3
    git(clone.top, "push", "--quiet", "origin", "main")
    assert "2 of 4 done)" in done(clone.top, "status").out
    assert len(clone.asked("status")) == 3
    git(clone.top, "reset", "--quiet", "--hard", "main~2")
    git(clone.top, "push", "--quiet", "--force", "origin", "main")
    assert "2 of 4 done, 0 landed" in done(clone.top, "status").out


def test_packages_that_have_landed_are_asked_for_together(clone: Clone) -> None:
    counts = list[int]()
    for wp_ids in (("WP01",), ("WP02", "WP03", "WP04")):
        for wp_id in wp_ids:
            clone.asked("implement", wp_id)
            clone.work_on(wp_id)
            clone.asked("move-task", wp_id, "--to", "for_review")
        clone.asked("merge")
        counts.append(len(clone.asked("accept", "--local")))
    assert counts[1] - counts[0] <= 2, "what is particular to each package"
