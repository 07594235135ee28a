"""The audit log of a server, written by its commands and by the server at once.

It stands in a folder whatever keeps the rest; so what is about that folder is tried on one engine.
"""

import json
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from tests.cli.installed import thence
from tests.server.team.lines import Node
from tests.server.team.team_server import PASSWORD, TeamServer, team_server

from thence.server.team.audit import FILE


@pytest.fixture
def server(own_address: str, tmp_path: Path) -> Iterator[TeamServer]:
    with team_server(tmp_path / "data", address=own_address) as running:
        yield running


def deeds(data: Path) -> list[dict[str, Any]]:
    """Returns what is recorded in the audit log of a server's folder."""
    return [json.loads(line) for line in (data / FILE).read_text().splitlines()]


def test_audit_log_tells_who_came_in_and_who_changed_what(server: TeamServer) -> None:
    def admin(*arguments: str) -> Any:
        ended = thence("server", *arguments, *server.options, "--json", cwd=server.data.parent)
        assert ended.code == 0, ended.err
        return ended.json

    secrets = [PASSWORD]
    secrets.append(admin("user", "add", "bob", "--team", "red")["password"])
    admin("user", "set", "bob", "--role", "reader", "--team", "red")
    secrets.append(admin("user", "set", "bob", "--password")["password"])
    secrets.append(admin("token", "add", "ci", "--team", "red")["token"])
    admin("token", "revoke", "ci")
    ada = server.client("ada")
    assert server.client().post("/api/v1/token/", _login("ada", "wrong one")).status == 401
    refresh = ada.refresh
    node = Node()
    secret = node.said("the secret text")
    for line in (secret, node.redaction(secret)):
        assert ada.statuses("log", [line], nodes=[node.node]) == ["success"]
    assert ada.post("/api/v1/token/revoke/", {"refresh": refresh}).status == 200
    admin("user", "remove", "bob")
    rows = deeds(server.data)
    kinds = [row["deed"] for row in rows]
    assert kinds == [
        *("user.added", "role.changed", "password.changed", "token.made", "token.revoked"),
        *("login.succeeded", "login.failed"),
        *("redaction.carried_out", "login.ended", "user.removed"),
    ]
    by_kind = {row["deed"]: row for row in rows}
    carried_out = by_kind["redaction.carried_out"]
    at = datetime.fromisoformat(carried_out.pop("at"))
    assert at.tzinfo == UTC
    assert carried_out == {"deed": "redaction.carried_out", "by": "ada", "log": "log"}
    assert by_kind["role.changed"]["by"].startswith("local:")
    assert by_kind["login.failed"]["user"] == "ada"
    secrets += [ada.access, refresh, "the secret text", "wrong one"]
    whole = (server.data / FILE).read_text()
    assert [text for text in secrets if text in whole] == []


def test_audit_log_tells_of_copies(tmp_path: Path) -> None:
    """On one engine: PostgreSQL is copied by its own programs."""
    with team_server(tmp_path / "data") as server:
        server.end()
    for command in ("backup", "restore"):
        copied = thence("server", command, "copy.db", "--data", "data", "--json", cwd=tmp_path)
        assert copied.code == 0, copied.err
    kinds = [row["deed"] for row in deeds(tmp_path / "data")]
    assert kinds == ["server.copied", "server.restored"]


def _login(user: str, password: str) -> dict[str, str]:
    return {"username": user, "password": password}


@pytest.mark.both_engines
def test_refresh_token_that_is_used_twice_leaves_a_record(server: TeamServer) -> None:
    thief, ada = server.client(), server.client("ada")
    for _ in range(2):
        body = {"refresh": ada.refresh}
        renewed = thief.post("/api/v1/token/refresh/", body)
        thief.access = renewed.json.get("access", "")
        thief.page("log")  # from here on the former refresh token counts as used
    assert renewed.status == 401
    last = deeds(server.data)[-1]
    assert (last["deed"], last["user"]) == ("login.ended", "ada")
    assert "used twice" in last["reason"]


def test_password_typed_as_a_name_is_in_no_file(server: TeamServer) -> None:
    typed = "my secret password"
    for name in (typed, f"{typed}\0"):
        assert server.client().post("/api/v1/token/", _login(name, "x")).status == 401
    assert [(row["deed"], row["user"]) for row in deeds(server.data)] == [
        ("login.failed", None)
    ] * 2
    assert typed not in (server.data / FILE).read_text()


def test_audit_log_that_cannot_be_written_stops_no_login_and_is_told(tmp_path: Path) -> None:
    with team_server(tmp_path / "data") as server:
        server.end()
        file = server.data / FILE
        file.mkdir()
        with (tmp_path / "stderr").open("wb") as stderr:
            server.start(stderr=stderr)
            for _ in range(3):
                server.client("ada")
        told = (tmp_path / "stderr").read_text()
        assert told.count("could not write the audit log") == 3
        assert told.count('"deed":"login.succeeded","by":"ada"') == 3, "the deed itself is told"
        added = thence("server", "user", "add", "bob", "--team", "red", "--data", server.data,
                       "--json", cwd=tmp_path)  # fmt: skip
        assert (added.code, added.json["user"]) == (0, "bob")
        assert "could not write the audit log" in added.err
        file.rmdir()
        server.client("ada")
        assert [row["deed"] for row in deeds(server.data)] == ["login.succeeded"]
