"""What a client may do wrong, and how it is told."""

import random
from urllib.parse import quote

import pytest
from tests.server.conftest import Shop

EVENTS = "/simulations/first/events"


@pytest.mark.promise("Q5")
@pytest.mark.parametrize(
    ("path", "params", "status", "code"),
    [
        ("/simulations/none", {}, 404, "simulation_not_found"),
        ("/simulations/none/events", {}, 404, "simulation_not_found"),
        ("/simulations/none/events.ndjson", {}, 404, "simulation_not_found"),
        ("/simulations/none/causality/x", {}, 404, "simulation_not_found"),
        ("/simulations/first/events/none", {}, 404, "event_not_found"),
        ("/simulations/first/causality/none", {}, 404, "event_not_found"),
        ("/simulations/first/why/none", {}, 404, "event_not_found"),
        ("/logs/none", {}, 404, "not_found"),
        ("/logs/orders/events/none", {}, 404, "event_not_found"),
        ("/nothing", {}, 404, "not_found"),
        ("/api/v1/token", {}, 404, "not_found"),
        ("/simulations/", {}, 404, "not_found"),
        (EVENTS, {"limit": "1_0"}, 422, "invalid_parameter"),
        (EVENTS, {"limit": ["1", "x"]}, 422, "invalid_parameter"),
        (EVENTS, {"offset": "9" * 400}, 422, "invalid_parameter"),
        (EVENTS, {"turn_start": "one"}, 422, "invalid_parameter"),
        (EVENTS, {"start_timestamp": "soon"}, 422, "invalid_parameter"),
        (EVENTS, {"end_timestamp": "2026-13-01"}, 422, "invalid_parameter"),
        (EVENTS, {"event_types": ""}, 422, "invalid_parameter"),
        (EVENTS, {"event_type": "ACTION"}, 422, "invalid_parameter"),
        (EVENTS, {"cursor": "none"}, 422, "invalid_cursor"),
        (EVENTS, {"cursor": ""}, 422, "invalid_cursor"),
        (EVENTS, {"cursor": "é" * 100}, 422, "invalid_cursor"),
        (EVENTS, {"cursor": "x" * 10_000}, 422, "invalid_parameter"),
        (EVENTS, {"cursor": "eA", "offset": "0"}, 422, "invalid_parameter"),
    ],
)
def test_wrong_request_is_told_by_its_code(shop: Shop, path, params, status, code) -> None:
    assert shop.server.code(path, **params) == (status, code)


@pytest.mark.promise("Q5")
def test_other_methods_are_refused_with_those_that_are_allowed(shop: Shop) -> None:
    for method in ("POST", "PUT", "DELETE", "PATCH", "TRACE"):
        answer = shop.server.client.request(method, EVENTS)
        assert (answer.status_code, answer.json()["code"]) == (405, "method_not_allowed")
        page = shop.server.client.request(method, "/")
        assert answer.headers["allow"] == page.headers["allow"] == "GET, HEAD"


def test_answers_are_kept_from_guessing_browsers_and_caches(shop: Shop) -> None:
    for path in ("/health", "/simulations", "/nothing"):
        headers = shop.server.get(path).headers
        assert headers["x-content-type-options"] == "nosniff"
        assert headers["cache-control"] == "no-store"
        assert headers["content-type"] == "application/json"


ODD = [*"\ud800\udfff\ud83d\0\x7f\ufffeé\u2028%", "a\udc80b", "%zz", ""]


@pytest.mark.promise("Q5")
def test_nothing_that_a_header_or_a_parameter_holds_is_a_failure_of_the_server(shop: Shop) -> None:
    seed = random.randrange(2**32)
    print(f"seed {seed}")
    chance = random.Random(seed)
    once = [quote(text, safe="", errors="surrogatepass") for text in ODD]
    values = [*once, *map(quote, once), "%ed%a0%80", "%ff%fe", "%c3%28", "%f8%88%80%80%80", "%00"]
    raw = [value.encode() for value in values]
    raw += [bytes(chance.choice(range(0x80, 0x100)) for _ in range(6)) for _ in range(20)]
    raw += [b"\xed\xa0\x80", b"\xff", b"caf\xe9", b"a\tb"]
    live = ("/simulations/first/events/live", "/logs/orders/events/live")
    for value in raw:
        for header in (b"Last-Event-ID", b"Accept", b"Cookie", b"Authorization", b"Origin"):
            path = chance.choice(live) if header == b"Last-Event-ID" else "/simulations/first"
            with shop.server.client.stream("GET", path, headers={header: value}) as answer:
                assert answer.status_code in (200, 404, 422), (header, value, answer.read())
    for value in values:
        for path in (
            *(f"{each}?last_event_id={value}" for each in live),
            f"/simulations/first/events?limit=1&event_types={value}",
            f"/simulations/first/events?limit=1&cursor={value}&{value}=1",
            f"/logs/orders/events?limit=1&where={value}&since={value}",
            f"/simulations/first/events/{value}",
            f"/simulations/first/causality/{value}",
            f"/simulations/{value}",
            f"/runs/first?where={value}",
            f"/runs/first/events/{value}",
            f"/runs?run=first&run={value}",
        ):
            with shop.server.client.stream("GET", path) as answer:
                assert answer.status_code in (200, 303, 404, 422), (path, answer.read())
    assert shop.server.get("/health").status_code == 200
