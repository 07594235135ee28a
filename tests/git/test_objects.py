"""Objects are named and written as git names and writes them."""

import os
import shutil

import pytest
from tests.git.repositories import begin_work, commit, content, git, make_repository, patches

from thence.errors import GitFailed
from thence.git.objects import objects, write_tree
from thence.git.repository import repository


@pytest.mark.parametrize("algorithm", ["sha1", "sha256"])
def test_files_and_trees_are_what_git_itself_makes_of_them(tmp_path, algorithm):
    git(tmp_path, "init", "--quiet", "--initial-branch=main", f"--object-format={algorithm}")
    git(tmp_path, "config", "user.name", "Ada")
    git(tmp_path, "config", "user.email", "ada@example.org")
    files = {
        "a/b.txt": b"one\n",
        "a.txt": b"",
        "a-b": bytes(range(256)) * 700,
        "größe/ä b": b"x" * 15,
        "q": b"y" * 16,
    }
    commit(tmp_path, files)
    tree = write_tree(repository(tmp_path), None, files)
    assert tree == git(tmp_path, "rev-parse", "HEAD^{tree}")
    other = write_tree(repository(tmp_path), None, {"deep/er/file": b"\0" * 300_000})
    assert content(tmp_path, "deep/er/file", other) == b"\0" * 300_000
    assert git(tmp_path, "fsck", "--strict", "--no-dangling") == ""


def test_answer_of_a_git_that_was_killed_is_never_taken_for_a_whole_one(tmp_path, monkeypatch):
    repo = make_repository(tmp_path / "r", {"a": "1\n", "b": "2\n"})
    tree = git(repo, "rev-parse", "HEAD^{tree}")
    with objects(repository(repo)) as store:
        entries = sum(len(b"100644 %b\0" % name) + 20 for name in store.tree(tree))
    program, real = tmp_path / "git", shutil.which("git")
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    for size in range(len(f"{tree} tree {entries}\n") + entries + 1):
        cut = f'head --lines 1 | {real} "$@" | head --bytes {size}'
        whole = f'exec {real} "$@"'
        program.write_text(f"#!/bin/sh\ncase $* in *cat-file*) {cut};; *) {whole};; esac\n")
        program.chmod(0o755)
        with objects(repository(repo)) as store, pytest.raises(GitFailed):
            store.tree(tree)


def test_files_are_replaced_and_added_beside_what_the_tree_and_the_user_have(tmp_path):
    top = make_repository(tmp_path, {"a/b/c": "1", "a/d": "2", "e/f": "3"})
    begin_work(top)
    before = patches(top)
    with objects(repository(top)) as store:
        _, tree = store.commit("refs/heads/main")
    tree = write_tree(repository(top), tree, {"e/f": b"4", "e/g/h": b"4"})
    with objects(repository(top)) as store:
        found = {path: store.find(tree, path) for path in ("a/d", "e/f", "e/g/h", "a/d/none")}
        assert [entry and store.blob(entry.oid) for entry in found.values()] == [
            b"2",
            b"4",
            b"4",
            None,
        ]
    assert patches(top) == before


def test_replaced_objects_are_read_as_they_are(tmp_path):
    top = make_repository(tmp_path, {"a": "old\n"})
    other = git(top, "hash-object", "-w", "--stdin", stdin=b"new\n")
    git(top, "replace", "HEAD:a", other)
    with objects(repository(top)) as store:
        _, tree = store.commit("refs/heads/main")
        assert store.blob(store.find(tree, "a").oid) == b"old\n"


def test_object_that_is_missing_is_told_with_the_place(tmp_path):
    top = make_repository(tmp_path)
    with (
        objects(repository(top)) as store,
        pytest.raises(
            GitFailed, match="object 1111111111111111111111111111111111111111 is missing"
        ),
    ):
        store.blob("1" * 40)
