"""Logins by a provider of OpenID Connect, and who attacks them: strangers, pages, the provider.

The provider is a real server of the tests' own; the browser is one that keeps cookies.
"""

import base64
import hmac
import http.client
import json
import signal
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from http.cookies import SimpleCookie
from pathlib import Path
from queue import Queue
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
from tests.cli.installed import THENCE, begin, is_three_lines, thence
from tests.codes import raises_code
from tests.docs.browsing import browsing
from tests.server.team.provider import CLIENT, SECRET, Provider, new_key
from tests.server.team.stranger import Got
from tests.server.team.team_server import TeamServer, team_server
from tests.sync.http_servers import JSON
from tests.sync.http_servers import TeamServer as WireServer
from tests.sync.plain_server import PlainServer

from thence.errors import NotLoggedIn
from thence.server.team import oidc
from thence.server.team.login_settings import OidcSettings

PLACE = "http://thence.test"  # the test's browser asks the server itself
SLOW_LOGINS = 8  # more than any threads of the server that answer others


@pytest.fixture(scope="module")
def provider() -> Iterator[Provider]:
    with Provider() as running:
        yield running


@pytest.fixture(scope="module")
def server(provider: Provider, tmp_path_factory: pytest.TempPathFactory) -> Iterator[TeamServer]:
    with serving(provider, tmp_path_factory.mktemp("oidc") / "data") as running:
        yield running


@contextmanager
def serving(provider: Provider, data: Path, *options: str) -> Iterator[TeamServer]:
    arguments = (
        "--url",
        PLACE,
        "--oidc-issuer",
        provider.issuer,
        "--oidc-client",
        CLIENT,
        *options,
    )
    with team_server(data, 0, arguments, {"THENCE_OIDC_SECRET": SECRET}) as running:
        yield running


@pytest.fixture(autouse=True)
def _honest(provider: Provider) -> Iterator[None]:
    yield
    provider.claims = {"preferred_username": "ada"}
    provider.sign = provider.signed
    provider.answers.clear()
    provider.issuer, provider.has_page = provider.url, False


class Browser:
    """A browser that keeps the cookies of a server, and follows nothing by itself."""

    def __init__(self, server: TeamServer, address: str = "192.0.2.9") -> None:
        self.host = server.url.removeprefix("http://")
        self.address = address
        self.cookies: dict[str, Any] = {}

    def get(self, address: str) -> Got:
        parts = urlsplit(address)
        is_ours = parts.netloc in ("", urlsplit(PLACE).netloc)
        pairs = "; ".join(f"{name}={one.value}" for name, one in self.cookies.items())
        headers = {"Cookie": pairs, "X-Forwarded-For": self.address} if is_ours else {}
        host = self.host if is_ours else parts.netloc
        with closing(http.client.HTTPConnection(host, timeout=60)) as connection:
            connection.request("GET", f"{parts.path}?{parts.query}", headers=headers)
            answer = connection.getresponse()
            for name, text in answer.getheaders():
                if is_ours and name.lower() == "set-cookie":
                    for key, one in SimpleCookie(text).items():
                        self.cookies.pop(key, None)
                        self.cookies |= {key: one} if one.value else {}
            fields = {name.lower(): text for name, text in answer.getheaders()}
            return Got(answer.status, fields, answer.read())

    def back(self) -> str:
        """Begins a login, goes to the provider, and returns where that leads back to."""
        begun = self.get("/login/oidc")
        assert begun.status == 303, begun.body
        asked = self.get(begun.headers["location"])
        assert asked.status == 303
        return asked.headers["location"]

    def log_in(self) -> Got:
        return self.get(self.back())

    def is_in(self) -> bool:
        return self.get("/").status == 200


@pytest.mark.promise("S12")
def test_browser_is_let_in_by_the_provider_and_has_a_session_of_pages_alone(
    server: TeamServer, provider: Provider
) -> None:
    browser = Browser(server)
    sent = browser.get("/")
    assert (sent.status, sent.headers["location"]) == (303, "/login?to=%2F")
    assert b'<a href="/login/oidc">' in browser.get("/login").body
    begun = browser.get("/login/oidc")
    query = parse_qs(urlsplit(begun.headers["location"]).query)
    assert query["code_challenge_method"] == ["S256"]
    assert query["redirect_uri"] == [f"{PLACE}/login/oidc/callback"]
    (kept,) = browser.cookies.values()
    assert (kept["httponly"], kept["samesite"], kept["path"]) == (True, "lax", "/")
    assert not browser.is_in(), "what a login began with opens no page"
    verifier = kept.value.split(".")[2]
    assert verifier not in begun.headers["location"]
    done = browser.log_in()
    assert (done.status, b"You are ada" in done.body) == (200, True), done.body
    assert browser.is_in()
    (session,) = browser.cookies.values()
    assert session.key == kept.key, "it takes the place of what the login began with"
    assert (session["httponly"], session["samesite"], session["path"]) == (True, "lax", "/")
    stranger = server.client()
    stranger.access = session.value
    assert stranger.page("log").status == 401, "the session is not an access token"
    assert stranger.ask("GET", "/logs").status == 401
    assert Browser(server).get("/logs").status == 401, "programs are sent nowhere"


@pytest.mark.promise("S12")
def test_real_browser_comes_back_from_a_provider_of_another_site(
    provider: Provider, tmp_path: Path
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        place = f"http://127.0.0.1:{taken.getsockname()[1]}"
    provider.issuer = provider.url.replace("127.0.0.1", "localhost")  # a site of its own
    provider.has_page = True
    options = ("--url", place, "--port", place.rpartition(":")[2])
    with serving(provider, tmp_path / "data", *options) as server:
        assert server.url == place
        with browsing(f"{place}/", tmp_path / "profile") as tab:
            tab.wait_for("Log in by your provider")
            tab.run('document.querySelector("main a").click()')
            tab.wait_for("You are ada")
            tab.run('document.querySelector("main a").click()')
            tab.wait_for("Runs and logs")


@pytest.mark.promise("S12")
def test_callback_counts_once_and_in_the_browser_that_began_it_alone(server: TeamServer) -> None:
    victim, attacker = Browser(server), Browser(server)
    theirs = attacker.back()
    mine = victim.back()
    for browser, place in (
        (victim, theirs),
        (Browser(server), mine),
        (victim, mine.replace("state=", "state=x")),
        (victim, mine.partition("&state")[0]),
        (victim, "/login/oidc/callback?code=&state="),
    ):
        got = browser.get(place)
        assert (got.status, browser.is_in()) == (401, False), place
        assert b'<a href="/login/oidc">Log in again</a>' in got.body
    assert victim.get(mine).status == 200
    assert victim.get(mine).status == 401, "the cookie of the login is gone"
    again = Browser(server)
    again.back()
    (kept,) = again.cookies.values()
    state = kept.value.split(".")[0]
    code = parse_qs(urlsplit(mine).query)["code"][0]
    assert again.get(f"/login/oidc/callback?code={code}&state={state}").status == 401, "it is used"


@pytest.mark.promise("S12")
def test_browser_is_led_nowhere_else(server: TeamServer) -> None:
    browser = Browser(server)
    elsewhere = "next=https://evil.test/&redirect_uri=https://evil.test/&url=//evil.test"
    begun = browser.get(f"/login/oidc?{elsewhere}")
    assert b"evil.test" not in begun.headers["location"].encode()
    done = browser.get(f"{browser.back()}&{elsewhere}")
    assert (done.status, "location" in done.headers) == (200, False)
    assert b"evil.test" not in done.body
    got = browser.get("/login/oidc/callback?error=<script>alert(1)</script>&state=x")
    assert (got.status, b"<script>" in got.body) == (401, False)


def _unsigned(claims: dict[str, Any]) -> str:
    parts = [json.dumps(part).encode() for part in ({"alg": "none", "kid": "first"}, claims)]
    return ".".join(base64.urlsafe_b64encode(part).rstrip(b"=").decode() for part in parts) + "."


def _by_the_public_key(provider: Provider) -> Callable[[dict[str, Any]], str]:
    public = provider.keys[0].as_pem(private=False)

    def sign(claims: dict[str, Any]) -> str:
        header = {"alg": "HS256", "kid": "first"}
        parts = [json.dumps(part).encode() for part in (header, claims)]
        text = b".".join(base64.urlsafe_b64encode(part).rstrip(b"=") for part in parts)
        mac = base64.urlsafe_b64encode(hmac.digest(public, text, "sha256")).rstrip(b"=")
        return (text + b"." + mac).decode()

    return sign


@pytest.mark.promise("S12")
def test_token_that_does_not_hold_lets_nobody_in(server: TeamServer, provider: Provider) -> None:
    now = int(time.time())
    stranger = new_key("first")
    wrong: list[tuple[str, dict[str, Any], Callable[[dict[str, Any]], str] | None]] = [
        ("issuer", {"iss": "https://evil.test"}, None),
        ("audience", {"aud": "another program"}, None),
        ("audiences without azp", {"aud": [CLIENT, "another program"]}, None),
        ("azp", {"azp": "another program"}, None),
        ("expired", {"exp": now - 61}, None),
        ("no end", {"exp": None}, None),
        ("endless", {"exp": float("nan")}, None),
        ("from the future", {"iat": now + 600}, None),
        ("nonce of another login", {"nonce": "replayed"}, None),
        ("no nonce", {"nonce": None}, None),
        ("no signature", {}, _unsigned),
        ("signed by the public key", {}, _by_the_public_key(provider)),
        ("key of a stranger", {}, lambda claims: provider.signed(claims, stranger)),
        ("unknown key", {}, lambda claims: provider.signed(claims, new_key("other"))),
        ("no token", {}, lambda claims: "x.y.z"),
        ("no name", {"preferred_username": None}, None),
        ("a list of names", {"preferred_username": ["ada"]}, None),
    ]
    for number, (name, claims, sign) in enumerate(wrong):
        provider.claims = {"preferred_username": "ada", **claims}
        provider.sign = sign or provider.signed
        browser = Browser(server, f"198.51.100.{number}")
        got = browser.log_in()
        assert (got.status, browser.is_in()) == (401, False), (name, got.body)
    provider.claims, provider.sign = {"preferred_username": "ada", "exp": now + 30}, provider.signed
    assert Browser(server).log_in().status == 200


@pytest.mark.promise("S12")
def test_name_without_a_user_is_told_and_a_machine_is_none(
    server: TeamServer, provider: Provider
) -> None:
    with server.accounts() as accounts:
        accounts.add_machine("ci", "red", "writer")
    for number, name in enumerate(
        ("nobody", "ci", "<script>alert(1)</script>", "x" * 9_000, "Ada")
    ):
        provider.claims = {"preferred_username": name}
        got = Browser(server, f"203.0.113.{number}").log_in()
        assert (got.status, b"no user of this server" in got.body) == (403, True)
        assert b"<script>" not in got.body
        assert len(got.body) < 30_000


@pytest.mark.promise("S12")
def test_address_counts_only_where_the_provider_verified_it(
    provider: Provider, tmp_path: Path
) -> None:
    with serving(provider, tmp_path / "data", "--oidc-claim", "email") as server:
        server.add("ada@thence.test")
        for verified, status in ((None, 401), (False, 401), ("true", 401), (True, 200)):
            provider.claims = {"email": "ada@thence.test", "email_verified": verified}
            assert Browser(server).log_in().status == status, verified
        provider.claims = {"preferred_username": "ada"}
        assert Browser(server).log_in().status == 401


@pytest.mark.promise("S12")
def test_terminal_is_let_in_by_a_browser_and_talks_to_the_server_alone(
    server: TeamServer, provider: Provider, tmp_path: Path
) -> None:
    provider.polled.clear()
    env = {"XDG_CONFIG_HOME": str(tmp_path)}
    process = begin(THENCE, "sync", "login", server.url, "--oidc", cwd=tmp_path, **env)
    try:
        assert process.stderr is not None
        told = process.stderr.readline()
        assert told.startswith(f"open {provider.url}/type and type ")
        assert provider.polled.wait(60), "it asks while nobody has let it in"
        provider.let_in(told.partition("type ")[2].split(";")[0].split()[-1])
        out, err = process.communicate(timeout=60)
    finally:
        process.kill()
        process.wait()
    assert (process.returncode, out) == (0, f"logged in at {server.url} as ada, team red\n"), err
    assert "access" in (tmp_path / "thence/credentials.json").read_text()
    spent = server.client().post("/api/v1/oidc/token", {"device_code": "guess"})
    assert (spent.status, spent.code) == (401, "not_logged_in")
    both = thence("sync", "login", server.url, "--oidc", "--username", "x", cwd=tmp_path, env=env)
    assert both.code == 2


def test_terminal_that_waits_for_its_user_is_interrupted(
    server: TeamServer, provider: Provider, tmp_path: Path
) -> None:
    provider.polled.clear()
    env = {"XDG_CONFIG_HOME": str(tmp_path)}
    process = begin(THENCE, "sync", "login", server.url, "--oidc", cwd=tmp_path, **env)
    try:
        assert provider.polled.wait(60), "it asks while nobody has let it in"
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=60)
    finally:
        process.kill()
        process.wait()
    told, *rest = err.splitlines()
    assert told.startswith(f"open {provider.url}/type and type ")
    assert (process.returncode, out, rest) == (130, "", ["interrupted"])
    assert not (tmp_path / "thence/credentials.json").exists()


def test_server_without_a_provider_says_so(red_on_sqlite: TeamServer, tmp_path: Path) -> None:
    """On one engine: it says so before the database is asked."""
    red, env = red_on_sqlite, {"XDG_CONFIG_HOME": str(tmp_path)}
    ended = thence("sync", "login", red.url, "--oidc", cwd=tmp_path, env=env)
    assert (ended.code, is_three_lines(ended.err)) == (1, True)
    assert "has no provider of logins" in ended.err
    for options in (
        ("--oidc-issuer", "https://x.test"),
        ("--oidc-client", "x", "--url", PLACE),
        ("--url", "thence.example"),
    ):
        ended = thence("server", "run", "--data", red.data, *options, cwd=tmp_path)
        assert ended.code == 2


@pytest.mark.promise("S12")
def test_provider_that_never_answers_or_sends_too_much_holds_up_nobody_else(tmp_path: Path) -> None:
    with Provider() as provider, serving(provider, tmp_path / "data") as server:
        browser = Browser(server)
        for body in (b'{"id_token": "' + b"x" * (8 * 1024 * 1024) + b'"}', b"<html>", b"[]"):
            provider.answers["/token"] = (200, body)
            assert browser.log_in().status == 503
        provider.answers["/token"] = None
        browsers = [Browser(server) for _ in range(SLOW_LOGINS)]
        places = [one.back() for one in browsers]
        statuses: Queue[int] = Queue()
        slow = [
            threading.Thread(
                target=lambda one=one, place=place: statuses.put(one.get(place).status)
            )
            for one, place in zip(browsers, places, strict=True)
        ]
        for thread in slow:
            thread.start()
        try:
            assert provider.asked.wait(60)
            assert server.client("ada").page("log").status in (200, 404)
            assert server.client().ask("GET", "/ready").status == 200
            assert statuses.empty(), "it was answered before the provider's time was up"
            assert statuses.get(timeout=60) == 503
        finally:
            provider.release.set()
            for thread in slow:
                thread.join()


@pytest.mark.promise("S12")
def test_keys_that_the_provider_changed_are_read_again_but_not_at_each_guess(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with Provider() as provider:
        trusted = oidc.Provider(OidcSettings(provider.url, CLIENT, SECRET))
        assert _named(trusted, provider) == "ada"
        provider.keys = [new_key("second")]
        with pytest.raises(NotLoggedIn):  # the keys were read a moment ago
            _named(trusted, provider)
        count = provider.requests.count("/keys")
        monkeypatch.setattr(oidc, "KEYS_AGAIN_S", 0.0)
        assert _named(trusted, provider) == "ada"
        assert provider.requests.count("/keys") == count + 1
        for answer in ((200, b'{"keys": []}'), (200, b"[]"), (500, b"x"), (200, b'{"keys": [1]}')):
            provider.answers["/keys"] = answer
            provider.keys = [new_key("third")]
            with raises_code("not_logged_in", "server_unreachable"):
                _named(trusted, provider)


def _named(trusted: oidc.Provider, provider: Provider) -> str:
    """Returns whom a device is let in as."""
    code = trusted.begin_device()
    provider.let_in(code.user_code)
    user = trusted.user_of_device(code.device_code)
    assert isinstance(user, str)
    return user


def test_provider_that_is_another_one_than_was_named_is_not_used() -> None:
    with Provider() as provider:
        for issuer in (f"{provider.url}/", f"{provider.url}/realm", "https://127.0.0.1:1"):
            trusted = oidc.Provider(OidcSettings(issuer, CLIENT, SECRET))
            with raises_code("server_unreachable"):
                trusted.metadata()


def test_settings_with_a_secret_show_none() -> None:
    assert SECRET not in repr(OidcSettings("https://x.test", CLIENT, SECRET))


@pytest.mark.parametrize("name", ["", "a\x1b[31m", "../x"])
def test_answer_that_names_no_user_is_no_login(tmp_path: Path, name: str) -> None:
    device = {"device_code": "d", "user_code": "u", "verification_uri": "x", "expires_in": 60}
    tokens = {"access": "a", "refresh": "r", "access_lifetime": 1, "refresh_lifetime": 1}
    with WireServer(PlainServer) as server:
        for path, body in (("device", {**device, "interval": 1}), ("token", tokens)):
            answer = (200, JSON, json.dumps({**body, "username": name}).encode())
            server.overrides[f"/api/v1/oidc/{path}/"] = answer
        env = {"XDG_CONFIG_HOME": str(tmp_path)}
        ended = thence("sync", "login", server.url, "--oidc", cwd=tmp_path, env=env)
    assert (ended.code, "it names no user" in ended.err) == (1, True), ended.err
