"""Two logs compared over HTTP, as the library compares them."""

import json
import socket
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from select import select

import msgspec
import pytest
from bench.load import grown
from tests.server.conftest import Shop
from tests.server.runs import make_run, stored
from tests.server.serving import Serving, altered_serving, serving

from thence.core.diff import as_json, difference, side
from thence.server.routes.logs import LOG_BYTES_MAX
from thence.sim import EventWriter, VerbosityLevel, create_state_event


def test_difference_is_that_of_the_library(shop: Shop) -> None:
    told = shop.server.json("/simulations/first/diff/second")
    model = difference(*(side(stored(shop.root / name)) for name in ("first", "second")))
    assert told == json.loads(msgspec.json.encode(as_json(model)))
    assert told["first"] is not None
    same = shop.server.json("/simulations/first/diff/first")
    assert (same["same"], same["first"]) == (60, None)


@pytest.mark.parametrize(
    ("followed", "words"), [(0, ""), (1, "1 later event follows from it"), (2, "2 later events")]
)
def test_page_says_what_follows_from_the_first_difference(tmp_path, followed, words) -> None:
    for name, value in (("a", 3), ("b", 4)):
        with EventWriter(tmp_path / name, "run", verbosity=VerbosityLevel.STATE) as writer:
            event = create_state_event("run", 0, "grain", 1, value, "ada")
            writer.emit(event)
            for turn in range(followed):
                after = create_state_event("run", 1 + turn, "ore", 0, 1, "ada", caused_by=[event])
                writer.emit(after)
    with serving(tmp_path) as server:
        text = server.get("/runs/a/diff/b").text
    assert ("later event" in text) is bool(words)
    assert words in text


@pytest.mark.promise("Q5")
def test_other_that_is_not_there_is_told(shop: Shop) -> None:
    missing = (404, "simulation_not_found")
    assert shop.server.code("/simulations/first/diff/none") == missing
    assert shop.server.code("/simulations/none/diff/first") == missing
    assert shop.server.code("/simulations/first/diff/orders") == missing
    assert shop.server.code("/simulations/first/diff/..%2f..") == (404, "not_found")
    assert shop.server.json("/logs/orders/diff/first")["same"] == 0


@pytest.mark.promise("Q5")
def test_logs_too_large_to_compare_are_refused_on_either_side(tmp_path, server) -> None:
    small, large = make_run(tmp_path, "small", 3), make_run(tmp_path, "large", 3)
    path = large / "events.jsonl"
    with path.open("r+b") as file:
        file.truncate(LOG_BYTES_MAX)  # a hole, which takes no room
    assert server.get("/simulations/small/diff/large").status_code == 200
    with path.open("r+b") as file:
        file.truncate(LOG_BYTES_MAX + 1)
    for a, b in (("small", "large"), ("large", "small"), ("large", "large")):
        answer = server.get(f"/simulations/{a}/diff/{b}")
        told = answer.json()
        assert (answer.status_code, told["code"]) == (422, "invalid_parameter")
        assert "large is over 64 MiB" in told["message"]
        assert "thence diff" in told["message"]
    other = large / "events_2026-01-01_00-00-00-000000.jsonl"
    with path.open("r+b") as file:
        file.truncate(LOG_BYTES_MAX // 2)
    with other.open("wb") as file:
        file.truncate(LOG_BYTES_MAX // 2 + 1)
    assert server.code("/simulations/small/diff/large") == (422, "invalid_parameter")
    assert server.code("/logs/small/diff/large") == (422, "invalid_parameter")
    assert server.get("/simulations/small/diff/small").status_code == 200
    assert small.exists()


LARGE_EVENTS = 25_000
COMPARISONS = 8


@pytest.fixture(scope="module")
def large(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two runs of which a comparison takes seconds, and a small one."""
    root = tmp_path_factory.mktemp("large")
    for name in "ab":
        grown(root / name, LARGE_EVENTS)
    make_run(root, "small", 3)
    return root


@contextmanager
def asking(server: Serving, count: int) -> Iterator[list[socket.socket]]:
    """Asks for the large comparison on so many connections."""
    address = ("127.0.0.1", server.client.base_url.port)
    with ExitStack() as opened:
        asked = [opened.enter_context(socket.create_connection(address)) for _ in range(count)]
        for client in asked:
            client.sendall(b"GET /simulations/a/diff/b HTTP/1.1\r\nHost: localhost\r\n\r\n")
        yield asked


@pytest.mark.promise("Q7")
def test_comparisons_hold_up_no_other_question(large: Path) -> None:
    with serving(large) as server, asking(server, COMPARISONS) as asked:
        assert select(asked, [], [], 60)[0]  # they are under way
        for _ in range(3):
            server.json("/simulations/small/events", limit=1)
        assert len(select(asked, [], [], 0)[0]) < COMPARISONS / 2


def test_comparison_that_takes_too_long_is_refused_with_the_command_for_it(large: Path) -> None:
    soon = "from thence.server.routes import logs\nlogs.COMPARED_S = 0.01"
    with altered_serving(large, soon) as server:
        answer = server.get("/simulations/a/diff/b")
        assert (answer.status_code, answer.json()["code"]) == (422, "invalid_parameter")
        for told in (answer.json()["message"], server.get("/runs/a/diff/b").text):
            assert "it took over 0.01 s: use the command thence diff" in told
