"""Logs that are no simulation over HTTP, in the words that all hosts share."""

from typing import Any

import pytest
from tests.log.pruned import filled, pruned
from tests.server.conftest import Shop
from tests.server.runs import lines, stored

import thence
from thence.core.query.filter import Filter

PATH = "/logs/orders/events"


def test_logs_are_listed_apart_from_simulations(shop: Shop) -> None:
    listed = shop.server.json("/logs")["logs"]
    assert [(entry["id"], entry["vocabulary"], entry["event_count"]) for entry in listed] == [
        ("orders", "plain", 4)
    ]
    told = shop.server.json("/logs/orders")
    assert told["by_actor"] == {"ada": 1, "ben": 1}
    assert "turns" not in told
    assert shop.server.code("/simulations/orders") == (404, "simulation_not_found")


@pytest.mark.parametrize(
    "asked",
    [
        {},
        {"type": ["order.paid", "note"]},
        {"actor": "ada"},
        {"subject": "order/881"},
        {"stream": "night"},
        {"since": "1999-01-01"},
        {"until": "1999-01-01"},
        {"where": "payload.amount >= 12"},
        {"failed": True},
        {"failed": False, "type": "order.*"},
        {"where": ["amount = 12", "actor = ben"]},
        {"where": 'reason ~ "stock"', "type": "order.failed"},
    ],
)
def test_each_filter_gives_what_the_model_gives(shop: Shop, asked: dict[str, Any]) -> None:
    wanted = Filter.of(**asked)
    found = [event for event in stored(shop.root / "orders") if wanted.matches(event)]
    page = shop.server.json(PATH, **asked)
    assert (page["events"], page["total"]) == (lines(found), len(found))


@pytest.mark.promise("Q5")
@pytest.mark.parametrize(
    ("asked", "named"),
    [
        ({"where": "amount >"}, "where"),
        ({"turn": "7..3"}, "turn"),
        ({"since": "yesterday?"}, "since"),
        ({"type": ""}, "type"),
        ({"failed": "perhaps"}, "failed"),
        ({"typ": "note"}, "did you mean type"),
        ({"event_types": "note"}, "event_types"),
    ],
)
def test_wrong_filter_is_named(shop: Shop, asked: dict[str, str], named: str) -> None:
    answer = shop.server.get(PATH, params=asked)
    assert (answer.status_code, answer.json()["code"]) == (422, "invalid_parameter")
    assert named in answer.json()["message"]


@pytest.mark.promise("A1")
def test_key_that_no_event_has_is_told_with_the_nearest(shop: Shop) -> None:
    told = shop.server.json(PATH, where="type ~ failed")
    assert (told["events"], told["total"]) == ([], 0)
    assert told["hint"] == "no event has a key `type`; nearest: event_type"
    assert "hint" not in shop.server.json(PATH, where="amount > 12")
    assert "hint" not in shop.server.json(PATH, where="event_type ~ failed")
    page = shop.server.get("/runs/orders", params={"where": "type ~ failed"}).text
    assert "No event matches: no event has a key `type`; nearest: event_type" in page


@pytest.mark.promise("Q4", "A1")
def test_why_takes_what_the_command_takes(shop: Shop) -> None:
    placed, _, failed, apart = shop.orders
    for named, event_id in (
        ("order/881", placed),
        ("881", placed),
        ("@last", apart),
        ("@last-error", failed),
        (failed[:18], failed),
        (failed.lower(), failed),
    ):
        assert shop.server.json(f"/logs/orders/why/{named}")["event_id"] == event_id, named
    last = stored(shop.root / "first")[-1]
    assert shop.server.json("/simulations/first/why/@last")["event_id"] == last.event_id
    assert shop.server.code("/logs/orders/why/order/88") == (404, "event_not_found")
    assert shop.server.code("/logs/orders/why/01") == (422, "invalid_parameter")


@pytest.mark.promise("A5")
def test_event_that_was_pruned_is_not_there_and_said_to_be_pruned(tmp_path, server) -> None:
    events = filled(tmp_path / "orders")
    with thence.open(tmp_path / "orders") as log:
        pruned(log, before="2100")
    gone = server.get(f"/logs/orders/events/{events[0].event_id}")
    unknown = server.get(f"/logs/orders/events/7{'Z' * 25}")
    assert (gone.status_code, gone.json()["code"]) == (404, "event_not_found")
    assert gone.json()["message"] == f"event {events[0].event_id} of orders was pruned"
    assert "pruned" not in unknown.json()["message"]
