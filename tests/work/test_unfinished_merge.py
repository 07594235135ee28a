"""A merge that is killed, and what its user meets with until it is concluded."""

import os
from pathlib import Path

import pytest
from tests.cli.work.projects import SLUG, TASKS, done, planned, work
from tests.work.boards import TREE
from tests.work.repositories import commit, git, hook, write
from tests.work.steps import killed_at

from thence.work.commands.merge import merge
from thence.work.session.session import Session
from thence.work.vcs import advancing

THREE = TASKS.partition("### Dependencies")[0] + "\n## Work Package WP03: Third\n"
CONCLUDES = "thence work merge WP01 concludes it"
PUT_BACK = f"note: the merge of WP01 into main was cut off and is put back: {CONCLUDES}"
UNTOLD = (
    "note: the merge of WP01 into main was done by a command that was killed before it told:"
    f" {CONCLUDES}"
)


# in the working tree that has the target, which alone has a folder .git
INDEX = '[ -d .git ] && [ "$1" = prepared ] && grep -q " refs/heads/main$" && kill -9 0; exit 0'
MOVED = "[ -d .git ] && kill -9 0; exit 0"
FILES = "[ -d .git ] && kill -9 0; cat"


@pytest.fixture
def repo(tmp_path) -> Path:
    """Make a project with two packages to be merged and one to begin, and work of the user's."""
    repo = planned(tmp_path / "r", THREE, TREE)
    done(repo, "finalize-tasks")
    for wp_id in ("WP01", "WP02"):
        done(repo, "implement", wp_id)
        files = {f"{wp_id}/{n}": "1\n" for n in range(3)}
        commit(repo / f".worktrees/{SLUG}-{wp_id}", {**files, "README.md": f"# of {wp_id}\n"})
        if wp_id == "WP02":
            commit(repo / f".worktrees/{SLUG}-WP02", {"README.md": "# a project\n"})
    done(repo, "mark-status", "T001")
    write(repo, {"mine": "half done\n"})
    return repo


def kill(repo: Path, at: str) -> None:
    """Merge WP01, and kill all of it at a hook, or when git writes a file."""
    child = os.fork()
    if not child:
        try:
            os.setsid()
            if at in ("reference-transaction", "post-merge"):
                hook(repo, at, INDEX if at == "reference-transaction" else MOVED)
            else:
                git(repo, "config", "filter.kill.smudge", FILES)
                (repo / ".git/info/attributes").write_text(f"{at} filter=kill\n")
            with Session(repo) as session:
                merge(session, ["WP01"])
        finally:
            os._exit(0)
    _, status = os.waitpid(child, 0)
    assert os.WIFSIGNALED(status), "the merge came to its end"
    for name in ("hooks/reference-transaction", "hooks/post-merge", "info/attributes"):
        (repo / ".git" / name).unlink(missing_ok=True)


def state(repo: Path) -> tuple[str, str, bool]:
    note = list((repo / ".git/thence").glob("merge-*.json"))
    return git(repo, "status", "--porcelain"), (repo / "README.md").read_text(), bool(note)


BEFORE = ("?? mine", "# a project\n", True)


def test_merge_cut_off_before_the_target_moved_is_put_back_and_told_by_any_command(repo):
    kill(repo, "reference-transaction")
    assert git(repo, "status", "--porcelain").startswith("M  README.md\nA  WP01/0")
    for command in ("status", "implement WP03", "move-task WP01 --to for_review", "publish"):
        assert done(repo, *command.split()).err.count(PUT_BACK) == 1, command
        assert state(repo) == BEFORE, command
    assert "001-sync-WP01 is merged into main" in done(repo, "merge", "WP01").out
    assert state(repo) == ("?? mine", "# of WP01\n", False)
    assert done(repo, "status").err == ""
    assert "WP01 of 001-sync is done" in done(repo, "accept", "WP01").out


def test_merge_of_another_package_works_meanwhile_and_accept_says_what_is_lacking(repo):
    kill(repo, "reference-transaction")
    refused = work(repo, "accept", "WP01")
    assert refused.code == 1
    assert PUT_BACK in refused.err
    done(repo, "merge", "WP02")
    assert state(repo) == ("?? mine", "# a project\n", False)
    assert (repo / "WP02/0").exists()
    assert not (repo / "WP01").exists()
    done(repo, "merge", "WP01")
    assert state(repo) == ("?? mine", "# of WP01\n", False)


@pytest.mark.parametrize("other", ["merge WP02", "merge --resume"])
def test_merge_that_was_done_and_not_told_is_told_until_a_merge_tells_it(repo, other):
    kill(repo, "post-merge")
    for command in ("status", "implement WP03", "accept WP01", "move-task WP01 --to for_review"):
        assert UNTOLD in work(repo, *command.split()).err, command
    done(repo, *other.split())
    board = done(repo, "status")
    assert board.err == ""
    assert "for_review  WP01" in board.out
    assert state(repo) == ("?? mine", "# of WP01\n", False)
    assert "WP01 of 001-sync is done" in done(repo, "accept", "WP01").out


def test_abort_forgets_a_merge_that_was_cut_off(repo):
    kill(repo, "reference-transaction")
    done(repo, "merge", "--abort")
    assert state(repo) == ("?? mine", "# a project\n", False)
    assert done(repo, "status").err == ""


@pytest.mark.parametrize("name", ["README.md", "WP01/0", "WP01/2"])
def test_files_that_a_killed_git_has_written_without_the_index_are_put_back(repo, name):
    kill(repo, name)
    assert (repo / ".git/index.lock").exists()
    assert git(repo, "status", "--porcelain") != "?? mine"
    if name == "WP01/2":  # half written
        write(repo, {"WP01/1": "", "WP01/2": "1"})
    assert PUT_BACK in done(repo, "status").err
    assert state(repo) == BEFORE
    assert not (repo / "WP01/0").exists()
    done(repo, "merge", "WP01")
    assert state(repo) == ("?? mine", "# of WP01\n", False)


def test_file_of_the_users_own_that_the_merge_would_bring_too_stays(repo):
    kill(repo, "WP01/2")
    write(repo, {"README.md": "# a project of mine\n", "WP01/1": "mine\n"})
    assert PUT_BACK in done(repo, "status").err
    assert (repo / "README.md").read_text() == "# a project of mine\n"
    assert (repo / "WP01/1").read_text() == "mine\n"


def test_file_of_the_user_that_was_there_before_git_wrote_any_stays(repo):
    write(repo, {"WP01/1": "1\n"})
    file = str(advancing.__file__)
    lines = [line.strip() for line in Path(file).read_text().splitlines()]

    def begin() -> None:
        with Session(repo) as session:
            merge(session, ["WP01"])

    assert killed_at((file, lines.index("answer = git.ask(*arguments)") + 1), begin)
    assert PUT_BACK in done(repo, "status").err
    assert (repo / "WP01/1").read_text() == "1\n"
    assert work(repo, "merge", "WP01").code == 1
    assert (repo / "WP01/1").read_text() == "1\n"


def test_note_that_can_not_be_read_keeps_nobody_from_working(repo):
    (repo / ".git/thence/merge-x.json").write_text("{")
    assert done(repo, "status").err == ""
    done(repo, "move-task", "WP01", "--to", "for_review")
