"""The picture of a log in a real browser: lanes, keys, the panel, the address."""

import json
from collections.abc import Iterator
from urllib.parse import parse_qs

import pytest
from playwright.sync_api import Browser
from tests.server.pages.browser import Tab, tab_of
from tests.server.serving import Serving, serving

import thence
from thence.core.new_event import HostEvent

EVENTS, ACTORS, FAILS_EVERY = 3_000, 40, 311
HOSTILE = "<script>alert(1)</script>"
MARKS_CAME = """performance.getEntriesByType("resource").some(({ name, responseEnd }) =>
  name.includes("/marks?from=") && !name.includes("ids") && responseEnd)"""


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Serving]:
    root = tmp_path_factory.mktemp("root")
    with thence.open(root / "tasks") as log:
        last: dict[str, thence.Event] = {}
        for number in range(EVENTS):
            actor = HOSTILE if number == 7 else f"worker-{number % ACTORS}"
            kind = "task.failed" if number % FAILS_EVERY == 310 else f"task.step{number % 3}"
            cause = last.get(actor)
            last[actor] = log.append(
                kind, {"n": number}, actor=actor, caused_by=[cause.event_id] if cause else None
            )
    with serving(root) as running:
        yield running


def asked(tab: Tab) -> dict[str, str]:
    """What the address says of the picture."""
    query = tab.run("location.search").removeprefix("?")  # the page's url lags behind
    return {name: values[0] for name, values in parse_qs(query).items()}


def painted(tab: Tab, selector: str) -> int:
    """How many pixels of a canvas are painted."""
    return tab.run(
        """(selector) => {
          const canvas = document.querySelector(selector);
          if (!canvas || !canvas.width || !canvas.height) return 0;
          const { data } = canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height);
          let number = 0;
          for (let at = 3; at < data.length; at += 4) number += data[at] > 0;
          return number;
        }""",
        selector,
    )


def opened(tab: Tab, path: str = "/runs/tasks") -> None:
    """Opens the page, and waits until its lanes are painted."""
    tab.go(path)
    tab.wait(lambda: painted(tab, ".look-strip") > 1_000)
    tab.wait(lambda: painted(tab, ".look-lanes canvas") > 3_000)


def test_address_brings_the_same_view_again(tab: Tab) -> None:
    opened(tab)
    tab.page.focus(".look-lanes canvas")
    for key in ("+", "+", "ArrowRight", "f"):
        tab.page.keyboard.press(key)
    tab.wait(lambda: tab.page.locator(".look aside h1").count())
    tab.wait(lambda: "at" in asked(tab) and not asked(tab).get("from", "0").isdigit())
    before = asked(tab)
    title = tab.page.locator(".look aside h1").inner_text()
    tab.page.reload()
    tab.wait(lambda: tab.page.locator(".look aside h1").all_inner_texts() == [title])
    tab.wait(lambda: asked(tab) == before)  # with ids, once the bounds are known again
    tab.page.go_back()
    tab.wait(lambda: "at" not in asked(tab))
    tab.wait(lambda: not tab.page.locator(".look aside").is_visible())


def test_copied_link_shows_the_same_events_once_a_rebuild_has_moved_them(browser, tmp_path):
    folder = tmp_path / "root" / "tasks"
    with thence.open(folder) as log:
        for number in range(800):
            log.emit("step", {"n": number}, actor=f"worker-{number % 5}")
    label = ".look-lanes canvas"
    with serving(folder.parent) as server, tab_of(browser, server.url) as tab:
        opened(tab)
        tab.page.focus(label)
        for key in ("+", "+"):
            tab.page.keyboard.press(key)
        shown = "event 301 to event 500,"
        tab.wait(lambda: shown in (tab.page.get_attribute(label, "aria-label") or ""))
        tab.wait(lambda: not asked(tab).get("from", "0").isdigit())
        link = tab.run("location.pathname + location.search")
    older = [
        {"event_id": f"old-{number}", "event_type": "step", "timestamp": "2020-01-01T00:00:00Z"}
        for number in range(100)
    ]
    lines = "".join(f"{json.dumps(line)}\n" for line in older)
    (folder / "events_2020-01-01_00-00-00-000000.jsonl").write_text(lines)
    with thence.open(folder) as log:
        log.rebuild()
    with serving(folder.parent) as server, tab_of(browser, server.url) as tab:
        tab.go(link)
        shown = "event 401 to event 600,"
        tab.wait(lambda: shown in (tab.page.get_attribute(label, "aria-label") or ""))
        tab.wait(lambda: tab.run("location.pathname + location.search") == link)


def test_without_script_the_list_is_all(browser: Browser, server: Serving) -> None:
    with tab_of(browser, server.url, has_script=False) as tab:
        tab.go("/runs/tasks")
        assert not tab.page.locator("#look").is_visible()
        assert tab.page.locator("main tbody tr").count() > 50


def test_night_between_two_bursts_takes_little_room_by_time(browser, tmp_path):
    with thence.open(tmp_path / "root" / "nights") as log:
        for hour in (1, 13):
            for at in range(0, 3_600, 5):
                time = f"2026-11-20T{hour:02}:{at // 60:02}:{at % 60:02}.000000Z"
                log.append_many([HostEvent("task.done", {}, actor="ada", timestamp=time)])
    with serving(tmp_path / "root") as server, tab_of(browser, server.url) as tab:
        tab.go("/runs/nights?axis=time")
        tab.wait(lambda: used(tab) > 0.8)  # a sixth of it without the fold
        assert used(tab) < 0.99, "the night is seen too"


def used(tab: Tab) -> float:
    """What share of the first lane's width holds events, by the colour of their type."""
    return tab.run(
        """() => {
          const canvas = document.querySelector(".look-lanes canvas");
          if (!canvas?.width) return 0;
          const mark = document.querySelector(".look-legend i");
          const colour = getComputedStyle(mark).backgroundColor.match(/\\d+/g).join();
          const wide = canvas.width - 190;
          const { data } = canvas.getContext("2d").getImageData(190, 17, wide, 1);
          let number = 0;
          for (let at = 0; at < data.length; at += 4) {
            number += data[at + 3] && data.slice(at, at + 3).join() === colour;
          }
          return number / wide;
        }"""
    )


def test_keys_do_what_their_help_says(tab: Tab) -> None:
    opened(tab)
    press, label = tab.page.keyboard.press, ".look-lanes canvas"

    def at() -> str | None:
        return asked(tab).get("at")

    def moved(key: str) -> str:
        """Presses a key, and waits until another event is chosen."""
        before = at()
        press(key)
        return str(tab.wait(lambda: at() not in (before, None) and at()))

    tab.page.focus(label)
    for key in ("+", "-", "+", "0"):
        press(key)
        tab.wait(lambda key=key: ("from" in asked(tab)) == (key == "+"))
    failure = moved("f")
    cause = moved("w")
    assert moved("t") == failure != cause
    tab.wait(lambda: tab.run(MARKS_CAME))
    first_lane = moved("j")
    press("ArrowDown")
    assert moved("j") not in (first_lane, failure)
    press("ArrowUp")
    assert moved("k")
    press("Enter")
    tab.wait(lambda: tab.run("document.activeElement.closest('aside') !== null"))
    tab.page.focus(label)
    press("/")
    tab.wait(lambda: tab.run("document.activeElement.type") == "search")
    tab.page.focus(label)
    press("?")
    tab.wait(lambda: tab.page.get_by_text("nearest cause, nearest effect").is_visible())
    press("Escape")
    tab.wait(lambda: not tab.page.get_by_text("nearest cause, nearest effect").is_visible())
    press("Escape")
    tab.wait(lambda: not tab.page.locator(".look aside").is_visible())
