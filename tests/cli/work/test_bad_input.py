"""What is wrong in files, names and repositories: told in three lines, and nothing is changed."""

import pytest
from tests.cli.warm import warm
from tests.cli.work.projects import FOLDER, SLUG, TASKS, done, left, planned, refused, work
from tests.git.repositories import commit, content, git, make_repository, write
from tests.work.boards import NAMED, view, view_lines
from tests.work.existing_projects import DAY, foreign_line, moved

pytestmark = [pytest.mark.promise("P6"), pytest.mark.xdist_group("bad_input")]
ONE = "00000000-0000-4000-8000-000000000001"
TWO = "ffffffff-0000-4000-8000-000000000002"
CONFIG = ".kittify/config.yaml"


@pytest.fixture(scope="module")
def feature(tmp_path_factory):
    """A project with a feature whose tasks.md the tests write anew."""
    return planned(tmp_path_factory.mktemp("feature") / "r", None)


def test_all_that_is_wrong_is_told_before_the_three_lines(feature):
    wrong = "\n## Work Package WP01: Again\n\n## Work Package WPX: Odd\n"
    (feature / FOLDER / "tasks.md").write_text(TASKS + wrong)
    lines = work(feature, "finalize-tasks").err.splitlines()
    assert [line.split(": ")[0] for line in lines[:2]] == [
        f"{FOLDER}/tasks.md:12",
        f"{FOLDER}/tasks.md:14",
    ]
    assert len(lines) == 5


def test_broken_yaml_of_a_package_file_is_in_nobodys_way(repo):
    path = f"{FOLDER}/tasks/WP01-first.md"
    broken = content(repo, path).replace(b"title:", b"title: [")
    commit(repo, {path: broken})
    ended = done(repo, "move-task", "WP01", "--to", "rejected", "--reason", "no", "--json")
    assert ended.json["to"] == "rejected"
    assert content(repo, path) == broken
    done(repo, "implement", "WP02", "--force", "--reason", "alone")
    (feature,) = done(repo, "status", "--json").json["features"]
    assert [each["wp_id"] for each in feature["lanes"]["rejected"]] == ["WP01"]


def test_file_of_a_package_that_vanished_is_missed_by_nobody_and_made_anew(repo):
    path = f"{FOLDER}/tasks/WP01-first.md"
    made = content(repo, path)
    git(repo, "rm", "--quiet", path)
    git(repo, "commit", "--quiet", "--message", "Lose it")
    assert done(repo, "move-task", "WP01", "--to", "rejected", "--reason", "no").err == ""
    assert done(repo, "move-task", "WP01", "--to", "planned", "--reason", "yes").err == ""
    assert content(repo, path) is None
    done(repo, "finalize-tasks")
    assert content(repo, path) == made


@pytest.mark.promise("L7")
def test_lane_that_another_tool_named_is_shown_and_can_be_left(tmp_path):
    lines = (
        foreign_line(1, "WPCreated", {"wp_id": "WP01", "title": "A", "feature_slug": "030-log"}),
        moved(2, "planned", "parked"),
    )
    repo = make_repository(tmp_path / "r", {DAY: "\n".join(lines)})
    shown = done(repo, "status").lines
    assert shown[3].split() == ["parked", "WP01", "A"]
    (feature,) = done(repo, "status", "--json").json["features"]
    assert [each["wp_id"] for each in feature["lanes"]["parked"]] == ["WP01"]
    assert refused(repo, "implement", "WP01", code=1)["guard"] == "not_in_lane"
    done(repo, "move-task", "WP01", "--to", "rejected", "--reason", "nobody parks here")


def test_day_file_that_hands_went_through_is_read_line_by_line(repo):
    day = view(repo)
    good = day.read_bytes()
    lines = [b"<<<<<<< HEAD", *good.splitlines(), b"=======", b">>>>>>> theirs", b"", b"{}", b"no"]
    spoilt = b"\xef\xbb\xbf" + b"\r\n".join([*lines, moved(1, "doing", "done").encode()])
    (day.parent / "new").write_bytes(spoilt)
    (day.parent / "new").replace(day)  # as an editor does it
    before = left(repo)[3:]

    ended = done(repo, "status", "--json")
    assert ended.err.startswith(f"note: a line of .kittify/events/{day.name} was skipped: ")
    assert ended.err.endswith(", and 4 more\n")
    slugs = [each["feature_slug"] for each in ended.json["features"]]
    assert slugs == [SLUG, "030-log"], "the line of the other tool is taken in"
    assert left(repo)[3:] != before
    assert done(repo, "status").err == "", "it is told once"

    done(repo, "mark-status", "T001", "--feature", "1")
    assert day.read_bytes().startswith(spoilt), "what stands there stays"
    assert "".join(view_lines(repo)).count('"SubtaskCompleted"') == 1
    assert warm("verify", cwd=repo).code == 0


@pytest.mark.parametrize(
    "command", [("status",), ("setup-spec",), ("finalize-tasks", "--add", "x"), ("implement",)]
)
def test_folder_without_git_is_no_project(tmp_path, command):
    assert "run `git init`" in refused_there(tmp_path, *command)["hint"]
    assert list(tmp_path.iterdir()) == []


@pytest.mark.promise("L6")
def test_folder_named_as_a_project_is_none_without_git(tmp_path):
    write(tmp_path, NAMED)
    before = sorted(tmp_path.rglob("*"))
    assert "neither this folder" in refused_there(tmp_path, "status")["cause"]
    assert sorted(tmp_path.rglob("*")) == before


def test_bare_repository_and_git_folder_have_no_working_tree(tmp_path):
    bare = tmp_path / "bare.git"
    bare.mkdir()
    git(bare, "init", "--quiet", "--bare")
    repo = make_repository(tmp_path / "r")
    for folder in (bare, repo / ".git"):
        before = sorted(folder.rglob("*"))
        for command in (("status",), ("setup-spec",), ("finalize-tasks", "--add", "x")):
            error = refused_there(folder, *command)
            assert error["cause"].startswith("no working tree is here")
        assert sorted(folder.rglob("*")) == before


def refused_there(folder, *arguments):
    """Run a command where no project is, and return its error."""
    ended = work(folder, *arguments, "--json")
    ended.failure(4)
    error = ended.json["error"]
    assert error["code"] == "not_a_project"
    return error


def test_repository_in_which_no_project_was_begun_is_left_alone_by_who_only_looks(tmp_path):
    repo = make_repository(tmp_path / "r")
    keys = ("not_imported", "conflicts", "refused", "landed", "in_target_before_done")
    here = {
        "sharing": {"is_shared": False, "unshared": 0},
        **{key: [] for key in (*keys, "claims", "next", "waits_for_you", "blocks_most")},
    }
    board = done(repo, "status", "--json").json
    assert set(board.pop("summary").values()) == {0}
    assert board == {"ok": True, "events": [], "features": [], "here": here}
    assert done(repo, "status", "--refused").lines[-1] == "nothing was refused"
    assert git(repo, "status", "--porcelain", "--ignored") == ""
    assert not (repo / ".git" / "thence").exists()


def test_detached_head_stops_only_who_needs_a_branch(finalized):
    git(finalized, "checkout", "--quiet", "--detach")
    try:
        for command in (("setup-spec",), ("setup-spec", "New")):
            error = refused(finalized, *command, code=1)
            assert (error["code"], error["cause"]) == ("git_failed", "HEAD is detached")
        ended = done(finalized, "finalize-tasks", "--add", "More", "--feature", "1", "--json")
        assert ended.json["commit"] is None
        assert "HEAD is detached" in ended.err
    finally:
        git(finalized, "checkout", "--quiet", "main")
    assert done(finalized, "finalize-tasks", "--feature", "1", "--json").json["commit"]
    assert git(finalized, "status", "--porcelain") == "", "the next commit brings what waited"


@pytest.mark.parametrize(
    ("text", "uuid"),
    [
        (f"{{{{{{ : [\nproject_uuid: {ONE}\n", ONE),
        (f"project_uuid: {TWO}\nproject_uuid: '{ONE.upper()}' # mine\n", ONE),
        (f"<<<<<<< a\nproject_uuid: {TWO}\n=======\nproject_uuid: {ONE}\n>>>>>>> b\n", ONE),
        (f"\ufeffproject_uuid: {ONE}\r\n", ONE),
        ("{{{ : [", None),
    ],
)
def test_project_keeps_the_smallest_id_whatever_else_stands_in_its_config(tmp_path, text, uuid):
    repo = make_repository(tmp_path / "r")
    write(repo, {CONFIG: text})
    done(repo, "finalize-tasks", "--add", "x")
    (feature,) = done(repo, "status", "--json").json["features"]
    assert feature["project_uuid"] == uuid or uuid is None
    after = (repo / CONFIG).read_bytes()
    assert after == text.encode() if uuid else after.startswith(text.encode())
    (again,) = done(repo, "status", "--json").json["features"]
    assert again == feature


def test_id_that_is_none_is_told_with_its_line(tmp_path):
    repo = make_repository(tmp_path / "r")
    write(repo, {CONFIG: "name: sync\nproject_uuid: sync\n"})
    for command in (("status",), ("finalize-tasks", "--add", "x")):
        error = refused(repo, *command)
        assert error["code"] == "planning_error"
        assert error["message"].endswith(f"{CONFIG}:2")
        assert error["cause"] == "'sync' is not a UUID"
