"""`finalize-tasks --add`: a package without a section, under an id that nobody else takes."""

import pytest
from tests.cli.warm import warm
from tests.cli.work.projects import FOLDER, done, planned, project, refused
from tests.git.repositories import commit, content, git, make_repository
from tests.work.boards import NAMED, on_remote, synced, two_clones

from thence.work.plan.package_files import read

GENERAL = "kitty-specs/000-general"
pytestmark = pytest.mark.xdist_group("work_add")


def packages(repo, folder=GENERAL):
    """Return the fields of the committed files of packages, by id."""
    names = git(repo, "ls-tree", "--name-only", f"main:{folder}/tasks").splitlines()
    paths = [f"{folder}/tasks/{name}" for name in names]
    fields = [read(content(repo, path), path) for path in paths]
    return {each.text("work_package_id"): each for each in fields}


@pytest.fixture(scope="module")
def empty(tmp_path_factory):
    """A project that nothing is added to."""
    return project(tmp_path_factory.mktemp("empty") / "r")


def test_package_has_a_file_and_is_on_the_board(tmp_path):
    repo = project(tmp_path / "r")
    done(repo, "finalize-tasks", "--add", "Read  the\nspec <!-- a")
    told = done(repo, "finalize-tasks", "--add", "Write it", "--after", "1", "--json").json
    assert (told["feature_slug"], told["wp_id"]) == ("000-general", "WP02")
    first, second = packages(repo).values()
    assert first.text("title") == "Read the spec <!-- a"
    assert (second.text("title"), second.values["dependencies"]) == ("Write it", ["WP01"])
    assert content(repo, f"{GENERAL}/tasks/WP02-write-it.md") is not None
    board = done(repo, "status", "--json").json["features"][0]["lanes"]["planned"]
    assert [each["title"] for each in board] == ["Read the spec <!-- a", "Write it"]
    assert git(repo, "status", "--porcelain") == ""


def test_package_goes_to_the_only_open_feature(tmp_path):
    repo = project(tmp_path / "r")
    for title, slug in (("Sync", "001-sync"), ("Log", "000-general"), (None, "000-general")):
        if title:
            done(repo, "setup-spec", title)
        told = done(repo, "finalize-tasks", "--add", "More", "--json").json
        assert told["feature_slug"] == slug


@pytest.mark.promise("L11")
def test_clones_that_both_add_meet_in_a_plain_pull(tmp_path):
    ada, bob = two_clones(tmp_path, "## Work Package WP01: First\n")
    done(ada, "finalize-tasks", "--add", "From Ada")
    done(bob, "finalize-tasks", "--add", "From Bob")
    git(ada, "pull", "--quiet", "--no-rebase", "--no-edit", bob, "main")
    names = git(ada, "ls-tree", "--name-only", f"main:{FOLDER}/tasks")
    assert {"from-ada.md", "from-bob.md"} == {n[5:] for n in names.splitlines() if "from" in n}
    assert git(ada, "status", "--porcelain") == ""


def test_id_is_free_on_the_board_in_tasks_md_and_among_files(tmp_path):
    repo = planned(tmp_path / "r")
    assert (
        done(repo, "finalize-tasks", "--add", "Third", "--feature", "1", "--json").json["wp_id"]
        == "WP03"
    )
    commit(repo, {f"{FOLDER}/tasks/doing/WP40-old.md": "# Old\n", f"{FOLDER}/tasks/notes": "x\n"})
    assert (
        done(repo, "finalize-tasks", "--add", "Next", "--feature", "1", "--json").json["wp_id"]
        == "WP41"
    )


@pytest.mark.promise("L8")
@pytest.mark.parametrize(
    ("arguments", "guard", "cause"),
    [
        (["--after", "WP07"], "unknown_package", "the feature has none yet"),
        (["--after", "x"], "unknown_package", "this is not a package's id"),
        (["--feature", "sync"], "unknown_feature", "there are no features yet"),
    ],
)
def test_what_it_would_belong_to_has_to_be_there(empty, arguments, guard, cause):
    error = refused(empty, "finalize-tasks", "--add", "a", *arguments, code=1)
    assert (error["guard"], error["cause"]) == (guard, cause)


def test_first_package_brings_along_what_makes_a_clone_the_same_project(tmp_path):
    repo = make_repository(tmp_path / "r", NAMED)
    assert warm("work", "finalize-tasks", "--add", "First", cwd=repo).code == 0
    assert git(repo, "status", "--porcelain") == ""
    remote = on_remote(repo, tmp_path / "remote.git")
    synced(repo)
    git(tmp_path, "clone", "--quiet", remote, tmp_path / "clone")
    boards = [
        warm("work", "status", "--json", cwd=each).json for each in (repo, tmp_path / "clone")
    ]
    assert boards[0]["features"] == boards[1]["features"] != []
    assert git(repo, "ls-files", ".kittify") == ".kittify/config.yaml"
