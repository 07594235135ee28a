"""What lasted, as bars: nested by cause, by duration, in flight; what was waited for; prompts.

Colours are judged as people without the cones for green see them: the matrix is that of Machado,
Oliveira and Fernandes 2009, severity 1; the difference is CIEDE2000 (Sharma, Wu and Dalal 2005).
"""

import math
import re
from itertools import combinations
from pathlib import Path

import pytest
from playwright.sync_api import Browser
from tests.server.pages.browser import LANES, NOTED, Tab, tab_of
from tests.server.serving import Serving, serving
from tests.server.test_session_page import ASK
from tests.trace.agents.played import PlayedRepository, Session

import thence
from thence.core.new_event import HostEvent

pytestmark = pytest.mark.xdist_group("browser")
LABEL, LANE, BAR = 190, 24, 17
STYLE = Path("src/thence/server/web/static/style.css")
_VARIABLE = re.compile(r"--([\w-]+): (#[0-9a-f]{6})")
_MATRIX = (
    (0.367322, 0.860646, -0.227968),
    (0.280085, 0.672501, 0.047413),
    (-0.011820, 0.042940, 0.968881),
)
_XYZ = (
    (0.4124564 / 0.95047, 0.3575761 / 0.95047, 0.1804375 / 0.95047),
    (0.2126729, 0.7151522, 0.0721750),
    (0.0193339 / 1.08883, 0.1191920 / 1.08883, 0.9503041 / 1.08883),
)
Lab = tuple[float, float, float]


def begin(log: thence.Log, kind: str, *, inside: str | None = None) -> str:
    """Begins a step of the shop; returns the id of its event."""
    told = {"order": 881}
    new = HostEvent(f"{kind}.begun", told, actor="shop", caused_by=inside, begins=True)
    return log.append_many([new])[0].event_id


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root: Path = tmp_path_factory.mktemp("root")
    with thence.open(root / "orders") as log:
        checkout = begin(log, "checkout")  # 1
        for kind, outcome in (("stock", "ended"), ("pay", "failed")):  # 2, 3 and 4, 5
            begun = begin(log, kind, inside=checkout)
            log.append_many([HostEvent(f"{kind}.{outcome}", actor="shop", ends=begun)])
        log.append_many([HostEvent("checkout.ended", actor="shop", ends=checkout)])  # 6
        begin(log, "mail")  # 7, in flight
    return root


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
            wide = tab.page.locator(LANES).bounding_box()["width"] - LABEL
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


def test_path_that_a_chosen_bar_waited_for_is_lit(tab: Tab) -> None:
    tab.page.add_init_script(NOTED)
    tab.go("/runs/orders")
    tab.wait(lambda: len(bars(tab, "bar")) == 3)
    wide = tab.page.locator(LANES).bounding_box()["width"] - LABEL
    x = LABEL + 3 / 7 * wide
    tab.page.locator(LANES).click(position={"x": x, "y": LANE + 6})
    tab.wait(lambda: "checkout began" in tab.page.inner_text("aside h1"))

    def lit() -> list[list[float]]:
        return sorted(bar for bar in bars(tab, "ink") if bar[3] == 2)

    tab.wait(lambda: len(lit()) == 3)
    assert [bar[1] for bar in lit()] == [LANE + 13, LANE + BAR + 13, LANE + BAR + 13]


def written(tab: Tab) -> list[str]:
    return tab.run("Object.keys(window.written)")


def test_prompts_are_bars_with_their_words_and_commits_are_diamonds(browser, session):
    with tab_of(browser, session.url) as tab:
        tab.page.add_init_script(NOTED)
        tab.go("/runs/agents")
        tab.wait(lambda: [text for text in written(tab) if ASK[:10] in text])
        told = session.json("/logs/agents/bars")["words"].values()
        assert 'the user asked: "Is all well?"' in told
        assert tab.run("window.shapes") > 0
        assert tab.page.locator("script").count() == 1


def test_session_of_a_lane_is_short_enough_to_read(browser: Browser, tmp_path) -> None:
    played = PlayedRepository(tmp_path / "shop", {"a.py": "a\n"})
    name = "5f0c1c3e-7d53-4b51-9f0a-3d2b8a4f6e10"
    agent = Session(played, name, ask="Do it")
    agent.subagent("implementer", "Do it").write("a.py", "b\n")
    played.log.close()
    with serving(played.top) as server, tab_of(browser, server.url) as tab:
        tab.page.add_init_script(NOTED)
        tab.go("/runs/agents")
        tab.wait(lambda: "5f0c1c3e claude-code" in written(tab))
        assert [text for text in written(tab) if text.startswith("5f0c1c3e implementer/a")]


def variables(*, is_dark: bool) -> dict[str, str]:
    """Returns the colours by their names, of one scheme."""
    blocks = re.split(r"@media \(prefers-color-scheme: dark\) \{", STYLE.read_text())
    light = dict(_VARIABLE.findall(blocks[0]))
    dark = dict(light)
    for block in blocks[1:]:
        inside, _, after = block.partition("\n}\n")
        dark |= _VARIABLE.findall(inside)
        light |= _VARIABLE.findall(after)
        dark = dict(_VARIABLE.findall(after)) | dark
    return dark if is_dark else light


def as_deuteranopes_see(colour: str) -> Lab:
    """Returns a colour of the form #rrggbb in CIELAB."""

    def linear(part: int) -> float:
        share = part / 255
        return share / 12.92 if share <= 0.04045 else ((share + 0.055) / 1.055) ** 2.4

    def times(matrix: tuple[Lab, Lab, Lab], vector: Lab) -> Lab:
        a, b, c = (sum(x * y for x, y in zip(row, vector, strict=True)) for row in matrix)
        return a, b, c

    red, green, blue = (linear(int(colour[at : at + 2], 16)) for at in (1, 3, 5))
    r, g, b = (min(1.0, max(0.0, part)) for part in times(_MATRIX, (red, green, blue)))
    x, y, z = (
        part ** (1 / 3) if part > 216 / 24389 else (24389 / 27 * part + 16) / 116
        for part in times(_XYZ, (r, g, b))
    )
    return 116 * y - 16, 500 * (x - y), 200 * (y - z)


def difference(one: Lab, other: Lab) -> float:
    """Returns the difference of two colours by CIEDE2000."""
    (l1, a1, b1), (l2, a2, b2) = one, other
    mean = (math.hypot(a1, b1) + math.hypot(a2, b2)) / 2
    stretch = 1.5 - 0.5 * math.sqrt(mean**7 / (mean**7 + 25**7))
    c1, c2 = math.hypot(a1 * stretch, b1), math.hypot(a2 * stretch, b2)
    h1, h2 = (math.degrees(math.atan2(b, a * stretch)) % 360 for a, b in ((a1, b1), (a2, b2)))
    turn = (h2 - h1 + 180) % 360 - 180 if c1 * c2 else 0.0
    hue = (h1 + turn / 2) % 360 if c1 * c2 else h1 + h2
    light, chroma = (l1 + l2) / 2, (c1 + c2) / 2

    def cosine(factor: float, by: float) -> float:
        return math.cos(math.radians(factor * hue + by))

    t = 1 - 0.17 * cosine(1, -30) + 0.24 * cosine(2, 0) + 0.32 * cosine(3, 6) - 0.2 * cosine(4, -63)
    of_light = (l2 - l1) / (1 + 0.015 * (light - 50) ** 2 / math.sqrt(20 + (light - 50) ** 2))
    of_chroma = (c2 - c1) / (1 + 0.045 * chroma)
    of_hue = 2 * math.sqrt(c1 * c2) * math.sin(math.radians(turn / 2)) / (1 + 0.015 * chroma * t)
    rotated = 60 * math.exp(-(((hue - 275) / 25) ** 2))
    together = -2 * math.sqrt(chroma**7 / (chroma**7 + 25**7)) * math.sin(math.radians(rotated))
    return math.sqrt(of_light**2 + of_chroma**2 + of_hue**2 + together * of_chroma * of_hue)


@pytest.mark.parametrize("is_dark", [False, True])
def test_colours_of_marks_differ_for_who_sees_no_green(*, is_dark: bool) -> None:
    seen = variables(is_dark=is_dark)
    names = ("begin", "end", "other", "failed", "paper")
    for one, other in combinations(names, 2):
        a, b = (as_deuteranopes_see(seen[name]) for name in (one, other))
        assert difference(a, b) >= 15, (one, other)


def test_legend_has_the_colours_that_are_drawn(tab: Tab) -> None:
    tab.go("/runs/orders")
    legend = tab.page.locator(".look-legend > span")
    tab.wait(lambda: legend.count() == 8)
    kinds = {
        entry.inner_text(): entry.locator("i").get_attribute("class") for entry in legend.all()
    }
    assert kinds["failed 1"] == "of-failed"
    assert kinds["checkout.begun 1"] == kinds["mail.begun 1"] == "of-begin"
    assert kinds["checkout.ended 1"] == kinds["pay.failed 1"] == "of-end"
