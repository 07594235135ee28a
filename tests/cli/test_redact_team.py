"""`thence redact` in a team: the installed commands, a server's process, two users."""

import json
import shutil

import pytest
from tests.cli.installed import is_three_lines, thence
from tests.git.repositories import make_repository
from tests.server.team.team_server import PASSWORD, TeamServer, team_server
from tests.work.boards import view

SECRET = "swordfish"


class User:
    """A user on a machine of their own."""

    def __init__(self, name, home, server: TeamServer):
        self.name, self.home = name, home
        home.mkdir()
        given = ("--username", name, "--password-stdin")
        assert self("sync", "login", server.url, *given, stdin=PASSWORD.encode()).code == 0

    def __call__(self, *arguments, stdin=b"", folder=None):
        env = {"XDG_CONFIG_HOME": str(self.home / "config")}
        return thence(*arguments, cwd=folder or self.home, env=env, stdin=stdin)

    def on_log(self, *arguments):
        return self(*arguments, "--log", "log")

    def syncs(self):
        ended = self.on_log("sync", "now", "--json")
        assert ended.code == 0, ended.err
        return ended.json


def files_with_secret(folder):
    files = [path for path in folder.rglob("*") if path.is_file()]
    return [path for path in files if SECRET.encode() in path.read_bytes()]


@pytest.mark.promise("S10a")
def test_event_is_taken_back_from_the_server_and_every_clone(tmp_path):
    with team_server(tmp_path / "data") as server:
        server.add("ben")
        ada, ben = (User(name, tmp_path / name, server) for name in ("ada", "ben"))
        ada("append", "noted", "--subject", "deploy", "--payload", f'{{"text":"{SECRET}"}}',
            "--log", "log")  # fmt: skip
        ben("append", "begun", "--log", "log")
        for user in (ada, ben):
            assert user.on_log("sync", "enable", "--name", "shared").code == 0
            user.syncs()
        shutil.copytree(ben.home / "log", tmp_path / "backup")
        refused = ben.on_log("redact", "deploy", "--yes")
        assert (refused.code, is_three_lines(refused.err)) == (1, True)
        assert files_with_secret(ben.home)
        done = ada.on_log("redact", "deploy", "--yes", "--reason", "a password")
        assert done.code == 0, done.err
        ada.syncs()
        assert ben.syncs()["redacted"] == 1
        shutil.rmtree(ben.home / "log")
        shutil.move(tmp_path / "backup", ben.home / "log")
        assert ben.syncs()["redacted"] == 1
        assert files_with_secret(tmp_path) == []
        ada.syncs()
        for user in (ada, ben):
            assert "a password" in user.on_log("log").out
            assert user.on_log("sync", "status", "--check").code == 0


@pytest.mark.promise("S10a")
def test_admin_who_has_written_nothing_redacts_what_others_wrote(tmp_path):
    with team_server(tmp_path / "data") as server:
        server.add("ben", role="admin")
        ada, ben = (User(name, tmp_path / name, server) for name in ("ada", "ben"))
        ada("append", "noted", "--subject", "deploy", f"text={SECRET}", "--log", "log")
        for user in (ada, ben):
            assert user.on_log("sync", "enable", "--name", "shared").code == 0
            user.syncs()
        done = ben.on_log("redact", "deploy", "--yes")
        assert done.code == 0, done.err
        ben.syncs()
        assert ada.syncs()["redacted"] == 1
        assert files_with_secret(tmp_path) == []


@pytest.mark.promise("S10a")
def test_clone_that_is_synced_by_a_timer_alone_keeps_no_redacted_text(tmp_path):
    with team_server(tmp_path / "data") as server:
        server.add("ben")
        ada, ben = (User(name, tmp_path / name, server) for name in ("ada", "ben"))
        repo, held = make_repository(ada.home / "repo"), ben.home / "repo"
        for command in (("finalize-tasks", "--add", "First"), ("add-history", "WP01", SECRET)):
            assert ada("work", *command, folder=repo).code == 0
        shutil.copytree(repo, held, symlinks=True)
        shutil.rmtree(held / ".git/thence")
        for user in (ada, ben):
            assert user("sync", "enable", folder=user.home / "repo").code == 0
            assert user("sync", "now", folder=user.home / "repo").code == 0
        assert ben("work", "status", folder=held).code == 0
        day, shown = view(held), view(held).read_bytes()
        assert SECRET.encode() in shown
        line = next(line for line in shown.splitlines() if SECRET.encode() in line)
        event = json.loads(line)["event_id"]
        assert ada("redact", event, "--yes", folder=repo).code == 0
        assert ada("sync", "now", folder=repo).code == 0
        journal = next((held / ".git/thence").glob("*-*"))
        for log in (held, journal):  # the second after a kill, before the day file was written
            by_timer = ben("sync", "now", "--log", str(log))
            assert (by_timer.code, by_timer.err.count("note")) == (0, 0)
            assert files_with_secret(ben.home) == []
            assert len(day.read_bytes()) == len(shown)
            day.write_bytes(shown)
            (journal / "redacted.txt").unlink()
        day.unlink()
        assert ben("work", "status", folder=held).code == 0
        assert files_with_secret(ben.home) == []
