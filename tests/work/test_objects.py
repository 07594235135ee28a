"""Objects are named and written as git names and writes them."""

import hashlib
import os
import shutil

import pytest
from tests.work.repositories import commit, content, git, make_repository

from thence.errors import GitFailed
from thence.work.vcs.objects import FILE, PROGRAM, TreeEntry, objects
from thence.work.vcs.repository import repository


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
    with objects(repository(tmp_path)) as store:
        assert store.commit("HEAD")
        entries = {path: TreeEntry(FILE, store.put_blob(data)) for path, data in files.items()}
        assert store.put_tree(None, entries) == git(tmp_path, "rev-parse", "HEAD^{tree}")
        for oid, name in ((entry.oid, path) for path, entry in entries.items()):
            assert oid == git(tmp_path, "rev-parse", f"HEAD:{name}")


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


@pytest.mark.parametrize("algorithm", ["sha1", "sha256"])
def test_what_was_stored_is_whole_for_git(tmp_path, algorithm):
    git(tmp_path, "init", "--quiet", f"--object-format={algorithm}")
    with objects(repository(tmp_path)) as store:
        assert store.commit("HEAD") is None
        data = b"".join(hashlib.sha256(b"%d" % n).digest() for n in range(9000))
        tree = store.put_tree(
            None,
            {
                "deep/er/file": TreeEntry(FILE, store.put_blob(data)),
                "deep/run.sh": TreeEntry(PROGRAM, store.put_blob(b"#!/bin/sh\n")),
            },
        )
        store.store()
    assert git(tmp_path, "cat-file", "-t", tree) == "tree"
    assert content(tmp_path, "deep/er/file", tree) == data
    assert git(tmp_path, "ls-tree", tree + ":deep").splitlines()[1].startswith("100755")
    assert git(tmp_path, "fsck", "--strict", "--no-dangling") == ""


def test_path_is_replaced_added_and_taken_away_and_empty_folders_go(tmp_path):
    top = make_repository(tmp_path, {"a/b/c": "1", "a/d": "2", "e/f": "3"})
    with objects(repository(top)) as store:
        _, tree = store.commit("refs/heads/main")
        blob = store.put_blob(b"4")
        changes = {"a/b/c": None, "e/f": TreeEntry(FILE, blob), "e/g/h": TreeEntry(PROGRAM, blob)}
        made = store.put_tree(tree, changes)
        assert store.find(made, "e/f") == TreeEntry(FILE, blob)
        assert store.find(made, "a/b") is None
        assert store.find(made, "a/d/none") is None
        assert store.blob(store.find(made, "a/d").oid) == b"2"
        assert (
            store.put_tree(made, {"a/d": None, "e/f": None, "e/g/h": None, "README.md": None})
            is None
        )
        store.store()
    assert git(top, "ls-tree", "-r", "--name-only", made).split() == [
        "README.md",
        "a/d",
        "e/f",
        "e/g/h",
    ]


def test_replaced_objects_are_read_as_they_are(tmp_path):
    top = make_repository(tmp_path, {"a": "old\n"})
    other = git(top, "hash-object", "-w", "--stdin", stdin=b"new\n")
    git(top, "replace", "HEAD:a", other)
    with objects(repository(top)) as store:
        _, tree = store.commit("refs/heads/main")
        assert store.blob(store.find(tree, "a").oid) == b"old\n"


@pytest.mark.parametrize(
    ("path", "why"),
    [
        ("README.md/x", "a file stands there"),
        ("a", "a folder stands there"),
        ("A/x", "differs from 'a' in upper and lower case alone"),
        ("readme.MD", "differs from 'README.md' in upper and lower case alone"),
        ("link", "a symbolic link stands there"),
        ("link/x", "a symbolic link stands there"),
        ("part/x", "a submodule stands there"),
        ("part", "a submodule stands there"),
        (".git/config", "no tree of git can hold this name"),
        ("a/.GIT/x", "no tree of git can hold this name"),
        ("../x", "no tree of git can hold this name"),
        ("a//b", "no tree of git can hold this name"),
        ("a/x\ny", "no tree of git can hold this name"),
    ],
)
def test_path_that_would_displace_something_is_refused(tmp_path, path, why):
    top = make_repository(tmp_path / "top", {"a/b": "1"})
    (top / "link").symlink_to("a")
    git(top, "add", "link")
    part = make_repository(tmp_path / "part")
    git(top, "-c", "protocol.file.allow=always", "submodule", "--quiet", "add", part, "part")
    git(top, "commit", "--quiet", "--message", "More")
    with objects(repository(top)) as store:
        _, tree = store.commit("refs/heads/main")
        with pytest.raises(GitFailed, match=why) as caught:
            store.put_tree(tree, {path: TreeEntry(FILE, store.put_blob(b"1"))})
    assert caught.value.place == path


def test_object_that_is_missing_is_told_with_the_place(tmp_path):
    top = make_repository(tmp_path)
    with (
        objects(repository(top)) as store,
        pytest.raises(
            GitFailed, match="object 1111111111111111111111111111111111111111 is missing"
        ),
    ):
        store.blob("1" * 40)
