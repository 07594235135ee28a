"""The commands of `thence sync` where something is wrong: three lines, a code, and nothing lost."""

import json
import shutil
import subprocess
from contextlib import closing
from pathlib import Path

import apsw
import pytest
from tests.cli.installed import THENCE, begin, is_three_lines
from tests.cli.test_sync_commands import User, ada
from tests.git.repositories import make_repository
from tests.server.team.team_server import PASSWORD, TeamServer, team_server
from tests.sync.http_servers import BOMB, HTML, HostileServer
from tests.sync.http_servers import TeamServer as PlainTeamServer
from tests.sync.plain_server import PlainServer
from tests.sync.test_restored_logs import Backup

from thence import open as thence_open
from thence.errors import EventTooLarge
from thence.server.running import TEAM_DATABASE
from thence.sync.credentials import CredentialStore, Login
from thence.sync.target import SyncTarget, write_target

__all__ = ["ada"]  # a fixture
LOG = ("--log", "orders")
ENDS_S = 60  # 15 s for a request, and the start of some commands at once


def synced(user: User, *log: str) -> dict[str, int]:
    return user.done("sync", "now", *log, "--json").json


def failed(user: User, *arguments: str) -> dict[str, str]:
    """Run a command that fails, and return its error."""
    ended = user(*arguments, "--json")
    ended.failure(1)
    return ended.json["error"]


def pointed(user: User, url: str, folder: Path) -> None:
    """Log a user in at any server that need not be one, and point a log at it."""
    login = Login(url, user.name, "access", "refresh")
    CredentialStore(user.config / "thence").save(login)
    write_target(folder, SyncTarget(url, "atlas", user.name, "orders", "plain", ""))


ANSWERS = {
    "redirect": ((302, {"Location": "https://evil.example/"}, b""), "bad_answer"),
    "portal": ((200, {"Content-Type": "text/html"}, HTML), "bad_answer"),
    "bomb": (
        (200, {"Content-Type": "application/json", "Content-Encoding": "gzip"}, BOMB),
        "bad_answer",
    ),
    "no such page": ((404, {"Content-Type": "text/html"}, HTML), "bad_answer"),
}


@pytest.mark.promise("S8")
def test_answer_of_what_is_no_server_ends_in_three_lines_and_the_next_round_brings_all(ada):
    with PlainTeamServer(PlainServer) as server:
        ada.log_in(server)
        ada.done("append", *LOG, "note", "text=1")
        ada.done("sync", "enable", *LOG)
        for answer, code in ANSWERS.values():
            for path in ("/api/v1/events", "/api/v1/events/batch/"):
                server.overrides[path] = answer
            error = failed(ada, "sync", "now", *LOG)
            assert error["code"] == code
            assert answer[-1] != HTML or "terms of this network" in error["cause"]
        server.overrides.clear()
        assert synced(ada, *LOG)["pushed"] == 1
    assert failed(ada, "sync", "now", *LOG)["code"] == "server_unreachable"


@pytest.mark.promise("S4")
def test_commands_end_in_time_at_a_silent_server_and_no_other_waits_for_them(tmp_path, ada):
    project = make_repository(tmp_path / "project")
    ada.done("work", "finalize-tasks", "--add", "Read the spec", cwd=project)
    ada.done("append", *LOG, "note", "text=1")
    shutil.copytree(ada.folder / "orders", ada.folder / "others")
    with (
        HostileServer(b"", "hold") as frozen,
        HostileServer(b"HTTP/1.1 200 OK\r\nX: ", "drip") as drip,
    ):
        pointed(ada, frozen.url, ada.folder / "orders")
        pointed(ada, drip.url, ada.folder / "others")
        commands = [
            ("sync", "now", *LOG),
            ("sync", "now", "--log", "others"),
            ("sync", "status", "--check", "--log", "others"),
            ("sync", "login", frozen.url, "--username", "ben", "--password-stdin"),
        ]
        waiting = [begun(ada, *command) for command in commands]
        try:
            for server in (frozen, drip):
                assert server.asked.wait(ENDS_S)
            for arguments in (("append", *LOG, "note", "text=2"), ("query", *LOG)):
                assert ada(*arguments).code == 0
            assert ada("work", "status", cwd=project).code == 0
            assert ada("sync", "status", *LOG).code == 0
            assert any(process.poll() is None for process in waiting), "else this shows nothing"
            for process in waiting:
                _, err = process.communicate(timeout=ENDS_S)
                assert process.returncode == 1
                assert is_three_lines(err)
        finally:
            for process in waiting:
                process.kill()
                process.wait()
    assert ada.done("query", *LOG, "--json").out.count("note") == 2


def begun(user: User, *arguments: str) -> "subprocess.Popen[str]":
    process = begin(THENCE, *arguments, cwd=user.folder, XDG_CONFIG_HOME=str(user.config))
    assert process.stdin is not None
    process.stdin.write("password\n")
    process.stdin.flush()
    return process


@pytest.mark.promise("S12")
def test_server_and_log_restored_from_old_backups_get_back_what_they_lost(tmp_path, ada):
    with team_server(tmp_path / "data") as server:
        ada.log_in(server, PASSWORD)
        orders, backup = ada.folder / "orders", tmp_path / "backup"
        ada.done("append", *LOG, "note", "text=1")
        ada.done("sync", "enable", *LOG, "--name", "orders")
        assert synced(ada, *LOG)["pushed"] == 1
        shutil.copytree(orders, backup)
        server.end()
        shutil.copytree(server.data, tmp_path / "old")
        server.start()
        move_target(ada, server)
        with thence_open(
            orders, bodies_from=None
        ) as log:  # one that goes alone, just below the limit
            log.append("note", {"text": "x" * 1_048_000})
            with pytest.raises(EventTooLarge):
                log.append("note", {"text": "x" * 1_049_000})
        ada.done("append", *LOG, "note", "text=3")
        assert synced(ada, *LOG)["pushed"] == 2
        server.end()
        shutil.rmtree(server.data)
        shutil.copytree(tmp_path / "old", server.data)
        server.start()
        move_target(ada, server)
        shutil.move(orders, tmp_path / "sound")
        shutil.copytree(backup, orders)
        ada.done("append", *LOG, "note", "text=4")
        move_target(ada, server)
        synced(ada, *LOG)
        shutil.move(tmp_path / "sound", ada.folder / "sound")
        for name in ("sound", "orders", "sound"):
            move_target(ada, server, name)
            synced(ada, "--log", name)
        found = [ada.done("query", "--log", name, "--json").out for name in ("orders", "sound")]
        assert found[0] == found[1]
        notes = [json.loads(line) for line in server.client("ada").pull("orders")[0]]
        texts = sorted(str(e["payload"]["text"])[:1] for e in notes if e["event_type"] == "note")
        assert texts == ["1", "3", "4", "x"]
        assert ada("verify", *LOG).code == 0


@pytest.mark.promise("S12")
def test_log_that_was_put_back_in_place_is_told_in_one_line(tmp_path, ada):
    with team_server(tmp_path / "data") as server:
        ada.log_in(server, PASSWORD)
        ada.done("append", *LOG, "note", "text=1")
        ada.done("sync", "enable", *LOG, "--name", "orders")
        synced(ada, *LOG)
        backup = Backup(ada.folder / "orders")
        ada.done("append", *LOG, "note", "text=lost")
        synced(ada, *LOG)
        backup.restore()
        ada.done("append", *LOG, "note", "text=other")
        notices = [ada.done("sync", "now", *LOG).err for _ in range(2)]
        assert [text.count("restored from an old copy") for text in notices] == [1, 0]
        assert ada.done("query", *LOG, "--json").out.count('"note"') == 3


def move_target(user: User, server: TeamServer, name: str = "orders") -> None:
    """Log in where the server is now, for its port is another one after each start."""
    store = CredentialStore(user.config / "thence")
    for login in store.logins():
        store.remove(login)
    user.log_in(server, PASSWORD)
    user.done("sync", "enable", "--log", name, "--name", "orders", "--switch", "--yes")


@pytest.mark.promise("S8")
def test_login_that_the_server_forgot_is_asked_for_again_and_nothing_is_lost(tmp_path, ada):
    with team_server(tmp_path / "data") as server:
        ada.log_in(server, PASSWORD)
        ada.done("append", *LOG, "note", "text=1")
        ada.done("sync", "enable", *LOG, "--name", "orders")
        with closing(apsw.Connection(str(server.data / TEAM_DATABASE))) as database:
            database.execute("DELETE FROM tokens")
        for _ in range(2):
            assert failed(ada, "sync", "now", *LOG)["code"] == "not_logged_in"
        state = ada.done("sync", "status", *LOG, "--json").json
        assert (state["login"], state["connection"], state["pending"]) == ("ended", "Offline", 1)
        ada.done("append", *LOG, "note", "text=2")
        ada.log_in(server, PASSWORD)
        assert synced(ada, *LOG)["pushed"] == 2


@pytest.mark.promise("S10a")
def test_secret_is_sent_after_its_event_was_named(ada):
    with PlainTeamServer(PlainServer) as server:
        ada.log_in(server)
        ada.done("append", *LOG, "note", "text=hello")
        ada.done("append", *LOG, "note", "password=correct horse")
        ada.done("sync", "enable", *LOG, "--name", "orders")
        assert "parked" in failed(ada, "sync", "now", *LOG)["cause"]
        assert "horse" not in str(server.requests)
        (parked,) = ada.done("sync", "parked", *LOG, "--json").json["parked"]
        assert (parked["is_secret"], parked["direction"]) == (True, "push")
        assert "password in payload.password" in parked["reason"]
        assert parked["next"].endswith("or as it is: thence sync parked send")
        assert ada.done("sync", "parked", "retry", *LOG, "--json").json["retried"] == 0
        assert ada("sync", "parked", "send", *LOG).code == 2
        assert failed(ada, "sync", "parked", "send", "01A", *LOG)["code"] == "sync_refused"
        ada.done("sync", "parked", "send", parked["event_id"], *LOG)
        assert synced(ada, *LOG)["pushed"] == 1
