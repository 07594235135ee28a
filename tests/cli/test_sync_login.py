"""The commands by which a user logs in to a team's server, as they are installed."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.cli.installed import Ended, is_three_lines, on_terminal, thence
from tests.server.team.team_server import PASSWORD, TeamServer, team_server
from tests.sync.http_servers import TeamServer as WireServer
from tests.sync.plain_server import PlainServer

NEW = "a new password"


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
def test_new_password_ends_the_logins_of_other_machines_and_keeps_this_one(
    tmp_path: Path, server: TeamServer
) -> None:
    server.add("nora")
    mine, other = (Machine(tmp_path / name) for name in ("mine", "other"))
    for machine in (mine, other):
        assert machine.log_in(server.url, "--username", "nora").code == 0
        assert machine("append", "--log", "orders", "note", "text=1").code == 0
        assert machine("sync", "enable", "--log", "orders", "--name", "changed").code == 0
    ended = mine.log_in(server.url, "--new-password", stdin=f"{PASSWORD}\n{NEW}\n")
    assert (ended.code, ended.lines) == (0, [f"logged in at {server.url} as nora, team red"])
    assert "all other logins of this user have ended" in ended.err
    assert mine("sync", "now", "--log", "orders").code == 0
    refused = other("sync", "now", "--log", "orders", "--json")
    assert refused.json["error"]["code"] == "not_logged_in"
    assert other.log_in(server.url, "--username", "nora").code == 1
    assert other.log_in(server.url, "--username", "nora", stdin=f"{NEW}\n").code == 0
    assert NEW not in mine.credentials() + other.credentials()


@pytest.mark.promise("S12")
def test_refused_new_password_leaves_the_former_one_and_its_logins(
    tmp_path: Path, server: TeamServer
) -> None:
    server.add("otto")
    machine = Machine(tmp_path / "mine")
    machine.log_in(server.url, "--username", "otto")
    before = machine.credentials()
    refusals = {f"{PASSWORD}\nshort\n": "8 to 1024 characters", f"guess\n{NEW}\n": "no such user"}
    for stdin, cause in refusals.items():
        ended = machine.log_in(server.url, "--new-password", stdin=stdin)
        assert (ended.code, cause in ended.err) == (1, True), ended.err
        assert is_three_lines(ended.err)
    assert machine.log_in(server.url, "--new-password", stdin=f"{PASSWORD}\n").code == 2
    assert machine.credentials() == before
    assert machine.log_in(server.url, "--username", "otto").code == 0


def test_new_passwords_that_differ_on_a_terminal_change_nothing(
    tmp_path: Path, server: TeamServer
) -> None:
    server.add("pia")
    config = {"XDG_CONFIG_HOME": str(tmp_path / "config")}
    arguments = ("sync", "login", server.url, "--username", "pia", "--new-password")
    typed = [(rb"Password: ", PASSWORD), (rb"New password: ", NEW), (rb"again: ", f"{NEW}?")]
    answers = [(question, text.encode() + b"\n") for question, text in typed]
    code, shown = on_terminal(tmp_path, *arguments, answers=answers, **config)
    assert (code, "the two passwords differ" in shown) == (2, True), shown
    answers[2] = (rb"again: ", NEW.encode() + b"\n")
    code, shown = on_terminal(tmp_path, *arguments, answers=answers, **config)
    assert (code, "have ended" in shown) == (0, True), shown
    assert NEW not in shown
    assert server.client().log_in("pia", NEW)["access"]


def test_lost_answer_to_a_new_password_says_that_either_may_hold(tmp_path: Path) -> None:
    with WireServer(PlainServer) as server:
        server.overrides["/api/v1/token/"] = (None, {}, b"")
        machine = Machine(tmp_path / "mine")
        options = ("--username", "ada", "--new-password")
        ended = machine.log_in(server.url, *options, stdin=f"blue whale\n{NEW}\n")
        assert (ended.code, is_three_lines(ended.err)) == (1, True)
        assert "the new password or the former one" in ended.err
