"""A project has one id in every clone, whoever asks first."""

from pathlib import Path

import pytest
from tests.git.repositories import commit, content, git, make_repository

from thence.cli.commands.work.planning import setup_spec
from thence.errors import PlanningError
from thence.git.refs import refs_of
from thence.work.project.project import find_project
from thence.work.project.project_id import CONFIG, id_of_history, with_another_id, with_id
from thence.work.session.session import Session

ONE = "11111111-1111-4111-8111-111111111111"
TWO = "22222222-2222-4222-8222-222222222222"


def test_two_clones_have_one_id_though_nothing_was_committed(tmp_path: Path) -> None:
    here = make_repository(tmp_path / "here")
    for number in range(2):
        _cloned(here, tmp_path / f"clone{number}", f"{number}\n")
    found = {find_project(tmp_path / f"clone{number}").uuid for number in range(2)}
    assert found == {find_project(here).uuid}
    assert not list(tmp_path.glob("*/.kittify"))


def test_id_stays_when_main_is_renamed_and_when_another_history_is_merged(tmp_path: Path) -> None:
    here, other = make_repository(tmp_path / "here"), tmp_path / "other"
    git(tmp_path, "init", "--quiet", other)
    _known(other)
    commit(other, {"elsewhere": "begun\n"})
    merged = _cloned(here, tmp_path / "merged", "more\n")
    first = find_project(here).uuid
    git(merged, "fetch", "--quiet", other, "HEAD")
    git(merged, "merge", "--quiet", "--allow-unrelated-histories", "-m", "Merge", "FETCH_HEAD")
    git(merged, "branch", "--move", "main", "trunk")
    assert find_project(merged).uuid == first
    assert find_project(other).uuid != first


def test_shallow_clone_without_an_id_says_what_to_fetch(tmp_path: Path) -> None:
    here = make_repository(tmp_path / "here")
    commit(here, {"more": "1\n"})
    shallow = tmp_path / "shallow"
    git(tmp_path, "clone", "--quiet", "--depth=1", f"file://{here}", shallow)
    with pytest.raises(PlanningError) as caught:
        find_project(shallow)
    assert "git fetch --unshallow" in caught.value.hint
    git(shallow, "fetch", "--quiet", "--unshallow")
    assert find_project(shallow).uuid == find_project(here).uuid


def test_the_board_names_the_project_where_no_branch_does(tmp_path: Path) -> None:
    here = make_repository(tmp_path / "here")
    blob = git(here, "hash-object", "-w", "--stdin", stdin=b'{"project_uuid": "%b"}' % ONE.encode())
    tree = git(here, "mktree", stdin=f"100644 blob {blob}\tproject.json\n".encode())
    board = git(here, "commit-tree", tree, "-m", "Board")
    git(here, "update-ref", "refs/remotes/origin/thence-board", board)
    assert find_project(here).uuid == ONE
    commit(here, {CONFIG: f"project_uuid: {TWO}\n"})
    assert find_project(here).uuid == TWO


def test_a_board_that_names_no_project_is_refused(tmp_path: Path) -> None:
    here = make_repository(tmp_path / "here")
    blob = git(here, "hash-object", "-w", "--stdin", stdin=b'{"project_uuid": "../../x"}')
    tree = git(here, "mktree", stdin=f"100644 blob {blob}\tproject.json\n".encode())
    board = git(here, "commit-tree", tree, "-m", "Board")
    git(here, "update-ref", "refs/remotes/origin/thence-board", board)
    with pytest.raises(PlanningError, match="could not read the project's id") as caught:
        find_project(here)
    assert caught.value.cause == "it names no UUID as project_uuid"


def test_nothing_is_computed_before_the_first_commit(tmp_path: Path) -> None:
    git(tmp_path, "init", "--quiet")
    repo = find_project(tmp_path).repo
    assert id_of_history(repo, refs_of(repo)) is None
    assert (tmp_path / CONFIG).read_text() == f"project_uuid: {find_project(tmp_path).uuid}\n"


def test_id_of_another_tool_is_none_of_the_project(tmp_path: Path) -> None:
    here = make_repository(tmp_path / "here", {CONFIG: f"project: {{uuid: {ONE}}}\n"})
    repo = find_project(here).repo
    assert find_project(here).uuid == id_of_history(repo, refs_of(repo))


def test_init_commits_what_it_adds_to_a_tracked_configuration(tmp_path: Path) -> None:
    here = make_repository(tmp_path / "here", {CONFIG: "vcs: {type: git}"})
    with Session(here) as session:
        made = setup_spec(session)
    named = f"vcs: {{type: git}}\nproject_uuid: {made.data['project_uuid']}\n".encode()
    assert content(here, CONFIG) == named == (here / CONFIG).read_bytes()
    git(tmp_path, "clone", "--quiet", here, tmp_path / "clone")
    assert find_project(tmp_path / "clone").uuid == made.data["project_uuid"]
    assert git(here, "status", "--porcelain") == ""


def test_init_gives_a_repository_made_from_a_template_its_own_id(tmp_path: Path) -> None:
    here = make_repository(tmp_path / "here", {CONFIG: f"a: 1\nproject_uuid: {ONE}\nb: 2\n"})
    with Session(here) as session:
        made = setup_spec(session, has_new_id=True).data["project_uuid"]
    assert made != ONE
    assert content(here, CONFIG) == f"a: 1\nb: 2\nproject_uuid: {made}\n".encode()
    assert find_project(here).uuid == made
    with Session(here) as session:
        assert setup_spec(session).data["project_uuid"] == made


@pytest.mark.parametrize("before", [None, b"", b"a: 1", b"a: 1\n"])
def test_a_configuration_gets_its_id_once(before: bytes | None) -> None:
    named = with_id(before, ONE)
    assert named.endswith(f"project_uuid: {ONE}\n".encode())
    assert with_id(named, TWO) == named
    assert with_another_id(named, TWO) == named.replace(ONE.encode(), TWO.encode())
    rest = named.removesuffix(f"project_uuid: {ONE}\n".encode())
    assert rest.rstrip() == (before or b"").rstrip()


def _cloned(here: Path, clone: Path, more: str) -> Path:
    """Clone a repository, and commit in the clone what the other has not."""
    git(here, "clone", "--quiet", here, clone)
    _known(clone)
    commit(clone, {"more": more})
    return clone


def _known(folder: Path) -> None:
    git(folder, "config", "user.name", "Ada")
    git(folder, "config", "user.email", "ada@example.org")
