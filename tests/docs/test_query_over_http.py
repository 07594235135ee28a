"""The page on queries over HTTP: its example in JavaScript, in a browser."""

import re
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx2
import pytest
from playwright.sync_api import ConsoleMessage
from tests.server.pages.browser import ENDS_S, chromium
from tests.server.serving import app_serving

from thence.sim import EventWriter, VerbosityLevel
from thence.sim.record.events import create_action_event, create_decision_event

PAGE = (Path(__file__).parents[2] / "docs" / "guides" / "team" / "query-over-http.md").read_text(
    "utf-8"
)
ADDRESS = "http://127.0.0.1:8377"
ORIGIN = "http://page.example"
INSTALLS_S = 600


def script(url: str) -> str:
    """The example in JavaScript, asking a server of ours."""
    (example,) = re.findall(r"^```js\n(.*?)^```", PAGE, re.DOTALL | re.MULTILINE)
    assert ADDRESS in example
    return example.replace(ADDRESS, url)


def decided(folder: Path, turn: int) -> list[str]:
    """Appends a decision, and an action that the example doesn't ask for; what it shall say."""
    with EventWriter(folder, "demo", verbosity=VerbosityLevel.DETAIL) as writer:
        decision = create_decision_event("demo", turn, "ben", "trade", None, f"sell {turn}")
        assert writer.emit(decision)
        assert writer.emit(create_action_event("demo", turn, "ben", "sell", {"grain": turn}))
    return [decision.event_id, "ben", f"sell {turn}"]


@contextmanager
def reading(script: str) -> Iterator[Callable[[int], list[Any]]]:
    """Has a browser open a page of a script, whose words are given once they are so many."""
    told: list[ConsoleMessage] = []
    with chromium() as browser:
        page = browser.new_page()
        page.on("console", lambda message: told.append(message))
        html = f"<!doctype html><title>example</title><script>{script}</script>"
        page.route(f"{ORIGIN}/", lambda route: route.fulfill(content_type="text/html", body=html))
        page.goto(ORIGIN)

        def said(count: int) -> list[Any]:
            end_s = time.monotonic() + ENDS_S
            while len(words := [one for one in told if one.type == "log"]) < count:
                assert time.monotonic() < end_s, words
                page.wait_for_timeout(20)
            return [[value.json_value() for value in one.args] for one in words]

        yield said


@pytest.mark.promise("Q9")
@pytest.mark.xdist_group("browser")
@pytest.mark.timeout(INSTALLS_S)
def test_javascript_example_hears_each_decision_once_over_a_restart(tmp_path: Path) -> None:
    run = tmp_path / "root" / "demo"
    wanted = [decided(run, turn) for turn in range(3)]
    with app_serving(run.parent, cors_origins=[ORIGIN]) as server:
        port = httpx2.URL(server.url).port
        with reading(script(server.url)) as said:
            said(len(wanted))
            wanted.append(decided(run, 3))
            said(len(wanted))
            server.process.kill()
            wanted.append(decided(run, 4))  # while nobody serves
            server.process.wait()
            with app_serving(run.parent, port=port, cors_origins=[ORIGIN]) as again:
                said(len(wanted))
                wanted.append(decided(run, 5))
                assert said(len(wanted)) == wanted
                again.process.kill()  # it would wait for its listener


@pytest.mark.xdist_group("browser")
@pytest.mark.timeout(INSTALLS_S)
def test_javascript_example_tells_that_a_page_from_elsewhere_is_refused(tmp_path: Path) -> None:
    run = tmp_path / "root" / "demo"
    decided(run, 1)
    with (
        app_serving(run.parent, cors_origins=["http://elsewhere.example"]) as server,
        reading(script(server.url)) as said,
    ):
        assert said(1) == [["refused: see the answer's code"]]
