"""Pushes of branches, and the page on which a forge begins a pull request."""

import pytest
from tests.git.repositories import commit, git, hook, make_repository

from thence.errors import GitFailed
from thence.git.pushing import fetch, is_pushed, page_of, pull_request, push, remote_of
from thence.git.refs import refs_of
from thence.git.repository import repository

GITLAB = (
    "https://gitlab.com/shop/team/app/-/merge_requests/new"
    "?merge_request[source_branch]=f/x&merge_request[target_branch]=main"
)


@pytest.fixture
def pair(tmp_path):
    """Two clones of one bare remote."""
    first = make_repository(tmp_path / "first")
    git(tmp_path, "clone", "--quiet", "--bare", first, tmp_path / "remote.git")
    clones = [tmp_path / "ada", tmp_path / "bob"]
    for path in clones:
        git(tmp_path, "clone", "--quiet", tmp_path / "remote.git", path)
        git(path, "config", "user.name", path.name)
        git(path, "config", "user.email", f"{path.name}@example.org")
    return clones


def begin(clone, files, branch="work"):
    git(clone, "switch", "--quiet", "--create", branch)
    commit(clone, files)
    return repository(clone)


@pytest.mark.promise("L16")
@pytest.mark.parametrize(
    ("url", "page"),
    [
        ("git@github.com:shop/app.git", "https://github.com/shop/app/compare/main...f/x?expand=1"),
        ("https://github.com/shop/app", "https://github.com/shop/app/compare/main...f/x?expand=1"),
        (
            "https://ada:secret@gitlab.com/shop/team/app.git",
            GITLAB,
        ),
        (
            "git@bitbucket.org:shop/app.git",
            "https://bitbucket.org/shop/app/pull-requests/new?source=f/x&dest=main",
        ),
        ("https://codeberg.org/shop/app/", "https://codeberg.org/shop/app/compare/main...f/x"),
        ("git@git.example.org:shop/app.git", None),
        ("https://github.com.example.org/shop/app", None),
        ("https://github.com/", None),
        ("/srv/git/app.git", None),
        ("file:///srv/github.com/shop/app.git", None),
        ("https://[github.com/shop/app", None),
        ("", None),
    ],
)
def test_page_of_a_pull_request(url, page):
    assert page_of(url, "f/x", "main") == page


@pytest.mark.promise("L16")
def test_page_names_a_branch_of_odd_letters_as_one():
    page = page_of("git@github.com:shop/app.git", "f/a b#c&d", "main")
    assert page == "https://github.com/shop/app/compare/main...f/a%20b%23c%26d?expand=1"


@pytest.mark.promise("L16")
def test_branch_is_pushed_under_its_name_and_followed_from_then_on(pair):
    repo = begin(pair[0], {"a.py": "a\n"})
    assert not is_pushed(refs_of(repo), "origin", "work")
    push(repo, "origin", "work")
    assert is_pushed(refs_of(repo), "origin", "work")
    assert remote_of(repo, refs_of(repo), ["work"]) == "origin"
    assert str(pull_request(repo, "origin", "work", "main")) == (
        "open a pull request from work into main"
    )


@pytest.mark.promise("L16")
def test_push_that_others_were_faster_with_can_be_tried_again(pair):
    ada, bob = (begin(clone, {"a.py": f"{clone.name}\n"}) for clone in pair)
    push(ada, "origin", "work")
    with pytest.raises(GitFailed) as caught:
        push(bob, "origin", "work")
    assert caught.value.recoverable
    assert fetch(bob, "origin") == ""
    git(pair[1], "merge", "--quiet", "--strategy=ours", "origin/work")
    push(bob, "origin", "work")


@pytest.mark.promise("L16")
def test_push_that_is_refused_says_in_whose_words(pair):
    repo = begin(pair[0], {"a.py": "a\n"})
    hook(pair[0].parent / "remote.git", "update", "echo no such names here >&2; exit 1")
    with pytest.raises(GitFailed, match="hook declined"):
        push(repo, "origin", "work")
    (pair[0].parent / "remote.git/hooks/update").unlink()
    hook(pair[0], "pre-push", "echo tests fail >&2; exit 1")
    with pytest.raises(GitFailed, match="tests fail") as caught:
        push(repo, "origin", "work")
    assert not caught.value.recoverable


@pytest.mark.promise("S4")
def test_remote_that_is_not_there_is_said(pair):
    repo = repository(pair[0])
    (pair[0].parent / "remote.git").rename(pair[0].parent / "away.git")
    assert "does not appear to be a git repository" in fetch(repo, "origin")
