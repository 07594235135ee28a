"""What lasted, as bars: nested by cause, by duration, in flight; what was waited for."""

from collections.abc import Iterator
from itertools import combinations
from pathlib import Path

import pytest
from playwright.sync_api import Browser
from tests.server.pages.browser import Tab, tab_of
from tests.server.pages.colours import as_deuteranopes_see, difference, variables
from tests.server.serving import Serving, serving

import thence
from thence.core.new_event import HostEvent

pytestmark = pytest.mark.xdist_group("browser")
# what the canvas paints, by its colour: left, top, width and height of each rectangle
NOTED = """
window.painted = [];
const { fillRect, clearRect } = CanvasRenderingContext2D.prototype;
CanvasRenderingContext2D.prototype.clearRect = function (...place) {
  if (this.canvas.closest(".look-lanes")) window.painted = [];
  return clearRect.apply(this, place);
};
CanvasRenderingContext2D.prototype.fillRect = function (...place) {
  if (this.canvas.closest?.(".look-lanes")) window.painted.push([this.fillStyle, ...place]);
  return fillRect.apply(this, place);
};
"""
LABEL, LANE, BAR = 190, 24, 17


def begin(log: thence.Log, kind: str, *, inside: str | None = None) -> str:
    """Begins a step of the shop; returns the id of its event."""
    told = {"order": 881}
    new = HostEvent(f"{kind}.begun", told, actor="shop", caused_by=inside, begins=True)
    return log.append_many([new])[0].event_id


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Serving]:
    with thence.open(tmp_path / "orders") as log:
        checkout = begin(log, "checkout")  # 1
        for kind, outcome in (("stock", "ended"), ("pay", "failed")):  # 2, 3 and 4, 5
            begun = begin(log, kind, inside=checkout)
            log.append_many([HostEvent(f"{kind}.{outcome}", actor="shop", ends=begun)])
        log.append_many([HostEvent("checkout.ended", actor="shop", ends=checkout)])  # 6
        begin(log, "mail")  # 7, in flight
    with serving(tmp_path) as running:
        yield running


def bars(tab: Tab, name: str) -> list[list[float]]:
    """Returns the rectangles of a colour: left, top, width and height."""
    hexadecimal = variables(is_dark=False)[name]
    return tab.run(f"window.painted.filter(([style]) => style === '{hexadecimal}')"
                   ".map(([, ...place]) => place)")  # fmt: skip


def test_bars_nest_by_cause_and_the_one_in_flight_has_no_end(server: Serving) -> None:
    told = server.json("/logs/orders/bars")
    rows = [told["bars"][at : at + 8] for at in range(0, len(told["bars"]), 8)]
    assert [row[:4] + row[5:] for row in rows] == [
        [1, 6, 0, 5, 0, 0, 0],
        [2, 3, 1, 2, 1, 0, 1],
        [4, 5, 3, 4, 1, 1, 1],
        [7, 0, 6, -1, 0, 0, 0],
    ]
    assert told["words"] == {
        "1": "checkout began: order 881",
        "2": "stock began: order 881",
        "4": "pay failed",
        "7": "mail began: order 881",
    }
    assert (list(told["rows"].values()), told["total"]) == ([2], 4)


def test_part_never_stands_above_what_it_is_a_part_of(tmp_path: Path) -> None:
    with thence.open(tmp_path / "root" / "orders") as log:
        warm = begin(log, "warm")
        pay = begin(log, "pay")  # below it, as both go on
        log.append_many([HostEvent("warm.ended", actor="shop", ends=warm)])
        begin(log, "charge", inside=pay)  # the first row is free by now
    with serving(tmp_path / "root") as server:
        told = server.json("/logs/orders/bars")["bars"]
    assert dict(zip(told[0::8], told[5::8], strict=True)) == {1: 0, 2: 1, 4: 2}


def test_bar_is_as_long_as_it_took_on_both_axes(browser: Browser, server: Serving) -> None:
    end = server.json("/logs/orders/look")["ends"]["time"]
    for axis, last in (("order", 7), ("time", end[1])):
        first = 0 if axis == "order" else end[0]
        told = server.json("/logs/orders/bars", axis=axis)["bars"]
        begun, ended = told[2] + (axis == "order") / 2, told[3] + (axis == "order") / 2
        with tab_of(browser, server.url) as tab:
            tab.page.add_init_script(NOTED)
            tab.go(f"/runs/orders?axis={axis}")
            tab.wait(lambda: len(bars(tab, "bar")) == 3)
            wide = tab.page.locator(".look-lanes canvas").bounding_box()["width"] - LABEL
            longest = max(bars(tab, "bar"), key=lambda bar: bar[2] * (bar[1] == LANE))
            if axis == "order":  # by time a gap may be folded
                assert longest[0] == pytest.approx(LABEL + begun / (last - first) * wide, abs=1)
                assert longest[2] == pytest.approx((ended - begun) / last * wide, abs=2)
            (failed,) = bars(tab, "bar-failed")
            assert failed[1] == LANE + BAR


def test_time_in_which_something_lasts_is_not_folded(browser: Browser, tmp_path: Path) -> None:
    with thence.open(tmp_path / "root" / "calls") as log:
        second = 0
        for kind, lasted_s in (("lint", 1), ("test", 60), ("push", 1)):
            at = (
                f"2026-11-20T10:{each // 60:02}:{each % 60:02}.000000Z"
                for each in (second, second + lasted_s)
            )
            begun = HostEvent(f"{kind}.begun", {}, actor="ada", timestamp=next(at), begins=True)
            (begin,) = log.append_many([begun])
            ended = HostEvent(
                f"{kind}.ended", {}, actor="ada", timestamp=next(at), ends=begin.event_id
            )
            log.append_many([ended])
            second += lasted_s + 1
    with serving(tmp_path / "root") as server, tab_of(browser, server.url) as tab:
        tab.page.add_init_script(NOTED)
        tab.go("/runs/calls?axis=time")

        def lengths() -> list[float]:
            return sorted(bar[2] for bar in bars(tab, "bar"))

        tab.wait(lambda: len(lengths()) == 3 and lengths()[2] > 20 * lengths()[1])


def test_path_that_a_chosen_bar_waited_for_is_lit(browser: Browser, server: Serving) -> None:
    with tab_of(browser, server.url) as tab:
        tab.page.add_init_script(NOTED)
        tab.go("/runs/orders")
        tab.wait(lambda: len(bars(tab, "bar")) == 3)
        wide = tab.page.locator(".look-lanes canvas").bounding_box()["width"] - LABEL
        x = LABEL + 3 / 7 * wide
        tab.page.locator(".look-lanes canvas").click(position={"x": x, "y": LANE + 6})
        tab.wait(lambda: "checkout began" in tab.page.inner_text("aside h1"))

        def lit() -> list[list[float]]:
            return sorted(bar for bar in bars(tab, "ink") if bar[3] == 2)

        tab.wait(lambda: len(lit()) == 3)
        assert [bar[1] for bar in lit()] == [LANE + 13, LANE + BAR + 13, LANE + BAR + 13]


@pytest.mark.parametrize("is_dark", [False, True])
def test_colours_of_marks_differ_for_who_sees_no_green(*, is_dark: bool) -> None:
    seen = variables(is_dark=is_dark)
    names = ("begin", "end", "other", "failed", "paper")
    for one, other in combinations(names, 2):
        a, b = (as_deuteranopes_see(seen[name]) for name in (one, other))
        assert difference(a, b) >= 15, (one, other)


def test_legend_has_the_colours_that_are_drawn(browser: Browser, server: Serving) -> None:
    with tab_of(browser, server.url) as tab:
        tab.go("/runs/orders")
        legend = tab.page.locator(".look-legend > span")
        tab.wait(lambda: legend.count() == 8)
        kinds = {
            entry.inner_text(): entry.locator("i").get_attribute("class") for entry in legend.all()
        }
        assert kinds["failed 1"] == "of-failed"
        assert kinds["checkout.begun 1"] == kinds["mail.begun 1"] == "of-begin"
        assert kinds["checkout.ended 1"] == kinds["pay.failed 1"] == "of-end"
