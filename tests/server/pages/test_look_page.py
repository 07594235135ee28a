"""The picture of a log in a real browser: ruler, lanes, keys, panel, address, list; what it costs.

A page goes on while its log is written to, and its server is killed and begun anew under it.
"""

import re
from pathlib import Path
from urllib.parse import parse_qs

import pytest
from playwright.sync_api import Browser
from tests.docs.walk import free_port
from tests.server.pages.browser import LANES, NOTED, Tab, tab_of
from tests.server.runs import foreign, make_run
from tests.server.serving import Serving, serving

import thence
from thence.core.new_event import HostEvent

EVENTS, ACTORS, FAILS_EVERY = 3_000, 40, 311
WORDS, MANY, MANY_ACTORS = 3_000, 30_000, 300
FRAMES, CALLS_MAX = 60, 5_000
PAGE_BYTES_MAX, REQUESTS_MAX = 45_000, 16
BEFORE, SEEN, MEANWHILE, AFTER = 40, 30, 300, 25
_GONE = re.compile(r"ERR_(CONNECTION|INCOMPLETE_CHUNKED|EMPTY_RESPONSE)")
TIP, SPOKEN = ".look-tip", ".look-spoken"
HOSTILE = "<script>alert(1)</script>"
MARKS_CAME = """performance.getEntriesByType("resource").some(({ name, responseEnd }) =>
  name.includes("/marks?from=") && !name.includes("ids") && responseEnd)"""


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root: Path = tmp_path_factory.mktemp("root")
    with thence.open(root / "tasks") as log:
        last: dict[str, thence.Event] = {}
        for number in range(EVENTS):
            actor = HOSTILE if number == 7 else f"worker-{number % ACTORS}"
            kind = "task.failed" if number % FAILS_EVERY == 310 else f"task.step{number % 3}"
            cause = last.get(actor)
            last[actor] = log.append(
                kind, {"n": number}, actor=actor, caused_by=[cause.event_id] if cause else None
            )
    with thence.open(root / "words") as log:
        made = [
            HostEvent("noted" if n % 100 else "paid", {"text": f"word{n % 10}"}, actor=f"a{n % 3}")
            for n in range(WORDS)
        ]
        log.append_many(made)
    with thence.open(root / "many") as log:
        for number in range(MANY):
            log.emit(
                f"task.step{number % 7}", {"n": number}, actor=f"worker-{number % MANY_ACTORS}"
            )
        log.flush()
        log.rebuild()
    make_run(root, "played", count=30)
    with thence.open(root / "steps") as log:
        begun = log.append_many([HostEvent("pay.begun", {"order": 881}, actor="ada", begins=True)])
        log.append_many([HostEvent("pay.failed", actor="ada", ends=begun[0].event_id)])
    return root


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
    tab.wait(lambda: painted(tab, LANES) > 3_000)


def test_address_brings_the_same_view_again(tab: Tab) -> None:
    opened(tab)
    tab.page.focus(LANES)
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
    with serving(folder.parent) as server, tab_of(browser, server.url) as tab:
        opened(tab)
        tab.page.focus(LANES)
        for key in ("+", "+"):
            tab.page.keyboard.press(key)
        tab.wait(lambda: "event 301 to event 500," in tab.lanes)
        tab.wait(lambda: not asked(tab).get("from", "0").isdigit())
        link = tab.run("location.pathname + location.search")
    older = b"".join(foreign(number, timestamp="2020-01-01T00:00:00Z") for number in range(100))
    (folder / "events_2020-01-01_00-00-00-000000.jsonl").write_bytes(older)
    with thence.open(folder) as log:
        log.rebuild()
    with serving(folder.parent) as server, tab_of(browser, server.url) as tab:
        tab.go(link)
        tab.wait(lambda: "event 401 to event 600," in tab.lanes)
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
    press = tab.page.keyboard.press

    def at() -> str | None:
        return asked(tab).get("at")

    def moved(key: str) -> str:
        """Presses a key, and waits until another event is chosen."""
        before = at()
        press(key)
        return str(tab.wait(lambda: at() not in (before, None) and at()))

    tab.page.focus(LANES)
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
    tab.page.focus(LANES)
    press("/")
    tab.wait(lambda: tab.run("document.activeElement.type") == "search")
    tab.page.focus(LANES)
    press("?")
    tab.wait(lambda: tab.page.get_by_text("nearest cause, nearest effect").is_visible())
    press("Escape")
    tab.wait(lambda: not tab.page.get_by_text("nearest cause, nearest effect").is_visible())
    press("Escape")
    tab.wait(lambda: not tab.page.locator(".look aside").is_visible())


def caption(tab: Tab) -> str:
    return tab.page.locator("main table caption").last.inner_text()


def test_list_follows_the_window_and_words_keep_it(tab: Tab) -> None:
    tab.go("/runs/words")
    tab.wait(lambda: tab.lanes)
    assert caption(tab) == f"100 of {WORDS:,} events, in total order"
    tab.page.get_by_role("link", name="Next page").click()
    tab.wait(lambda: "cursor=" in tab.run("location.search"))
    tab.wait(lambda: tab.lanes)
    tab.page.get_by_role("button", name="Zoom in").click()
    tab.wait(lambda: caption(tab).startswith("100 of 1,500 events in the window"))
    assert "cursor=" not in tab.run("location.search")
    tab.page.get_by_label("Words, or key > value").fill("WORD7")
    tab.page.get_by_role("button", name="Find", exact=True).click()
    tab.wait(lambda: caption(tab).startswith("100 of 150 events in the window"))
    tab.wait(lambda: tab.lanes)
    assert "from=" in tab.run("location.search")


def test_filter_is_that_of_the_list_and_of_the_picture(tab: Tab) -> None:
    tab.go("/runs/words?actor=a1&words=word0")
    tab.wait(lambda: tab.lanes == "1 lane, event 1 to event 3,000, 0 failed")
    assert tab.page.locator(".look-legend").inner_text().split() == ["noted", "90", "paid", "10"]
    assert caption(tab) == "100 events, in total order"
    tab.page.get_by_role("button", name="Zoom in").click()
    tab.wait(lambda: caption(tab).startswith("50 events in the window"))
    tab.page.get_by_text("Facts", exact=True).click()
    tab.page.get_by_role("link", name="paid", exact=True).click()
    tab.wait(lambda: tab.lanes == "3 lanes, event 1 to event 3,000, 0 failed")
    assert caption(tab) == "30 events, in total order"
    tab.page.get_by_label("Find a lane").fill("nobody")
    tab.wait(lambda: tab.page.get_by_text("No lane is called “nobody”.").count())


def ruled(tab: Tab, path: str) -> list[str]:
    tab.go(path)
    return tab.wait(lambda: tab.page.locator(".look-ruler > span").all_inner_texts())


def point(tab: Tab, share: float) -> None:
    """Moves the pointer over the first lane, so far from the left of its field."""
    box = tab.page.locator(LANES).bounding_box()
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
    tab.wait(lambda: "lane" in tab.lanes)

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


def test_first_load_is_small(tab: Tab, server: Serving) -> None:
    channel = tab.page.context.new_cdp_session(tab.page)
    addresses: dict[str, str] = {}
    sizes: dict[str, int] = {}
    channel.on(
        "Network.requestWillBeSent",
        lambda sent: addresses.update({sent["requestId"]: sent["request"]["url"]}),
    )
    channel.on(
        "Network.loadingFinished",
        lambda done: sizes.update({done["requestId"]: done["encodedDataLength"]}),
    )
    channel.send("Network.enable")
    tab.go("/runs/many")
    tab.wait(lambda: tab.page.locator(LANES).count())
    paths = {key: address.removeprefix(server.url) for key, address in addresses.items()}
    first = {key for key, path in paths.items() if path.startswith(("/static/", "/runs/"))}
    assert len(first) <= REQUESTS_MAX
    tab.wait(lambda: first <= sizes.keys())
    assert sum(sizes[key] for key in first) <= PAGE_BYTES_MAX


def test_a_frame_draws_a_bounded_part_while_the_lanes_are_moved(tab: Tab) -> None:
    tab.page.add_init_script(NOTED)
    tab.go("/runs/many")
    tab.wait(lambda: tab.page.locator(LANES).count())
    tab.page.focus(LANES)
    for _ in range(3):
        tab.page.keyboard.press("+")
    before = tab.wait(lambda: tab.run("window.drawn"))
    for number in range(FRAMES):
        tab.page.keyboard.press("ArrowRight" if number % 8 < 4 else "ArrowLeft")
    drawn = (tab.run("window.drawn") - before) / FRAMES
    print(f"{drawn:.0f} calls a frame, {MANY} events")
    assert 0 < drawn <= CALLS_MAX


def add(log: thence.Log, actor: str, count: int) -> None:
    for number in range(count):
        log.append("task.failed" if number == 0 else "task.done", {}, actor=actor)


def test_page_misses_nothing_while_its_server_is_killed_and_begun_anew(browser, tmp_path):
    root, port = tmp_path / "root", str(free_port())
    address = f"http://127.0.0.1:{port}"
    with thence.open(root / "tasks") as log, tab_of(browser, address) as tab:
        add(log, "ada", BEFORE)
        with serving(root, "--port", port) as server:
            tab.go("/runs/tasks")
            tab.wait(lambda: tab.lanes == "1 lane, event 1 to event 40, 1 failed")
            add(log, "ben", SEEN)
            tab.wait(lambda: tab.lanes == "2 lanes, event 1 to event 70, 2 failed")
            server.process.kill()
        add(log, "cleo", MEANWHILE)
        with serving(root, "--port", port) as server:
            tab.wait(lambda: tab.lanes == "3 lanes, event 1 to event 370, 3 failed")
            add(log, "ada", AFTER)
            tab.wait(lambda: tab.lanes == "3 lanes, event 1 to event 395, 4 failed")
            tab.page.focus(LANES)
            tab.page.keyboard.press("+")  # from the right end
            tab.page.keyboard.press("+")
            tab.wait(lambda: "event 395" not in tab.lanes)
            add(log, "dora", AFTER)
            button = tab.page.get_by_role("button", name="25 new")
            tab.wait(button.is_visible)
            button.click()
            tab.wait(lambda: tab.lanes.endswith("event 420, 2 failed"))
            server.process.kill()
        lost = [words for words in tab.problems if _GONE.search(words)]
        assert lost
        assert lost == tab.problems, "it only says that nobody answered"
        tab.problems.clear()
