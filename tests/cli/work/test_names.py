"""Names of nothing: each command refuses them by the same guards, and tells what is there."""

import pytest
from tests.cli.work.projects import FOLDER, SLUG, done, finalized_project, refused
from tests.tiers import some

pytestmark = [pytest.mark.promise("P6"), pytest.mark.xdist_group("bad_input")]


_PACKAGES = "the feature has WP01, WP02"
_FEATURES = f"the features are {SLUG}"
_NO_ID = "this is not a package's id"


NAMES = [
    *(
        ((command, name, *more), "unknown_package", place, cause)
        for command, *more in (
            ("implement",),
            ("move-task", "--to", "done"),
            ("add-history", "a note"),
            ("move-task", "--gate", "CI_CHECK=pending"),
            ("merge",),
            ("accept",),
        )
        for name, place, cause in (("77", f"{SLUG}/WP77", _PACKAGES), ("", "''", _NO_ID))
    ),
    *(
        ((*command, "--feature", name), "unknown_feature", repr(name), _FEATURES)
        for command, name in (
            (("implement", "WP01"), "7"),
            (("move-task", "WP01", "--to", "done"), "7"),
            (("add-history", "WP01", "a note"), "7"),
            (("move-task", "WP01", "--gate", "CI_CHECK=pending"), "7"),
            (("merge",), "7"),
            (("accept",), ""),
            (("finalize-tasks", "--add", "x"), ""),
            (("implement",), ""),
            (("status",), ""),
            (("finalize-tasks",), ""),
            (("mark-status", "T001"), ""),
        )
    ),
    *(
        (
            ("finalize-tasks", "--add", "x", "--feature", "1", "--after", name),
            "unknown_package",
            place,
            cause,
        )
        for name, place, cause in (
            ("WP77", f"{SLUG}/WP77", _PACKAGES),
            ("first", "'first'", _NO_ID),
        )
    ),
    (("mark-status", "T777"), "unknown_subtask", "'T777'", f"{FOLDER}/tasks.md has T001"),
    (("mark-status", ""), "unknown_subtask", "''", f"{FOLDER}/tasks.md has T001"),
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
def test_package_that_only_one_feature_has_needs_no_feature(tmp_path):
    repo = finalized_project(tmp_path / "r")
    done(repo, "setup-spec", "Other")
    done(repo, "finalize-tasks", "--add", "Apart")
    done(repo, "add-history", "WP02", "it is of the first")
    error = refused(repo, "add-history", "WP01", "of which?")
    assert error["cause"] == f"WP01: several features have it, 000-general, {SLUG}"
    error = refused(repo, "add-history", "WP07", "of none")
    assert error["cause"] == f"there are 000-general, {SLUG}, 002-other"
