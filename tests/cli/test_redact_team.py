"""`thence redact` in a team: the installed commands, a server's process, two users."""

import json
import shutil

import pytest
from tests.cli.test_sync_commands import User
from tests.git.repositories import make_repository
from tests.server.team.team_server import PASSWORD, team_server
from tests.work.boards import view

SECRET = "swordfish"
LOG = ("--log", "log")


def synced(user):
    return user.done("sync", "now", *LOG, "--json").json


def files_with_secret(folder):
    files = [path for path in folder.rglob("*") if path.is_file()]
    return [path for path in files if SECRET.encode() in path.read_bytes()]


@pytest.mark.promise("S10a")
def test_event_is_taken_back_from_the_server_and_every_clone(tmp_path):
    with team_server(tmp_path / "data") as server:
        server.add("ben")
        ada, ben = (User.at(tmp_path, name, server, PASSWORD) for name in ("ada", "ben"))
        ada("append", "noted", "--subject", "deploy", "--payload", f'{{"text":"{SECRET}"}}',
            "--log", "log")  # fmt: skip
        ben("append", "begun", "--log", "log")
        for user in (ada, ben):
            assert user("sync", "enable", "--name", "shared", *LOG).code == 0
            synced(user)
        shutil.copytree(ben.folder / "log", tmp_path / "backup")
        ben("redact", "deploy", "--yes", *LOG).failure(1)
        assert files_with_secret(ben.folder)
        ada("redact", "deploy", "--yes", "--reason", "a password", *LOG).done()
        synced(ada)
        assert synced(ben)["redacted"] == 1
        shutil.rmtree(ben.folder / "log")
        shutil.move(tmp_path / "backup", ben.folder / "log")
        assert synced(ben)["redacted"] == 1
        assert files_with_secret(tmp_path) == []
        synced(ada)
        for user in (ada, ben):
            assert "a password" in user("log", *LOG).out
            assert user("sync", "status", "--check", *LOG).code == 0


@pytest.mark.promise("S10a")
def test_clone_that_is_synced_by_a_timer_alone_keeps_no_redacted_text(tmp_path):
    with team_server(tmp_path / "data") as server:
        server.add("ben")
        ada, ben = (User.at(tmp_path, name, server, PASSWORD) for name in ("ada", "ben"))
        repo, held = make_repository(ada.folder / "repo"), ben.folder / "repo"
        for command in (("finalize-tasks", "--add", "First"), ("add-history", "WP01", SECRET)):
            assert ada("work", *command, cwd=repo).code == 0
        shutil.copytree(repo, held, symlinks=True)
        shutil.rmtree(held / ".git/thence")
        for user in (ada, ben):
            assert user("sync", "enable", cwd=user.folder / "repo").code == 0
            assert user("sync", "now", cwd=user.folder / "repo").code == 0
        assert ben("work", "status", cwd=held).code == 0
        day, shown = view(held), view(held).read_bytes()
        assert SECRET.encode() in shown
        line = next(line for line in shown.splitlines() if SECRET.encode() in line)
        event = json.loads(line)["event_id"]
        assert ada("redact", event, "--yes", cwd=repo).code == 0
        assert ada("sync", "now", cwd=repo).code == 0
        journal = next((held / ".git/thence").glob("*-*"))
        for log in (held, journal):  # the second after a kill, before the day file was written
            by_timer = ben("sync", "now", "--log", str(log))
            assert (by_timer.code, by_timer.err.count("note")) == (0, 0)
            assert files_with_secret(ben.folder) == []
            ids = [json.loads(line)["event_id"] for line in day.read_bytes().splitlines()]
            assert ids.count(event) == 1
            day.write_bytes(shown)
            (journal / "redacted.txt").unlink()
        day.unlink()
        assert ben("work", "status", cwd=held).code == 0
        assert files_with_secret(ben.folder) == []
