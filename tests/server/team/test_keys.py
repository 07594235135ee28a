"""The keys of a team over HTTP: who may register which, and what is answered."""

import pytest
from tests.cli.installed import thence
from tests.server.team.engines import new_database
from tests.server.team.notices import ANN, BOB, EVE, Node
from tests.server.team.stranger import Client
from tests.server.team.team_server import TeamServer

from thence.errors import SyncRefused
from thence.server.team import keys
from thence.server.team.accounts import Accounts, Member
from thence.server.team.keys import KeyRegistry
from thence.sync.wire.messages import CLAIMED_NODES_MAX, KeyRequest

PATH = "/api/v1/keys/"
NODE, OTHER = "a00000000001", "a00000000002"


def claimed(client: Client, key: str, *nodes: str) -> dict[str, str]:
    got = client.post(PATH, {"public_key": key, "nodes": nodes})
    assert got.status == 200, got.body
    return dict(got.json["claims"])


@pytest.mark.promise("S10a")
@pytest.mark.both_engines
def test_node_belongs_to_the_first_key_that_claims_it_in_a_team(red: TeamServer) -> None:
    ada, bob, rita = red.client("ada"), red.client("bob"), red.client("rita")
    assert claimed(ada, ANN.public_key, NODE)[NODE] == ANN.public_key
    found = claimed(ada, EVE.public_key, NODE, OTHER)
    assert (found[NODE], found[OTHER]) == (ANN.public_key, EVE.public_key)
    assert rita.ask("GET", PATH).json["claims"] == found, "a reader sees the keys"
    assert claimed(bob, BOB.public_key, NODE) == {NODE: BOB.public_key}, "teams see their own"
    red.add("boss", "red", "admin")
    assert red.client("boss").post(PATH, {"public_key": BOB.public_key}).json["admins"] == [
        BOB.public_key
    ]
    with red.accounts() as accounts:
        accounts.remove_user("boss")
    assert rita.ask("GET", PATH).json == {"claims": found, "admins": []}


@pytest.mark.promise("S10a")
@pytest.mark.both_engines
def test_claim_is_moved_by_an_admin_of_the_server(red: TeamServer) -> None:
    ada, node = red.client("ada"), Node("a00000000003")
    claimed(ada, EVE.public_key, node.node)
    given = ("server", "team", "claim", "red", node.node, ANN.public_key)
    ended = thence(*given, *red.options, "--json", cwd=red.data)
    assert ended.json == {
        "team": "red",
        "node": node.node,
        "public_key": ANN.public_key,
        "former": EVE.public_key,
    }
    assert ada.ask("GET", PATH).json["claims"][node.node] == ANN.public_key
    for wrong in (("blue", "x", ANN.public_key), ("red", NODE, "x"), ("no", NODE, ANN.public_key)):
        ended = thence("server", "team", "claim", *wrong, *red.options, cwd=red.data)
        assert (ended.code, ended.out) == (1, "")


def test_reader_nobody_and_malformed_requests_are_refused(red: TeamServer) -> None:
    ada, rita, nobody = red.client("ada"), red.client("rita"), red.client()
    good = {"public_key": ANN.public_key, "nodes": []}
    assert rita.post(PATH, good).status == 403
    assert nobody.post(PATH, good).status == nobody.ask("GET", PATH).status == 401
    assert ada.ask("PUT", PATH).status == 405
    many = [f"{number:012x}" for number in range(CLAIMED_NODES_MAX + 1)]
    for wrong in (
        {},
        {"public_key": "x"},
        {"public_key": ANN.public_key.upper()},
        {**good, "nodes": many},
        {**good, "nodes": ["A00000000001"]},
        {**good, "nodes": [f"{NODE}\n"]},
        {**good, "nodes": "abc"},
    ):
        got = ada.post(PATH, wrong)
        assert got.status == 400, wrong
        assert got.code


@pytest.mark.usefixtures("engine")
def test_keys_of_a_user_and_claims_of_a_team_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    database = new_database()
    accounts = Accounts(database, str)
    accounts.add_team("red")
    accounts.add_user("ann", "red", "writer", lambda: "correct horse")
    ann, found = Member("ann", "red", "writer"), KeyRegistry(database)
    monkeypatch.setattr(keys, "KEYS_MAX", 1)
    monkeypatch.setattr(keys, "CLAIMS_MAX", 2)
    for _ in range(2):
        found.register(ann, KeyRequest(ANN.public_key, (NODE, OTHER)))
    for request in (
        KeyRequest(BOB.public_key),
        KeyRequest(ANN.public_key, ("a00000000009",)),
    ):
        with pytest.raises(SyncRefused):
            found.register(ann, request)
    assert found.of_team("red").claims == {NODE: ANN.public_key, OTHER: ANN.public_key}
