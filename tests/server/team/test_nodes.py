"""The nodes of a team over HTTP: whose is which, and what is answered."""

import pytest
from tests.server.team.notices import Node
from tests.server.team.stranger import Client
from tests.server.team.team_server import TeamServer

from thence.sync.wire.messages import OWN_NODES_MAX

NODE, OTHER = "a00000000001", "a00000000002"
pytestmark = pytest.mark.promise("S10a")


def named(client: Client, *nodes: str) -> None:
    """Pushes a line as a log does that wrote under some nodes."""
    client.statuses("named", [Node().said()], nodes=nodes)


def owner(client: Client, node: str) -> object:
    got = client.ask("GET", f"/api/v1/nodes/?node={node}")
    assert got.status == 200, got.body
    return got.json["owner"]


@pytest.mark.both_engines
def test_node_belongs_to_the_first_login_that_names_it_its_own_in_a_team(red: TeamServer) -> None:
    ada, eve, bob, rita = (red.client(name) for name in ("ada", "eve", "bob", "rita"))
    assert owner(rita, NODE) is None
    named(ada, NODE)
    named(eve, NODE, OTHER)
    named(ada, OTHER)
    assert [owner(rita, node) for node in (NODE, OTHER)] == ["ada", "eve"], "a reader is told"
    assert owner(bob, NODE) is None, "teams see their own"
    named(bob, NODE)
    assert [owner(client, NODE) for client in (bob, ada)] == ["bob", "ada"]


def test_nobody_and_malformed_requests_are_refused(red: TeamServer) -> None:
    ada = red.client("ada")
    assert red.client().ask("GET", f"/api/v1/nodes/?node={NODE}").status == 401
    for wrong in ("", "x", "A00000000001", f"{NODE}%00", f"{NODE}%0A"):
        assert ada.ask("GET", f"/api/v1/nodes/?node={wrong}").status == 400, wrong
    many = [f"{number:012x}" for number in range(OWN_NODES_MAX + 1)]
    for nodes in (many, ["A00000000001"], [f"{NODE}\n"], ["\0"], [1]):
        got = ada.push("malformed", [Node().said()], nodes=nodes)  # type: ignore[arg-type]
        assert got.status == 400, nodes
        assert got.code
    assert ada.page("malformed").status == 404
    assert ada.statuses("malformed", [Node().said()], nodes=many[1:]) == ["success"]


def test_batch_that_names_no_log_gives_no_node_to_anybody(red: TeamServer) -> None:
    ada, node = red.client("ada"), Node("a00000000009")
    body = b'{"nodes":["a00000000009"],"events":[' + node.said() + b"]}"
    got = ada.ask("POST", "/api/v1/events/batch/", body)
    assert got.json["results"][0]["status"] == "success"
    assert owner(ada, node.node) is None
