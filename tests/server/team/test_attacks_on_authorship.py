"""The attacks on who wrote a line and who may redact one, over HTTP.

Ada's log wrote under one node, eve's under another; bea is a writer of the team too, boss an admin
of it, bob a writer of another team. The client knows docs/reference/formats/wire.md alone.
"""

import json
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from zlib import crc32

import pytest
from tests.server.team.stranger import Client, digest, redaction, written
from tests.server.team.team_server import TeamServer, team_server

from thence.core.redaction import digests, redacted
from thence.server.team.engines import open_database

NODE, OTHER, NOBODYS = "ada0ada0ada0", "e0e0e0e0e0e0", "0b0d0b0d0b0d"
SECRET = "swordfish"
pytestmark = pytest.mark.promise("S10a")


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory, address: str) -> Iterator[TeamServer]:
    data = tmp_path_factory.mktemp("attacked") / "data"
    with team_server(data, address=address) as found:
        for user, team, role in (
            ("eve", "red", "writer"),
            ("bea", "red", "writer"),
            ("boss", "red", "admin"),
            ("bob", "blue", "writer"),
        ):
            found.add(user, team, role)
        first = said(1, "first", OTHER)
        assert found.client("eve").statuses("first", [first], nodes=[OTHER]) == ["success"]
        yield found


def said(seq: int, text: str = SECRET, node: str = NODE) -> bytes:
    return written(node, seq, seq, {"text": text})


@pytest.fixture
def log(server: TeamServer, request: pytest.FixtureRequest) -> str:
    """The name of a log in which ada has pushed one line with a secret."""
    name = f"log-{crc32(request.node.name.encode()):x}"
    assert server.client("ada").statuses(name, [said(1)], nodes=[NODE]) == ["success"]
    return name


def is_redacted(server: TeamServer, log: str, line: bytes) -> bool:
    """Reports whether the server has a line without its body; it has it in one form."""
    lines = server.client("ada").pull(log)[0]
    (held,) = (held for held in lines if digests(held).line == digest(line))
    return SECRET.encode() not in held


def refused(client: Client, log: str, line: bytes, nodes: tuple[str, ...] = ()) -> str:
    """Pushes a line that is rejected, of which nothing is stored; returns the code."""
    (result,) = client.push(log, [line], nodes=nodes).json["results"]
    assert result["status"] == "rejected"
    assert line not in client.pull(log)[0]
    return str(result["error"])


def test_other_member_does_not_redact_whatever_nodes_are_named(server, log):
    for notice in (redaction(OTHER, 1, said(1)), redaction(NODE, 2, said(1))):
        for nodes in ((), (OTHER,), (NODE, OTHER)):
            assert refused(server.client("eve"), log, notice, nodes) == "redaction_refused"
    assert not is_redacted(server, log, said(1))


def test_broken_redaction_is_refused_whoever_brings_it(server: TeamServer, log: str) -> None:
    event_id, whole = json.loads(said(1))["event_id"], digest(said(1)).hex()
    for named in ("", "x", whole[2:]):
        payload = {"event_id": event_id, "line_sha256": named}
        notice = written(NODE, 2, 2, payload, "log.redacted")
        assert refused(server.client("boss"), log, notice) == "redaction_refused"
    assert not is_redacted(server, log, said(1))


def test_stranger_and_member_of_another_team_are_not_heard(server: TeamServer, log: str) -> None:
    notice = redaction(NODE, 2, said(1))
    assert server.client().push(log, [notice], nodes=[NODE]).status == 401
    bob = server.client("bob")
    bob.team = "red"
    assert bob.push(log, [notice], nodes=[NODE]).status == 403
    assert bob.post("/api/v1/ws-token/", {}).status == 403
    bob.team = "blue"
    assert bob.statuses(log, [said(1), notice], nodes=[NODE]) == ["success"] * 2
    assert not is_redacted(server, log, said(1))


def test_owner_of_one_of_two_lines_redacts_that_one_alone(server: TeamServer, log: str) -> None:
    eve, theirs = server.client("eve"), said(1, node=OTHER)
    assert eve.statuses(log, [theirs]) == ["success"]
    notices = [redaction(OTHER, 2, said(1)), redaction(OTHER, 3, theirs)]
    assert eve.statuses(log, notices) == ["rejected", "success"]
    assert is_redacted(server, log, theirs)
    assert not is_redacted(server, log, said(1))
    assert notices[0] not in eve.pull(log)[0]


def test_redaction_of_the_digest_of_another_event_is_refused(server: TeamServer, log: str) -> None:
    ada, line = server.client("ada"), said(2, "other")
    payload = {"event_id": json.loads(said(1))["event_id"], "line_sha256": digest(line).hex()}
    mixed = written(NODE, 3, 3, payload, "log.redacted")
    assert ada.statuses(log, [line]) == ["success"]
    assert refused(ada, log, mixed) == "redaction_refused"
    assert ada.pull(log)[0] == [said(1), line]


def test_notices_are_not_redacted(server: TeamServer, log: str) -> None:
    ada = server.client("ada")
    notice = redaction(NODE, 2, said(1))
    assert ada.statuses(log, [notice]) == ["success"]
    assert refused(ada, log, redaction(NODE, 3, notice)) == "redaction_refused"
    assert ada.pull(log)[0] == [redacted(said(1)), notice]
    assert ada.statuses(log, [said(1), notice]) == ["duplicate"] * 2
    assert ada.missing(log, [said(1), notice]) == []
    told = ada.ask("GET", f"/api/v1/nodes/?node={NODE}").json
    assert told == {"owner": "ada", "may_redact": True}


@pytest.mark.both_engines
def test_line_is_taken_from_anybody_and_kept_with_who_brought_it_first(server, log):
    eve, relayed = server.client("eve"), said(2, "by way of eve")
    assert eve.statuses(log, [said(1), relayed], nodes=[OTHER]) == ["duplicate", "success"]
    assert server.client("ada").statuses(log, [relayed]) == ["duplicate"]
    query = """
        SELECT events.digest, events.pushed_by FROM events JOIN logs
        ON logs.team = events.team AND logs.id = events.log WHERE logs.name = :log
        ORDER BY events.number
    """
    with closing(open_database(server.place)) as database, database.reading() as connection:
        kept = connection.execute(query, {"log": log})
    assert kept == [(digest(said(1)), "ada"), (digest(relayed), "eve")]


@pytest.mark.both_engines
def test_line_without_its_body_is_taken_from_its_owner_or_an_admin_alone(server, log):
    ada, eve, boss = (server.client(name) for name in ("ada", "eve", "boss"))
    lines = [said(2, "a"), said(3, "b"), said(1, "c", NOBODYS)]
    for line in lines:
        assert refused(eve, log, redacted(line), (OTHER, NODE)) == "body_missing"
    assert refused(ada, log, redacted(lines[2])) == "body_missing", "nobody has named its node"
    assert ada.statuses(log, [redacted(lines[0])]) == ["success"]
    assert boss.statuses(log, [redacted(line) for line in lines[1:]]) == ["success"] * 2
    assert eve.statuses(log, lines) == ["duplicate"] * 3, "no body comes back"
    assert ada.pull(log)[0] == [said(1), *map(redacted, lines)]


def test_line_without_its_body_takes_none_from_a_line_that_is_there(server, log):
    for user in ("ada", "boss", "eve"):
        assert server.client(user).statuses(log, [redacted(said(1))]) == ["duplicate"]
    assert not is_redacted(server, log, said(1))


def test_former_admin_redacts_no_more_and_who_left_owns_the_nodes_still(tmp_path: Path) -> None:
    with team_server(tmp_path / "data") as server:
        server.add("boss", "red", "admin")
        server.add("eve")
        ada, boss = server.client("ada"), server.client("boss")
        assert ada.statuses("log", [said(1)], nodes=[NODE]) == ["success"]
        early = redaction("b055b055b055", 1, said(2))
        assert boss.statuses("log", [early]) == ["success"], "the line is not here yet"
        with server.accounts() as accounts:
            accounts.remove_user("boss")
            accounts.add_user("boss", "red", "writer", lambda: "correct horse")
        boss = server.client("boss")
        late = redaction("b055b055b055", 2, said(1))
        assert refused(boss, "log", late) == "redaction_refused"
        assert ada.statuses("log", [said(2)]) == ["success"]
        assert ada.pull("log")[0] == [said(1), early, said(2)]
        with server.accounts() as accounts:
            accounts.remove_user("ada")
        eve = server.client("eve")
        assert refused(eve, "log", redaction(OTHER, 1, said(1)), (NODE,)) == "redaction_refused"
        told = eve.ask("GET", f"/api/v1/nodes/?node={NODE}").json
        assert told == {"owner": "ada", "may_redact": False}
