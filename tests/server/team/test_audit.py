"""The audit log of a server, written by its commands and by the server at once.

It stands in a folder whatever keeps the rest; so what is about that folder is tried on one engine.
"""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.cli.installed import in_python, thence
from tests.server.team.notices import Node
from tests.server.team.team_server import PASSWORD, TeamServer, team_server

from thence.server.team.audit import FAILURES_MAX, FOLDER, AuditLog

NEW = "another password"


@pytest.fixture
def server(own_address: str, tmp_path: Path) -> Iterator[TeamServer]:
    with team_server(tmp_path / "data", address=own_address) as running:
        yield running


def events(folder: Path) -> list[dict[str, Any]]:
    """Returns what is recorded in an audit log, as `thence log` tells it."""
    ended = thence("log", "--log", folder, "--json", cwd=folder.parent)
    assert ended.code == 0, ended.err
    rows = [json.loads(line) for line in ended.lines]
    return [row for row in rows if not row["event_type"].startswith("log.")]


def test_audit_log_tells_who_came_in_and_who_changed_what(server: TeamServer) -> None:
    def admin(*arguments: str) -> Any:
        ended = thence("server", *arguments, *server.options, "--json", cwd=server.data.parent)
        assert ended.code == 0, ended.err
        return ended.json

    secrets = [PASSWORD, NEW]
    secrets.append(admin("user", "add", "bob", "--team", "red")["password"])
    admin("user", "role", "bob", "reader", "--team", "red")
    secrets.append(admin("user", "password", "bob")["password"])
    secrets.append(admin("token", "add", "ci", "--team", "red")["token"])
    admin("token", "revoke", "ci")
    ada = server.client("ada")
    assert server.client().post("/api/v1/token/", _login("ada", "wrong one")).status == 401
    changed = ada.post("/api/v1/token/", {**_login("ada", PASSWORD), "new_password": NEW})
    assert changed.status == 200
    ada.access, refresh = changed.json["access"], changed.json["refresh"]
    node = Node()
    secret = node.said("the secret text")
    for line in (secret, node.redaction(secret)):  # the second push claims nothing
        assert ada.statuses("log", [line], nodes=[node.node]) == ["success"]
    assert ada.post("/api/v1/token/revoke/", {"refresh": refresh}).status == 200
    admin("user", "remove", "bob")
    rows = events(server.data / FOLDER)
    kinds = [row["event_type"] for row in rows]
    assert kinds == [
        *("user.added", "role.changed", "password.changed", "token.made", "token.revoked"),
        *("login.succeeded", "login.failed", "password.changed", "login.succeeded"),
        *("node.claimed", "redaction.carried_out", "login.ended", "user.removed"),
    ]
    by_kind = {row["event_type"]: row for row in rows}
    assert by_kind["redaction.carried_out"]["actor"] == "ada"
    assert by_kind["redaction.carried_out"]["payload"] == {"logs": ["log"]}
    assert by_kind["node.claimed"]["payload"]["nodes"] == [node.node]
    assert by_kind["role.changed"]["actor"].startswith("local:")
    assert by_kind["login.failed"]["payload"]["user"] == "ada"
    secrets += [changed.json["access"], refresh, "the secret text", "wrong one"]
    whole = b"".join(
        path.read_bytes() for path in (server.data / FOLDER).rglob("*") if path.is_file()
    )
    assert [text for text in secrets if text.encode() in whole] == []
    assert thence("verify", "--log", server.data / FOLDER, cwd=server.data).code == 0


def test_audit_log_tells_of_copies(tmp_path: Path) -> None:
    """On one engine: PostgreSQL is copied by its own programs."""
    with team_server(tmp_path / "data") as server:
        server.end()
    for command in ("backup", "restore"):
        copied = thence("server", command, "copy.db", "--data", "data", "--json", cwd=tmp_path)
        assert copied.code == 0, copied.err
    kinds = [row["event_type"] for row in events(tmp_path / "data" / FOLDER)]
    assert kinds == ["server.copied", "server.restored"]


def _login(user: str, password: str) -> dict[str, str]:
    return {"username": user, "password": password}


def test_name_that_no_user_has_is_not_recorded_and_a_flood_is_counted(tmp_path: Path) -> None:
    audit = AuditLog(tmp_path / FOLDER)
    for _ in range(FAILURES_MAX + 100):
        audit.record_failure(None, "192.0.2.1")
    audit.close()
    rows = events(tmp_path / FOLDER)
    assert FAILURES_MAX <= len(rows) < FAILURES_MAX + 100
    assert {row["payload"]["user"] for row in rows} == {None}


@pytest.mark.both_engines
def test_refresh_token_that_is_used_twice_leaves_a_record(server: TeamServer) -> None:
    thief, ada = server.client(), server.client("ada")
    for _ in range(2):
        body = {"refresh": ada.refresh}
        renewed = thief.post("/api/v1/token/refresh/", body)
        thief.access = renewed.json.get("access", "")
        thief.page("log")  # from here on the former refresh token counts as used
    assert renewed.status == 401
    last = events(server.data / FOLDER)[-1]
    assert (last["event_type"], last["payload"]["user"]) == ("login.ended", "ada")
    assert "used twice" in last["payload"]["reason"]


def test_password_typed_as_a_name_is_in_no_file(server: TeamServer) -> None:
    typed = "my secret password"
    for name in (typed, f"{typed}\0"):
        assert server.client().post("/api/v1/token/", _login(name, "x")).status == 401
    rows = events(server.data / FOLDER)
    assert [(row["event_type"], row["payload"]["user"]) for row in rows] == (
        [("login.failed", None)] * 2
    )
    paths = [path for path in (server.data / FOLDER).rglob("*") if path.is_file()]
    assert [path for path in paths if typed.encode() in path.read_bytes()] == []


def test_audit_log_that_cannot_be_written_stops_no_login_and_is_told_once(tmp_path: Path) -> None:
    with team_server(tmp_path / "data") as server:
        server.end()
        folder = server.data / FOLDER
        folder.write_text("no folder")
        with (tmp_path / "stderr").open("wb") as stderr:
            server.start(stderr=stderr)
            for _ in range(3):
                server.client("ada")
        told = (tmp_path / "stderr").read_text()
        assert told.count("could not write the audit log") == 1
        added = thence("server", "user", "add", "bob", "--team", "red", "--data", server.data,
                       "--json", cwd=tmp_path)  # fmt: skip
        assert (added.code, added.json["user"]) == (0, "bob")
        assert "could not write the audit log" in added.err
        folder.unlink()
        server.client("ada")
        rows = events(folder)
        assert [row["event_type"] for row in rows] == ["audit.gap", "login.succeeded"]
        assert rows[0]["payload"] == {"missing": 3}


def test_full_disk_and_a_damaged_end_lose_records_and_raise_nothing(tmp_path: Path) -> None:
    program = """
import resource, signal, sys
from pathlib import Path
from thence.server.team.audit import AuditLog
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
audit = AuditLog(Path(sys.argv[1]))
audit.record("a.kept", "ada", size=1)
size = max(path.stat().st_size for path in Path(sys.argv[1]).rglob("*.jsonl"))
limits = resource.getrlimit(resource.RLIMIT_FSIZE)
resource.setrlimit(resource.RLIMIT_FSIZE, (size + 10, limits[1]))
for _ in range(2):
    audit.record("a.lost", "ada", text="x" * 1000)
resource.setrlimit(resource.RLIMIT_FSIZE, limits)
audit.record("a.later", "ada")
audit.close()
"""
    ended = in_python(program, tmp_path / FOLDER, cwd=tmp_path)
    assert (ended.code, ended.err.count("could not write the audit log")) == (0, 1), ended.err
    rows = events(tmp_path / FOLDER)
    assert [row["event_type"] for row in rows] == ["a.kept", "audit.gap", "a.later"]
    assert rows[1]["payload"] == {"missing": 2}
    segment = max((tmp_path / FOLDER).rglob("*.jsonl"))
    data = bytearray(segment.read_bytes())
    data[data.index(b"a.kept")] ^= 1
    segment.write_bytes(bytes(data) + b'{"torn')
    audit = AuditLog(tmp_path / FOLDER)
    audit.record("a.last", "ada")
    audit.close()
    assert b'"a.last"' in max((tmp_path / FOLDER).rglob("*.jsonl")).read_bytes()
    assert thence("verify", "--log", tmp_path / FOLDER, cwd=tmp_path).code != 0
