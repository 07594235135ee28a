"""A log's page finds events by words, and lists those of the window that the address names."""

import re
from pathlib import Path
from urllib.parse import urlencode

import pytest
from tests.server.conftest import Shop
from tests.server.runs import make_orders, stored
from tests.server.serving import Serving, altered_serving
from tests.server.test_pages import HOSTILE, page

import thence
from thence.core.clock import microseconds

_EVENT = re.compile(r'<a href="/runs/[^/"]+/events/([^"]+)"')


def rows(server: Serving, address: str) -> list[str]:
    """The ids of the events in the list of a page."""
    return _EVENT.findall(server.get(address).text.partition('id="events"')[2])


def asking(**query: str) -> str:
    """The address of the page of orders."""
    return f"/runs/orders?{urlencode(query)}"


@pytest.mark.parametrize(
    ("words", "places"),
    [
        ("stock", [2]),
        ("STO no", [2]),
        ("order", [0, 1, 2]),
        ("night unrelated", [3]),
        ("ada", [0]),
        ("stock ada", []),
        ("amount >= 12", [0, 1]),
        ('reason ~ "no"', [2]),
        ("reason => no", [2]),
    ],
)
def test_box_finds_words_or_compares(shop: Shop, words: str, places: list[int]) -> None:
    found = page(shop.server, asking(words=words))
    assert rows(shop.server, asking(words=words)) == [shop.orders[place] for place in places]
    kept = [field.get("value") for field in found.all("input") if field.get("name") == "where"]
    assert (words in kept) == (" >= " in words or " ~ " in words)


def test_name_with_blanks_at_its_ends_is_found(tmp_path: Path, server: Serving) -> None:
    with thence.open(tmp_path / "log") as log:
        log.append(" noted ", {}, actor=" ada")
        log.append("noted", {}, actor="ada")
    links = [one for one in page(server, "/runs/log").links if re.search("type=|actor=", one)]
    assert links
    for link in links:
        assert len(rows(server, link.partition("#")[0])) == 1, link


def test_box_and_filter_keep_each_other_and_the_picture(shop: Shop) -> None:
    address = "/runs/orders?words=12&type=order.paid&order=newest&axis=order&from=0&to=3"
    found = page(shop.server, address)
    assert rows(shop.server, address) == shop.orders[1:2]
    (form,) = [one for one in found.all("form") if one.get("role") == "search"]
    assert form["action"] == "/runs/orders#events"
    asked = {field["name"]: field["value"] for field in found.all("input") if field.get("value")}
    assert asked.items() >= {"words": "12", "type": "order.paid", "from": "0", "to": "3"}.items()
    assert not [link for link in found.links if link.startswith("/logs/orders/events?")]
    (actor,) = [link for link in found.links if "actor=ada" in link]
    assert {*actor.partition("#")[0].split("?")[1].split("&")} == {"axis=order", "actor=ada"}


def test_window_of_the_picture_is_that_of_the_list(shop: Shop) -> None:
    ids, ask = shop.orders, lambda query: rows(shop.server, f"/runs/orders?{query}")
    assert ask("axis=order&from=1&to=3") == ids[1:3]
    assert ask(f"axis=order&from={ids[1]}&to={ids[2]}") == ids[1:3]
    assert ask(f"axis=order&from={ids[1]}&to={ids[2]}&type=order.failed") == ids[2:3]
    for whole in (f"from={ids[1]}&to=nobody", f"from={ids[1]}", "from=3&to=1", "from=0&to=99"):
        assert ask(whole) == ids
    events = stored(shop.root / "first")
    of_turns = [event.event_id for event in events if event.turn_number in (2, 3)]
    asked = "axis=turn&from=2&to=4"
    assert rows(shop.server, f"/runs/first?{asked}") == of_turns
    assert rows(shop.server, f"/runs/first?{asked}&turn=3..9") == [
        event.event_id for event in events if event.turn_number == 3
    ]
    assert rows(shop.server, f"/runs/first?{asked}&turn=7") == []
    found = page(shop.server, f"/runs/first?{asked}")
    assert f"{len(of_turns)} events in the window of the picture" in found.text
    moments = [microseconds(event.timestamp) or 0 for event in events]
    first, last = sorted(moments)[10], sorted(moments)[20]
    due = [one.event_id for one, us in zip(events, moments, strict=True) if first <= us <= last]
    assert rows(shop.server, f"/runs/first?axis=time&from={first}&to={last + 1}") == due


def test_pages_of_a_window_go_on_by_their_cursor(tmp_path: Path, server: Serving) -> None:
    with thence.open(tmp_path / "log") as log:
        ids = [log.append("noted", {"n": f"w{number % 2}"}).event_id for number in range(400)]
    address, seen = "/runs/log?axis=order&from=10&to=390&words=w1", []
    while address:
        found = page(server, address)
        seen += rows(server, address)
        after = [link for link in found.links if "cursor=" in link and "events" in link]
        address = after[-1].partition("#")[0] if len(seen) < 190 else ""
    assert seen == ids[11:390:2]


def test_words_that_are_not_read_yet_say_how_far_they_are(tmp_path: Path) -> None:
    make_orders(tmp_path)
    slow = "from thence.server.routes import parameters\nparameters.WORDS_S = 0.0"
    with altered_serving(tmp_path, slow) as server:
        answer = server.get("/runs/orders?words=stock")
        assert answer.status_code == 503
        assert answer.headers["refresh"] == "0"
        found = page(server, "/runs/orders?words=stock", status=503)
        assert "the words of orders are being read: 0 of 4 events" in found.text
        assert found.all("progress") == [{"value": "0", "max": "4", "aria-label": "How far it is"}]
        page(server, "/runs/orders")
        page(server, "/runs/orders?words=%20-%20")


@pytest.mark.parametrize("words", [HOSTILE, '"', "a" * 3_000, "\u202e", "* ^ NEAR("])
def test_hostile_words_find_nothing(shop: Shop, words: str) -> None:
    assert "No event matches" in page(shop.server, asking(words=f"q{words}")).text
