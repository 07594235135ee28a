"""Five people share one log over a team's server, as deploy and the guide have it.

Two are offline for a while, one leaves, one puts his machine back from a backup, and the operator
the server. What each of the five has to see at each moment was written down first: DAY.
"""

import json
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from tests.cli.installed import is_three_lines, thence
from tests.cli.test_sync_commands import User
from tests.server.team.team_server import PASSWORD, TeamServer, team_server
from tests.sync.proxy import UP, Fault, Proxy
from tests.sync.test_restored_logs import Backup

LOG = ("--log", "orders")
NAMES = ("ada", "bob", "cleo", "dan", "eve")
# how many notes Ada, Bob, Cleo, Dan and Eve see, and whose `sync now` ends well
DAY = {
    "all have begun": ((5, 5, 5, 5, 5), "ada bob cleo dan eve"),
    "Cleo and Dan are offline": ((8, 8, 7, 7, 8), "ada bob eve"),
    "Cleo and Dan are back": ((12, 12, 12, 12, 12), "ada bob cleo dan eve"),
    "Eve has left, and goes on alone": ((12, 12, 12, 12, 13), "ada bob cleo dan"),
    "Ada has redacted what Eve said first": ((11, 11, 11, 11, 13), "ada bob cleo dan"),
    # his backup is of the morning; what he said after it came back, and he says one more
    "Bob's machine was put back": ((12, 12, 12, 12, 13), "ada bob cleo dan"),
    # its backup is older than Bob's last note, and than what Cleo says now
    "the server was put back": ((13, 13, 13, 13, 13), "ada bob cleo dan"),
}


class Team:
    """The five with a machine each; Cleo and Dan reach the server by a line that can be cut."""

    def __init__(self, server: TeamServer, folder: Path, lines: dict[str, Proxy]) -> None:
        self.server, self._lines = server, lines
        self.people: dict[str, User] = {}
        for name in NAMES:
            (folder / name).mkdir()
            user = User(name, folder / f"{name}-config", folder / name)
            user.log_in(lines.get(name, server), PASSWORD)
            user.done("sync", "enable", *LOG, "--name", "orders")
            self.people[name] = user

    def say(self, *texts: str) -> None:
        """Has people append notes: each text begins with a name."""
        for text in texts:
            self.people[text.split()[0]].done("append", *LOG, "note", f"text={text}")

    def cut(self, *names: str) -> None:
        """Cuts these people's lines, and no others."""
        for name, line in self._lines.items():
            line.begin(None, (lambda: Fault("cut", UP, 0)) if name in names else None)

    def texts(self, name: str) -> list[str]:
        out = self.people[name].done("query", *LOG, "--type", "note", "--json").out
        payloads = [json.loads(line).get("payload") for line in out.splitlines()]
        return sorted(payload["text"] for payload in payloads if payload)

    def shows(self, moment: str) -> None:
        """Has each sync until nothing moves any more, and sees that the day is as written."""
        counts, well = DAY[moment]
        ended = {}
        for name in (*NAMES, *NAMES):
            ended[name] = self.people[name]("sync", "now", *LOG)
            assert ended[name].code == 0 or is_three_lines(ended[name].err), ended[name].err
        assert [name for name in NAMES if ended[name].code == 0] == well.split(), moment
        assert tuple(len(self.texts(name)) for name in NAMES) == counts, moment
        for name in well.split():
            assert self.texts(name) == self.texts("ada"), moment
            check = self.people[name]("sync", "status", "--check", *LOG, "--json")
            assert (check.code, check.json["is_in_sync"]) == (0, True), moment

    def operator(self, *words: str) -> None:
        ended = thence("server", *words, "--data", self.server.data, cwd=self.server.data.parent)
        assert ended.code == 0, ended.err


@pytest.fixture
def team(tmp_path: Path) -> Iterator[Team]:
    with ExitStack() as stack:
        server = stack.enter_context(team_server(tmp_path / "data"))
        for name in NAMES[1:]:
            server.add(name)
        lines = {name: stack.enter_context(Proxy(server.url)) for name in ("cleo", "dan")}
        yield Team(server, tmp_path, lines)


@pytest.mark.promise("S7", "S9", "S10a", "S12")
def test_day_of_a_team(team: Team) -> None:
    team.say(*(f"{name} begins" for name in NAMES))
    team.shows("all have begun")
    morning = Backup(team.people["bob"].folder)

    team.cut("cleo", "dan")
    team.say("ada 1", "bob 1", "eve 1", "cleo 1", "cleo 2", "dan 1", "dan 2")
    team.shows("Cleo and Dan are offline")
    team.cut()
    team.shows("Cleo and Dan are back")

    team.operator("user", "remove", "eve")
    team.say("eve 2")
    team.shows("Eve has left, and goes on alone")
    team.operator("user", "set", "ada", "--role", "admin", "--team", "red")
    ada = team.people["ada"]
    notes = ada.done("query", *LOG, "--type", "note", "--json").out.splitlines()
    (said,) = [one for one in map(json.loads, notes) if one["payload"]["text"] == "eve begins"]
    ada.done("redact", said["event_id"], *LOG, "--yes")
    team.shows("Ada has redacted what Eve said first")
    team.operator("backup", "evening.db")

    morning.restore()
    team.say("bob 2")
    team.shows("Bob's machine was put back")
    assert len(team.people["bob"].done("log", *LOG).lines) >= 12

    team.say("cleo 3")
    team.server.end()
    team.operator("restore", "evening.db")
    port = team.server.url.rpartition(":")[2]
    team.server.start("--port", port)
    team.shows("the server was put back")
