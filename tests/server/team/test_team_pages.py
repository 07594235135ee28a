"""The query API and the pages over a team's logs, behind its logins."""

import html
import itertools
import json
from contextlib import closing
from http.cookies import SimpleCookie
from pathlib import Path
from urllib.parse import urlencode
from zlib import crc32

import httpx2
import pytest
from tests.cli.installed import thence
from tests.docs.browsing import browsing
from tests.server.listening import frames
from tests.server.runs import remove
from tests.server.team.lines import line, lines
from tests.server.team.notices import SECRET, Node, id_of
from tests.server.team.stranger import Client, Got, split
from tests.server.team.team_server import PASSWORD, TeamServer

from thence.core.redaction import digests
from thence.server.team.engines import open_database
from thence.server.team.logins import ACCESS_S
from thence.server.team.store import Store
from thence.server.team.sync_service import Exchange

WAIT_S = 60


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


@pytest.mark.promise("S5")
@pytest.mark.both_engines
def test_stream_hears_of_each_line_once_whichever_process_took_it(red: TeamServer) -> None:
    ada = red.client("ada")
    ada.statuses("streamed", lines(2))
    bearer = {"Authorization": f"Bearer {ada.access}"}
    path = "/logs/streamed/events/live"
    with (
        httpx2.Client(base_url=red.url, timeout=WAIT_S, headers=bearer) as web,
        web.stream("GET", path) as answer,
        web.stream("GET", path, headers={"Last-Event-ID": _id(line(2))}) as later,
    ):
        heard, behind = frames(answer), frames(later)
        assert [next(heard).data for _ in range(2)] == lines(2)
        ada.statuses("streamed", lines(4))
        assert [next(heard).data for _ in range(2)] == lines(2, first=3)
        with closing(open_database(red.place)) as database:
            Exchange(Store(database)).batch("red", "streamed", "plain", lines(5))
        assert next(heard).data == line(5)
        assert [next(behind).data for _ in range(3)] == lines(3, first=3)
        bob = red.client("bob")
        assert bob.ask("GET", path).status == 404


def _id(given: bytes) -> str:
    return given[13:].partition(b'"')[0].decode()


def test_folder_of_a_log_is_made_again_where_it_was_deleted_or_altered(red: TeamServer) -> None:
    ada = red.client("ada")
    ada.statuses("gone", lines(3))
    folder = red.data / "teams" / "red" / "gone"
    for change in (
        lambda: remove(folder),
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
    for path in ("/logs/secret/events", "/logs/secret", "/simulations/secret"):
        assert bob.ask("GET", path).status == 404, path
        assert nobody.ask("GET", path).status == 401, path
    assert bob.ask("GET", "/runs/secret").status == 404
    assert b"secret" not in bob.ask("GET", "/logs").body + bob.ask("GET", "/").body
    bob.team = "red"
    assert bob.ask("GET", "/logs").status == 403
    assert b"/api/v1/token/" in nobody.ask("GET", "/logs").body, "where a program gets a token"
    for path in ("/", "/runs", f"/?token={ada.access}"):
        answer = nobody.ask("GET", path)
        assert (answer.status, answer.body) == (303, b"")
        assert answer.headers["location"].startswith("/login?to=%2F")
        assert nobody.ask("POST", path).status == 401
    assert ada.ask("GET", "/logs", Host="evil.example").status == 403
    for path in ("/logs/..%2fblue/events", "/logs/../blue", "/x", "/logs/secret/why/none", "*"):
        assert ada.ask("GET", path).status == 404, path
    assert ada.ask("OPTIONS", "*").status == 404
    assert ada.ask("POST", "/logs").status == 405
    assert ada.ask("HEAD", "/logs/secret/events").body == b""


def form(client: Client, fields: dict[str, str], **headers: str) -> Got:
    """Sends the login form."""
    kind = "application/x-www-form-urlencoded"
    return client.ask("POST", "/login", urlencode(fields).encode(), Content_Type=kind, **headers)


@pytest.mark.promise("S12")
def test_login_form_leads_to_the_page_and_sets_one_cookie_that_opens_pages_alone(
    red: TeamServer,
) -> None:
    red.client("ada").statuses("browsed", lines(2))
    browser = red.client()
    sent = browser.ask("GET", "/runs/browsed?a=1&b=%3Cx")
    shown = browser.ask("GET", sent.headers["location"])
    assert shown.status == 200
    assert b'name="to" value="/runs/browsed?a=1&amp;b=%3Cx"' in shown.body
    fields = {"username": "ada", "password": PASSWORD, "to": "/runs/browsed?a=1&b=%3Cx"}
    taken = form(browser, fields, Sec_Fetch_Site="same-origin")
    assert (taken.status, taken.headers["location"]) == (303, "/runs/browsed?a=1&b=%3Cx")
    cookie = taken.headers["set-cookie"]
    (kept,) = SimpleCookie(cookie).values()
    assert (kept["httponly"], kept["samesite"], kept["path"], kept["secure"]) == (
        *(True, "lax", "/"),
        "",
    )
    assert 0 < int(kept["max-age"]) <= ACCESS_S
    held = {"Cookie": f"{kept.key}={kept.value}"}
    page = browser.ask("GET", "/runs/browsed", **held)
    assert page.status == 200
    assert _id(line(1)).encode() in page.body
    assert browser.ask("POST", "/api/v1/events/batch/?log=x", **held).status == 401
    browser.access = kept.value
    assert browser.ask("GET", "/logs").status == 401, "the session is not an access token"
    tls = form(red.client(), fields, X_Forwarded_Proto="https").headers["set-cookie"]
    assert "Secure" in tls


@pytest.mark.promise("S12")
def test_login_form_lets_nobody_else_in_and_leads_nowhere_else(red: TeamServer) -> None:
    browser = red.client()
    right = {"username": "ada", "password": PASSWORD}
    for fields in ({**right, "password": "x"}, {**right, "username": "nobody"}, {}):
        got = form(browser, fields, X_Forwarded_For="192.0.2.77")
        assert (got.status, "set-cookie" in got.headers) == (401, False)
        assert b'role="alert"' in got.body
        assert b"<form" in got.body, "it can be tried again"
        assert PASSWORD.encode() not in got.body
    for site in ("cross-site", "same-site"):
        got = form(browser, right, Sec_Fetch_Site=site)
        assert (got.status, "set-cookie" in got.headers) == (403, False)
    for body, kind in ((b"{}", "application/json"), (b"x" * 20_000, "text/plain")):
        got = browser.ask("POST", "/login", body, Content_Type=kind)
        assert got.status in (400, 413)
    for target in (
        "https://evil.test/", "//evil.test/", "/\\evil.test", "/login", "/api/v1/keys",
        "javascript:alert(1)", "http:evil.test", "///", "x" * 9_000, "/runs/\r\nX: y", "http://[",
    ):  # fmt: skip
        got = form(browser, {**right, "to": target})
        place = got.headers["location"]
        assert got.status == 303
        assert place == "/" or place.startswith("/runs/"), target
        assert "evil" not in place, target
        assert "x" not in got.headers, "no header was added"
        shown = browser.ask("GET", f"/login?{urlencode({'to': target})}")
        assert b"evil" not in shown.body


@pytest.mark.promise("S12")
def test_wrong_passwords_in_the_form_make_their_address_wait(red: TeamServer) -> None:
    browser, wrong = red.client(), {"username": "rita", "password": "wrong"}
    statuses = [form(browser, wrong, X_Forwarded_For="192.0.2.78").status for _ in range(7)]
    assert statuses == [401] * 5 + [429] * 2
    waiting = form(browser, wrong, X_Forwarded_For="192.0.2.78")
    assert int(waiting.headers["retry-after"]) > 0
    right = {"username": "rita", "password": PASSWORD}
    assert form(browser, right, X_Forwarded_For="192.0.2.79").status == 303


def test_person_logs_in_by_the_form_in_a_browser(red: TeamServer, tmp_path: Path) -> None:
    red.client("ada").statuses("seen", lines(2))
    with browsing(f"{red.url}/runs/seen", tmp_path) as tab:
        tab.wait_for("Log in")
        tab.run(f"""
            document.getElementById("username").value = "ada";
            document.getElementById("password").value = "{PASSWORD}";
            document.querySelector("form").requestSubmit();
        """)
        tab.wait_for("2026-11-20 07:13:00.123")


def test_run_has_the_name_of_its_first_event(red: TeamServer, tmp_path: Path) -> None:
    played = thence("sim", "run", "spatial_trade_network", "--turns=2", cwd=tmp_path)
    assert played.code == 0, played.err
    (run,) = (tmp_path / "output").iterdir()
    ada = red.client("ada")
    ada.statuses(
        "01M8CB34NTH0G4GSXZ1J5Y2X0A", (run / "events.jsonl").read_bytes().split(b"\n")[:-1], "sim"
    )
    token = {"Cookie": _cookie(red)}
    for path in ("/", "/runs/01M8CB34NTH0G4GSXZ1J5Y2X0A"):
        page = red.client().ask("GET", path, **token)
        assert f"<bdi>{run.name}</bdi>".encode() in page.body, path


def test_log_has_the_title_that_its_client_sent_last(red: TeamServer) -> None:
    ada = red.client("ada")
    ada.statuses("0dd4f3c2", lines(2))
    browser, held = red.client(), {"Cookie": _cookie(red)}
    for title in ("shop <b>", "café"):
        path = f"/api/v1/events/batch/?{urlencode({'log': '0dd4f3c2', 'title': title})}"
        assert ada.ask("POST", path, b'{"events":[]}').status == 200
        page = browser.ask("GET", "/runs/0dd4f3c2", **held).body.decode()
        assert f"<h1><bdi>{html.escape(title)}</bdi></h1>" in page
        assert html.escape(title) in browser.ask("GET", "/", **held).body.decode()


def _cookie(server: TeamServer) -> str:
    """Returns what a browser sends once ada has logged in."""
    fields = {"username": "ada", "password": PASSWORD}
    taken = form(server.client(), fields, Sec_Fetch_Site="same-origin")
    (kept,) = SimpleCookie(taken.headers["set-cookie"]).values()
    return f"{kept.key}={kept.value}"


def test_one_line_of_an_id_is_served_whatever_came_first(red: TeamServer) -> None:
    ada, eve = red.client("ada"), red.client("eve")
    node = Node("aaaaaaaaaaaa")
    true = node.said("true")
    twin = _forged(true)
    served = min(true, twin, key=lambda line: digests(line).line)
    for order in itertools.permutations((true, twin, None)):
        log = "-".join(str((true, twin, None).index(each)) for each in order)
        for each in order:  # None: the owner's push, after or before a colleague brought the line
            if each is None:
                push(ada, log, true, node)
            else:
                eve.statuses(log, [each])
            ada.ask("GET", f"/logs/{log}/events")
        got = ada.ask("GET", f"/logs/{log}/events/{id_of(true)}")
        assert got.json["event_type"] == json.loads(served)["event_type"], log
        assert [each for each in events(ada, log) if id_of(each) == id_of(true)] == [served]
        assert set(ada.pull(log)[0]) == {true, twin}


@pytest.mark.promise("S10a")
def test_page_of_an_event_without_its_body_shows_why(red: TeamServer) -> None:
    ada, node = red.client("ada"), Node("dddddddddddd")
    target = node.said()
    push(ada, "taken", target, node)
    assert SECRET in _page(ada, target)
    push(ada, "taken", node.redaction(target), node)
    assert "was redacted for good" in _page(ada, target)
    assert f"/runs/taken/events/{id_of(node.lines[1])}" in _page(ada, target)
    assert "It holds none" not in _page(ada, target)
    assert ada.ask("GET", "/runs/taken").body.count(b"without its body") == 1


def push(client: Client, log: str, line: bytes, node: Node) -> None:
    """Pushes a line as the log does that wrote under a node."""
    assert client.push(log, [line], nodes=[node.node]).status == 200


def _page(client: Client, line: bytes) -> str:
    got = client.ask("GET", f"/runs/taken/events/{id_of(line)}")
    assert got.status == 200
    return got.body.decode()


def _forged(line: bytes) -> bytes:
    """Returns another line with the id, node and number of one, which sorts before it."""
    data = line.replace(b'"event_type":"told"', b'"event_type":"a"')[: -len(',"crc":"00000000"}')]
    return data + b',"crc":"%08x"}' % crc32(data)
