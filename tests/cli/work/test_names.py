"""Names of nothing: each command refuses them by the same guards, and tells what is there."""

import pytest
from tests.cli.work.projects import FOLDER, SLUG, done, refused
from tests.tiers import some

pytestmark = [pytest.mark.promise("P6"), pytest.mark.xdist_group("bad_input")]
OF_A_PACKAGE = [
    ("implement", "77"),
    ("move-task", "77", "--to", "done"),
    ("move-task", "77", "--gate", "CI_CHECK=pending"),
    ("add-history", "77", "a note"),
    ("merge", "77"),
    ("accept", "77"),
]
OF_A_FEATURE = [("implement",), ("status",), ("finalize-tasks",), ("mark-status", "T001")]
ADD = ("finalize-tasks", "--add", "x")
AFTER = (*ADD, "--feature", "1", "--after")
NAMES = [
    *(
        (words, "unknown_package", f"{SLUG}/WP77", "the feature has WP01, WP02")
        for words in (*OF_A_PACKAGE, (*AFTER, "WP77"))
    ),
    ((*AFTER, "first"), "unknown_package", "'first'", "this is not a package's id"),
    *(
        ((*words, "--feature", "7"), "unknown_feature", "'7'", f"the features are {SLUG}")
        for words in (*OF_A_PACKAGE, *OF_A_FEATURE, ADD)
    ),
    (("mark-status", "T777"), "unknown_subtask", "'T777'", f"{FOLDER}/tasks.md has T001"),
]


@pytest.mark.promise("L8")
@pytest.mark.parametrize(("arguments", "guard", "place", "cause"), some(NAMES, 4, "names"))
@pytest.mark.whole
def test_name_of_nothing_is_a_guard_that_tells_the_names_there_are(
    finalized, arguments, guard, place, cause
):
    error = refused(finalized, *arguments, code=1)
    assert (error["code"], error["guard"]) == ("refused", guard)
    assert error["message"].endswith(f" {place}")
    assert error["cause"].startswith(cause)
    assert error["hint"]


@pytest.mark.promise("P6")
def test_package_that_only_one_feature_has_needs_no_feature(repo):
    done(repo, "setup-spec", "Other")
    done(repo, "finalize-tasks", "--add", "Apart")
    done(repo, "add-history", "WP02", "it is of the first")
    error = refused(repo, "add-history", "WP01", "of which?")
    assert error["cause"] == f"WP01: several features have it, 000-general, {SLUG}"
    error = refused(repo, "add-history", "WP07", "of none")
    assert error["cause"] == f"there are 000-general, {SLUG}, 002-other"
