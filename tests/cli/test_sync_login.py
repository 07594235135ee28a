"""The commands by which a user logs in to a team's server, as they are installed."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.cli.installed import on_terminal, thence
from tests.cli.test_sync_commands import User
from tests.server.team.team_server import PASSWORD, TeamServer, team_server

from thence.errors import SyncRefused

LOG = ("--log", "orders")


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[TeamServer]:
    with team_server(tmp_path_factory.mktemp("logins") / "data") as running:
        yield running


@pytest.mark.promise("S12")
def test_password_that_an_operator_changes_ends_all_logins(tmp_path, server):
    server.add("nora")
    changing = ("server", "user", "set", "nora", "--password", "--json", *server.options)
    machines = []
    for name in ("mine", "other"):
        (tmp_path / name).mkdir()
        machines.append(User.at(tmp_path / name, "nora", server, PASSWORD))
        machines[-1].done("append", *LOG, "note", "text=1")
        machines[-1].done("sync", "enable", *LOG, "--name", "changed")
    new = thence(*changing, cwd=tmp_path).json["password"]
    for machine in machines:
        refused = machine("sync", "now", *LOG, "--json")
        assert refused.json["error"]["code"] == "not_logged_in"
        with pytest.raises(SyncRefused):
            machine.log_in(server, PASSWORD)
        machine.log_in(server, new)
        machine.done("sync", "now", *LOG)
        assert new not in (machine.config / "thence/credentials.json").read_text()


def test_password_is_asked_for_on_a_terminal_and_never_shown(tmp_path, server):
    server.add("pia")
    config = {"XDG_CONFIG_HOME": str(tmp_path / "config")}
    arguments = ("sync", "login", server.url, "--username", "pia")
    answers = [(rb"Password: ", f"{PASSWORD}\n".encode())]
    code, shown = on_terminal(tmp_path, *arguments, answers=answers, **config)
    assert (code, PASSWORD in shown) == (0, False), shown


def test_stdin_without_a_password_is_wrong_usage(tmp_path: Path, server: TeamServer) -> None:
    words = ("sync", "login", server.url, "--username", "ada", "--password-stdin")
    thence(*words, cwd=tmp_path).failure(2)
