"""Code that was taken out of its target again, in part or whole, asked of real git."""

import pytest
from msgspec.structs import replace
from tests.git.repositories import commit, git
from tests.git.test_landed import (
    answer_of,
    code_of,
    folder,
    landing,
    lines,
    merged,
    package,
    rebased,
    squashed,
)

from thence.git.landed import Landed, Landing, Reviewed, landing_of
from thence.git.repository import repository

__all__ = ["folder"]  # the fixture


def code_of_one(folder, files):
    """Returns the code of a branch with one commit of these files."""
    git(folder, "checkout", "--quiet", "-b", "work")
    commit(folder, files, "Do it")
    git(folder, "checkout", "--quiet", "main")
    return code_of(folder)


@pytest.mark.promise("L15")
def test_code_that_was_reverted_has_landed_and_is_told_as_reverted(folder):
    for number, bring in enumerate((merged, squashed)):
        branch = package(folder, f"work{number}")
        code = code_of(folder, branch)
        bring(folder, branch)
        landed = landing(folder, code)
        assert landed is not None
        commit(folder, {"other.py": f"{number}\n"})
        last = git(folder, "rev-parse", "main~1")
        git(folder, "revert", "--no-edit", *(("-m", "1") if bring is merged else ()), last)
        tip = git(folder, "rev-parse", "main")
        assert answer_of(folder, code) == Landing(landed, (tip,), ("code.py", "new é.py"))
        git(folder, "revert", "--no-edit", "HEAD")
        assert landing(folder, code).how == landed.how
        git(folder, "revert", "--no-edit", "HEAD")


@pytest.mark.promise("L15")
@pytest.mark.parametrize("bring", [merged, squashed, rebased], ids=lambda each: each.__name__)
def test_one_commit_that_was_reverted_is_named_with_its_files(folder, bring):
    code = code_of(folder, package(folder))
    commit(folder, {"other.py": "before\n"})
    bring(folder, "work")
    commit(folder, {"code.py": lines(l4="four", l5="five", l8="eight")}, "Beside it")
    git(folder, "revert", "--no-edit", "work")
    reverts = (git(folder, "rev-parse", "main"),)
    assert answer_of(folder, code)[1:] == (reverts, ("code.py", "new é.py"))
    assert git(folder, "show", "main:code.py") == lines(l4="four", l5="five").strip()


@pytest.mark.promise("L15")
@pytest.mark.parametrize("takes_main_in", [False, True])
def test_reverted_code_that_was_reopened_lacks_what_the_revert_took(folder, takes_main_in):
    base = git(folder, "rev-parse", "main")
    first = code_of(folder, package(folder))
    commit(folder, {"other.py": "before\n"})
    merged(folder, "work")
    git(folder, "revert", "--no-edit", "-m", "1", "HEAD")
    revert = git(folder, "rev-parse", "main")
    git(folder, "checkout", "--quiet", "work")
    if takes_main_in:
        git(folder, "merge", "--quiet", "main")
    commit(folder, {"fix.py": "fix\n"}, "Fix it")
    git(folder, "checkout", "--quiet", "main")
    again = replace(code_of(folder, base=base), earlier=(first,))
    git(folder, "merge", "--quiet", "--no-ff", "--no-edit", "work")
    assert answer_of(folder, again)[1:] == ((revert,), ("code.py", "new é.py"))
    git(folder, "checkout", "--quiet", "work")
    git(folder, "merge", "--quiet", "main")
    git(folder, "revert", "--no-edit", revert)
    git(folder, "checkout", "--quiet", "main")
    again = replace(code_of(folder, base=base), earlier=(first,))
    git(folder, "merge", "--quiet", "--no-ff", "--no-edit", "work")
    assert landing(folder, again) == Landed("ancestor", again.commit)
    assert git(folder, "show", "main:new é.py") == "new"


@pytest.mark.promise("L15")
def test_merge_that_brought_nothing_is_no_landing(folder):
    code = code_of(folder, package(folder))
    commit(folder, {"other.py": "before\n"})
    git(folder, "merge", "--quiet", "--no-edit", "--strategy=ours", "work")
    how = Landed("ancestor", code.commit)
    assert answer_of(folder, code) == Landing(how, (), ("code.py", "new é.py"))


@pytest.mark.promise("L15")
def test_merge_that_left_a_file_out_is_no_landing(folder):
    code = code_of(folder, package(folder))
    git(folder, "merge", "--quiet", "--no-commit", "--no-ff", "work")
    git(folder, "rm", "--quiet", "-f", "new é.py")
    git(folder, "commit", "--quiet", "-m", "All but one")
    how = Landed("ancestor", code.commit)
    assert answer_of(folder, code) == Landing(how, (), ("new é.py",))


@pytest.mark.promise("L15")
def test_merge_whose_conflict_somebody_resolved_is_a_landing(folder):
    code = code_of(folder, package(folder))
    commit(folder, {"code.py": lines(l5="cinque")})
    git(folder, "merge", "--quiet", "work", check=False)
    commit(folder, {"code.py": lines(l5="five, cinque", l8="eight")}, "Both")
    commit(folder, {"code.py": lines(l5="later", l8="later")})
    assert landing(folder, code) == Landed("ancestor", code.commit)


def test_deletion_is_not_found_in_an_edit_of_the_same_line(folder):
    code = code_of_one(folder, {"code.py": lines().replace("line 5\n", "")})
    commit(folder, {"code.py": lines(l5="line five")})
    assert landing(folder, code) is None


def test_lines_that_slide_beside_their_like_are_taken_out_all_the_same(folder):
    block = "\ndef f():\n    pass\n"
    code = code_of_one(folder, {"code.py": lines() + block})
    squashed(folder, "work")
    other = block.replace("f()", "g()")
    commit(folder, {"code.py": lines() + other + block}, "Add another")
    assert landing(folder, code) is not None
    commit(folder, {"code.py": lines() + other}, "Take one out")
    assert answer_of(folder, code).missing == ("code.py",)


@pytest.mark.parametrize("bring", [rebased, merged], ids=lambda each: each.__name__)
def test_package_that_takes_its_own_commit_back_has_landed(folder, bring):
    git(folder, "checkout", "--quiet", "-b", "work")
    commit(folder, {"code.py": lines(l5="five")}, "First")
    commit(folder, {"new.py": "new\n"}, "Second")
    git(folder, "revert", "--no-edit", "HEAD~1")
    git(folder, "checkout", "--quiet", "main")
    code = code_of(folder)
    commit(folder, {"other.py": "before\n"})
    bring(folder, "work")
    assert landing(folder, code) is not None


def test_white_space_that_was_taken_back_is_a_revert(folder):
    code = code_of_one(folder, {"code.py": lines(l5="    line 5")})
    squashed(folder, "work")
    assert landing(folder, code) is not None
    commit(folder, {"code.py": lines(l7="seven")}, "By hand")
    assert answer_of(folder, code).missing == ("code.py",)


def test_what_a_stated_commit_changed_is_followed(folder):
    stated = commit(folder, {"code.py": lines(l5="five"), "new.py": "new\n"})
    code = Reviewed(stated, "", "")
    git(folder, "revert", "--no-edit", "HEAD")
    tip = git(folder, "rev-parse", "main")
    whole = ((tip,), ("code.py", "new.py"))
    assert answer_of(folder, code)[1:] == whole
    assert landing_of(repository(folder), tip, code, is_stated=True)[1:] == whole
    back = commit(folder, {"new.py": "new\n"})
    assert answer_of(folder, code)[1:] == ((tip,), ("code.py",))
    assert landing_of(repository(folder), back, code, is_stated=True).is_whole


@pytest.mark.promise("L15")
def test_merge_that_was_stated_is_followed_as_a_whole(folder):
    package(folder)
    commit(folder, {"other.py": "before\n"})
    merged(folder, "work")
    code = Reviewed(git(folder, "rev-parse", "main"), "", "")
    assert landing(folder, code) == Landed("ancestor", code.commit)
    git(folder, "revert", "--no-edit", "-m", "1", "HEAD")
    assert answer_of(folder, code).missing == ("code.py", "new é.py")


@pytest.mark.promise("L15")
@pytest.mark.parametrize("bring", [rebased, merged, squashed], ids=lambda each: each.__name__)
@pytest.mark.parametrize("is_one", [True, False])
def test_package_that_takes_its_landed_lines_back_has_landed_again(folder, bring, is_one):
    base = git(folder, "rev-parse", "main")
    git(folder, "checkout", "--quiet", "-b", "work")
    commit(folder, {"code.py": lines(l5="five")}, "First")
    commit(folder, {"code.py": lines(l5="five", l6="six", l20="twenty")}, "Second")
    git(folder, "checkout", "--quiet", "main")
    first = code_of(folder)
    commit(folder, {"other.py": "before\n"})
    bring(folder, "work")
    assert landing(folder, first) is not None
    git(folder, "checkout", "--quiet", "work")
    git(folder, "merge", "--quiet", "--no-edit", "main")
    commit(folder, {"code.py": lines(l20="twenty", **{} if is_one else {"l6": "six"})}, "Back")
    git(folder, "checkout", "--quiet", "main")
    again = replace(code_of(folder, base=base), earlier=(first,))
    commit(folder, {"other.py": "between\n"})
    assert landing(folder, again) is None
    git(folder, "cherry-pick", "work") if bring is rebased else bring(folder, "work")
    assert landing(folder, again) is not None


@pytest.mark.promise("L15")
@pytest.mark.parametrize("place", [0, 12])
def test_lines_that_somebody_moves_within_their_file_are_edited(folder, place):
    text = [*lines().splitlines(keepends=True)]
    code = code_of_one(folder, {"code.py": "".join((*text[:8], "one\n", "two\n", *text[8:]))})
    squashed(folder, "work")
    commit(folder, {"code.py": "".join((*text[:place], "one\n", "two\n", *text[place:]))}, "Move")
    assert landing(folder, code) is not None


@pytest.mark.promise("L15")
def test_deletion_of_a_block_that_is_not_only_the_packages_is_an_edit(folder):
    """Git does not tell whether somebody meant the package: moved functions look just so."""
    text = [*lines().splitlines(keepends=True)]
    code = code_of_one(folder, {"code.py": "".join((*text[:8], "one\n", *text[8:]))})
    squashed(folder, "work")
    commit(folder, {"code.py": "".join((*text[:6], *text[10:]))}, "Take the whole block out")
    assert landing(folder, code) is not None


@pytest.mark.promise("L15")
def test_lines_that_came_in_a_larger_hunk_go_with_it(folder):
    code = code_of(folder, package(folder))
    git(folder, "merge", "--quiet", "--squash", "work")
    text = lines(l5="five", l6="six beside it", l8="eight")
    commit(folder, {"code.py": text, "other.py": "more\n"}, "Squashed, with a line beside it")
    assert landing(folder, code) is not None
    git(folder, "revert", "--no-edit", "HEAD")
    assert answer_of(folder, code).missing == ("code.py", "new é.py")


@pytest.mark.promise("L15")
def test_inserted_line_that_came_in_a_larger_hunk_goes_with_it(folder):
    text = [*lines().splitlines(keepends=True)]
    code = code_of_one(folder, {"code.py": "".join((*text[:8], "one\n", *text[8:]))})
    commit(folder, {"code.py": "".join((*text[:7], "8\n", "one\n", *text[8:]))}, "By hand")
    assert landing(folder, code) is not None
    git(folder, "revert", "--no-edit", "HEAD")
    assert answer_of(folder, code).missing == ("code.py",)


@pytest.mark.promise("L15")
def test_some_of_the_packages_lines_that_go_together_are_a_revert(folder):
    text = [*lines().splitlines(keepends=True)]
    git(folder, "checkout", "--quiet", "-b", "work")
    own = [f"own {number}\n" for number in range(3)]
    for count in range(1, 4):
        commit(folder, {"code.py": "".join((*text[:8], *own[:count], *text[8:]))}, f"Add {count}")
    git(folder, "checkout", "--quiet", "main")
    code = code_of(folder)
    squashed(folder, "work")
    assert landing(folder, code) is not None
    commit(folder, {"code.py": "".join((*text[:8], *own[:1], *text[8:]))}, "Two of three go")
    assert answer_of(folder, code).missing == ("code.py",)


@pytest.mark.promise("L15")
def test_file_that_a_package_made_for_its_first_review_alone_is_not_missed(folder):
    base = git(folder, "rev-parse", "main")
    git(folder, "checkout", "--quiet", "-b", "work")
    commit(folder, {"draft.py": "draft\n", "code.py": lines(l5="five")}, "A draft")
    git(folder, "checkout", "--quiet", "main")
    first = code_of(folder, base=base)
    git(folder, "checkout", "--quiet", "work")
    commit(folder, {"draft.py": "other\n"}, "Another draft")
    git(folder, "rm", "--quiet", "draft.py")
    git(folder, "commit", "--quiet", "-m", "No draft")
    git(folder, "checkout", "--quiet", "main")
    again = replace(code_of(folder, base=base), earlier=(first,))
    commit(folder, {"other.py": "before\n"})
    merged(folder, "work")
    assert landing(folder, again) == Landed("ancestor", again.commit)


@pytest.mark.promise("L15")
def test_squash_that_was_reverted_and_came_again_commit_by_commit_has_landed(folder):
    git(folder, "checkout", "--quiet", "-b", "work")
    commit(folder, {"code.py": lines(l5="five")}, "First")
    commit(folder, {"code.py": lines(l5="fifth")}, "Then")
    git(folder, "checkout", "--quiet", "main")
    code = code_of(folder)
    squashed(folder, "work")
    git(folder, "revert", "--no-edit", "HEAD")
    assert answer_of(folder, code).missing == ("code.py",)
    git(folder, "cherry-pick", "work~1", "work")
    assert landing(folder, code) is not None
    git(folder, "revert", "--no-edit", "HEAD")
    assert answer_of(folder, code).missing == ("code.py",)


@pytest.mark.promise("L15")
@pytest.mark.parametrize("takes_main_in", [False, True])
@pytest.mark.parametrize("is_by_merge", [False, True])
def test_deletion_that_a_package_took_back_is_not_missed(folder, is_by_merge, takes_main_in):
    """An agent that is killed amid a checkout commits what is there; the next one repairs it."""
    commit(folder, {"kept.py": "kept\n"})
    base = git(folder, "rev-parse", "main")
    git(folder, "checkout", "--quiet", "-b", "work")
    git(folder, "rm", "--quiet", "kept.py")
    commit(folder, {"code.py": lines(l5="five")}, "Five, and a file less")
    git(folder, "checkout", "--quiet", "main")
    first = code_of(folder, base=base)
    commit(folder, {"other.py": "before\n"})
    git(folder, "checkout", "--quiet", "work")
    if is_by_merge:
        git(folder, "merge", "--quiet", "--no-commit", "main")
    elif takes_main_in:
        git(folder, "merge", "--quiet", "--no-edit", "main")
    git(folder, "checkout", "main", "--", "kept.py")
    git(folder, "commit", "--quiet", "-m", "The file again")
    git(folder, "checkout", "--quiet", "main")
    again = replace(code_of(folder, base=base), earlier=(first,))
    git(folder, "merge", "--quiet", "--no-ff", "--no-edit", "work")
    assert answer_of(folder, again) == Landing(Landed("ancestor", again.commit))
    assert git(folder, "show", "main:kept.py") == "kept"
