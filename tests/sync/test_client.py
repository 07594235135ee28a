"""The client of a server: every answer is a value or a SyncRefused, in time, and shows no token."""

import gzip
import json
import os
from base64 import b64encode
from contextlib import closing

import pytest
from tests.codes import raises_code
from tests.sync.http_servers import (
    BOMB,
    HTML,
    HostileServer,
    TeamServer,
    problem,
    told,
    whole,
)

from thence.errors import NotLoggedIn, SyncRefused
from thence.sync.client import Connection, SyncClient, log_in, revoke, server_address
from thence.sync.credentials import CredentialStore, Login
from thence.sync.target import SyncTarget
from thence.sync.wire.messages import BatchRefused, Cursors, Missing, Tokens

LINE = b'{"event_id":"01A","event_type":"note"}'
ACCESS, REFRESH = "token-of-access", "token-of-refresh"


@pytest.fixture
def to(tmp_path):
    """Make transports to servers, with a stored login, and close them in the end."""
    made = []

    def transport(url, request_s=60.0):
        store = CredentialStore(tmp_path / "config")
        login = Login(url, "ada", ACCESS, REFRESH)
        store.save(login)
        target = SyncTarget(url, "atlas", "ada", "orders", "plain", "")
        made.append(SyncClient(target, login, store, request_s=request_s))
        return made[-1]

    yield transport
    for each in made:
        each.close()


@pytest.fixture
def server():
    with TeamServer() as found:
        found.access[ACCESS] = found.refresh[REFRESH] = "ada"
        yield found


RESULTS = b'{"results":[]}'
HALF_A_GZIP = gzip.compress(RESULTS)[:-6]
JSON = {"Content-Type": "application/json; charset=utf-8"}
HOSTILE = {
    "portal": (whole(200, HTML, kind="text/html"), "bad_answer"),
    "no json": (whole(200, HTML), "bad_answer"),
    "no text": (whole(200, b"\xff\xfe{}"), "bad_answer"),
    "deep": (whole(200, b"[" * 100_000), "bad_answer"),
    "wrong member": (whole(200, b'{"results":7,"events":7,"differing":7}'), "bad_answer"),
    "no content": (b"HTTP/1.1 204 X\r\n\r\n", "bad_answer"),
    "half a body": (whole(200, RESULTS)[:-3], "bad_answer"),
    "half a head": (b"HTTP/1.1 200 OK\r\nContent-", "bad_answer"),
    "nothing": (b"", "server_unreachable"),
    "no http": (b"220 mail.example ESMTP\r\n", "bad_answer"),
    "endless head": (b"HTTP/1.1 200 OK\r\n" + b"X: y\r\n" * 50_000, "bad_answer"),
    "too long": (whole(200, b" " * 5_000_000), "bad_answer"),
    "bomb": (whole(200, BOMB, "Content-Encoding: gzip"), "bad_answer"),
    "spoilt gzip": (whole(200, RESULTS, "Content-Encoding: gzip"), "bad_answer"),
    "half a gzip": (whole(200, HALF_A_GZIP, "Content-Encoding: gzip"), "bad_answer"),
    "brotli": (whole(200, RESULTS, "Content-Encoding: br"), "bad_answer"),
    "redirect": (whole(307, b"", "Location: http://evil.example/"), "bad_answer"),
    "teapot": (whole(418, HTML), "bad_answer"),
    "odd status": (whole(999, HTML), "server_unreachable"),
    "forbidden": (whole(403, b""), "sync_refused"),
    "conflict": (whole(409, b'{"error":"another kind"}'), "sync_refused"),
    "busy": (whole(429, b"", "Retry-After: 7"), "server_busy"),
    "away": (whole(503, HTML), "server_busy"),
    "broken": (whole(500, HTML), "server_unreachable"),
    "bomb to a refused token": (whole(401, BOMB, "Content-Encoding: gzip"), "bad_answer"),
    "unauthorized": (whole(401, HTML, "WWW-Authenticate: Basic"), "not_logged_in"),
}


@pytest.mark.promise("S8")
@pytest.mark.parametrize("name", HOSTILE)
def test_any_answer_ends_in_an_error_of_sync(to, name):
    answer, code = HOSTILE[name]
    with HostileServer(answer) as hostile:
        asked = to(hostile.url)
        for ask in (
            lambda: asked.page(""),
            lambda: asked.missing([bytes(32)]),
            lambda: asked.batch([LINE]),
            lambda: asked.lines([bytes(32)]),
        ):
            with raises_code(code) as caught:
                ask()
            assert isinstance(caught.value, SyncRefused)
            assert ACCESS not in str(caught.value)
            assert REFRESH not in str(caught.value)
            assert len(str(caught.value)) < 600
            assert caught.value.hint


def test_connection_that_a_server_ended_while_it_stood_open_is_opened_again(to):
    with HostileServer(whole(200, b'{"events":[],"next":"","more":false}')) as server:
        asked = to(server.url)
        for _ in range(20):  # each answer promises a connection that lasts, and ends it
            assert asked.page("").more is False


@pytest.mark.promise("S8")
@pytest.mark.parametrize(
    ("answer", "then"),
    [
        (b"", "hold"),
        (whole(200, RESULTS)[:-3], "hold"),
        (b"HTTP/1.1 200 OK\r\nX: ", "drip"),
        (b"HTTP/1.1 100 Continue\r\n\r\n", "drip"),
    ],
    ids=["silent", "half a body", "dripping", "endless"],
)
def test_no_server_holds_a_request_for_longer_than_its_limit(to, answer, then):
    with HostileServer(answer, then) as hostile:
        asked = to(hostile.url, request_s=0.3)
        with raises_code("server_unreachable"):
            asked.batch([LINE])


CHUNKED = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n"
CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"


@pytest.mark.promise("S8")
@pytest.mark.parametrize(
    ("answer", "part", "code"),
    [
        (CHUNKED, b"10000\r\n%b\r\n" % (b" " * 65_536), "bad_answer"),
        (CONTINUE, CONTINUE * 1_000, "server_unreachable"),
    ],
    ids=["body", "heads"],
)
def test_answer_without_an_end_is_left(to, answer, part, code):
    with HostileServer(answer, "flood", part) as hostile:
        client = to(hostile.url, request_s=3)
        with raises_code(code):
            client.page("")


def test_server_that_takes_no_body_holds_no_request_for_longer_than_its_limit():
    with (
        HostileServer(b"", "hold") as hostile,
        closing(Connection(hostile.url, request_s=0.5)) as c,
        raises_code("server_unreachable"),
    ):
        c.ask("events/batch/", os.urandom(16_000_000))  # it stays as large when it is packed


@pytest.mark.promise("S8")
def test_name_from_a_server_adds_no_header_to_a_request(server, to):
    server.team = "atlas\r\nEvil: 1"
    login = log_in(server.url, "ada", "blue whale")
    target = SyncTarget(server.url, login.team_slug, "ada", "orders", "plain", "")
    with closing(SyncClient(target, login)) as client, pytest.raises(SyncRefused):
        client.page("")
    assert not any("Evil" in headers for _, _, _, headers, _ in server.requests)


def test_proxy_of_the_environment_leads_to_a_server_and_to_none_on_this_machine(
    monkeypatch, to, server
):
    with HostileServer(b"HTTP/1.1 407 No\r\n\r\n") as proxy:
        monkeypatch.setenv("HTTPS_PROXY", proxy.url.replace("//", "//ada:geheim@"))
        with raises_code("server_unreachable") as refused:
            log_in("https://thence.example", "ada", "x")
        assert proxy.head.startswith(b"CONNECT thence.example:443 ")
        assert b"Proxy-Authorization: Basic " + b64encode(b"ada:geheim") in proxy.head
        assert "geheim" not in str(refused.value)
        monkeypatch.setenv("HTTP_PROXY", proxy.url)
        proxy.asked.clear()
        assert to(server.url).page("").lines == ()
        assert not proxy.asked.is_set()


def test_dripping_handshake_holds_no_request(tmp_path):
    hello = b"\x16\x03\x03\x3f\xff" + bytes(100)
    with HostileServer(hello, "handshake") as hostile, raises_code("server_unreachable"):
        log_in(hostile.url.replace("http", "https"), "ada", "x", request_s=0.3)


def test_lines_verdicts_and_cursors_pass_as_they_are(to, server):
    server.overrides = {
        "/api/v1/events": (200, JSON, b'{"events":[' + LINE + b'],"next":"c 1","more":true}'),
        "/api/v1/events/batch/": told(200, {"results": [{"event_id": "01A", "status": "odd"}]}),
        "/api/v1/events/lines/": (200, JSON, b'{"events":[' + LINE + b"]}"),
    }
    asked = to(server.url)
    assert asked.page("c 0") == ([LINE], "c 1", True)
    results = asked.batch([LINE] * 100, cursors=Cursors("c 1", "c 2"))
    assert [each.status for each in results.results] == ["odd"]
    assert (results.after, results.seen) == ("", "")
    assert asked.lines([bytes(32)]) == [LINE]
    page, batch, lines = server.requests
    query = {"log": "orders", "kind": "plain"}
    assert page[2] == {**query, "limit": "1000", "after": "c 0"}
    assert (page[3]["X-Team-Slug"], page[3]["User-Agent"]) == ("atlas", "thence")
    assert batch[2] == {**query, "after": "c 1", "seen": "c 2"}
    assert batch[3]["Content-Encoding"] == "gzip"
    assert batch[4] == b'{"events":[' + b",".join([LINE] * 100) + b'],"nodes":[]}'
    assert json.loads(lines[4]) == {"digests": ["00" * 32]}


def test_a_log_that_the_server_lacks_is_empty(to, server):
    asked = to(server.url)
    assert asked.page("") == ((), "", False)
    for cursors in (("x", ""), ("", "x")):  # it had the log
        with raises_code("cursor_unknown"):
            asked.page(*cursors)
    assert asked.lines([bytes(32)]) == []
    assert asked.missing([bytes(32)]) == Missing(("00" * 32,), 0)


@pytest.mark.promise("S8")
def test_refused_access_token_is_renewed_once_and_the_request_goes_on(tmp_path, to, server):
    server.expire()
    asked = to(server.url)
    assert asked.page("") == ((), "", False)
    assert server.refreshes == 1
    stored = CredentialStore(tmp_path / "config").login(server.url)
    assert (stored.access, stored.refresh) == ("access-ada-1", "refresh-ada-1")
    assert asked.page("") == ((), "", False)
    assert server.refreshes == 1


@pytest.mark.promise("S8")
def test_refused_refresh_token_needs_a_login_and_is_not_shown_again(to, server):
    server.expire()
    server.refresh.clear()
    asked = to(server.url)
    for _ in range(2):
        with pytest.raises(NotLoggedIn, match="ada"):
            asked.page("")
    assert server.refreshes == 1


def test_conflicts_and_refused_batches_are_told_apart(to, server):
    asked = to(server.url)
    server.overrides = {"/api/v1/events": problem(409, "cursor_unknown")}
    with raises_code("cursor_unknown"):
        asked.page("old")
    server.overrides = {
        "/api/v1/events/batch/": told(400, {"error": f"no time, {ACCESS}"}),
        "/api/v1/events/missing/": (413, {}, b""),
    }
    with pytest.raises(BatchRefused) as refused:
        asked.batch([LINE])
    assert refused.value.cause == "no time, …"
    with pytest.raises(SyncRefused):
        asked.missing([bytes(32)])
    server.overrides = {"/api/v1/events/batch/": problem(409, "cursor_unknown")}
    with raises_code("cursor_unknown"):
        asked.batch([LINE], cursors=Cursors("old", "old"))
    server.overrides = {"/api/v1/events/batch/": (413, {}, HTML)}
    with pytest.raises(BatchRefused):
        asked.batch([LINE])


@pytest.mark.parametrize(
    ("headers", "expected_s"),
    [
        ({"Retry-After": "7"}, 7),
        ({"Retry-After": "999999999999"}, 600),
        ({"Retry-After": "soon"}, 30),
        ({}, 30),
    ],
)
def test_busy_server_names_the_seconds_to_wait(to, headers, expected_s):
    answer = whole(429, b"", *(f"{name}: {value}" for name, value in headers.items()))
    with HostileServer(answer) as hostile:
        asked = to(hostile.url)
        with raises_code("server_busy") as caught:
            asked.page("")
    assert caught.value.retry_after_s == expected_s


def test_redirect_names_its_target_and_gets_no_token(to, server):
    with TeamServer() as other:
        server.overrides = {"/api/v1/events": (302, {"Location": f"{other.url}/x"}, b"")}
        asked = to(server.url)
        with raises_code("bad_answer", match=other.url):
            asked.page("")
        assert other.requests == []


def test_login_gives_tokens_and_logout_ends_them(server):
    login = log_in(server.url, "ada", "blue whale")
    assert (login.username, login.team_slug) == ("ada", "atlas")
    revoke(login)
    assert login.refresh not in server.refresh
    with pytest.raises(NotLoggedIn) as caught:
        log_in(server.url, "ada", "wrong-password")
    assert "wrong-password" not in str(caught.value)


def test_request_whose_connection_ends_is_sent_again_once(server):
    server.overrides = {"/api/v1/token/": (None, {}, b"")}
    with raises_code("server_unreachable"):
        log_in(server.url, "ada", "blue whale")
    assert server.paths() == ["/api/v1/token/"] * 2


@pytest.mark.promise("S8")
def test_answer_that_was_spoilt_is_asked_for_once_more(to, server):
    whole_page = (200, JSON, b'{"events":[' + LINE + b'],"next":"c 1","more":false}')
    pages = [whole_page, (200, JSON, b'{"evXnts":[]}')]
    server.overrides = {"/api/v1/events": lambda: pages.pop()}
    assert to(server.url).page("") == ([LINE], "c 1", False)
    pages[:] = [whole_page, *[(200, JSON, b'{"evXnts":[]}')] * 2]
    with raises_code("bad_answer"):
        to(server.url).page("")
    assert pages == [whole_page]


def test_answer_to_a_login_without_good_tokens_is_refused_unseen(server):
    tokens = {"access": "a\nb", "refresh": "secret-refresh"}
    times = {"access_lifetime": 1, "refresh_lifetime": 1}
    server.overrides = {"/api/v1/token/": told(200, tokens | times)}
    with raises_code("bad_answer") as caught:
        log_in(server.url, "ada", "x")
    assert "secret-refresh" not in str(caught.value)
    assert "secret" not in repr(Tokens("secret", "secret", 1, 1))


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ("https://Thence.Example:443/", "https://thence.example"),
        ("https://thence.example:8443/team//", "https://thence.example:8443/team"),
        ("http://127.0.0.1:80", "http://127.0.0.1"),
        ("http://[::1]:8000", "http://[::1]:8000"),
        ("http://localhost:8000", "http://localhost:8000"),
    ],
)
def test_an_address_has_one_form(given, expected):
    assert server_address(given) == expected


@pytest.mark.parametrize(
    "given",
    [
        "http://thence.example",
        "http://192.168.1.7",
        "http://127.0.0.1.evil.example",
        "https://ada:geheim@thence.example",
        "https://thence.example?x=1",
        "ftp://thence.example",
        "https://",
        "https://[::1",
        "https://a:99999",
        "",
    ],
)
def test_unsafe_or_broken_address_is_refused(given):
    with pytest.raises(SyncRefused) as caught:
        server_address(given)
    assert "geheim" not in str(caught.value)
