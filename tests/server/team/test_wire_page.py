"""The page of the wire names each route of the server, and each refusal as the server gives it."""

import re
from pathlib import Path

import pytest
from starlette.routing import Mount
from tests.server.team.lines import lines
from tests.server.team.stranger import Client
from tests.server.team.team_server import TeamServer

from thence.errors import SyncRefused, ThenceError
from thence.server.app import create_team_app
from thence.server.errors import wire_refusal
from thence.server.team.sqlite import make_database

ROOT = Path(__file__).parents[3]
TEXT = (ROOT / "docs/reference/formats/wire.md").read_text()
LOG = "log=refused&kind=plain"
BATCH = "/api/v1/events/batch/"
# what gets each refusal: the user, the path, a body if it is a POST
REFUSED: dict[tuple[int, str], tuple[str | None, str, bytes | None]] = {
    (400, "invalid_event"): ("ada", f"/api/v1/events?{LOG}&limit=x", None),
    (400, "batch_refused"): ("ada", f"{BATCH}?{LOG}", b'{"events":[{}]}'),
    (401, "not_logged_in"): (None, "/api/v1/logs/", None),
    (403, "sync_refused"): ("rita", f"{BATCH}?{LOG}", b'{"events":[]}'),
    (404, "not_a_log"): ("ada", "/api/v1/events?log=nowhere", None),
    (404, "not_found"): ("ada", "/api/v1/nothing", None),
    (405, "method_not_allowed"): ("ada", BATCH, None),
    (409, "cursor_unknown"): ("ada", f"/api/v1/events?{LOG}&after=x", None),
    (409, "vocabulary_mismatch"): ("ada", f"{BATCH}?log=refused&kind=sim", b'{"events":[]}'),
    (413, "too_large"): ("ada", f"{BATCH}?{LOG}", bytes(1_200_000)),
    (426, "upgrade_required"): ("ada", "/ws/v1/events/", None),
}


def on_page() -> set[tuple[int, str]]:
    """Returns the statuses with their codes, as the page's table has them."""
    rows = re.findall(r"^\| (\d{3}) \| (`.*?`) \|", TEXT, re.MULTILINE)
    return {(int(status), code) for status, codes in rows for code in re.findall(r"\w+", codes)}


@pytest.mark.parametrize(("status", "code"), REFUSED)
def test_refusal_is_one_of_the_page(red: TeamServer, status: int, code: str) -> None:
    user, path, body = REFUSED[status, code]
    assert red.client("ada").push("refused", lines(1)).status == 200
    client = red.client(user) if user else Client(red.url)
    got = client.ask("GET" if body is None else "POST", path, body)
    assert (got.status, got.code) == (status, code)
    assert (status, code) in on_page()


def test_page_has_no_refusal_that_is_not_given(red: TeamServer) -> None:
    foreign = Client(red.url).ask("GET", "/api/v1/sync/health/", Host="evil.example")
    errors = (
        SyncRefused("x", code="server_busy"),
        ThenceError("x", code="database_unavailable"),
        OSError(),
        KeyError(),
    )
    told = {(one.status, one.code) for one in map(wire_refusal, errors)}
    assert on_page() == {*REFUSED, (foreign.status, foreign.code)} | told


def test_page_names_each_route_with_its_method(tmp_path: Path) -> None:
    make_database(tmp_path / "server.db", "e1")
    (api,) = [
        route
        for route in create_team_app(tmp_path / "server.db").routes
        if isinstance(route, Mount)
    ]
    routes = {route.path.rstrip("/"): route.methods for route in api.routes}
    assert len(routes) == 14
    for path, methods in routes.items():
        address = rf"/api{path}/?"
        if "POST" in methods:  # of the questions about digests a table has the paths
            assert re.search(rf"`POST {address}(\?[^`]*)?`|\| `{address}` \|", TEXT), path
        else:
            assert re.search(rf"`GET {address}(\?[^`]*)?`", TEXT), path
    for path in ("`GET /ready`", "`GET /ws/v1/events/?"):
        assert path in TEXT
