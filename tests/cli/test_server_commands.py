"""The commands of `thence server` as a user has them."""

import os
import signal
import socket
import stat
from pathlib import Path

import httpx2
import pytest
from tests.cli.installed import THENCE, Ended, in_python, ran, thence
from tests.server.team.lines import lines
from tests.server.team.listener import closing_code, listening
from tests.server.team.stranger import Client
from tests.server.team.team_server import TeamServer

from thence.server.team.logins import FAILURES


def server(*arguments: object, cwd: Path, **options: object):
    return thence("server", *map(str, arguments), cwd=cwd, **options)


@pytest.mark.promise("P6", "S12")
def test_server_is_made_once_and_begun_and_a_user_is_added_beside_it(tmp_path: Path) -> None:
    made = server("init", cwd=tmp_path)
    assert (made.code, made.lines) == (0, ["created a server in thence-server with the team team"])
    data = tmp_path / "thence-server"
    assert stat.S_IMODE(data.stat().st_mode) == 0o700
    server("init", cwd=tmp_path).failure(1)
    running = TeamServer(data)
    running.start()
    try:
        added = server("user", "add", "ada", "--json", cwd=tmp_path)
        told = added.json
        assert {**told, "password": ""} == {
            "user": "ada",
            "team": "team",
            "role": "writer",
            "password": "",
        }
        client = Client(running.url)
        client.log_in("ada", told["password"])
        assert client.statuses("log", lines(2)) == ["success"] * 2
        assert server("user", "remove", "ada", cwd=tmp_path).code == 0
        assert client.page("log").status == 401
    finally:
        assert running.end(signal.SIGINT) == 130


@pytest.mark.promise("S12")
def test_whatever_a_server_makes_is_its_owners_alone_whatever_the_umask(tmp_path: Path) -> None:
    """A log of the same user stays as its umask says; only what the server makes is closed."""
    words = ("server", "--data", "data", "--json")

    def open_to_all() -> None:
        os.umask(0)

    def command(name: str, *arguments: str) -> Ended:
        return ran(
            THENCE, words[0], name, *arguments, *words[1:], cwd=tmp_path, first=open_to_all
        ).done()

    def open_files() -> list[str]:
        paths = [tmp_path / "data", *(tmp_path / "data").rglob("*")]
        modes = [(path, stat.S_IMODE(path.lstat().st_mode)) for path in paths]
        return [f"{path} {mode:o}" for path, mode in modes if mode & 0o077]

    command("init")
    password = command("user", "add", "ada").json["password"]
    assert (tmp_path / "data/audit.jsonl").exists()
    assert open_files() == []
    running = TeamServer(tmp_path / "data")
    running.start(first=open_to_all)
    try:
        client = Client(running.url)
        client.log_in("ada", password)
        assert client.statuses("log", lines(2)) == ["success"] * 2
        command("backup", "copy.db")
        assert open_files() == []
    finally:
        running.end()
    command("restore", "copy.db")
    assert open_files() == []
    assert stat.S_IMODE((tmp_path / "copy.db").stat().st_mode) == 0o600


KILLED = """
import os, signal, sys
link = os.link
def killing(*paths):
    if {is_behind}:
        link(*paths)
    os.kill(os.getpid(), signal.SIGKILL)
os.link = killing
from thence.cli.main import main
sys.exit(main())
"""


@pytest.mark.promise("S12")
@pytest.mark.parametrize("is_behind", [False, True])
def test_init_that_was_killed_left_all_of_a_server_or_nothing(tmp_path, is_behind):
    killed = in_python(KILLED.format(is_behind=is_behind), "server", "init", cwd=tmp_path)
    assert killed.code == -signal.SIGKILL
    assert server("init", cwd=tmp_path).code == int(is_behind)
    assert server("user", "add", "ada", "--json", cwd=tmp_path).json["team"] == "team"


@pytest.mark.promise("P6")
def test_users_and_teams_are_listed_and_wrong_names_refused(tmp_path: Path) -> None:
    server("init", "--team", "red", "--data", "here", cwd=tmp_path)
    here = ("--data", "here")
    only = server("user", "add", "ann", *here, "--json", cwd=tmp_path)
    assert only.json["team"] == "red", "the only team there is"
    removed = server("user", "remove", "ann", *here, cwd=tmp_path).done()
    assert "still accepts their pushes" in removed.err
    assert server("team", "add", "blue", *here, cwd=tmp_path).code == 0
    ended = server("user", "add", "ann", *here, cwd=tmp_path)
    assert (ended.code, "there are blue, red" in ended.err) == (2, True)
    given = ("--team", "red", "--role", "reader", "--password-stdin")
    added = server("user", "add", "bob", *given, *here, cwd=tmp_path, stdin=b"correct horse\n")
    assert (added.code, added.lines) == (0, ["bob is a reader in red"])
    assert server("user", "add", "bob", "--team", "blue", *here, cwd=tmp_path).code == 0
    assert server("user", "list", "--json", *here, cwd=tmp_path).json == {
        "users": [
            {"user": "bob", "team": "red", "role": "reader"},
            {"user": "bob", "team": "blue", "role": "writer"},
        ]
    }
    assert server("team", "list", *here, cwd=tmp_path).lines == ["blue", "red"]
    for refused in (
        ("user", "add", "eve", "--team", "none"),
        ("user", "remove", "eve"),
        ("team", "add", "red"),
        ("user", "add", "max", "--team", "red", "--password-stdin"),
        ("user", "set", "bob", "--role", "admin", "--team", "none"),
        ("user", "set", "eve", "--password"),
        ("token", "add", "bob", "--team", "red"),
        ("token", "revoke", "bob"),
    ):
        told = server(*refused, *here, cwd=tmp_path, stdin=b"seven77\n").failure(1)
        assert told.count("thence server") == told.count(" --data here"), told
    for unusable in (
        *(("user", "add", name, "--team", "red") for name in ("", "../ada", "a" * 65)),
        ("token", "add", "c i", "--team", "red"),
        ("token", "add", "ci", "--expires", "9w"),
        ("team", "add", "Red"),
    ):
        assert server(*unusable, *here, cwd=tmp_path).code == 2, unusable
    for wrong in (("ci", "--team", "none"), ("bob", "--team", "red")):
        assert "could not add the token" in server("token", "add", *wrong, *here, cwd=tmp_path).err
    port = server("run", "--port", "x", *here, cwd=tmp_path)
    assert (port.code, "'x' is not a valid integer\n" in port.err) == (2, True)
    assert server("team", "list", cwd=tmp_path).code == 4


@pytest.mark.promise("S12")
def test_machine_is_let_in_by_its_token_alone_until_it_is_revoked(tmp_path: Path) -> None:
    server("init", cwd=tmp_path)
    running = TeamServer(tmp_path / "thence-server")
    running.start()
    try:
        added = server(
            "token", "add", "ci", "--role", "writer", "--expires", "90", "--json", cwd=tmp_path
        )
        machine = Client(running.url)
        machine.access = added.json["token"]
        assert machine.statuses("log", lines(2)) == ["success"] * 2
        assert machine.page("log").status == 200
        shown = server("token", "list", cwd=tmp_path)
        assert shown.lines == [f"ci  team  writer  until {added.json['expires']}"]
        assert added.json["token"] not in shown.out + server("user", "list", cwd=tmp_path).out
        for password in ("", "no user has this name"):
            body = {"username": "ci", "password": password}
            assert machine.post("/api/v1/token/", body).status == 401
        with listening(machine, "log") as live:
            assert server("user", "set", "ci", "--role", "reader", cwd=tmp_path).code == 0
            assert machine.push("log", lines(3)).status == 403
            assert live.send(lines(3)[2])["problem"]["code"] == "sync_refused"
            assert server("token", "revoke", "ci", cwd=tmp_path).code == 0
            assert closing_code(live) == 4401
        assert machine.page("log").status == 401
        assert server("token", "list", "--json", cwd=tmp_path).json == {"tokens": []}
    finally:
        running.end()


def test_run_refuses_other_addresses_without_a_proxy_taken_ports_and_no_server(tmp_path):
    missing = server("run", "--port", 0, cwd=tmp_path)
    assert (missing.code, missing.out) == (4, "")
    assert "thence server init --data thence-server" in missing.err
    server("init", cwd=tmp_path)
    assert "--behind-proxy" in server("run", "--host", "0.0.0.0", cwd=tmp_path).failure(2)
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        ended = server("run", "--port", port, "--json", cwd=tmp_path)
        assert ended.json["error"]["code"] == "port_taken"


@pytest.mark.parametrize("place", ["address", "socket"])
def test_server_behind_a_proxy_believes_whom_that_names_and_answers_any_host(tmp_path, place):
    server("init", cwd=tmp_path)
    running = TeamServer(tmp_path / "thence-server")
    unix = str(tmp_path / "thence.sock") if place == "socket" else None
    running.start(*(("--unix", unix) if unix else ("--host", "0.0.0.0", "--behind-proxy")))
    try:
        assert not unix or running.url == f"unix:{unix}"
        base = "http://thence.example" if unix else running.url.replace("0.0.0.0", "127.0.0.1")
        with httpx2.Client(
            transport=httpx2.HTTPTransport(uds=unix),
            base_url=base,
            headers={"Host": "thence.example"},
        ) as client:
            wrong = {"username": "ada", "password": "wrong"}
            statuses = [
                client.post(
                    "/api/v1/token/", json=wrong, headers={"X-Forwarded-For": address}
                ).status_code
                for address in ("192.0.2.1",) * (FAILURES + 1) + ("192.0.2.2",)
            ]
        assert statuses == [401] * FAILURES + [429, 401]
    finally:
        assert running.end() == 0
