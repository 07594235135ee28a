"""The commands by which a user logs in to a team's server, as they are installed."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.cli.installed import Ended, is_three_lines, on_terminal, thence
from tests.server.team.team_server import PASSWORD, TeamServer, team_server


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[TeamServer]:
    with team_server(tmp_path_factory.mktemp("logins") / "data") as running:
        yield running


class Machine:
    """A machine of a user, with a config folder of its own."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        folder.mkdir()

    def __call__(self, *arguments: str, stdin: str = "") -> Ended:
        env = {"XDG_CONFIG_HOME": str(self.folder / "config")}
        return thence(*arguments, cwd=self.folder, env=env, stdin=stdin.encode())

    def log_in(self, url: str, *options: str, stdin: str = f"{PASSWORD}\n") -> Ended:
        return self("sync", "login", url, *options, "--password-stdin", stdin=stdin)

    def credentials(self) -> str:
        return (self.folder / "config/thence/credentials.json").read_text()


@pytest.mark.promise("S12")
def test_password_that_an_operator_changes_ends_all_logins(tmp_path, server):
    server.add("nora")
    mine, other = (Machine(tmp_path / name) for name in ("mine", "other"))
    for machine in (mine, other):
        assert machine.log_in(server.url, "--username", "nora").code == 0
        assert machine("append", "--log", "orders", "note", "text=1").code == 0
        assert machine("sync", "enable", "--log", "orders", "--name", "changed").code == 0
    changed = thence(
        "server", "user", "set", "nora", "--password", "--json", *server.options, cwd=tmp_path
    )
    new = changed.json["password"]
    for machine in (mine, other):
        refused = machine("sync", "now", "--log", "orders", "--json")
        assert refused.json["error"]["code"] == "not_logged_in"
        assert machine.log_in(server.url, "--username", "nora").code == 1
        assert machine.log_in(server.url, "--username", "nora", stdin=f"{new}\n").code == 0
        assert machine("sync", "now", "--log", "orders").code == 0
        assert new not in machine.credentials()


def test_password_is_asked_for_on_a_terminal_and_never_shown(tmp_path, server):
    server.add("pia")
    config = {"XDG_CONFIG_HOME": str(tmp_path / "config")}
    arguments = ("sync", "login", server.url, "--username", "pia")
    answers = [(rb"Password: ", f"{PASSWORD}\n".encode())]
    code, shown = on_terminal(tmp_path, *arguments, answers=answers, **config)
    assert (code, PASSWORD in shown) == (0, False), shown


def test_stdin_without_a_password_is_wrong_usage(tmp_path: Path, server: TeamServer) -> None:
    ended = Machine(tmp_path / "mine").log_in(server.url, "--username", "ada", stdin="")
    assert (ended.code, is_three_lines(ended.err)) == (2, True)
