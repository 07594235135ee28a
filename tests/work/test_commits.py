"""Commits by plumbing: the branch gets the change, and the user's own work stays as it was."""

import os
import stat
import threading
from collections.abc import Callable

import pytest
from tests.work.repositories import (
    EMAIL,
    WAIT_S,
    commit,
    content,
    git,
    make_repository,
    patches,
    write,
)

from thence.errors import GitFailed
from thence.work.commits import Author, Commit, commit_on
from thence.work.repository import repository

DAY = ".kittify/events/2026-11-20.jsonl"
TASKS = "kitty-specs/028-sync/tasks.md"


def with_line(line: bytes) -> Callable[[bytes | None], bytes]:
    """Append a line where it is not yet."""

    def splice(data: bytes | None) -> bytes:
        lines = (data or b"").splitlines(keepends=True)
        return b"".join(lines) if line in lines else b"".join([*lines, line])

    return splice


def ticked(data: bytes | None) -> bytes | None:
    return data and data.replace(b"- [ ] T001", b"- [x] T001")


def committed(top, changes=None, branch="main") -> Commit:
    made = commit_on(repository(top), branch, changes or {DAY: with_line(b"1\n")}, "Tell it")
    assert made is not None
    return made


def is_clean(top) -> bool:
    return git(top, "status", "--porcelain") == "" and not git(top, "diff-index", "HEAD")


def test_branch_that_is_nowhere_checked_out_moves_and_nothing_else(tmp_path):
    top = make_repository(tmp_path, {DAY: "0\n"})
    git(top, "branch", "target")
    before = (top / ".git/index").read_bytes()
    made = committed(top, branch="target")
    assert content(top, DAY, "target") == b"0\n1\n"
    assert content(top, DAY) == (top / DAY).read_bytes() == b"0\n"
    assert (top / ".git/index").read_bytes() == before
    assert made.trees == ()
    assert made.paths == (DAY,)
    assert git(top, "rev-parse", "target", "target~1").split() == [made.oid, made.parent]


def test_working_tree_with_the_branch_gets_file_and_index_and_is_clean(tmp_path):
    top = make_repository(tmp_path, {DAY: "0\n"})
    made = committed(top, {DAY: with_line(b"1\n"), "new/file": with_line(b"2\n")})
    assert made.trees == (top,)
    assert (top / DAY).read_bytes() == b"0\n1\n"
    assert (top / "new/file").read_bytes() == b"2\n"
    assert is_clean(top)
    assert git(top, "reflog", "-1", "--format=%gs") == "commit: Tell it"


def test_linked_worktree_and_a_second_checkout_get_it_too(tmp_path):
    top = make_repository(tmp_path / "top", {DAY: "0\n"})
    for name in ("one", "two"):
        git(
            top,
            "worktree",
            "add",
            "--quiet",
            "--force",
            *(["-b", "side"] if name == "one" else []),
            tmp_path / name,
            *(["side"] if name == "two" else []),
        )
    made = committed(top, branch="side")
    assert made.trees == (tmp_path / "one", tmp_path / "two")
    for name in ("one", "two"):
        assert (tmp_path / name / DAY).read_bytes() == b"0\n1\n"
        assert is_clean(tmp_path / name)
    assert (top / DAY).read_bytes() == b"0\n"


def test_what_is_there_already_makes_no_commit(tmp_path):
    top = make_repository(tmp_path, {DAY: "1\n"})
    before = git(top, "rev-parse", "HEAD")
    assert commit_on(repository(top), "main", {DAY: with_line(b"1\n")}, "Tell it") is None
    assert git(top, "rev-parse", "HEAD") == before


def test_author_is_the_given_one_else_the_one_git_knows(tmp_path):
    top = make_repository(tmp_path)
    form = ("log", "-1", "--format=%an %ae %cn %ce %s%n%b")
    committed(top)
    assert git(top, *form).startswith(f"Ada {EMAIL} Ada {EMAIL} Tell it")
    changes = {DAY: with_line(b"2\n")}
    author = Author("größe", "g@example.org")
    commit_on(repository(top), "main", changes, "Zwölf\n\nund mehr\n", author=author)
    told = git(top, *form)
    assert told == "größe g@example.org größe g@example.org Zwölf\nund mehr\n"


def test_nobody_who_commits_is_told_in_git_s_words(tmp_path, monkeypatch):
    top = make_repository(tmp_path)
    git(top, "config", "user.name", "")
    for role in ("AUTHOR", "COMMITTER"):
        monkeypatch.delenv(f"GIT_{role}_NAME", raising=False)
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", os.devnull)
    with pytest.raises(GitFailed, match="empty ident name") as caught:
        committed(top)
    assert "user.name" in caught.value.hint
    assert content(top, DAY) is None


def test_staged_and_half_done_work_elsewhere_stays_as_it_was(tmp_path):
    top = make_repository(tmp_path, {DAY: "0\n", "a": "1\n", "b": "1\n", "c": "1\n", "d": "1\n"})
    write(top, {"a": "2\n", "new": "x\n", "c": "3\n"})
    git(top, "add", "a", "new", "c")
    write(top, {"a": "4\n", "b": "5\n", "untracked": "6\n"})
    git(top, "rm", "--quiet", "--cached", "d")
    before = patches(top)
    committed(top)
    assert patches(top) == before
    assert git(top, "status", "--porcelain").splitlines() == [
        "MM a",
        " M b",
        "M  c",
        "D  d",
        "A  new",
        "?? d",
        "?? untracked",
    ]


def test_same_file_staged_and_half_done_gets_the_change_in_both_and_keeps_both_patches(tmp_path):
    text = "".join(f"- [ ] T00{n} do\n\n\n\n\n\n\n\n" for n in range(1, 5))
    top = make_repository(tmp_path, {TASKS: text})
    write(top, {TASKS: text.replace("T004 do", "T004 staged")})
    git(top, "add", TASKS)
    both = text.replace("T004 do", "T004 staged").replace("T003 do", "T003 half done")
    write(top, {TASKS: both})
    os.chmod(top / TASKS, 0o600)
    before = patches(top)
    committed(top, {TASKS: ticked})
    assert patches(top) == before
    assert content(top, TASKS) == text.replace("[ ] T001", "[x] T001").encode()
    assert (top / TASKS).read_text() == both.replace("[ ] T001", "[x] T001")
    assert stat.S_IMODE((top / TASKS).stat().st_mode) == 0o600


def test_file_that_only_the_user_has_is_committed_as_it_is_and_then_clean(tmp_path):
    top = make_repository(tmp_path)
    write(top, {TASKS: "mine\n"})
    committed(top, {TASKS: lambda data: data or b"mine\n"})
    assert is_clean(top)
    write(top, {TASKS: "mine, changed\n"})
    committed(top, {TASKS: lambda _: b"mine, changed\n"})
    assert is_clean(top)


def test_file_that_the_user_has_staged_as_new_is_committed_and_then_clean(tmp_path):
    top = make_repository(tmp_path)
    write(top, {TASKS: "mine\n"})
    for how in (["add"], ["add", "--intent-to-add"]):
        git(top, *how, TASKS)
        made = committed(top, {TASKS: lambda _: b"mine\n"})
        assert is_clean(top)
        git(top, "reset", "--quiet", "--mixed", made.parent)


def test_file_that_the_user_has_deleted_stays_deleted(tmp_path):
    top = make_repository(tmp_path, {DAY: "0\n", TASKS: "0\n"})
    (top / TASKS).unlink()
    git(top, "rm", "--quiet", DAY)
    changes = {DAY: with_line(b"1\n"), TASKS: with_line(b"1\n")}
    committed(top, changes)
    assert git(top, "status", "--porcelain").splitlines() == [f"D  {DAY}", f" D {TASKS}"]
    assert content(top, DAY) == content(top, TASKS) == b"0\n1\n"


def test_file_is_taken_away_where_it_is_clean_and_kept_where_the_user_changed_it(tmp_path):
    top = make_repository(tmp_path, {"a/clean": "0\n", "half": "0\n"})
    write(top, {"half": "1\n"})
    committed(top, {"a/clean": lambda _: None, "half": lambda _: None})
    assert not (top / "a/clean").exists()
    assert (top / "half").read_text() == "1\n"
    assert git(top, "ls-tree", "-r", "--name-only", "HEAD").split() == ["README.md"]
    assert git(top, "status", "--porcelain") == "?? half"


def test_modes_line_ends_and_filters_of_the_user_are_kept(tmp_path):
    top = make_repository(tmp_path, {".gitattributes": "*.md text eol=crlf\n*.up filter=up\n"})
    git(top, "config", "filter.up.smudge", "tr a-z A-Z")
    git(top, "config", "filter.up.clean", "tr A-Z a-z")
    write(top, {TASKS: "- [ ] T001 do\r\n", "x.up": "ABC\n", "run": "- [ ] T001\n"})
    (top / "run").chmod(0o755)
    commit(top, {TASKS: "- [ ] T001 do\r\n", "x.up": "ABC\n", "run": "- [ ] T001\n"})
    committed(top, {TASKS: ticked, "x.up": with_line(b"def\n"), "run": ticked})
    assert content(top, TASKS) == b"- [x] T001 do\n"
    assert (top / TASKS).read_bytes() == b"- [x] T001 do\r\n"
    assert (top / "x.up").read_bytes() == b"ABC\nDEF\n"
    assert os.access(top / "run", os.X_OK)
    assert is_clean(top)


def test_entries_that_the_user_told_git_to_skip_stay_skipped(tmp_path):
    top = make_repository(tmp_path, {DAY: "0\n", "a": "0\n"})
    git(top, "update-index", "--skip-worktree", DAY)
    git(top, "update-index", "--assume-unchanged", "a")
    (top / DAY).unlink()
    committed(top, {DAY: with_line(b"1\n"), "a": with_line(b"1\n")})
    assert git(top, "ls-files", "-v", DAY, "a").splitlines() == [f"S {DAY}", "h a"]
    assert not (top / DAY).exists()
    assert is_clean(top)


def test_links_and_folders_of_the_user_are_never_written_through_nor_replaced(tmp_path):
    top = make_repository(tmp_path / "top", {DAY: "0\n", "b/c": "0\n"})
    outside = tmp_path / "outside"
    write(outside, {"2026-11-20.jsonl": "0\n", "c": "0\n"})
    (top / DAY).unlink()
    (top / DAY).symlink_to(outside / "2026-11-20.jsonl")
    (top / "b/c").unlink()
    (top / "b").rmdir()
    (top / "b").symlink_to(outside)
    (top / "taken").write_text("mine\n")
    (top / "away").symlink_to(outside)
    names = (DAY, "b/c", "taken/x", "away/new")
    committed(top, {name: with_line(b"1\n") for name in names})
    assert sorted(path.name for path in outside.iterdir()) == ["2026-11-20.jsonl", "c"]
    assert (outside / "2026-11-20.jsonl").read_text() == (outside / "c").read_text() == "0\n"
    assert (top / DAY).is_symlink()
    assert (top / "b").is_symlink()
    assert (top / "taken").read_text() == "mine\n"
    assert (top / "away").is_symlink()
    assert content(top, "taken/x") == content(top, "away/new") == b"1\n"


def test_names_with_spaces_and_other_letters_and_repositories_below_them(tmp_path):
    top = make_repository(tmp_path / "Über das\tProjekt")
    name = 'kitty-specs/028-größe/tasks/WP01 "ß" *.md'
    git(top, "worktree", "add", "--quiet", "-b", "größe", tmp_path / "größe ö")
    committed(top, {name: with_line(b"1\n")}, "größe")
    assert (tmp_path / "größe ö" / name).read_bytes() == b"1\n"
    assert is_clean(tmp_path / "größe ö")


def test_first_commit_of_a_repository_leaves_what_is_staged(tmp_path):
    git(tmp_path, "init", "--quiet", "--initial-branch=main")
    write(tmp_path, {"mine": "1\n"})
    git(tmp_path, "add", "mine")
    changes = {DAY: with_line(b"1\n")}
    made = commit_on(repository(tmp_path), "main", changes, "Begin", author=Author("A", "a@b.c"))
    assert made is not None
    assert made.parent is None
    assert git(tmp_path, "status", "--porcelain") == "A  mine"
    assert (tmp_path / DAY).read_bytes() == b"1\n"


def test_bare_repository_and_its_worktree(tmp_path):
    git(make_repository(tmp_path / "o"), "clone", "--quiet", "--bare", ".", tmp_path / "b.git")
    bare = tmp_path / "b.git"
    git(bare, "config", "user.name", "Ada")
    git(bare, "config", "user.email", EMAIL)
    git(bare, "branch", "other")
    git(bare, "worktree", "add", "--quiet", tmp_path / "w", "main")
    assert committed(bare).trees == (tmp_path / "w",)
    assert is_clean(tmp_path / "w")
    assert committed(bare, branch="other").trees == ()


def test_detached_head_keeps_what_it_shows(tmp_path):
    top = make_repository(tmp_path, {DAY: "0\n"})
    git(top, "checkout", "--quiet", "--detach")
    assert committed(top).trees == ()
    assert (top / DAY).read_bytes() == b"0\n"
    assert is_clean(top)


def test_branch_that_is_missing_is_told(tmp_path):
    with pytest.raises(GitFailed, match="there is no branch nowhere"):
        committed(make_repository(tmp_path), branch="nowhere")


def test_hooks_and_signing_of_the_user_do_not_run(tmp_path):
    top = make_repository(tmp_path)
    git(top, "config", "commit.gpgSign", "true")
    git(top, "config", "gpg.program", "false")
    for name in (
        "pre-commit",
        "commit-msg",
        "post-commit",
        "reference-transaction",
        "post-index-change",
    ):
        hook = top / ".git/hooks" / name
        hook.write_text(f"#!/bin/sh\ntouch '{tmp_path}/ran'\nexit 1\n")
        hook.chmod(0o755)
    committed(top)
    assert not (tmp_path / "ran").exists()


def test_commit_from_a_hook_of_the_user_lands_where_it_should(tmp_path, monkeypatch):
    top = make_repository(tmp_path / "top")
    monkeypatch.setenv("GIT_INDEX_FILE", str(tmp_path / "another index"))
    monkeypatch.setenv("GIT_DIR", str(tmp_path / "another"))
    committed(top)
    assert not (tmp_path / "another index").exists()
    assert is_clean(top)


def test_many_threads_commit_one_after_another_and_nothing_is_lost(tmp_path):
    top = make_repository(tmp_path)
    repo = repository(top)
    failed: list[BaseException] = []

    def work(hand: int) -> None:
        try:
            for n in range(4):
                commit_on(repo, "main", {DAY: with_line(b"%d %d\n" % (hand, n))}, "Tell it")
        except BaseException as error:
            failed.append(error)

    threads = [threading.Thread(target=work, args=(hand,)) for hand in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(WAIT_S)
    assert not failed
    assert len((top / DAY).read_bytes().splitlines()) == 24
    assert git(top, "rev-list", "--count", "main") == "25"
    assert is_clean(top)
