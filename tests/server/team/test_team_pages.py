"""The query API and the pages over a team's logs, behind its logins."""

import itertools
import shutil
from http.cookies import SimpleCookie
from zlib import crc32

import pytest
from tests.server.team.lines import line, lines
from tests.server.team.notices import ANN, EVE, SECRET, Node, id_of
from tests.server.team.stranger import Client, split
from tests.server.team.team_server import TeamServer

from thence.core.values.digests import digests, redacted


def events(client: Client, log: str) -> list[bytes]:
    got = client.ask("GET", f"/logs/{log}/events?limit=100")
    assert got.status == 200, got.body
    return split(got.body[got.body.index(b'"events":') :])


@pytest.mark.promise("P5")
def test_what_was_brought_is_asked_as_any_log(red: TeamServer) -> None:
    ada, rita = red.client("ada"), red.client("rita")
    ada.statuses("asked", lines(3))
    assert events(rita, "asked") == lines(3)
    ada.statuses("asked", [line(4), line(4, name="01JTWIN0000000000000000TWN")])
    assert set(events(rita, "asked")) > set(lines(4))
    got = ada.ask("GET", f"/logs/asked/why/{_id(line(2))}")
    assert got.json["event_id"] == _id(line(2))
    listed = ada.ask("GET", "/logs").json["logs"]
    assert [entry["event_count"] for entry in listed if entry["id"] == "asked"] == [5]


def _id(given: bytes) -> str:
    return given[13:].partition(b'"')[0].decode()


def test_folder_of_a_log_is_made_again_where_it_was_deleted_or_altered(red: TeamServer) -> None:
    ada = red.client("ada")
    ada.statuses("gone", lines(3))
    folder = red.data / "teams" / "red" / "gone"
    for change in (
        lambda: shutil.rmtree(folder),
        lambda: (folder / ".thence" / "server-cursor").write_text("another.3.0000000000000000"),
        lambda: (folder / ".thence" / "server-cursor").write_bytes(b"\xff" * 300),
    ):
        assert events(ada, "gone") == lines(3)
        change()
    assert events(ada, "gone") == lines(3)


@pytest.mark.promise("S12")
def test_pages_show_nothing_of_another_team_and_nothing_without_login(red: TeamServer) -> None:
    ada, bob, nobody = red.client("ada"), red.client("bob"), red.client()
    ada.statuses("secret", lines(2))
    for path in ("/logs/secret/events", "/logs/secret", "/runs/secret", "/simulations/secret"):
        assert bob.ask("GET", path).status == 404, path
        assert nobody.ask("GET", path).status == 401, path
    assert b"secret" not in bob.ask("GET", "/logs").body + bob.ask("GET", "/").body
    bob.team = "red"
    assert bob.ask("GET", "/logs").status == 403
    assert nobody.ask("GET", "/").status == nobody.ask("GET", "/?token=wrong").status == 401
    assert ada.ask("GET", "/logs", Host="evil.example").status == 403
    for path in ("/logs/..%2fblue/events", "/logs/../blue", "/x", "/logs/secret/why/none", "*"):
        assert ada.ask("GET", path).status == 404, path
    assert ada.ask("OPTIONS", "*").status == 404
    assert ada.ask("POST", "/logs").status == 405
    assert ada.ask("HEAD", "/logs/secret/events").body == b""


def test_browser_opens_a_page_by_a_token_once_and_by_its_cookie_then(red: TeamServer) -> None:
    ada = red.client("ada")
    ada.statuses("browsed", lines(2))
    browser = red.client()
    first = browser.ask("GET", f"/runs/browsed?a=1&token={ada.access}")
    assert (first.status, first.headers["location"]) == (303, "/runs/browsed?a=1")
    cookie = first.headers["set-cookie"]
    assert "HttpOnly" in cookie
    assert "SameSite=strict" in cookie
    (kept,) = SimpleCookie(cookie).values()
    page = browser.ask("GET", "/runs/browsed", Cookie=f"{kept.key}={kept.value}")
    assert page.status == 200
    assert _id(line(1)).encode() in page.body
    got = browser.ask("POST", "/api/v1/events/batch/?log=x", Cookie=f"{kept.key}={kept.value}")
    assert got.status == 401


@pytest.mark.promise("S10a")
def test_line_that_its_node_sealed_is_served_whatever_came_first(red: TeamServer) -> None:
    ada, eve = red.client("ada"), red.client("eve")
    keys = {"public_key": ANN.public_key, "nodes": [Node("aaaaaaaaaaaa").node]}
    assert ada.post("/api/v1/keys/", keys).status == 200
    node = Node("aaaaaaaaaaaa")
    true = node.said("true")
    seal = node.seal(ANN)
    twin = _forged(true)
    assert twin < true, "without the seal it would be served"
    for order in itertools.permutations((true, twin, seal)):
        log = "-".join(str((true, twin, seal).index(each)) for each in order)
        for each in order:
            (eve if each == twin else ada).statuses(log, [each])
            ada.ask("GET", f"/logs/{log}/events")
        got = ada.ask("GET", f"/logs/{log}/events/{id_of(true)}")
        assert got.json["event_type"] == "told", log
        assert [each for each in events(ada, log) if id_of(each) == id_of(true)] == [true]
        assert set(ada.pull(log)[0]) == {true, twin, seal}


def test_line_is_served_by_the_key_that_has_its_node_now(red: TeamServer) -> None:
    ada, eve = red.client("ada"), red.client("eve")
    node = Node("cccccccccccc")
    true = node.said("true")
    ada.statuses("late", [true, node.seal(ANN)])
    twin = _forged(true)
    forger = Node(node.node)
    forger.lines = [twin]
    eve.statuses("late", [twin, forger.seal(EVE)])
    assert true not in events(ada, "late"), "nobody has claimed the node yet"
    for client, key in ((ada, ANN), (eve, EVE)):
        client.post("/api/v1/keys/", {"public_key": key.public_key, "nodes": [node.node]})
        assert true in events(ada, "late"), "the first claim counts"
        assert twin not in events(ada, "late")


@pytest.mark.promise("S10a")
def test_page_of_an_event_without_its_body_shows_why(red: TeamServer) -> None:
    ada = red.client("ada")
    node = Node("dddddddddddd")
    keys = {"public_key": ANN.public_key, "nodes": [node.node]}
    assert ada.post("/api/v1/keys/", keys).status == 200
    target, withheld = node.said(), redacted(node.said("unread"))
    ada.statuses("taken", [target, withheld, node.redaction(target), node.redaction(withheld)])
    assert SECRET in _page(ada, target)
    ada.statuses("taken", [node.seal_over([(3, digests(node.lines[2]).line)], ANN)])
    assert "was redacted for good" in _page(ada, target)
    assert f"/runs/taken/events/{id_of(node.lines[2])}" in _page(ada, target)
    assert "It holds none" not in _page(ada, target) + _page(ada, withheld)
    assert "was redacted for good" not in _page(ada, withheld)
    assert "is withheld" in _page(ada, withheld)
    assert ada.ask("GET", "/runs/taken").body.count(b"without its body") == 2


def _page(client: Client, line: bytes) -> str:
    got = client.ask("GET", f"/runs/taken/events/{id_of(line)}")
    assert got.status == 200
    return got.body.decode()


def _forged(line: bytes) -> bytes:
    """Returns another line with the id, node and number of one, which sorts before it."""
    data = line.replace(b'"event_type":"told"', b'"event_type":"a"')[: -len(',"crc":"00000000"}')]
    return data + b',"crc":"%08x"}' % crc32(data)
