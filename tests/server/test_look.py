"""The routes that the script of the pages draws by, over HTTP."""

import gzip
import json
from pathlib import Path
from typing import Any

import pytest
from tests.server.conftest import Shop
from tests.server.listening import frames, heard
from tests.server.runs import foreign, make_index, make_orders, stored
from tests.server.serving import Serving

from thence.core.failures import is_failure
from thence.sim import EventWriter, VerbosityLevel, create_state_event

ROUTES = (
    *("look", "overview", "lanes", "tiles", "marks", "bars", "failures"),
    "series?variable=number",
)
HOSTILE = "<script>alert(1)</script>\"'\u202e\x00"


def test_look_lanes_and_marks_of_a_log(shop: Shop) -> None:
    event_id = shop.orders[2]
    assert shop.server.json(f"/logs/orders/path/{event_id}")["path"][0::4] == [3, 1, 2]
    assert shop.server.code("/logs/orders/path/nobody") == (404, "event_not_found")
    look = shop.server.json("/logs/orders/look")
    assert (look["events"], look["axes"]) == (4, ["order", "time"])
    assert sorted(name for _, name, _ in look["types"]) == [
        "note", "order.failed", "order.paid", "order.placed",
    ]  # fmt: skip
    lanes = shop.server.json("/logs/orders/lanes")["lanes"]
    assert lanes[0][1:] == ["-", 1, 1]
    assert [row[1] for row in shop.server.json("/logs/orders/lanes", sort="first")["lanes"]] == [
        "ada", "ben", "-", "night",
    ]  # fmt: skip
    assert shop.server.json("/logs/orders/lanes", find="BE")["lanes"][0][1] == "ben"
    assert shop.server.json("/logs/orders/lanes", **{"from": 1, "to": 2})["lanes"][0][1] == "ben"
    for span in ((1, 3), (1, 2**50)):
        answer = shop.server.json(
            "/logs/orders/lanes", **dict(zip(("from", "to"), span, strict=True))
        )
        assert answer["ends"] == [shop.orders[1], shop.orders[min(span[1], 4) - 1]]
    marks = shop.server.json("/logs/orders/marks", **{"from": 2, "to": 4, "ids": 1})
    assert marks["ids"] == shop.orders[2:]
    assert marks["failures"] == [3]
    names = {row[0]: row[1] for row in lanes}
    assert [names[lane] for lane in marks["marks"][1::4]] == ["-", "night"]
    told = shop.server.json("/logs/orders/failures", after=0)
    assert (told["arrival"], told["event_id"]) == (3, shop.orders[2])
    assert shop.server.json("/logs/orders/failures", after=3)["arrival"] is None
    assert shop.server.json("/logs/orders/failures", before=4)["arrival"] == 3


def test_pictures_are_of_what_a_filter_of_the_page_finds(shop: Shop) -> None:
    def shown(**asked: object) -> dict[str, Any]:
        told = shop.server.json("/logs/orders/look", **asked)
        return {name: count for _, name, count in told["types"] if count}

    assert shown(type="order.*", failed=0) == {"order.placed": 1, "order.paid": 1}
    assert shown(words="sto") == {"order.failed": 1}
    assert shown(where="amount >= 12", actor="ben") == {"order.paid": 1}
    rows = shop.server.json("/logs/orders/lanes", where="amount >= 12")["lanes"]
    assert [row[1:] for row in rows] == [["ada", 1, 0], ["ben", 1, 0]]
    bounds = {"from": 0, "to": 4}
    assert shop.server.json("/logs/orders/marks", type="note", **bounds)["marks"][::4] == [4]
    assert (
        shop.server.json("/logs/orders/marks", type="note", ids=1, **bounds)["ids"] == shop.orders
    )
    assert shop.server.json("/logs/orders/failures", actor="ada")["arrival"] is None
    for bad in ("look?where=%3E", "tiles?calls=colour:red", "overview?order=newest"):
        assert shop.server.get(f"/logs/orders/{bad}").status_code == 422, bad


def test_a_lane_has_one_event_in_a_turn_that_says_most(shop: Shop) -> None:
    events = stored(shop.root / "first")
    lanes = shop.server.json("/logs/first/lanes", axis="turn", **{"from": 2, "to": 3})["lanes"]
    for lane, _, count, failures in lanes:
        told = shop.server.json("/logs/first/failures", lane=lane, at=2)
        event = events[told["arrival"] - 1]
        assert count
        assert (event.turn_number, event.event_id) == (2, told["event_id"])
        assert is_failure(event) == bool(failures)
        none = shop.server.json("/logs/first/failures", lane=lane, at=2, type="nothing")
        assert none["arrival"] is None


@pytest.mark.parametrize(
    "asked",
    [
        "overview?axis=rank",
        "lanes?sort=name",
        f"lanes?find={'x' * 201}",
        f"tiles?lanes={','.join(['1'] * 21)}",
        "tiles?lanes=1;2",
        "tiles?level=45",
        "tiles?tile=-1",
        "marks?from=0&to=2001",
        "marks?from=0&to=101&ids=1",
        "path/x?limit=201",
        "failures?after=x",
        "series",
        "look?typ=note",
    ],
)
def test_what_is_beyond_a_bound_is_refused(shop: Shop, asked: str) -> None:
    answer = shop.server.get(f"/logs/first/{asked}")
    assert (answer.status_code, answer.json()["code"]) == (422, "invalid_parameter")


def test_answers_over_1_kb_are_packed_for_who_takes_that(shop: Shop) -> None:
    for route, is_packed in (("marks", True), ("look", False)):
        plain = shop.server.get(f"/logs/first/{route}", headers={"Accept-Encoding": "identity"})
        assert "content-encoding" not in plain.headers
        with shop.server.client.stream("GET", f"/logs/first/{route}") as answer:
            data = b"".join(answer.iter_raw())
        assert (answer.headers.get("content-encoding") == "gzip") == is_packed
        assert (gzip.decompress(data) if is_packed else data) == plain.content


def test_growth_is_sent_and_goes_on_behind_the_last_frame(tmp_path, server) -> None:
    make_orders(tmp_path)
    with server.client.stream("GET", "/logs/orders/growth") as answer:
        assert answer.headers["content-type"].startswith("text/event-stream")
        assert "content-encoding" not in answer.headers
        told = frames(answer)
        first = json.loads(next(told).data)
        assert (first["events"], first["from"]) == (4, 1)
        with (tmp_path / "orders" / "events.jsonl").open("ab") as segment:
            segment.write(foreign(1, begins=True))
            segment.flush()
            mark, data = next(told)
            second = json.loads(data)
            assert (second["events"], second["from"]) == (5, 4)
            segment.write(foreign(2, event_type="task.failed", ends="other-0001"))
            segment.flush()
            third = json.loads(next(told).data)
            assert (third["events"], third["from"]) == (6, 5)
    behind = {"headers": {"Last-Event-ID": mark}}
    (again,) = heard(server, "/logs/orders/growth", 1, **behind)
    assert json.loads(again.data)["from"] == 5
    make_index(tmp_path / "orders")
    (frame,) = heard(server, "/logs/orders/growth", 1, **behind)
    anew = json.loads(frame.data)
    assert anew["from"] == 1
    assert anew["generation"] != first["generation"]
    assert server.code("/logs/nothing/growth") == (404, "not_found")


def test_hostile_lanes_and_odd_logs_have_pictures(tmp_path: Path, server: Serving) -> None:
    odd = [
        foreign(number, event_type=HOSTILE, agent_id=HOSTILE + "x" * (number % 2) * 5_000)
        for number in range(40)
    ]
    for name, data in (
        ("odd", b"".join(odd)),
        ("empty", b""),
        ("one", foreign(1)),
        ("foreign", b"".join(map(foreign, range(300)))),
        ("hurt", foreign(1) + b"\xff\xfe\n" + b'{"no":"event"}\n' + foreign(2) + foreign(3)[:-30]),
    ):
        (tmp_path / name).mkdir()
        (tmp_path / name / "events.jsonl").write_bytes(data)
    for name, count in (("odd", 40), ("empty", 0), ("one", 1), ("foreign", 300), ("hurt", 2)):
        assert server.json(f"/logs/{name}/look")["events"] == count
        rows = server.json(f"/logs/{name}/lanes")["lanes"]
        assert sum(row[2] for row in rows) == count
        lanes = ",".join(str(row[0]) for row in rows)
        for axis in ("order", "turn", "time"):
            told = server.json(f"/logs/{name}/overview", axis=axis)
            assert sum(told["counts"][2::3]) in (count, 0)
        told = server.json(f"/logs/{name}/tiles", level=2, lanes=lanes)
        assert sum(sum(flat[2::3]) for flat in told["lanes"].values()) == count
        assert len(server.json(f"/logs/{name}/marks")["marks"]) == 4 * count
        for route in ROUTES:
            assert server.get(f"/logs/{name}/{route}").status_code == 200, (name, route)
    assert {len(row[1]) for row in server.json("/logs/odd/lanes")["lanes"]} == {
        len(f"agent/{HOSTILE}"),
        200,
    }


def test_series_of_a_variable_by_lane(tmp_path: Path, server: Serving) -> None:
    with EventWriter(tmp_path / "run", "run", verbosity=VerbosityLevel.DETAIL) as writer:
        for turn in range(6):
            for agent in range(203 if turn == 5 else 3):
                scope, value = f"agent/a{agent}", 10 * turn + agent
                writer.emit(create_state_event("run", turn, "money", 0, value, scope))
                writer.emit(create_state_event("run", turn, "name", "", "x", scope))
    told = server.json("/logs/run/series", variable="money")
    assert (told["every"], len(told["lanes"])) == (1, 200)
    names = {name: told["lanes"][lane] for lane, name in told["names"].items()}
    assert names["agent/a2"][0::3] == [0, 1, 2, 3, 4, 5]
    assert names["agent/a2"][1::3] == [2, 12, 22, 32, 42, 52]
    events = stored(tmp_path / "run")
    for arrival, value in zip(names["agent/a1"][2::3], names["agent/a1"][1::3], strict=True):
        assert events[arrival - 1].payload["new_value"] == value
    assert server.json("/logs/run/series", variable="name")["lanes"] == {}
    assert server.json("/logs/run/series", variable="nothing")["lanes"] == {}
