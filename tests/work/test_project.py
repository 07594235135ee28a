"""Which project a folder belongs to, in every way that git lets a folder lie somewhere."""

import os
from pathlib import Path

import pytest
from tests.cli.installed import thence
from tests.codes import raises_code
from tests.git.repositories import commit, git, make_repository, write

from thence.errors import GitFailed
from thence.git.repository import repository
from thence.work.project.project import find_project
from thence.work.project.project_id import CONFIG

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
@pytest.mark.parametrize("inner", [".git", ".git/refs", ".git/thence"])
def test_git_folder_is_no_working_tree_and_nothing_is_made_there(tmp_path, inner):
    repo = named(tmp_path / "r")
    (repo / inner).mkdir(exist_ok=True)
    before = everything(repo)
    with raises_code("not_a_project", match="no working tree is here"):
        find_project(repo / inner)
    assert everything(repo) == before


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
