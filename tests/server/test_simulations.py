"""The events of a simulation over HTTP: filters, paging, lists, summaries, causes and effects."""

import random
import shutil
from pathlib import Path
from typing import Any

import pytest
from tests.plain_order import downstream, upstream, why
from tests.server.conftest import Shop
from tests.server.runs import AGENTS, TYPES, foreign, lines, make_run, remove, stored
from tests.server.serving import Serving

from thence.core.vocabulary import SIM
from thence.sim import EventFilter

PATH = "/simulations/first/events"


def expected(shop: Shop, **asked: Any) -> list[Any]:
    wanted = EventFilter(**asked)
    return lines([event for event in stored(shop.root / "first") if wanted.matches(event)])


def times(shop: Shop) -> list[str]:
    return [event.timestamp for event in stored(shop.root / "first")]


@pytest.mark.promise("Q1")
def test_simulations_are_listed_with_name_start_and_count(shop):
    listed = {entry["id"]: entry for entry in shop.server.json("/simulations")["simulations"]}
    assert set(listed) == {"first", "second", "hurt"}
    events = stored(shop.root / "first")
    assert listed["first"] == {
        "id": "first",
        "name": "first",
        "status": "completed",
        "start_time": min(event.timestamp for event in events),
        "event_count": len(events),
        "failures": 0,
    }
    for log_id, entry in listed.items():
        assert entry["event_count"] == shop.server.json(f"/simulations/{log_id}/events")["total"]


@pytest.mark.promise("Q2", "E5")
def test_filters_alone_and_combined_give_what_the_model_gives(shop):
    seed = random.randrange(2**32)
    print(f"seed {seed}")
    chance = random.Random(seed)
    moments = times(shop)
    edges: list[dict[str, Any]] = [
        *({"event_types": ["nothing"]}, {"agent_ids": ["wéi"]}, {"turn_start": 5, "turn_end": 2}),
        *({"failed": True}, {"failed": False, "turn_end": 3}),
        *({"start_timestamp": "1999-01-01"}, {"end_timestamp": "1999-01-01T00:00:00Z"}),
    ]
    for asked in [*edges, *({} for _ in range(60))]:
        if asked:
            assert shop.server.json(PATH, **asked)["events"] == expected(shop, **asked)
            continue
        if chance.random() < 0.5:
            asked["event_types"] = chance.sample(TYPES, chance.randrange(1, 4))
        if chance.random() < 0.5:
            asked["agent_ids"] = chance.sample([name for name in AGENTS if name], 2)
        if chance.random() < 0.4:
            asked["turn_start"] = chance.randrange(9)
        if chance.random() < 0.4:
            asked["turn_end"] = chance.randrange(9)
        if chance.random() < 0.4:
            asked["start_timestamp"] = chance.choice(moments)
        if chance.random() < 0.4:
            asked["end_timestamp"] = chance.choice(moments)
        limit, offset = chance.randrange(1, 70), chance.randrange(60)
        found = expected(shop, **asked)
        page = shop.server.json(PATH, **asked, limit=limit, offset=offset)
        assert page["events"] == found[offset : offset + limit], asked
        assert page["total"] == len(found)
        assert page["has_more"] == (offset + limit < len(found))


@pytest.mark.promise("Q2")
@pytest.mark.parametrize("limit", [1, 7, 59, 60, 10_000])
def test_pages_by_cursor_and_by_offset_are_disjoint_and_complete(shop, limit):
    whole = expected(shop)
    by_cursor = [e for page in shop.server.pages(PATH, limit=limit) for e in page["events"]]
    by_offset = [
        event
        for offset in range(0, 60, limit)
        for event in shop.server.json(PATH, limit=limit, offset=offset)["events"]
    ]
    assert by_cursor == by_offset == whole


@pytest.mark.promise("Q2")
def test_cursor_of_a_run_is_none_of_its_copy(tmp_path: Path, server: Serving) -> None:
    make_run(tmp_path, "one", count=30)
    shutil.copytree(tmp_path / "one", tmp_path / "two")
    cursor = server.json("/simulations/one/events", limit=5)["next_cursor"]
    answers = [
        server.client.get(f"/simulations/{run}/events", params={"limit": 5, "cursor": cursor})
        for run in ("one", "two")
    ]
    assert [answer.status_code for answer in answers] == [200, 422]
    assert answers[1].json()["code"] == "invalid_cursor"


@pytest.mark.promise("Q3")
def test_one_event_comes_as_stored(shop):
    for event in stored(shop.root / "first")[::13]:
        answer = shop.server.get(f"{PATH}/{event.event_id}")
        assert answer.content == event.line


@pytest.mark.promise("Q2")
def test_whole_run_comes_as_lines(shop):
    whole = b"".join(event.line + b"\n" for event in stored(shop.root / "first"))
    answer = shop.server.get(f"{PATH}.ndjson")
    assert answer.headers["content-type"].startswith("application/x-ndjson")
    assert answer.content == whole


@pytest.mark.promise("Q5")
def test_summary_tells_what_a_run_holds_and_what_is_damaged(shop):
    told = shop.server.json("/simulations/hurt")
    assert (told["event_count"], told["unverified"], told["damaged_lines"]) == (2, 2, 4)
    assert [found["offset"] for found in told["damage"]] == sorted(
        found["offset"] for found in told["damage"]
    )
    assert {found["file"] for found in told["damage"]} == {"events.jsonl"}
    whole = shop.server.json("/simulations/first")
    assert (whole["damaged_lines"], whole["damage"], whole["turns"]) == (0, [], 8)
    assert sum(whole["by_type"].values()) == 60
    assert whole["first"]["event_id"] == stored(shop.root / "first")[0].event_id
    assert whole["status"] == "completed"


@pytest.mark.promise("Q5")
def test_health_counts_the_logs_that_were_asked_for_until_a_list_lacks_them(tmp_path, server):
    for name in ("one", "other"):
        make_run(tmp_path, name, count=3)

    def counts() -> tuple[int, int]:
        health = server.json("/health")
        return health["simulations"], health["events"]

    assert counts() == (0, 0)
    server.json("/simulations/one")
    assert counts() == (1, 3)
    server.json("/simulations")
    assert counts() == (2, 6)
    remove(tmp_path / "one")
    assert server.code("/simulations/one") == (404, "simulation_not_found")
    server.json("/logs")
    assert counts() == (1, 3)
    remove(tmp_path / "other")
    assert server.json("/simulations") == {"simulations": []}
    assert counts() == (0, 0)


@pytest.mark.promise("Q4")
def test_cones_are_those_of_the_model_at_every_depth(shop: Shop) -> None:
    seed = random.randrange(2**32)
    print(f"seed {seed}")
    chance = random.Random(seed)
    events = stored(shop.root / "first")
    known = {event.event_id: event for event in events}
    for event in [events[0], events[-1], *chance.sample(events, 6)]:
        for depth in (None, 1, 2, 20):
            asked = {} if depth is None else {"depth": depth}
            told = shop.server.json(f"/simulations/first/causality/{event.event_id}", **asked)
            up = [cause for cause, far in upstream(event, known)[0] if far <= (depth or 5)]
            down = [effect for effect, far in downstream(event, events)[0] if far <= (depth or 5)]
            assert told == {
                "event_id": event.event_id,
                "event": lines([event])[0],
                "upstream": lines(up),
                "downstream": lines(down),
                "truncated": False,
            }


@pytest.mark.promise("Q4")
def test_why_is_told_as_data_and_in_sentences(shop: Shop) -> None:
    events = stored(shop.root / "first")
    model = why(events[-1], events, SIM)
    told = shop.server.json(f"/simulations/first/why/{events[-1].event_id}")
    assert told["sentences"] == list(model.sentences)
    assert told["chain"] == lines(list(model.chain))
    assert told["causes"] == [
        {"event_id": cause.event_id, "depth": depth} for cause, depth in model.cone
    ]
    assert (told["event_id"], told["truncated"]) == (events[-1].event_id, False)


def test_id_with_slashes_of_another_tool_is_found(tmp_path: Path, server: Serving) -> None:
    (tmp_path / "run").mkdir()
    stored = foreign(1, event_id="a/b") + foreign(2, event_id="c/", caused_by=["a/b"])
    (tmp_path / "run" / "events.jsonl").write_bytes(stored)
    assert server.json("/simulations/run/events/a%2Fb")["event_id"] == "a/b"
    caused = server.json("/simulations/run/causality/c%2F")
    assert [event["event_id"] for event in caused["upstream"]] == ["a/b"]
    assert server.json("/simulations/run/why/c%2F")["causes"][0]["event_id"] == "a/b"
    assert server.code("/simulations/run/events/a") == (404, "event_not_found")
