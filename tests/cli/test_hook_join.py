"""A team shares what its coding agents did in a repository, through a server that runs."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.cli.test_sync_commands import User
from tests.git.repositories import git, make_repository
from tests.server.team.team_server import PASSWORD, TeamServer, team_server
from tests.trace.agents.played import PlayedRepository, Session


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[TeamServer]:
    with team_server(tmp_path_factory.mktemp("team") / "data") as running:
        running.add("ben")
        yield running


@pytest.fixture
def ada(tmp_path: Path, server: TeamServer) -> User:
    return User.at(tmp_path, "ada", server, PASSWORD)


def played_shop(folder: Path, name: str) -> PlayedRepository:
    """Returns a repository in which an agent wrote a line; its first commit is of this test."""
    played = PlayedRepository(folder, {"pay.py": f"a = 1  # {name}\n"})
    session = Session(played, "s1", ask="Make it two")
    session.edit("pay.py", "a = 1", "a = 2")
    session.commit("Two")
    played.log.close()
    return played


@pytest.mark.promise("A5h")
def test_clone_that_joins_knows_the_agents_of_the_others(tmp_path, server, ada):
    shop = played_shop(tmp_path / "shop", "two clones").top
    ben = User.at(tmp_path, "ben", server, PASSWORD)
    clone = tmp_path / "clone"
    git(tmp_path, "clone", "-q", shop, clone)
    assert ben("why", "pay.py:1", cwd=clone).code == 4
    first = ada.done("hook", "join", server.url, cwd=shop)
    root = git(shop, "rev-list", "--max-parents=0", "HEAD")
    assert f"the log agents-{root}" in first.out
    assert "pulled 0, pushed " in first.out
    refs = git(clone, "for-each-ref")
    joined = ben.done("hook", "join", server.url, "--json", cwd=clone).json
    assert joined["pulled"] == int(ada.done("log", "--count", cwd=shop).out)
    assert (joined["name"], joined["sessions"]) == (f"agents-{root}", 1)
    answer = ben.done("why", "pay.py:1", cwd=clone)
    assert "is by claude-code in session s1" in " ".join(answer.out.split())
    assert 'the user asked: "Make it two"' in answer.out
    assert (git(clone, "for-each-ref"), git(clone, "status", "--porcelain")) == (refs, "")

    second = PlayedRepository.of(clone)
    session = Session(second, "s2", ask="Make it three")
    session.edit("pay.py", "a = 2", "a = 3")
    sha = session.commit("Three")
    second.log.close()
    assert ben.done("sync", "now", "--json", cwd=clone).json["pushed"] > 0
    git(shop, "pull", "-q", clone, "HEAD")
    assert ada.done("sync", "now", "--json", cwd=shop).json["pulled"] > 0
    for name in (sha, "pay.py:1"):
        assert "session s2" in " ".join(ada.done("why", name, cwd=shop).out.split())
    again = ben.done("hook", "join", server.url, "--json", cwd=clone).json
    assert (again["pulled"], again["pushed"]) == (0, 0)


def test_unmasked_log_is_not_shared(tmp_path: Path, server: TeamServer, ada: User) -> None:
    folder = make_repository(tmp_path / "open", {"a.txt": "unmasked\n"})
    ada.done("hook", "install", "git", cwd=folder)
    agents = folder / ".git" / "thence" / "agents"
    settings = agents / ".thence" / "settings.toml"
    settings.write_text("")
    assert "secret masking is off" in ada("hook", "join", server.url, cwd=folder).failure(1)
    assert not (agents / ".thence" / "sync").exists()
    settings.write_text("[redact]\n")
    ada.done("hook", "join", server.url, cwd=folder)


def test_join_needs_a_login_and_a_first_commit(tmp_path, server, ada):
    shop = played_shop(tmp_path / "shop", "no login").top
    nobody = User("nobody", tmp_path, shop)
    assert f"thence sync login {server.url}" in nobody("hook", "join", server.url).failure(1)
    shallow, empty = tmp_path / "shallow", tmp_path / "empty"
    git(tmp_path, "clone", "-q", "--depth", "1", f"file://{shop}", shallow)
    git(tmp_path, "init", "-q", empty)
    (tmp_path / "bare").mkdir()
    for folder, words in (
        (shallow, "git fetch --unshallow"),
        (empty, "no commit is here yet"),
        (tmp_path / "bare", "not a git repository"),
    ):
        assert words in ada("hook", "join", server.url, cwd=folder).failure(1)
        assert not (folder / ".git" / "thence").exists()


def test_log_with_another_name_at_the_server_is_not_joined_unasked(tmp_path, server, ada):
    shop = played_shop(tmp_path / "shop", "enabled before").top
    ada.done("sync", "enable", cwd=shop)
    refused = ada("hook", "join", server.url, cwd=shop)
    assert refused.code == 1
    words = refused.err.split("next: change it: thence ")[1].split()
    ada.done(*words, "--yes", cwd=shop)
    assert ada.done("hook", "join", server.url, "--json", cwd=shop).json["pushed"] > 0
