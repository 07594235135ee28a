"""The picture's ruler and words: where one is, what lies below the pointer, what went wrong."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser
from tests.server.pages.browser import Tab, tab_of
from tests.server.runs import make_run
from tests.server.serving import Serving, serving

import thence
from thence.core.new_event import HostEvent

TIP, SPOKEN, CANVAS = ".look-tip", ".look-spoken", ".look-lanes canvas"
pytestmark = pytest.mark.xdist_group("browser")


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Serving]:
    make_run(tmp_path, "played", count=30)
    with thence.open(tmp_path / "steps") as log:
        begun = log.append_many([HostEvent("pay.begun", {"order": 881}, actor="ada", begins=True)])
        log.append_many([HostEvent("pay.failed", actor="ada", ends=begun[0].event_id)])
    with serving(tmp_path) as running:
        yield running


def ruled(tab: Tab, path: str) -> list[str]:
    tab.go(path)
    return tab.wait(lambda: tab.page.locator(".look-ruler > span").all_inner_texts())


def point(tab: Tab, share: float) -> None:
    """Moves the pointer over the first lane, so far from the left of its field."""
    box = tab.page.locator(CANVAS).bounding_box()
    assert box is not None
    tab.page.mouse.move(box["x"] + 190 + share * (box["width"] - 190), box["y"] + 12)


def test_ruler_counts_events_turns_and_local_time(tab: Tab) -> None:
    assert ruled(tab, "/runs/played")[:3] == ["0", "1", "2"]
    assert ruled(tab, "/runs/played?axis=order")[0] == "5"
    zone = tab.run("new Date(2026, 0).toLocaleDateString('en-GB', {year: 'numeric'})")
    first, *_ = ruled(tab, "/runs/steps?axis=time")
    assert zone in first
    title = tab.page.locator(".look-ruler > span").first.get_attribute("title")
    assert title is not None
    assert title.endswith("Z")


def test_pointer_is_told_the_event_with_its_duration(tab: Tab) -> None:
    ruled(tab, "/runs/steps")
    tab.wait(lambda: "lane" in (tab.page.get_attribute(CANVAS, "aria-label") or ""))

    def told() -> str:
        point(tab, 0.25)
        return tab.page.inner_text(TIP)

    words = tab.wait(lambda: "pay began" in told() and told())
    assert "s)" in words
    tab.page.mouse.move(2, 2)
    tab.wait(lambda: not tab.page.locator(TIP).is_visible())


def test_next_failure_is_found_on_each_axis(tab: Tab) -> None:
    for axis in ("time", "order"):
        ruled(tab, f"/runs/steps?axis={axis}")
        for key in ("f", "F"):
            tab.page.keyboard.press(key)
            tab.wait(lambda: "pay failed" in tab.page.inner_text(SPOKEN))
            tab.page.keyboard.press("Escape")
            tab.page.evaluate("(at) => (document.querySelector(at).textContent = '')", SPOKEN)


def test_request_that_fails_is_no_answer(tab: Tab) -> None:
    ruled(tab, "/runs/steps")
    tab.page.keyboard.press("f")
    tab.wait(lambda: "pay failed" in tab.page.inner_text(SPOKEN))
    tab.page.route("**/logs/**", lambda route: route.abort())
    for key in ("f", "w", "t"):
        tab.page.keyboard.press(key)
        tab.wait(lambda: tab.page.inner_text(SPOKEN) == "The server does not answer.")
    tab.page.unroute("**/logs/**")
    refused = {"status": 401, "json": {"message": "no token"}}
    tab.page.route("**/logs/**", lambda route: route.fulfill(**refused))
    tab.page.keyboard.press("f")
    link = tab.page.locator(f"{SPOKEN} a")
    tab.wait(lambda: link.count() and link.inner_text() == "Log in again.")
    tab.problems.clear()  # the browser's own words on requests that failed


def test_page_follows_a_log_that_grows(browser: Browser, tmp_path: Path) -> None:
    with thence.open(tmp_path / "tasks") as log, serving(tmp_path) as running:
        log.append("task.failed", actor="ada")
        with tab_of(browser, running.url) as tab:
            ruled(tab, "/runs/tasks")
            assert tab.page.inner_text(".verdict") == "1 failure of 1 event"
            log.append("task.failed", actor="ben")
            tab.wait(lambda: tab.page.inner_text(".verdict") == "2 failures of 2 events")
            listed = tab.page.locator("main table").last.locator("tbody tr")
            tab.wait(lambda: listed.count() == 2)
