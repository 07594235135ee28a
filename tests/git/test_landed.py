"""Whether a package's code is in its target, asked of real git after every way of bringing it."""

import pytest
from tests.git.repositories import commit, git, make_repository

from thence.errors import GitFailed
from thence.git.landed import Landed, landing_of, missing_commits, reviewed_of
from thence.git.patches import hunks_of, patch_id
from thence.git.repository import repository

LINES = [f"line {number}\n" for number in range(1, 31)]


def lines(**changed):
    """Return the file's lines, some of them changed: l5="five"."""
    found = [*LINES]
    for name, text in changed.items():
        found[int(name[1:]) - 1] = f"{text}\n"
    return "".join(found)


@pytest.fixture
def folder(tmp_path):
    return make_repository(tmp_path / "sync é", {"code.py": lines(), "other.py": "other\n"})


def package(folder, branch="work"):
    """Make a branch with two commits that change one file, and add another."""
    git(folder, "checkout", "--quiet", "-b", branch)
    commit(folder, {"code.py": lines(l5="five")}, "Change the fifth")
    commit(folder, {"code.py": lines(l5="five", l8="eight"), "new é.py": "new\n"}, "And more")
    git(folder, "checkout", "--quiet", "main")
    return branch


def code_of(folder, branch="work", base="main", target="main"):
    base, tip, target = (git(folder, "rev-parse", each) for each in (base, branch, target))
    return reviewed_of(repository(folder), base, tip, target)[0]


def landing(folder, code, target="main"):
    """Return how the code is in the target, None where it is not there whole."""
    answer = answer_of(folder, code, target)
    return None if answer.reverts or answer.missing else answer.landed


def answer_of(folder, code, target="main"):
    return landing_of(repository(folder), git(folder, "rev-parse", target), code)


def squashed(folder, branch):
    git(folder, "merge", "--quiet", "--squash", branch)
    git(folder, "commit", "--quiet", "-m", "Squashed")
    return git(folder, "rev-parse", "HEAD")


def squashed_with_more(folder, branch):
    """Squash as a forge does, with a change of another file in the same commit."""
    git(folder, "merge", "--quiet", "--squash", branch)
    return commit(folder, {"CHANGES": "it is better now\n"}, "Squashed")


def rebased(folder, branch):
    git(folder, "checkout", "--quiet", "-b", "rebased", branch)
    git(folder, "rebase", "--quiet", "main")
    git(folder, "checkout", "--quiet", "main")
    git(folder, "merge", "--quiet", "--ff-only", "rebased")
    git(folder, "branch", "--quiet", "-D", "rebased")
    return git(folder, "rev-parse", "HEAD")


def picked(folder, branch):
    git(folder, "cherry-pick", f"main..{branch}")
    return git(folder, "rev-parse", "HEAD")


def merged(folder, branch):
    tip = git(folder, "rev-parse", branch)
    git(folder, "merge", "--quiet", "--no-ff", "-m", f"Merge {branch} into main", branch)
    return tip


def edited_in_the_merge(folder, branch):
    """Squash by hand in a way that gives no patch of the package's: beside a new line."""
    git(folder, "merge", "--quiet", "--squash", branch)
    text = lines(l5="five", l8="eight", l11="and eleven in the same go")
    return commit(folder, {"code.py": text}, "By hand")


WAYS = {
    merged: "ancestor",
    squashed: "patch",
    squashed_with_more: "patch",
    rebased: "patches",
    picked: "patches",
    edited_in_the_merge: "patch",
}
each_way = pytest.mark.parametrize("bring", WAYS, ids=lambda each: each.__name__)


@pytest.mark.promise("L15")
@each_way
def test_code_is_found_however_it_came_and_whatever_was_edited_beside_it_later(folder, bring):
    code = code_of(folder, package(folder))
    commit(folder, {"other.py": "before\n"})
    assert landing(folder, code) is None
    brought = bring(folder, "work")
    for number in range(3):  # the same lines, and those beside them
        more = {"l4": f"four {number}", "l6": f"six {number}", "l8": f"eight {number}"}
        commit(folder, {"code.py": lines(l5=f"five {number}", **more)})
    assert landing(folder, code) == Landed(WAYS[bring], brought)


@pytest.mark.promise("L15")
@each_way
def test_branch_that_was_deleted_and_pruned_is_found_by_what_was_recorded(folder, bring):
    code = code_of(folder, package(folder))
    commit(folder, {"other.py": "before\n"})
    brought = bring(folder, "work")
    git(folder, "branch", "--quiet", "-D", "work")
    if bring in (squashed_with_more, edited_in_the_merge):  # only the commit itself can tell
        git(folder, "update-ref", "refs/thence/reviewed/001-sync/WP01", code.commit)
    git(folder, "reflog", "expire", "--expire=now", "--all")
    git(folder, "gc", "--quiet", "--prune=now")
    assert landing(folder, code) == Landed(WAYS[bring], brought)


@pytest.mark.promise("L15")
def test_branch_that_was_deleted_unmerged_has_not_landed(folder):
    code = code_of(folder, package(folder))
    commit(folder, {"code.py": lines(l5="something else")})
    assert landing(folder, code) is None
    git(folder, "branch", "--quiet", "-D", "work")
    git(folder, "reflog", "expire", "--expire=now", "--all")
    git(folder, "gc", "--quiet", "--prune=now")
    assert landing(folder, code) is None


@pytest.mark.promise("L15")
def test_half_of_the_commits_is_not_the_package(folder):
    code = code_of(folder, package(folder))
    git(folder, "cherry-pick", "work~1")
    assert landing(folder, code) is None


def test_equal_trees_are_no_code_though_there_are_commits(folder):
    git(folder, "checkout", "--quiet", "-b", "work")
    assert not code_of(folder).patch
    commit(folder, {"code.py": lines(l5="five")})
    assert code_of(folder).patch
    git(folder, "revert", "--no-edit", "HEAD")
    assert not code_of(folder).patch
    (folder / "code.py").chmod(0o755)
    git(folder, "commit", "--quiet", "-am", "Make it a program")
    assert code_of(folder).patch


def test_binary_files_are_told_apart(folder):
    for branch, data in (("one", b"\0one"), ("other", b"\0other")):
        git(folder, "checkout", "--quiet", "-b", branch, "main")
        commit(folder, {"image": data})
    git(folder, "checkout", "--quiet", "main")
    one, other = (code_of(folder, branch) for branch in ("one", "other"))
    squashed(folder, "one")
    assert landing(folder, one).how == "patch"
    assert landing(folder, other) is None


def test_patch_is_the_same_whatever_the_user_has_configured(folder):
    code = code_of(folder, package(folder))
    settings = {
        "diff.noprefix": "true",
        "diff.context": "0",
        "diff.algorithm": "patience",
        "color.ui": "always",
        "log.showSignature": "true",
        "diff.external": "/bin/false",
    }
    for name, value in settings.items():
        git(folder, "config", name, value)
    assert code_of(folder) == code
    commit(folder, {"other.py": "before\n"})
    brought = squashed(folder, "work")
    assert landing(folder, code) == Landed("patch", brought)


def test_package_that_took_its_target_in_is_found_too(folder):
    base = git(folder, "rev-parse", "main")
    package(folder)
    commit(folder, {"other.py": "meanwhile\n"})
    git(folder, "checkout", "--quiet", "work")
    git(folder, "merge", "--quiet", "--no-edit", "main")
    git(folder, "checkout", "--quiet", "main")
    code = code_of(folder, base=base)
    assert len(code.patches) == 2
    brought = squashed(folder, "work")
    commit(folder, {"code.py": lines(l5="later", l8="later")})
    assert code.base == git(folder, "rev-parse", "main~2")
    assert landing(folder, code) == Landed("patch", brought)


def test_fork_whose_commits_this_clone_never_had_is_found_by_its_patch(folder, tmp_path):
    package(folder)
    git(tmp_path, "clone", "--quiet", folder, "fork")
    code = code_of(tmp_path / "fork", "origin/work", "origin/main", "origin/main")
    git(folder, "checkout", "--quiet", "-b", "kept", "main")
    brought = squashed(folder, "work")
    git(folder, "branch", "--quiet", "-D", "work")
    git(folder, "reflog", "expire", "--expire=now", "--all")
    git(folder, "gc", "--quiet", "--prune=now")
    assert landing(folder, code, "kept") == Landed("patch", brought)


def test_commits_that_a_clone_lacks_are_lacking_and_no_error(folder):
    tip = commit(folder, {"other.py": "1\n"})
    git(folder, "checkout", "--quiet", "-b", "beside")
    beside = commit(folder, {"other.py": "2\n"})
    repo = repository(folder)
    assert missing_commits(repo, tip, [tip, f"{'1' * 40}", beside]) == {"1" * 40, beside}
    assert missing_commits(repo, tip, []) == frozenset()


def test_two_thousand_commits_of_the_target_are_looked_through(folder):
    code = code_of(folder, package(folder))
    brought = squashed(folder, "work")
    told = ["reset refs/heads/main\n", f"from {brought}\n\n"]
    for number in range(2000):
        text = lines(l5=f"five {number}", l6=f"six {number}", l8=f"eight {number}")
        told.append("commit refs/heads/main\ncommitter a <a@b> 1700000000 +0000\ndata 4\nmore\n")
        told.append(f"M 100644 inline code.py\ndata {len(text)}\n{text}\n")
    git(folder, "fast-import", "--quiet", "--force", stdin="".join(told).encode())
    assert landing(folder, code) == Landed("patch", brought)


def test_patches_are_those_of_each_commit_and_of_all_together(folder):
    base = git(folder, "rev-parse", "main")
    package(folder)
    git(folder, "checkout", "--quiet", "work")
    empty = ("-c", "user.name=A", "commit", "--quiet", "--allow-empty", "--message")
    git(folder, *empty, "Nothing")
    git(folder, "checkout", "--quiet", "-b", "beside", "main")
    commit(folder, {"beside.py": "beside\n"})
    git(folder, "checkout", "--quiet", "work")
    git(folder, "merge", "--quiet", "--no-edit", "beside")
    git(folder, "revert", "--no-edit", "HEAD~2")
    git(folder, *empty, "And nothing")
    tip, repo = git(folder, "rev-parse", "HEAD"), repository(folder)

    oldest_first = ("--topo-order", "--reverse", "--no-merges")

    def patch_of(*change):
        return patch_id(next(hunks_of(repo, [change])))

    listed = git(folder, "rev-list", *oldest_first, f"{base}..{tip}").split()
    each = tuple(filter(None, map(patch_of, listed)))
    assert len(each) == len(listed) - 2
    found, has_commits = reviewed_of(repo, base, tip, base)
    assert has_commits
    assert (found.patch, found.patches) == (patch_of(tip, base), each)
    only, _ = reviewed_of(repo, base, git(folder, "rev-parse", "work~1"), None)
    assert only.patches == each
    nothing, has_commits = reviewed_of(repo, tip, tip, None)
    assert not has_commits
    assert (nothing.patch, nothing.patches) == ("", ())


def test_object_that_is_missing_of_a_package_is_told(folder):
    package(folder)
    oid = git(folder, "rev-parse", "work~1:code.py")
    (folder / ".git/objects" / oid[:2] / oid[2:]).unlink()
    with pytest.raises(GitFailed, match=f"unable to read {oid}"):
        code_of(folder)
