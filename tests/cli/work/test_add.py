"""`work add`: a package without a spec, under an id of its own, however many are added at once."""

from concurrent.futures import ThreadPoolExecutor

import pytest
from tests.cli.warm import warm
from tests.cli.work.projects import FOLDER, done, planned, project, refused, work
from tests.work.boards import NAMED, on_remote
from tests.work.repositories import commit, content, git, make_repository

from thence.work.plan.tasks import parse

GENERAL = "kitty-specs/000-general"
AT_ONCE = 16
pytestmark = pytest.mark.xdist_group("work_add")


def packages(repo, folder=GENERAL):
    """Return the packages of the tasks.md that is committed, without problems in it."""
    found = parse(content(repo, f"{folder}/tasks.md"), "tasks.md")
    assert found.problems == ()
    return {each.wp_id: each for each in found.packages}


@pytest.fixture(scope="module")
def empty(tmp_path_factory):
    """A project that nothing is added to."""
    return project(tmp_path_factory.mktemp("empty") / "r")


def test_package_stands_in_tasks_md_with_a_file_and_on_the_board(tmp_path):
    repo = project(tmp_path / "r")
    done(repo, "add", "Read  the\nspec", "--owns", "docs/a b.md,`src`", "--owns", "docs/a b.md")
    told = done(repo, "add", "Write it", "--after", "1", "--json").json
    assert (told["feature_slug"], told["wp_id"]) == ("000-general", "WP02")
    first, second = packages(repo).values()
    assert (first.title, first.owns) == ("Read the spec", ("docs/a b.md", "src"))
    assert (second.title, second.dependencies) == ("Write it", ("WP01",))
    assert content(repo, f"{GENERAL}/tasks/WP02-write-it.md") is not None
    board = done(repo, "status", "--json").json["features"][0]["lanes"]["planned"]
    assert [each["title"] for each in board] == ["Read the spec", "Write it"]
    assert git(repo, "status", "--porcelain") == ""


def test_section_ends_its_lines_as_the_file_does(tmp_path):
    repo = planned(tmp_path / "r", b"\xef\xbb\xbf## Work Package WP01: First\r\n")
    done(repo, "finalize-tasks")
    done(repo, "add", "Second", "--feature", "1")
    data = content(repo, f"{FOLDER}/tasks.md")
    assert data.count(b"\n") == data.count(b"\r\n")
    assert list(packages(repo, FOLDER)) == ["WP01", "WP02"]


def test_id_is_free_on_the_board_in_tasks_md_and_among_files(tmp_path):
    repo = planned(tmp_path / "r")
    assert done(repo, "add", "Third", "--feature", "1", "--json").json["wp_id"] == "WP03"
    commit(repo, {f"{FOLDER}/tasks/doing/WP40-old.md": "# Old\n", f"{FOLDER}/tasks/notes": "x\n"})
    assert done(repo, "add", "Next", "--feature", "1", "--json").json["wp_id"] == "WP41"


@pytest.mark.promise("P6")
@pytest.mark.parametrize(
    ("arguments", "cause"),
    [
        ([""], "its title is empty"),
        ([" \n\t"], "its title is empty"),
        (["a <!-- b"], "this comment never ends"),
        (["a", "--owns", "<!--"], "this comment never ends"),
    ],
)
def test_what_can_not_be_added_is_refused(empty, arguments, cause):
    error = refused(empty, "add", *arguments)
    assert (error["code"], error["cause"]) == ("planning_error", cause)


@pytest.mark.promise("L8")
@pytest.mark.parametrize(
    ("arguments", "guard", "cause"),
    [
        (["--after", "WP07"], "unknown_package", "the feature has none yet"),
        (["--after", "x"], "unknown_package", "this is no package's id"),
        (["--feature", "sync"], "unknown_feature", "there are no features yet"),
    ],
)
def test_what_it_would_belong_to_has_to_be_there(empty, arguments, guard, cause):
    error = refused(empty, "add", "a", *arguments, code=1)
    assert (error["guard"], error["cause"]) == (guard, cause)


def test_section_that_an_open_code_block_would_swallow_is_refused(tmp_path):
    repo = planned(tmp_path / "r", "## Work Package WP01: First\n\n```\nnever ended\n")
    error = refused(repo, "add", "Second", "--feature", "1")
    assert error["message"].endswith(f"{FOLDER}/tasks.md:3")
    assert error["cause"] == "this code block never ends"
    assert error["hint"] == "end it with ```"


@pytest.mark.promise("L14")
def test_all_that_are_added_at_once_get_ids_of_their_own(tmp_path):
    repo = project(tmp_path / "r")
    with ThreadPoolExecutor(AT_ONCE) as pool:
        ended = list(
            pool.map(lambda number: work(repo, "add", f"No {number}", "--json"), range(AT_ONCE))
        )
    assert [each.code for each in ended] == [0] * AT_ONCE, [each.err for each in ended]
    added = {each.json["wp_id"]: each.json["title"] for each in ended}
    assert len(added) == AT_ONCE
    assert {wp_id: each.title for wp_id, each in packages(repo).items()} == added
    (feature,) = done(repo, "status", "--json").json["features"]
    assert {each["wp_id"]: each["title"] for each in feature["lanes"]["planned"]} == added
    files = git(repo, "ls-tree", "--name-only", f"main:{GENERAL}/tasks").splitlines()
    assert sorted(name[:4] for name in files) == sorted(added)
    assert git(repo, "status", "--porcelain") == ""


def test_first_package_brings_along_what_makes_a_clone_the_same_project(tmp_path):
    repo = make_repository(tmp_path / "r", NAMED)
    assert warm("work", "add", "First", cwd=repo).code == 0
    assert git(repo, "status", "--porcelain") == ""
    remote = on_remote(repo, tmp_path / "remote.git")
    assert warm("work", "publish", cwd=repo).code == 0
    git(tmp_path, "clone", "--quiet", remote, tmp_path / "clone")
    boards = [
        warm("work", "status", "--json", cwd=each).json for each in (repo, tmp_path / "clone")
    ]
    assert boards[0]["features"] == boards[1]["features"] != []
    assert git(repo, "ls-files", ".kittify") == ".kittify/config.yaml"
