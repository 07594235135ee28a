"""Which project a folder belongs to, in every way that git lets a folder lie somewhere."""

import os
from pathlib import Path

import pytest
from tests.cli.installed import thence
from tests.codes import raises_code
from tests.git.repositories import commit, content, git, make_repository, write

from thence.cli.commands.work.planning import setup_spec
from thence.errors import GitFailed, PlanningError
from thence.git.refs import refs_of
from thence.git.repository import repository
from thence.work.project.project import find_project
from thence.work.project.project_id import CONFIG, id_of_history, with_another_id, with_id
from thence.work.session.session import Session

ONE = "00000000-0000-4000-8000-000000000001"
TWO = "ffffffff-0000-4000-8000-000000000002"


def named(path: Path, uuid: str = ONE) -> Path:
    """Make a repository that is a project of this id."""
    repo = make_repository(path)
    commit(repo, {CONFIG: f"project_uuid: {uuid}\n"})
    return repo


def seen(folder: Path) -> tuple[str, Path, Path, Path]:
    """Return id, root, working tree and home of the project that a folder belongs to."""
    found = find_project(folder)
    return found.uuid, found.root, found.here, found.home


def everything(folder: Path) -> dict[Path, bytes]:
    return {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.mark.promise("L6")
@pytest.mark.parametrize("name", ["plain", "with spaces", "dépôt ü", "项目", "-x"])
def test_every_folder_of_a_repository_is_its_project_whatever_the_path(tmp_path, name):
    repo = named(tmp_path / name)
    (repo / "deep" / name).mkdir(parents=True)
    whole = (ONE, repo, repo, repo / ".git" / "thence" / ONE)
    assert seen(repo) == whole
    assert seen(repo / "deep" / name) == whole


@pytest.mark.promise("L6")
def test_linked_worktree_has_the_home_and_root_of_the_main_one(tmp_path):
    repo = named(tmp_path / "main tree")
    tree = tmp_path / "linked é"
    git(repo, "worktree", "add", "--quiet", "--detach", tree)
    (tree / "inner").mkdir()
    assert seen(tree / "inner") == (ONE, repo, tree, repo / ".git" / "thence" / ONE)


@pytest.mark.promise("L6")
def test_worktree_whose_branch_lacks_the_config_belongs_to_the_project_all_the_same(tmp_path):
    repo = named(tmp_path / "r")
    find_project(repo).home.mkdir(parents=True)
    git(repo, "checkout", "--quiet", "--orphan", "bare-of-it")
    git(repo, "rm", "-rfq", ".")
    tree = tmp_path / "tree"
    git(repo, "worktree", "add", "--quiet", tree, "main")
    for folder in (repo, tree):
        assert find_project(folder).uuid == ONE
    assert not (repo / CONFIG).exists()


@pytest.mark.promise("L6")
def test_submodule_is_a_project_of_its_own(tmp_path):
    inner, outer = named(tmp_path / "inner", TWO), named(tmp_path / "outer", ONE)
    git(outer, "-c", "protocol.file.allow=always", "submodule", "--quiet", "add", inner, "lib")
    lib = outer / "lib"
    home = outer / ".git" / "modules" / "lib" / "thence" / TWO
    assert seen(lib) == (TWO, lib, lib, home)
    assert seen(outer)[:2] == (ONE, outer)
    tree = tmp_path / "tree of lib"
    git(lib, "worktree", "add", "--quiet", "--detach", tree)
    assert seen(tree) == (TWO, lib, tree, home)


@pytest.mark.promise("L6")
def test_bare_repository_has_its_home_and_each_worktree_is_its_own_root(tmp_path):
    source = named(tmp_path / "source")
    bare = tmp_path / "bare.git"
    git(tmp_path, "clone", "--quiet", "--bare", source, bare)
    home = bare / "thence" / ONE
    for name in ("one", "two"):
        git(bare, "worktree", "add", "--quiet", "--detach", tmp_path / name)
        assert seen(tmp_path / name) == (ONE, tmp_path / name, tmp_path / name, home)
    with raises_code("not_a_project", match="no working tree is here"):
        find_project(bare)


@pytest.mark.promise("L6")
def test_symbolic_links_lead_to_one_home(tmp_path):
    repo = named(tmp_path / "r")
    (repo / "inner").mkdir()
    (tmp_path / "link").symlink_to(repo)
    (tmp_path / "into").symlink_to(repo / "inner")
    for folder in (tmp_path / "link", tmp_path / "link" / "inner", tmp_path / "into"):
        assert os.path.samefile(find_project(folder).root, repo)
        assert find_project(folder).home.resolve() == repo / ".git" / "thence" / ONE


@pytest.mark.promise("L6")
def test_of_nested_projects_the_innermost_is_meant(tmp_path):
    outer = named(tmp_path / "outer", ONE)
    inner = named(outer / "vendor" / "inner", TWO)
    (inner / "deep").mkdir()
    assert seen(inner / "deep")[:2] == (TWO, inner)
    assert seen(outer / "vendor")[:2] == (ONE, outer)


@pytest.mark.promise("L6")
@pytest.mark.parametrize("name", ["GIT_DIR", "GIT_WORK_TREE", "GIT_COMMON_DIR", "GIT_INDEX_FILE"])
def test_what_a_hook_has_in_its_environment_leads_nowhere_else(tmp_path, monkeypatch, name):
    repo, other = named(tmp_path / "r", ONE), named(tmp_path / "other", TWO)
    monkeypatch.setenv(name, str(other if name == "GIT_WORK_TREE" else other / ".git"))
    assert seen(repo) == (ONE, repo, repo, repo / ".git" / "thence" / ONE)


@pytest.mark.promise("L6")
def test_git_folder_that_lies_elsewhere_holds_the_home(tmp_path):
    tree, apart = tmp_path / "tree", tmp_path / "apart.git"
    tree.mkdir()
    git(tmp_path, "init", "--quiet", "--initial-branch=main", "--separate-git-dir", apart, tree)
    write(tree, {CONFIG: f"project_uuid: {ONE}\n"})
    assert repository(tree).common == apart
    assert seen(tree) == (ONE, tree, tree, apart / "thence" / ONE)


@pytest.mark.promise("L6")
def test_worktree_of_a_git_folder_that_lies_elsewhere_is_its_own_root(tmp_path):
    main, apart, tree = tmp_path / "main", tmp_path / "apart.git", tmp_path / "tree"
    git(named(main), "init", "--quiet", "--separate-git-dir", apart)
    git(main, "worktree", "add", "--quiet", "--detach", tree)
    assert seen(tree) == (ONE, tree, tree, apart / "thence" / ONE)


def test_path_with_a_line_end_is_refused(tmp_path):
    repo = named(tmp_path / "new\nline")
    with pytest.raises(GitFailed, match="its path contains a line end"):
        find_project(repo)


@pytest.mark.promise("L1")
def test_who_lacks_the_program_git_gets_no_second_journal(tmp_path, monkeypatch):
    repo = named(tmp_path / "r")
    (repo / "inner").mkdir()
    monkeypatch.setenv("PATH", str(tmp_path))
    for folder in (repo, repo / "inner"):
        with pytest.raises(GitFailed, match="No such file or directory: git") as caught:
            find_project(folder)
        assert "install git" in caught.value.hint


@pytest.mark.promise("L6")
def test_checkout_that_can_not_be_written_shows_its_board(tmp_path):
    repo = named(tmp_path / "r")
    find_project(repo)
    before = everything(repo)
    folders = [repo, *(path for path in repo.rglob("*") if path.is_dir())]
    for path in (repo / ".git" / "info" / "exclude", *folders):
        path.chmod(0o555)
    try:
        ended = thence("work", "status", "--json", cwd=repo, obeys_permissions=True)
    finally:
        for folder in folders:
            folder.chmod(0o755)
    assert (ended.code, ended.json["features"]) == (0, [])
    assert everything(repo) == before


@pytest.mark.promise("L6")
def test_looking_at_a_checkout_changes_nothing_in_its_tree(tmp_path):
    repo = named(tmp_path / "r")
    before = everything(repo)
    assert find_project(repo, create=False).uuid == ONE
    changed = {path for path, data in everything(repo).items() if before.get(path) != data}
    assert changed <= {repo / ".git" / "info" / "exclude"}
    plain = make_repository(tmp_path / "plain")
    before = everything(plain)
    assert find_project(plain, create=False).uuid == ""
    assert everything(plain) == before


@pytest.mark.promise("L6")
def test_repository_gets_one_id_however_many_ask_for_it(tmp_path):
    repo = make_repository(tmp_path / "r")
    first = find_project(repo).uuid
    assert {find_project(repo).uuid for _ in range(3)} == {first}
    assert not (repo / CONFIG).exists()


# the id


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
