"""Which project a folder belongs to, in every way that git lets a folder lie somewhere."""

import os
from pathlib import Path

import pytest
from tests.cli.installed import thence
from tests.codes import raises_code
from tests.git.repositories import commit, content, git, make_repository, write
from tests.work.boards import done, work

from thence.errors import GitFailed, PlanningError
from thence.git.refs import refs_of
from thence.git.repository import repository
from thence.work.journal.store import EventStore, WorkEvent
from thence.work.project.project import find_project
from thence.work.project.project_id import CONFIG, id_of_history

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
    assert everything(repo) == before
    plain = make_repository(tmp_path / "plain")
    before = everything(plain)
    assert find_project(plain, create=False).uuid == ""
    assert everything(plain) == before


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
    known(other)
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


def with_a_board(path: Path, uuid: str) -> Path:
    """Make a repository that has fetched a board of this id."""
    here = make_repository(path)
    named = b'{"project_uuid": "%b"}' % uuid.encode()
    blob = git(here, "hash-object", "-w", "--stdin", stdin=named)
    tree = git(here, "mktree", stdin=f"100644 blob {blob}\tproject.json\n".encode())
    board = git(here, "commit-tree", tree, "-m", "Board")
    git(here, "update-ref", "refs/remotes/origin/thence-board", board)
    return here


def test_the_board_names_the_project_where_no_branch_does(tmp_path: Path) -> None:
    here = with_a_board(tmp_path / "here", ONE)
    assert find_project(here).uuid == ONE
    commit(here, {CONFIG: f"project_uuid: {TWO}\n"})
    assert find_project(here).uuid == TWO


def test_a_board_that_names_no_project_is_refused(tmp_path: Path) -> None:
    here = with_a_board(tmp_path / "here", "../../x")
    with pytest.raises(PlanningError, match="could not read the project's id") as caught:
        find_project(here)
    assert caught.value.cause == "it names no UUID as project_uuid"


def test_id_is_random_before_the_first_commit_and_written_with_the_first_event(tmp_path: Path):
    git(tmp_path, "init", "--quiet")
    known(tmp_path)
    repo = find_project(tmp_path).repo
    assert id_of_history(repo, refs_of(repo)) is None
    (made,) = {find_project(tmp_path).uuid for _ in range(2)}
    with EventStore.at(tmp_path) as store:
        commit(tmp_path, {"README.md": "# a project\n"})
        assert find_project(tmp_path).uuid == made
        note = {"wp_id": "WP01", "entry_type": "note", "entry_content": "x"}
        store.append(WorkEvent("HistoryAdded", note, "001-sync"))
    assert (tmp_path / CONFIG).read_text() == f"project_uuid: {made}\n"
    assert git(tmp_path, "status", "--porcelain") == "?? .kittify/"


REFUSED = {
    "a package that is not there": ("move-task", "WP01", "--to", "doing"),
    "a title that is empty": ("setup-spec", " "),
    "an option that needs another": ("setup-spec", "--target-branch", "main"),
    "a branch that is not there": ("setup-spec", "Sync", "--target-branch", "nowhere"),
    "a feature that is not there": ("finalize-tasks", "--feature", "028-sync"),
    "a way to land": ("setup-spec", "--land", "pull-request"),
}


@pytest.mark.promise("L6")
@pytest.mark.parametrize("command", REFUSED.values(), ids=REFUSED)
@pytest.mark.parametrize("is_empty", [True, False], ids=["before the first commit", "after it"])
def test_refused_command_leaves_nothing_in_a_repository(tmp_path, command, is_empty):
    repo = tmp_path / "r"
    make_repository(repo) if not is_empty else git(tmp_path, "init", "--quiet", repo)
    before = everything(repo)
    assert work(repo, *command).code in (1, 2)
    left = {path: data for path, data in everything(repo).items() if before.get(path) != data}
    assert {path.parent for path in left} <= {repo / ".git/thence"}, "locks, and a random id"


def test_id_of_another_tool_is_none_of_the_project(tmp_path: Path) -> None:
    here = make_repository(tmp_path / "here", {CONFIG: f"project: {{uuid: {ONE}}}\n"})
    repo = find_project(here).repo
    assert find_project(here).uuid == id_of_history(repo, refs_of(repo))


def test_init_commits_what_it_adds_to_a_tracked_configuration(tmp_path: Path) -> None:
    here = make_repository(tmp_path / "here", {CONFIG: "vcs: {type: git}"})
    made = done(here, "setup-spec", "--json").json["project_uuid"]
    named = f"vcs: {{type: git}}\nproject_uuid: {made}\n".encode()
    assert content(here, CONFIG) == named == (here / CONFIG).read_bytes()
    git(tmp_path, "clone", "--quiet", here, tmp_path / "clone")
    assert find_project(tmp_path / "clone").uuid == made
    assert git(here, "status", "--porcelain") == ""


def test_init_gives_a_repository_made_from_a_template_its_own_id(tmp_path: Path) -> None:
    here = make_repository(tmp_path / "here", {CONFIG: f"a: 1\nproject_uuid: {ONE}\nb: 2\n"})
    made = done(here, "setup-spec", "--new-id", "--json").json["project_uuid"]
    assert made != ONE
    assert content(here, CONFIG) == f"a: 1\nb: 2\nproject_uuid: {made}\n".encode()
    assert find_project(here).uuid == made
    assert done(here, "setup-spec", "--json").json["project_uuid"] == made


def _cloned(here: Path, clone: Path, more: str) -> Path:
    """Clone a repository, and commit in the clone what the other has not."""
    git(here, "clone", "--quiet", here, clone)
    known(clone)
    commit(clone, {"more": more})
    return clone


def known(folder: Path) -> None:
    """Have git know who works in a repository."""
    git(folder, "config", "user.name", "Ada")
    git(folder, "config", "user.email", "ada@example.org")
