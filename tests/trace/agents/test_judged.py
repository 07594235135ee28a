"""Lines that something happened to between the edit and the commit; owners by construction."""

import subprocess
import time
from pathlib import Path

import pytest
from tests.git.repositories import git, own_variables
from tests.trace.agents.played import PAY, PlayedRepository, Session, commit, owners, told, write

from thence.trace.agents.fired import SPOOL

BIG = "".join(
    f"def step_{number}(order):\n    return order.total_{number} * rates[{number}]\n\n\n"
    for number in range(8)
)


def worded(played: PlayedRepository, path: str, root: Path | None = None) -> list[str]:
    """Return who owns the lines that have words."""
    top = root or played.top
    lines = (top / path).read_text().splitlines()
    pairs = zip(lines, owners(played, path, root), strict=True)
    return [told(owner) for line, owner in pairs if line.strip()]


def agents_file(played: PlayedRepository, path: str, text: str, root: Path | None = None) -> None:
    Session(played, "s1", root, ask="Write it").write(path, text)


def test_file_that_a_clean_filter_changes_is_read_as_git_has_it(played):
    played.person(
        played.top, {"big.py": "RATES = 8\n", ".gitattributes": "*.py filter=tabs\n"}, "Tabs"
    )
    git(played.top, "config", "filter.tabs.clean", "expand -t 4")
    agents_file(played, "big.py", "RATES = 8\n\n\n" + BIG.replace("    ", "\t"))
    assert set(worded(played, "big.py")) == {"person Ada", "s1"}  # not committed yet
    played.person(played.top, {}, "By a person", name="Bob")
    assert set(worded(played, "big.py")) == {"person Ada", "s1"}
    assert "\t" not in git(played.top, "show", "HEAD:big.py")


def test_lines_that_were_carried_to_another_tree_stay_the_agents(played):
    one, two = played.worktree("one"), played.worktree("two")
    agents_file(played, "big.py", BIG, one)
    git(one, "add", "-A")
    git(one, "stash")
    git(two, "stash", "pop")
    played.person(two, {}, "Popped", name="Bob")
    assert set(worded(played, "big.py", two)) == {"s1"}
    assert owners(played, "big.py", two)[0].via == ("written in another working tree",)


def test_forges_squash_of_an_amended_commit_with_a_suggestion_loses_that_line_alone(
    played, tmp_path
):
    git(tmp_path, "clone", "-q", played.top, "forge")
    tree, forge = played.worktree("a"), tmp_path / "forge"
    session = Session(played, "s1", tree, ask="Write it")
    session.write("big.py", BIG)
    old = session.commit("Big")
    session.edit("big.py", "step_1(", "step_one(")
    words = ("commit", "-qa", "--amend", "--no-edit")
    new = session.run(lambda: git(tree, *words), "git commit --amend")
    played.rewritten(old, new, "amend")
    text = (tree / "big.py").read_text().replace("rates[7]", "rates[-1]")
    write(forge, {"big.py": text})
    commit(forge, "Big (#1)", name="Eve")
    git(played.top, "pull", "-q", "--ff-only", str(forge), "main")
    assert worded(played, "big.py") == [*["s1"] * 15, "unknown Eve"]


def test_line_that_a_revert_brings_back_is_its_former_owners(played):
    agents_file(played, "big.py", BIG)
    played.person(played.top, {}, "Committed", name="Ada")
    removed = BIG.replace("def step_3(order):\n    return order.total_3 * rates[3]\n\n\n", "")
    played.person(played.top, {"big.py": removed}, "Removed", name="Bob")
    git(played.top, "revert", "--no-edit", "HEAD")
    played.committed(played.top)
    assert set(worded(played, "big.py")) == {"s1"}


@pytest.mark.parametrize("digits", [40, 50, 64])
def test_message_that_takes_back_no_commit_disturbs_no_answer(played, digits):
    agents_file(played, "big.py", BIG)
    message = f"Big\n\nThis reverts commit {'a' * digits}."
    played.person(played.top, {}, message, name="Bob")
    assert set(worded(played, "big.py")) == {"s1"}


def test_no_edit_after_a_commit_owns_a_line_of_it(played):
    """Also where no hook saw the commit, and only its time tells."""
    write(played.top, {"late.py": BIG})
    git(played.top, "add", "-A")
    tree = git(played.top, "write-tree")
    words = ["git", "commit-tree", tree, "-p", "HEAD", "-m", "Unseen"]
    who = dict.fromkeys(("GIT_AUTHOR_NAME", "GIT_COMMITTER_NAME"), "Ada")
    who |= dict.fromkeys(("GIT_AUTHOR_EMAIL", "GIT_COMMITTER_EMAIL"), "ada@example.org")
    moment = f"@{int(time.time()) - 60} +0000"
    env = own_variables() | who | {"GIT_COMMITTER_DATE": moment}
    made = subprocess.run(words, cwd=played.top, env=env, check=True, capture_output=True)
    git(played.top, "update-ref", "HEAD", made.stdout.decode().strip())
    agents_file(played, "late.py", BIG + "DONE = True\n")
    lines = owners(played, "late.py")
    assert {owner.kind for owner in lines[:-1]} == {"unknown"}
    assert told(lines[-1]) == "s1"


def test_commit_that_no_hook_saw_comes_before_its_child_also_in_one_second(tmp_path):
    played = PlayedRepository(tmp_path / "shop", {"pay.py": PAY}, is_recorded=False)
    git(played.top, "commit", "-q", "--amend", "--no-edit", "--date=now")  # commits again, now
    session = Session(played, "s1", ask="Add VAT")
    session.edit("pay.py", "return total", "return total * 1.19")
    session.commit("VAT")
    first, second = owners(played, "pay.py")
    assert (first.kind, first.maybe, told(second)) == ("unknown", None, "s1")


def test_answers_are_kept_and_made_anew_where_the_file_is_bad(played):
    kept = played.log.folder / SPOOL / ".judged"
    kept.parent.mkdir()
    agents_file(played, "big.py", BIG)
    played.person(played.top, {}, "By a person", name="Bob")
    assert set(worded(played, "big.py")) == {"s1"}
    assert kept.stat().st_mode & 0o777 == 0o600
    whole = kept.read_bytes()
    git(played.top, "config", "diff.renames", "false")
    assert set(worded(played, "big.py")) == {"s1"}
    assert kept.read_bytes() == whole
    for data in (b"", b"torn", whole[: len(whole) // 2]):
        kept.write_bytes(data)
        assert set(worded(played, "big.py")) == {"s1"}
        assert kept.read_bytes() == whole
    kept.unlink()
    kept.mkdir()  # nothing can be kept
    assert set(worded(played, "big.py")) == {"s1"}
