"""Events as they come in: over a real connection, from a real process that appends."""

import json
import random
import signal
import time
from pathlib import Path

import pytest
from tests.log.committers import until
from tests.server.listening import Listening, arrived, frames, heard
from tests.server.runs import foreign, make_index, make_orders, make_run, writing
from tests.server.serving import Serving, altered_serving, serving
from tests.tiers import seed, tenth

from thence.server.routes.live_events import HEARTBEAT_S, event_id, id_text
from thence.sim import EventWriter, create_action_event

LIVE = "/simulations/run/events/live"


@pytest.fixture(params=["read", "indexed"])
def run(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    """A run of 60 events that is read, or has an index."""
    folder = make_run(tmp_path, "run")
    if request.param == "indexed":
        make_index(folder)
    return folder


@pytest.mark.promise("Q9")
def test_events_come_from_the_first_on_as_they_are_stored(server: Serving, run: Path) -> None:
    there = heard(server, LIVE, 60)
    assert [frame.data for frame in there] == arrived(run)
    assert [frame.id for frame in there] == [json.loads(frame.data)["event_id"] for frame in there]
    listening = Listening(server.url, LIVE, 63)
    assert listening.is_open.wait(60)
    with EventWriter(run, "run") as writer:
        for number in range(3):
            writer.emit(create_action_event("run", number, "ada", "move", {}))
    listening.join(60)
    assert [frame.data for frame in listening.heard] == arrived(run)


@pytest.mark.promise("Q9")
def test_stream_goes_on_behind_the_event_that_is_named(server: Serving, run: Path) -> None:
    ids = [json.loads(line)["event_id"] for line in arrived(run)]
    named = {"headers": {"Last-Event-ID": ids[40]}}
    assert [frame.id for frame in heard(server, LIVE, 19, **named)] == ids[41:]
    asked = {"params": {"last_event_id": ids[57]}}
    assert [frame.id for frame in heard(server, LIVE, 2, **asked)] == ids[58:]
    assert [frame.id for frame in heard(server, LIVE, 19, **named, **asked)] == ids[41:]
    for empty in ({"params": {"last_event_id": ""}}, {"headers": {"Last-Event-ID": ""}}):
        assert [frame.id for frame in heard(server, LIVE, 60, **empty)] == ids
    assert [frame.id for frame in heard(server, LIVE, 5, params={"tail": 5})] == ids[-5:]
    for is_named in (False, True):
        behind = {"headers": {"Last-Event-ID": ids[-1]}} if is_named else {"params": {"tail": 0}}
        listening = Listening(server.url, LIVE, 1, **behind)
        assert listening.is_open.wait(60)
        with EventWriter(run, "run") as writer:
            writer.emit(create_action_event("run", 1, "ada", "move", {}))
        listening.join(60)
        ids.append(json.loads(arrived(run)[-1])["event_id"])
        assert listening.ids == ids[-1:]


@pytest.mark.promise("Q9", "Q5")
def test_event_that_is_not_there_is_refused_and_never_gone_on_from(server, run):
    make_orders(run.parent)
    assert server.code(LIVE, last_event_id="01" + 24 * "0") == (404, "event_not_found")
    for odd in ("%00", "%ff", "%zz", "é", " ", "x" * 5_000):
        assert server.code(LIVE, last_event_id=odd)[0] == 404
    answer = server.get(LIVE, headers={"Last-Event-ID": b"\xc3\xa9 \xff"})
    assert (answer.status_code, answer.json()["code"]) == (404, "event_not_found")
    assert server.code("/simulations/none/events/live") == (404, "simulation_not_found")
    assert server.code("/simulations/orders/events/live") == (404, "simulation_not_found")
    assert server.code("/logs/none/events/live") == (404, "not_found")
    for wrong in ({"tail": -1}, {"tail": 10_001}, {"limit": 3}, {"turn_start": "x"}):
        assert server.code(LIVE, **wrong) == (422, "invalid_parameter")


@pytest.mark.promise("Q9")
def test_stream_is_filtered_as_the_pages_are(server: Serving, run: Path) -> None:
    orders = make_orders(run.parent)
    asked = {"event_types": ["ACTION", "STATE"], "agent_ids": "ada", "turn_start": 2}
    page = server.json("/simulations/run/events", **asked)["events"]
    assert page
    found = heard(server, LIVE, len(page), params=asked)
    assert [json.loads(frame.data) for frame in found] == page
    about = {"where": "amount = 12", "last_event_id": orders[0]}
    assert [frame.id for frame in heard(server, "/logs/orders/events/live", 1, params=about)] == [
        orders[1]
    ]


@pytest.mark.promise("Q9")
@pytest.mark.parametrize("is_indexed", [False, True])
@pytest.mark.whole
def test_client_that_comes_back_again_and_again_misses_nothing_and_hears_nothing_twice(
    tmp_path: Path, is_indexed: bool
) -> None:
    chance = random.Random(seed(f"live {is_indexed}"))
    folder = make_run(tmp_path, "run", count=1)
    if is_indexed:
        make_index(folder)
    count, ids = tenth(1_501, 301), list[str]()
    with writing(folder, count - 1, flushes_every=20) as writer:
        while len(ids) < count:
            with serving(tmp_path) as server:  # each time another server
                for _ in range(chance.randint(1, 5)):
                    headers = {"Last-Event-ID": ids[-1]} if ids else {}
                    wanted = min(count - len(ids), chance.choice([0, 1, 3, 50, 300]))
                    ids += [frame.id for frame in heard(server, LIVE, wanted, headers=headers)]
        assert writer.wait() == 0
    assert len(list(folder.glob("events_*.jsonl"))) > tenth(10, 2)
    assert ids == [json.loads(line)["event_id"] for line in arrived(folder)]


@pytest.mark.promise("Q7", "Q9")
def test_client_that_vanishes_leaves_its_place_to_another(tmp_path: Path, run: Path) -> None:
    alteration = "from thence.server.routes import live_events as it\nit.STREAMS_MAX = 1"
    with altered_serving(tmp_path, alteration) as server:
        with server.client.stream("GET", LIVE) as answer:
            found = frames(answer)
            assert next(found).data == arrived(run)[0]
            refused = server.get(LIVE)
            assert (refused.status_code, refused.json()["code"]) == (503, "unavailable")
            assert refused.headers["retry-after"] == "1"
            assert "1 streams are open already" in refused.json()["message"]
        for address in (LIVE, "/logs/run/growth"):
            until(lambda address=address: server.client.head(address).status_code == 200)
        unknown = {"last_event_id": "none"}  # a refused stream holds no place
        until(lambda: server.code(LIVE, **unknown) == (404, "event_not_found"))
        until(lambda: server.client.head(LIVE).status_code == 200)


@pytest.mark.promise("Q9")
def test_silence_is_broken_by_a_comment(tmp_path: Path, run: Path) -> None:
    assert 13 < HEARTBEAT_S < 20
    soon_s = 0.5
    soon = f"from thence.server.routes import live_events as it\nit.HEARTBEAT_S = {soon_s}"
    with altered_serving(tmp_path, soon) as server:
        began = time.monotonic()
        with server.client.stream("GET", LIVE, params={"tail": 0}) as answer:
            blocks = answer.iter_raw()
            assert next(blocks) == b"retry: 1000\n\n"
            for number in (1, 2):
                assert next(blocks) == b":\n\n"
                assert time.monotonic() - began >= number * soon_s


@pytest.mark.promise("Q9", "P6")
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.whole(rows=2)
def test_signal_ends_open_streams(server: Serving, run: Path, number: int) -> None:
    listeners = [Listening(server.url, LIVE, 61) for _ in range(5)]
    assert all(listening.is_open.wait(60) for listening in listeners)
    server.process.send_signal(number)  # the listeners would stay for ever
    assert server.process.wait(60) == (130 if number == signal.SIGINT else 0)


@pytest.mark.promise("Q9", "Q5")
def test_ids_and_lines_of_other_tools_keep_the_stream_whole(server, tmp_path):
    (tmp_path / "run").mkdir()
    ids = ["a b", "a\nid: x", "a\r\n\r\nb", "nul\0", "é%20", "50%", "\u2028", ":", " ", "last"]
    lines = [foreign(number, event_id=each) for number, each in enumerate(ids)]
    lines = [line.replace(b'"event_type"', b'\r"event_type"') for line in lines]
    (tmp_path / "run" / "events.jsonl").write_bytes(b"".join(lines))
    found = heard(server, LIVE, len(ids))
    assert [json.loads(frame.data)["event_id"] for frame in found] == ids
    assert [json.loads(frame.data) for frame in found] == [json.loads(line) for line in lines]
    for place, frame in enumerate(found[:-1]):
        for asked in (
            {"headers": {"Last-Event-ID": frame.id}},
            {"params": {"last_event_id": frame.id}},
        ):
            assert heard(server, LIVE, 1, **asked)[0].id == found[place + 1].id
    assert all(event_id(id_text(each)) == each for each in [*ids, "\ud800", "%41", ""])


@pytest.mark.promise("Q9")
def test_run_that_another_takes_the_place_of_ends_the_stream(server, tmp_path):
    first = make_run(tmp_path, "run", count=3)
    with server.client.stream("GET", LIVE) as answer:
        found = frames(answer)
        ids = [next(found).id for _ in range(3)]
        first.rename(tmp_path / "gone")
        make_run(tmp_path, "run", count=5, seed=8)
        assert list(found) == []
    assert server.code(LIVE, last_event_id=ids[-1]) == (404, "event_not_found")
    assert len(heard(server, LIVE, 5)) == 5
