"""Who may ask: hosts, origins, tokens."""

from pathlib import Path

import pytest
from tests.cli.installed import thence
from tests.server.conftest import Shop
from tests.server.runs import make_run
from tests.server.serving import app_serving, serving

from thence.server.app import create_app
from thence.server.http.middleware import COOKIE_S

TOKEN = "a+b/c token ß"
HEADER = {"Authorization": f"Bearer {TOKEN}".encode()}


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("doors")
    make_run(place, "run", count=3)
    return place


@pytest.mark.promise("Q8")
def test_names_of_this_machine_are_answered_and_foreign_hosts_are_not(shop: Shop) -> None:
    foreign = ("evil.example", "127.0.0.1.evil.example", "localhost.evil", "[::2]:80", "", "::1")
    for host in (*foreign, "0"):
        for path in ("/health", "/simulations", "/nothing"):
            answer = shop.server.get(path, headers={"Host": host})
            assert (answer.status_code, answer.json()["code"]) == (403, "forbidden"), host
    for host in ("localhost", "LOCALHOST:1", "127.0.0.1:99", "[::1]:8377"):
        assert shop.server.get("/simulations", headers={"Host": host}).status_code == 200, host


@pytest.mark.promise("Q8", "P5")
def test_app_leaves_hosts_to_its_caller_and_answers_no_other_origin(root: Path) -> None:
    with app_serving(root) as server:
        headers = {"Host": "evil.example", "Origin": "https://page.example"}
        answer = server.get("/simulations", headers=headers)
        assert answer.status_code == 200
        assert not [name for name in answer.headers if name.startswith("access-control")]
        asked = {**headers, "Access-Control-Request-Method": "GET"}
        assert server.client.options("/simulations", headers=asked).status_code == 405


@pytest.mark.promise("Q8", "P5")
def test_named_origins_and_hosts_are_answered_with_the_token(root: Path) -> None:
    options = {
        "allowed_hosts": ["thence.example"],
        "cors_origins": ["https://page.example"],
        "token": TOKEN,
    }
    with app_serving(root, **options) as server:
        page = {"Host": "thence.example", "Origin": "https://page.example"}
        asked = {**page, "Access-Control-Request-Method": "GET"}
        asked["Access-Control-Request-Headers"] = "Authorization, Last-Event-ID"
        allowed = server.client.options("/simulations", headers=asked)
        assert allowed.headers["access-control-allow-origin"] == page["Origin"]
        asked["Access-Control-Request-Method"] = "HEAD"
        assert server.client.options("/simulations", headers=asked).status_code == 200
        refused = server.get("/simulations", headers=page)
        assert refused.status_code == 401
        assert refused.headers["access-control-allow-origin"] == page["Origin"]
        assert server.get("/simulations", headers={**page, **HEADER}).status_code == 200
        stranger = {**page, **HEADER, "Origin": "https://evil.example"}
        answer = server.get("/simulations", headers=stranger)
        assert "access-control-allow-origin" not in answer.headers
        assert server.get("/simulations", headers=HEADER).json()["code"] == "forbidden"


@pytest.mark.promise("P5")
def test_root_is_that_of_the_environment_where_none_is_named(root, monkeypatch) -> None:
    monkeypatch.setenv("THENCE_ROOT", str(root))
    assert create_app().state.served.root.folder == root
    monkeypatch.delenv("THENCE_ROOT")
    assert create_app().state.served.root.folder == Path("output").absolute()
    with pytest.raises(ValueError, match="token is empty"):
        create_app(root, token="")


@pytest.mark.promise("P5")
def test_root_may_come_later(tmp_path: Path) -> None:
    with app_serving(tmp_path / "later") as server:
        assert server.json("/simulations") == {"simulations": []}
        make_run(tmp_path / "later", "run", count=3)
        assert [entry["id"] for entry in server.json("/simulations")["simulations"]] == ["run"]


@pytest.mark.promise("Q5")
def test_token_is_wanted_for_all_but_health(root: Path) -> None:
    with serving(root, THENCE_TOKEN=TOKEN) as server:
        assert server.get("/health").status_code == 200
        wrong = [None, "Bearer", "Bearer x", f"Basic {TOKEN}", f"Bearer {TOKEN}x", TOKEN]
        for path in ("/simulations", "/simulations/run/events", "/openapi.json", "/nothing"):
            for said in wrong:
                headers = {"Authorization": said.encode()} if said else {}
                answer = server.get(path, headers=headers)
                assert (answer.status_code, answer.json()["code"]) == (401, "unauthorized")
                assert answer.headers["www-authenticate"] == "Bearer"
            assert server.get(path, headers=HEADER).status_code in (200, 404)
        assert server.client.head("/simulations").status_code == 401


def test_browser_shows_the_token_once_and_then_a_cookie(root: Path) -> None:
    with serving(root, "--token", TOKEN) as server:
        path = "/simulations/run/events"
        asked = {"token": TOKEN, "limit": "2", "event_types": ["ACTION", "a&b"]}
        sent = server.get(path, params=asked)
        assert sent.status_code == 303
        assert TOKEN not in sent.headers["location"]
        assert sent.headers["location"] == f"{path}?limit=2&event_types=ACTION&event_types=a%26b"
        cookie = sent.headers["set-cookie"]
        assert all(part in cookie for part in ("HttpOnly", "SameSite=strict", "Path=/"))
        assert TOKEN not in cookie
        assert cookie.startswith(f"thence_{server.client.base_url.port}=")
        assert f"Max-Age={COOKIE_S};" in cookie
        assert server.client.cookies
        assert server.get(sent.headers["location"]).status_code == 200
        server.client.cookies.clear()
        assert server.code(path, token="x") == (401, "unauthorized")
        away = server.get(f"{server.url}//evil.example/x", params={"token": TOKEN})
        assert away.headers["location"] == "/evil.example/x"


@pytest.mark.promise("Q8")
def test_pages_of_origins_that_the_command_names_may_read_the_answers(root: Path) -> None:
    named = ["https://page.example", "http://localhost:5173"]
    options = [word for origin in named for word in ("--cors", origin)]
    with serving(root, *options) as server:
        for origin in (*named, "https://evil.example"):
            answer = server.get("/simulations", headers={"Origin": origin})
            allowed = answer.headers.get("access-control-allow-origin")
            assert allowed == (origin if origin in named else None)


@pytest.mark.parametrize("given", ["page.example", "https://page.example/path", "*", "null", ""])
def test_what_is_no_origin_is_refused(root: Path, given: str) -> None:
    ended = thence("serve", root, "--cors", given, cwd=root)
    assert ended.code == 2
    assert "origin" in ended.err


def test_pages_that_load_scripts_from_elsewhere_are_not_offered(shop: Shop) -> None:
    assert shop.server.code("/redoc") == (404, "not_found")
    assert "swagger" not in shop.server.get("/docs").text
