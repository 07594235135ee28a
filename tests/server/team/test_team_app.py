"""The routes of a team's server, asked by a client that knows the wire's page alone."""

import gzip
import hashlib
import json

import psycopg
import pytest
from tests.server.team.lines import Node, foreign, line, lines
from tests.server.team.stranger import Client, digest, written
from tests.server.team.team_server import PASSWORD, TeamServer

from thence.core.redaction import digests
from thence.sync.wire.messages import OWN_NODES_MAX

NODE = "c0ffee000001"


@pytest.mark.promise("S12", "P5")
@pytest.mark.both_engines
def test_client_written_from_the_wires_page_brings_and_takes_lines(red: TeamServer) -> None:
    client = red.client()
    told = client.log_in("ada", PASSWORD)
    assert told["team_slug"] == "red"
    ours = [written(NODE, 1, 1, {"a": 1}), written(NODE, 2, 4, {"ä": ["b", None]})]
    assert client.statuses("stranger", ours) == ["success", "success"]
    assert client.statuses("stranger", ours) == ["duplicate", "duplicate"]
    taken, cursor = client.pull("stranger", 1)
    assert taken == ours
    assert client.page("stranger", cursor).json == {"events": [], "next": cursor, "more": False}
    wanted = [digest(each) for each in ours]
    assert wanted == [digests(each).line for each in ours]
    assert client.missing("stranger", [*ours, written(NODE, 3, 5, {})]) == [written(NODE, 3, 5, {})]
    body = {"digests": [wanted[1].hex()]}
    got = client.post("/api/v1/events/lines/?log=stranger", body)
    assert got.body == b'{"events":[' + ours[1] + b"]}"


def test_every_refusal_has_one_form(red: TeamServer) -> None:
    client, ada = red.client(), red.client("ada")
    for wrong in ("log=../x", "log=.x", f"log={'a' * 129}", "log=a%0A", "log=%C3%A4"):
        got = ada.ask("GET", f"/api/v1/events?{wrong}")
        assert (got.status, got.code) == (400, "invalid_event"), wrong
        assert ada.ask("POST", f"/api/v1/events/batch/?{wrong}", b'{"events":[]}').status == 400
    ada.statuses("forms", lines(1))
    got = ada.push("forms", [b'{"event_id":"bad","seq":1}'])
    assert (got.status, got.code) == (400, "batch_refused")
    assert [detail["event_id"] for detail in got.json["details"]] == ["bad"]
    for body in (b"", b"[]", b'{"events":', b'{"events":[{]}', b'{"events":"x"}', b"\xff"):
        got = ada.ask("POST", "/api/v1/events/batch/?log=forms&kind=plain", body)
        assert (got.status, got.code) == (400, "batch_refused"), body
    for limit, status in ((-1, 400), (0, 200), (1_001, 200)):
        assert ada.page("forms", limit=limit).status == status
    many = {"digests": [f"{number:064x}" for number in range(1_001)]}
    for rubbish in ({"digests": "!"}, {"digests": [1]}, {"digests": ["00"]}, many, {}, 1, None):
        for asked in ("missing", "lines"):
            assert ada.post(f"/api/v1/events/{asked}/?log=forms", rubbish).status == 400
    elsewhere = "/api/v1/events/batch/?log=forms&kind=plain&seen=elsewhere.1.0000000000000000"
    got = ada.ask("POST", elsewhere, b'{"events":[]}')
    assert (got.status, got.code) == (409, "cursor_unknown")
    got = ada.ask("POST", "/api/v1/events/batch/?log=forms&kind=nothing", b'{"events":[]}')
    assert got.status == 400
    got = client.post("/api/v1/token/", {}, Host="evil.example")
    assert (got.status, got.code) == (403, "forbidden")
    got = ada.ask("DELETE", "/api/v1/nodes")
    assert (got.status, got.headers["allow"], got.json["error"]) == (405, "GET, HEAD", "use GET")


def test_there_is_nothing_but_the_wire_in_whose_form_all_is_answered(red: TeamServer) -> None:
    client, ada = red.client(), red.client("ada")
    head = client.ask("HEAD", "/api/v1/sync/health")
    assert (head.status, head.body) == (200, b"")
    told = client.ask("GET", "/api/v1/sync/health/").json
    assert (told["status"], told["protocol"]) == ("ok", [1])
    assert int(head.headers["content-length"]) > 0
    for path in ("/api/v1/sync/health/", "/api/v1/none", "/logs"):
        headers = client.ask("GET", path).headers
        assert headers["x-content-type-options"] == "nosniff"
        assert headers["cache-control"] == "no-store"
    for path in ("/", "/logs", "/runs/none", "/login", "/openapi.json", "/static/style.css"):
        for asking in (client, ada):
            got = asking.ask("GET", path)
            assert (got.status, got.code, "set-cookie" in got.headers) == (404, "not_found", False)


@pytest.mark.promise("S12")
def test_bodies_are_bounded_packed_or_not(red: TeamServer) -> None:
    ada = red.client("ada")
    path = "/api/v1/events/batch/?log=large&kind=plain"
    bomb = gzip.compress(b'{"events":[' + b" " * (64 * 2**20) + b"]}")
    assert len(bomb) < 100_000
    got = ada.ask("POST", path, bomb, Content_Encoding="gzip")
    assert (got.status, got.code) == (413, "too_large")
    assert ada.ask("POST", path, b"x" * 2_000_000).status == 413
    ada = red.client("ada")
    assert (
        ada.push("large", [foreign(1, b="x" * 200_000), foreign(2, b="x" * 200_000)]).status == 413
    )
    assert ada.statuses("large", [foreign(1, b="x" * 1_000_000)]) == ["success"]
    many = [foreign(number) for number in range(1_001)]
    assert ada.push("large", many).status == 413
    assert ada.statuses("large", many[:1000]) == ["success"] * 1000
    cut = gzip.compress(b'{"events":[]}')[:-3]
    for body in (cut, b"no gzip", gzip.compress(b'{"events":[]}') * 2):
        assert ada.ask("POST", path, body, Content_Encoding="gzip").status == 400
    assert ada.ask("POST", path, b"{}", Content_Encoding="br").status == 415


def test_lines_that_name_no_log_go_where_their_members_say(red: TeamServer) -> None:
    ada = red.client("ada")
    batch = [
        foreign(1, event_id=ULID.format(1), project_uuid="project-1"),
        foreign(2, event_id=ULID.format(2)),
        foreign(3, event_id=ULID.format(3), simulation_id="run-1"),
        foreign(4, event_id=ULID.format(4), project_uuid="project-1", simulation_id="run-1"),
        foreign(5, event_id=ULID.format(5), project_uuid="../x"),
    ]
    assert verdicts(ada, batch) == [(ULID.format(n), "success", None) for n in range(1, 6)]
    assert ada.pull("project-1")[0] == [batch[0], batch[3]]
    assert ada.pull("run-1")[0] == [batch[2]]
    taken = split_events(ada.ask("GET", "/api/v1/events").body)
    assert taken >= {ULID.format(2), ULID.format(5)}


ULID = "01KAG0QV3J000000000000000{}"


def verdicts(client: Client, batch: list[bytes]) -> list[tuple[str, str, str | None]]:
    """Returns ids, statuses and reasons of a batch that names no log."""
    got = client.ask("POST", "/api/v1/events/batch/", b'{"events":[' + b",".join(batch) + b"]}")
    assert got.status == 200, got.body
    return [(one["event_id"], one["status"], one["error_message"]) for one in got.json["results"]]


@pytest.mark.promise("P5")
def test_bad_event_of_another_tools_batch_is_rejected_and_leaves_the_others_alone(red):
    ada = red.client("ada")
    first, last = (foreign(0, event_id=ULID.format(end), project_uuid="bad") for end in "AB")
    ours = line(1)
    bad = [
        foreign(7),
        foreign(0, event_id="0e984725-c51c-4bf4-9960-e1c80e27aba0"),
        b'{"event_type":"Told","event_id":7}',
        b'{"event_type":"Told","seq":1,"event_id":"' + ULID.format("C").encode() + b'"}',
        ours.replace(b"order", b"other"),
    ]
    told = verdicts(ada, [first, *bad, ours, last])
    assert [status for _, status, _ in told] == ["success", *["rejected"] * 5, *["success"] * 2]
    assert [name for name, *_ in told[1:5]] == [
        "other-7",
        "0e984725-c51c-4bf4-9960-e1c80e27aba0",
        "",
        ULID.format("C"),
    ]
    assert told[1][2] == "invalid event_id: it is not a ULID"
    assert all(reason for _, _, reason in told[1:6])
    assert ada.pull("bad")[0] == [first, last]
    assert verdicts(ada, [first])[0][1] == "duplicate"


def split_events(body: bytes) -> set[str]:
    return {event["event_id"] for event in json.loads(body)["events"]}


def test_tokens_lie_hashed_in_the_database(red: TeamServer) -> None:
    client = red.client("ada")
    if isinstance(red.place, str):
        with psycopg.connect(red.place) as connection:
            rows = connection.execute("SELECT hash FROM tokens").fetchall()
            rows += connection.execute("SELECT password::bytea FROM users").fetchall()
        data = b"".join(value for (value,) in rows)
    else:
        data = b"".join(file.read_bytes() for file in sorted(red.data.glob("server.db*")))
    for token in (client.access, client.refresh, PASSWORD):
        assert token.encode() not in data
    assert hashlib.sha256(client.access.encode()).digest() in data


FIRST, OTHER = "a00000000001", "a00000000002"


def named(client: Client, *nodes: str) -> None:
    """Pushes a line as a log does that wrote under some nodes."""
    client.statuses("named", [Node().said()], nodes=nodes)


def owner(client: Client, node: str) -> object:
    got = client.ask("GET", f"/api/v1/nodes/?node={node}")
    assert got.status == 200, got.body
    return got.json["owner"]


@pytest.mark.promise("S10a")
@pytest.mark.both_engines
def test_node_belongs_to_the_first_login_that_names_it_its_own_in_a_team(red: TeamServer) -> None:
    ada, eve, bob, rita = (red.client(name) for name in ("ada", "eve", "bob", "rita"))
    assert owner(rita, FIRST) is None
    named(ada, FIRST)
    named(eve, FIRST, OTHER)
    named(ada, OTHER)
    assert [owner(rita, node) for node in (FIRST, OTHER)] == ["ada", "eve"], "a reader is told"
    assert owner(bob, FIRST) is None, "teams see their own"
    named(bob, FIRST)
    assert [owner(client, FIRST) for client in (bob, ada)] == ["bob", "ada"]


@pytest.mark.promise("S10a")
def test_nobody_and_malformed_requests_are_refused(red: TeamServer) -> None:
    ada = red.client("ada")
    assert red.client().ask("GET", f"/api/v1/nodes/?node={FIRST}").status == 401
    for wrong in ("", "x", "A00000000001", f"{FIRST}%00", f"{FIRST}%0A"):
        assert ada.ask("GET", f"/api/v1/nodes/?node={wrong}").status == 400, wrong
    many = [f"{number:012x}" for number in range(OWN_NODES_MAX + 1)]
    for nodes in (many, ["A00000000001"], [f"{FIRST}\n"], ["\0"], [1]):
        got = ada.push("malformed", [Node().said()], nodes=nodes)  # type: ignore[arg-type]
        assert got.status == 400, nodes
        assert got.code
    assert ada.page("malformed").status == 404
    assert ada.statuses("malformed", [Node().said()], nodes=many[1:]) == ["success"]


@pytest.mark.promise("S10a")
def test_batch_that_names_no_log_gives_no_node_to_anybody(red: TeamServer) -> None:
    ada, node = red.client("ada"), Node("a00000000009")
    body = b'{"nodes":["a00000000009"],"events":[' + node.said() + b"]}"
    got = ada.ask("POST", "/api/v1/events/batch/", body)
    assert got.json["results"][0]["status"] == "success"
    assert owner(ada, node.node) is None
