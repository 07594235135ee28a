"""The list of a log's page follows the window of its picture, and the box finds words in it."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.server.pages.browser import Tab
from tests.server.serving import Serving, serving

import thence
from thence.core.new_event import HostEvent

EVENTS = 3_000


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Serving]:
    root: Path = tmp_path_factory.mktemp("root")
    with thence.open(root / "tasks") as log:
        made = [
            HostEvent("noted" if n % 100 else "paid", {"text": f"word{n % 10}"}, actor=f"a{n % 3}")
            for n in range(EVENTS)
        ]
        log.append_many(made)
    with serving(root) as running:
        yield running


def caption(tab: Tab) -> str:
    return tab.page.locator("main table caption").last.inner_text()


def test_list_follows_the_window_and_words_keep_it(tab: Tab) -> None:
    tab.go("/runs/tasks")
    tab.wait(lambda: tab.page.get_attribute(".look-lanes canvas", "aria-label"))
    assert caption(tab) == f"100 of {EVENTS:,} events, in total order"
    tab.page.get_by_role("link", name="Next page").click()
    tab.wait(lambda: "cursor=" in tab.run("location.search"))
    tab.wait(lambda: tab.page.get_attribute(".look-lanes canvas", "aria-label"))
    tab.page.get_by_role("button", name="Zoom in").click()
    tab.wait(lambda: caption(tab).startswith("100 of 1,500 events in the window"))
    assert "cursor=" not in tab.run("location.search")
    tab.page.get_by_label("Words, or key > value").fill("WORD7")
    tab.page.get_by_role("button", name="Find", exact=True).click()
    tab.wait(lambda: caption(tab).startswith("100 of 150 events in the window"))
    tab.wait(lambda: tab.page.get_attribute(".look-lanes canvas", "aria-label"))
    assert "from=" in tab.run("location.search")


def test_filter_is_that_of_the_list_and_of_the_picture(tab: Tab) -> None:
    def shown(tab: Tab) -> str:
        return tab.page.get_attribute(".look-lanes canvas", "aria-label") or ""

    tab.go("/runs/tasks?actor=a1&words=word0")
    tab.wait(lambda: shown(tab) == "1 lane, event 1 to event 3,000, 0 failed")
    assert tab.page.locator(".look-legend").inner_text().split() == [
        "noted",
        "90",
        "paid",
        "10",
    ]
    assert caption(tab) == "100 events, in total order"
    tab.page.get_by_role("button", name="Zoom in").click()
    tab.wait(lambda: caption(tab).startswith("50 events in the window"))
    tab.page.get_by_text("Facts", exact=True).click()
    tab.page.get_by_role("link", name="paid", exact=True).click()
    tab.wait(lambda: shown(tab) == "3 lanes, event 1 to event 3,000, 0 failed")
    assert caption(tab) == "30 events, in total order"
    tab.page.get_by_label("Find a lane").fill("nobody")
    tab.wait(lambda: tab.page.get_by_text("No lane is called “nobody”.").count())
