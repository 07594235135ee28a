"""Whether a package's code is in its target, asked of real git: each way, and many together.

What stands after random histories is in tests/work/test_landing_histories.py.
"""

import pytest
from msgspec.structs import replace
from tests.git.repositories import commit, git, make_repository

from thence.errors import GitFailed
from thence.git.git import Git
from thence.git.landed import (
    Landed,
    Landing,
    Memo,
    Question,
    landings,
    missing_commits,
    nearest,
    reviewed_of,
    was_in,
)
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


def code_of(folder, branch="work", base="main", target="main", before=None):
    base, tip, target = (git(folder, "rev-parse", each) for each in (base, branch, target))
    return reviewed_of(repository(folder), base, tip, target, before=before)[0]


def landing(folder, code, landed=None):
    (answer,) = landings(
        repository(folder), git(folder, "rev-parse", "main"), [Question(code, landed)]
    )
    return answer


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


WAYS = {
    merged: "ancestor",
    squashed: "patch",
    squashed_with_more: "patch",
    rebased: "patches",
    picked: "patches",
}
each_way = pytest.mark.parametrize("bring", WAYS, ids=lambda each: each.__name__)


@pytest.mark.promise("L15")
@each_way
@pytest.mark.parametrize("is_pruned", [False, True])
def test_code_is_found_however_it_came_and_with_its_branch_gone(folder, bring, is_pruned):
    code = code_of(folder, package(folder))
    commit(folder, {"other.py": "before\n"})
    assert landing(folder, code) == Landing()
    brought = bring(folder, "work")
    if is_pruned:
        git(folder, "branch", "--quiet", "-D", "work")
        if bring is squashed_with_more:  # only the commit itself can tell
            git(folder, "update-ref", "refs/thence/reviewed/001-sync/WP01", code.commit)
        git(folder, "reflog", "expire", "--expire=now", "--all")
        git(folder, "gc", "--quiet", "--prune=now")
    assert landing(folder, code) == Landing(Landed(WAYS[bring], brought))
    for number in range(3):  # the same lines, and those beside them
        more = {"l4": f"four {number}", "l6": f"six {number}", "l8": f"eight {number}"}
        commit(folder, {"code.py": lines(l5=f"five {number}", **more)})
    assert landing(folder, code) == Landing(Landed(WAYS[bring], brought))


@pytest.mark.promise("L15")
def test_package_that_was_sent_back_lands_with_what_was_added(folder):
    base = git(folder, "rev-parse", "main")
    first = code_of(folder, package(folder))
    commit(folder, {"other.py": "before\n"})
    git(folder, "checkout", "--quiet", "work")
    commit(folder, {"new é.py": "better\n"})
    git(folder, "checkout", "--quiet", "main")
    again = replace(code_of(folder, base=base, before=first.commit), earlier=(first,))
    assert (again.base, len(again.chain)) == (first.commit, 2)
    git(folder, "cherry-pick", "work~1")
    assert landing(folder, again) == Landing()
    git(folder, "reset", "--quiet", "--hard", "HEAD~1")
    assert landing(folder, again).landed is None
    brought = squashed(folder, "work")
    assert landing(folder, again) == Landing(Landed("patch", brought))
    assert landing(folder, first) == Landing()


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


def test_answers_are_the_same_whatever_the_user_has_configured(folder):
    code = code_of(folder, package(folder))
    (folder / "order").write_text("new*\n")
    settings = {
        "diff.noprefix": "true",
        "diff.context": "0",
        "diff.algorithm": "patience",
        "diff.indentHeuristic": "false",
        "diff.orderFile": "order",
        "diff.external": "/bin/false",
        "diff.interHunkContext": "9",
        "diff.mnemonicPrefix": "true",
        "diff.renames": "false",
        "color.ui": "always",
        "log.showSignature": "true",
        "log.showRoot": "false",
    }
    for name, value in settings.items():
        git(folder, "config", name, value)
    assert code_of(folder) == code
    commit(folder, {"other.py": "before\n"})
    brought = squashed(folder, "work")
    assert landing(folder, code) == Landing(Landed("patch", brought))
    git(folder, "revert", "--no-edit", "HEAD")
    assert landing(folder, code).reverts == (git(folder, "rev-parse", "HEAD"),)


def test_fork_whose_commits_this_clone_never_had_is_found_by_its_patch(folder, tmp_path):
    package(folder)
    git(tmp_path, "clone", "--quiet", folder, "fork")
    code = code_of(tmp_path / "fork", "origin/work", "origin/main", "origin/main")
    brought = squashed(folder, "work")
    git(folder, "branch", "--quiet", "-D", "work")
    git(folder, "reflog", "expire", "--expire=now", "--all")
    git(folder, "gc", "--quiet", "--prune=now")
    assert landing(folder, code) == Landing(Landed("patch", brought))
    git(folder, "revert", "--no-edit", "HEAD")
    assert landing(folder, code, Landed("patch", brought)).reverts, (
        "the rows of that commit are known"
    )


def test_commits_that_a_clone_lacks_are_lacking_and_no_error(folder):
    tip = commit(folder, {"other.py": "1\n"})
    git(folder, "checkout", "--quiet", "-b", "beside")
    beside = commit(folder, {"other.py": "2\n"})
    repo = repository(folder)
    assert missing_commits(repo, tip, [tip, f"{'1' * 40}", beside]) == {"1" * 40, beside}
    assert missing_commits(repo, tip, []) == frozenset()


@pytest.mark.promise("L15")
def test_commit_was_in_a_branch_if_its_reflog_says_so(folder):
    repo = repository(folder)
    tip = commit(folder, {"other.py": "1\n"})
    later = commit(folder, {"other.py": "2\n"})
    git(folder, "reset", "--quiet", "--hard", "HEAD~2")
    beside = git(folder, "commit-tree", "-m", "beside", "-p", "HEAD", "HEAD^{tree}")
    commits = [tip, later, beside, "1" * 40]
    assert was_in(repo, ["refs/heads/main"], commits) == {tip, later}
    assert was_in(repo, [], commits) == set()


@pytest.mark.promise("L15")
def test_commit_that_shares_most_words_is_the_likeliest(folder):
    code = code_of(folder, package(folder))
    assert nearest(repository(folder), git(folder, "rev-parse", "main"), code) is None
    git(folder, "merge", "--quiet", "--squash", "work")
    likely = commit(folder, {"code.py": lines(l5="five", l8="8th")}, "Squashed, with a suggestion")
    commit(folder, {"more.py": "anything new\n"})
    assert landing(folder, code) == Landing()
    assert nearest(repository(folder), git(folder, "rev-parse", "main"), code) == likely


@pytest.mark.promise("L15")
def test_merge_that_was_stated_is_followed_as_a_whole(folder):
    package(folder)
    commit(folder, {"other.py": "before\n"})
    merged(folder, "work")
    stated = Landed("stated", git(folder, "rev-parse", "main"), "I did it")
    assert landing(folder, None, stated) == Landing(stated)
    git(folder, "revert", "--no-edit", "-m", "1", "HEAD")
    assert landing(folder, None, stated) == Landing(stated, (git(folder, "rev-parse", "main"),))


@pytest.mark.promise("L15")
def test_package_that_comes_after_a_stated_commit_was_reverted_is_there(folder):
    code = code_of(folder, package(folder))
    stated = Landed("stated", commit(folder, {"other.py": "written anew\n"}), "in other words")
    assert landing(folder, code, stated) == Landing(stated)
    git(folder, "revert", "--no-edit", "HEAD")
    assert landing(folder, code, stated).reverts
    merged(folder, "work")
    assert landing(folder, code, stated) == Landing(stated)


@pytest.mark.promise("L15")
def test_commit_that_is_stated_after_a_revert_has_brought_the_package_in_its_own_words(folder):
    git(folder, "checkout", "--quiet", "-b", "work")
    commit(folder, {"code.py": lines(l5="five")})
    git(folder, "checkout", "--quiet", "main")
    code = code_of(folder)
    merged(folder, "work")
    git(folder, "revert", "--no-edit", "-m", "1", "HEAD")
    stated = Landed("stated", commit(folder, {"code.py": lines(l5="5")}), "with a suggestion")
    assert landing(folder, code).reverts
    assert landing(folder, code, stated) == Landing(stated)
    git(folder, "revert", "--no-edit", "HEAD")
    assert landing(folder, code, stated).reverts == (git(folder, "rev-parse", "HEAD"),)


def test_picture_that_came_in_two_commits_and_went_in_one_is_reverted(folder):
    before = commit(folder, {"image": "\0 begin"}, "A picture")
    git(folder, "checkout", "--quiet", "-b", "work")
    commit(folder, {"image": "\0 draft"}, "A draft")
    commit(folder, {"image": "\0 final"}, "The final one")
    code = code_of(folder, base=before)
    git(folder, "checkout", "--quiet", "main")
    commit(folder, {"other.py": "more\n"}, "Something else")
    last = rebased(folder, "work")
    assert landing(folder, code) == Landing(Landed("patches", last))
    undone = commit(folder, {"image": "\0 begin"}, "As it was")
    assert landing(folder, code).reverts == (undone,)


def test_two_thousand_commits_of_the_target_are_looked_through(folder):
    code = code_of(folder, package(folder))
    brought = squashed(folder, "work")
    told = ["reset refs/heads/main\n", f"from {brought}\n\n"]
    for number in range(2000):
        text = lines(l5=f"five {number}", l6=f"six {number}", l8=f"eight {number}")
        told.append("commit refs/heads/main\ncommitter a <a@b> 1700000000 +0000\ndata 4\nmore\n")
        told.append(f"M 100644 inline code.py\ndata {len(text)}\n{text}\n")
    git(folder, "fast-import", "--quiet", "--force", stdin="".join(told).encode())
    assert landing(folder, code) == Landing(Landed("patch", brought))


@pytest.mark.promise("L15")
def test_many_packages_are_asked_together_and_moves_of_the_target_cost_one_process(
    folder, tmp_path, monkeypatch
):
    codes, base = [], git(folder, "rev-parse", "main")
    for number in range(12):
        git(folder, "checkout", "--quiet", "-b", f"work{number}", base)
        commit(folder, {f"file{number}.py": f"value = {number}00\n"})
        codes.append(code_of(folder, f"work{number}"))
        git(folder, "checkout", "--quiet", "main")
        (merged if number % 2 else squashed_with_more)(folder, f"work{number}") if number < 8 else 0
    questions, calls = [Question(code) for code in codes], list[str]()
    of_git = Git.open_process

    def counted(self, *arguments, **options):
        calls.append(str(arguments[0]))
        return of_git(self, *arguments, **options)

    monkeypatch.setattr(Git, "open_process", counted)
    repo = repository(folder)

    def ask(count):
        calls.clear()
        told = landings(repo, git(folder, "rev-parse", "main"), questions, memo.table("main", ""))
        assert len(calls) == count, calls
        memo.save()
        return [(bool(one.landed), bool(one.reverts)) for one in told]

    memo = Memo(repo, tmp_path)
    there, missing, reverted = (True, False), (False, False), (True, True)
    absent, first, own, theirs, rows, log = 1, 1, 1, 1, 1, 1
    merges = 4  # of those that are not there, one for each
    assert ask(absent + first + own + theirs + merges + rows + log) == [there] * 8 + [missing] * 4
    memo = Memo(repo, tmp_path)
    assert ask(0) == [there] * 8 + [missing] * 4
    questions = questions[:8]
    git(folder, "revert", "--no-edit", "HEAD~1")
    git(folder, "revert", "--no-edit", "-m", "1", "HEAD~1")
    assert ask(1) == [*[there] * 6, reverted, reverted]
    git(folder, "reset", "--quiet", "--hard", "HEAD~1")
    assert ask(absent + first + own + rows + log) == [*[there] * 6, reverted, there]
    (tmp_path / "memo").write_bytes(b"nothing of ours")
    memo = Memo(repo, tmp_path)
    assert ask(absent + first + own + theirs + rows + log) == [*[there] * 6, reverted, there]


def test_patches_are_those_of_each_commit_and_of_all_together(folder):
    base = git(folder, "rev-parse", "main")
    package(folder)
    git(folder, "checkout", "--quiet", "-b", "beside", "main")
    commit(folder, {"beside.py": "beside\n"})
    git(folder, "checkout", "--quiet", "work")
    git(folder, "merge", "--quiet", "--no-edit", "beside")
    git(folder, "commit", "--quiet", "--allow-empty", "--message", "And nothing")
    code, has_commits = reviewed_of(
        repository(folder), base, git(folder, "rev-parse", "HEAD"), base
    )
    assert (has_commits, len(code.commits), len(code.patches)) == (True, 4, 3)
    assert len({code.patch, *code.patches}) == 4
    nothing, has_commits = reviewed_of(repository(folder), code.commit, code.commit, None)
    assert (has_commits, nothing.patch, nothing.patches) == (False, "", ())


def test_object_that_is_missing_of_a_package_is_told(folder):
    package(folder)
    oid = git(folder, "rev-parse", "work~1:code.py")
    (folder / ".git/objects" / oid[:2] / oid[2:]).unlink()
    with pytest.raises(GitFailed, match=f"unable to read {oid}"):
        code_of(folder)
