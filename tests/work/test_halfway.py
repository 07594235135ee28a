"""A commit that ends at any step between the working tree and its branch."""

import os
import re
import shutil
from functools import partial
from pathlib import Path

import pytest
from tests.cli.work.projects import FOLDER, done, project
from tests.cli.work.projects import TASKS as TASKS_MD
from tests.work.repositories import begin_work, content, git, make_repository, patches, write
from tests.work.steps import interrupted_at, killed_at, lines_of, reached
from tests.work.test_commits import DAY, TASKS, ticked, with_line

from thence.errors import GitFailed
from thence.work import commits, halfway, landing
from thence.work.commands.setup_spec import setup_spec
from thence.work.commits import commit_on
from thence.work.desk import Desk
from thence.work.files import TreeFiles
from thence.work.landing import Landing
from thence.work.leftovers import COMMITTING
from thence.work.locks import held
from thence.work.repository import repository

STEPS = lines_of((halfway.note, landing.bring, Landing.land, TreeFiles.replace, halfway.forget))
MOVES = Path(landing.__file__).read_text().splitlines().index("            ref.commit()") + 1
BOX = "- [ ] T001\n"
MINE = "A line of the user's\n"


@pytest.fixture
def top(tmp_path) -> Path:
    """Make a repository in which the user has staged and half done something."""
    top = make_repository(tmp_path / "Das Projekt ö", {DAY: "0\n", TASKS: BOX, "mine": "1\n"})
    begin_work(top)
    write(top, {TASKS: BOX + MINE})
    return top


def tell(top: Path, number: int) -> None:
    splices = {DAY: with_line(b"%d\n" % number), f"new/{number}": with_line(b"1\n"), TASKS: ticked}
    commit_on(repository(top), "main", splices, "Tell it")


def settled(top: Path) -> list[str]:
    return list(halfway.settled(repository(top)))


def started_afresh(top: Path, begin: str, before: tuple[str, str]) -> None:
    git(top, "reset", "--quiet", "--hard", begin)
    begin_work(top)
    write(top, {TASKS: BOX + MINE})
    assert patches(top) == before


def left(top: Path) -> tuple[str, str, str, bool]:
    state = git(top, "status", "--porcelain")
    locks = [path for path in (top / ".git").rglob("*.lock") if path.parent.name != "thence"]
    note = top / ".git/thence/commits.halfway"
    return (
        state,
        content(top, DAY).decode(),
        (top / TASKS).read_text(),
        bool(locks) or note.exists(),
    )


@pytest.mark.parametrize("end", [killed_at, interrupted_at])
def test_commit_that_ends_at_any_step_is_there_or_not_and_never_half(top, end):
    begin, before = git(top, "rev-parse", "HEAD"), patches(top)
    whole = (f" M {TASKS}\nMM mine", "0\n1\n", "- [x] T001\n" + MINE, False)
    nothing = (f" M {TASKS}\nMM mine", "0\n", BOX + MINE, False)
    seen = set()
    steps = reached(STEPS, partial(tell, top, 1))
    assert len(steps) > 25
    started_afresh(top, begin, before)
    for line in steps:
        assert end(line, partial(tell, top, 1))
        told = settled(top)
        assert left(top) in (whole, nothing), line
        if told:
            assert left(top) == whole, line
        seen.add(left(top))
        assert settled(top) == []
        tell(top, 1)
        assert left(top) == whole, line
        started_afresh(top, begin, before)
    assert seen == {whole, nothing}
    git(top, "fsck", "--strict")


def killed_before_the_branch_moves(top: Path) -> None:
    """Kill a commit when index and files have it already, and the branch has not."""
    assert killed_at((landing.__file__, MOVES), partial(tell, top, 1))
    assert content(top, DAY) == b"0\n"
    assert (top / DAY).read_bytes() == b"0\n1\n"


def test_index_is_free_again_while_the_note_of_a_commit_is_still_there(top):
    """What was killed right behind it left the user's git locked out, and nobody knew why."""
    lines = [line.strip() for line in Path(commits.__file__).read_text().splitlines()]
    forgets = lines.index("halfway.forget(repo)") + 1
    assert killed_at((commits.__file__, forgets), partial(tell, top, 1))
    assert not (top / ".git/index.lock").exists()
    assert left(top)[3]
    settled(top)
    assert left(top) == (f" M {TASKS}\nMM mine", "0\n1\n", "- [x] T001\n" + MINE, False)


def test_file_that_the_user_has_changed_since_keeps_it_and_the_rest_is_put_back(top):
    killed_before_the_branch_moves(top)
    write(top, {TASKS: "- [x] T001\n" + MINE + "Another\n"})
    assert "put back" in "".join(settled(top))
    assert git(top, "status", "--porcelain") == f" M {TASKS}\nMM mine"
    assert (top / TASKS).read_text() == "- [x] T001\n" + MINE + "Another\n"
    assert not (top / "new/1").exists()
    tell(top, 1)
    assert left(top)[0] == f" M {TASKS}\nMM mine"
    assert (content(top, TASKS), content(top, DAY)) == (b"- [x] T001\n", b"0\n1\n")


def test_other_branch_that_the_user_has_gone_to_is_rid_of_it(top):
    before = patches(top)
    git(top, "branch", "other")
    killed_before_the_branch_moves(top)
    (top / ".git/index.lock").unlink()
    git(top, "checkout", "--quiet", "other")
    assert "put back" in "".join(settled(top))
    assert patches(top) == before
    assert git(top, "status", "--porcelain") == f" M {TASKS}\nMM mine"
    tell(top, 1)
    assert content(top, DAY, "main") == b"0\n1\n"
    assert (top / DAY).read_bytes() == b"0\n"


def test_commit_that_the_user_has_made_of_it_stays(top):
    killed_before_the_branch_moves(top)
    (top / ".git/index.lock").unlink()
    git(top, "commit", "--quiet", "--message", "All that is staged")
    head = git(top, "rev-parse", "HEAD")
    settled(top)
    assert git(top, "rev-parse", "HEAD") == head
    assert git(top, "status", "--porcelain") == f" M {TASKS}\n M mine"
    tell(top, 1)
    assert git(top, "rev-parse", "HEAD") == head, "there was nothing left to commit"


def test_work_that_the_user_has_thrown_away_since_is_not_brought_back(top):
    killed_before_the_branch_moves(top)
    (top / ".git/index.lock").unlink()
    git(top, "reset", "--quiet", "--hard")
    settled(top)
    tell(top, 1)
    assert git(top, "status", "--porcelain") == ""
    assert (top / TASKS).read_bytes() == b"- [x] T001\n"
    assert (top / DAY).read_bytes() == b"0\n1\n"


@pytest.mark.parametrize("torn", [None, b"", b"0\n1"])
@pytest.mark.parametrize("ends", ["lf", "crlf"])
def test_file_that_git_had_begun_to_write_is_whole_again(top, torn, ends):
    if ends == "crlf":
        git(top, "config", "core.autocrlf", "true")
    assert killed_at(
        reached(lines_of((Landing.land,)), partial(tell, top, 0))[0], partial(tell, top, 1)
    )
    if torn is None:
        (top / DAY).unlink()
    else:
        (top / DAY).write_bytes(torn)
    write(top, {"new/1": b""})
    assert "is concluded" in "".join(settled(top))
    assert left(top)[:2] == (f" M {TASKS}\nMM mine", "0\n1\n")
    assert (top / DAY).read_bytes().replace(b"\r", b"") == b"0\n1\n"


def test_second_working_tree_that_changes_meanwhile_keeps_the_first_as_it_was(top, monkeypatch):
    second = top.parent / "second"
    git(top, "worktree", "add", "--quiet", "--force", second, "main")
    before, land = patches(top), Landing.land

    def refusing(landing: Landing) -> None:
        if landing.tree.path == second:
            raise GitFailed("could not write into", place=second)
        land(landing)

    with monkeypatch.context() as patched:
        patched.setattr(Landing, "land", refusing)
        with pytest.raises(GitFailed, match="could not write into"):
            tell(top, 1)
    assert patches(top) == before
    assert left(top) == (f" M {TASKS}\nMM mine", "0\n", BOX + MINE, False)
    tell(top, 1)
    assert (second / DAY).read_bytes() == b"0\n1\n"


def test_working_tree_that_is_gone_and_a_note_cut_off_keep_nobody_from_committing(top):
    second = top.parent / "second"
    git(top, "worktree", "add", "--quiet", "--force", second, "main")
    killed_before_the_branch_moves(top)
    shutil.rmtree(second)
    assert "put back" in "".join(settled(top))
    (top / ".git/thence/commits.halfway").write_text('{"pid": 1, "branch"')
    tell(top, 1)
    assert left(top)[1:] == ("0\n1\n", "- [x] T001\n" + MINE, False)


def test_note_of_a_command_that_runs_is_left_to_it(top):
    killed_before_the_branch_moves(top)
    note = top / ".git/thence/commits.halfway"
    note.write_text(re.sub('"pid": [0-9]+', f'"pid": {os.getpid()}', note.read_text()))
    with held(top / ".git" / COMMITTING):
        assert settled(top) == []
        assert note.exists()
    assert "is concluded" in "".join(settled(top))


def test_next_command_concludes_what_a_killed_one_had_begun_and_tells_it(tmp_path):
    repo = project(tmp_path / "r")

    def begin() -> None:
        with Desk(repo) as desk:
            setup_spec(desk, "Sync")

    assert killed_at((landing.__file__, MOVES), begin)
    assert git(repo, "status", "--porcelain") != ""
    assert "a command had begun before it was killed is concluded" in done(repo, "status").err
    assert git(repo, "status", "--porcelain") == ""
    assert content(repo, f"{FOLDER}/spec.md").startswith(b"# Sync")
    assert done(repo, "status").err == ""
    (repo / FOLDER / "tasks.md").write_text(TASKS_MD)
    done(repo, "finalize-tasks")
